"""Artworks on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, computed_field

from app.media import of_type

Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f,]+$")]
Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00]*$")]


class ArtworkChange(BaseModel):
    """What may be changed of an artwork."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"favourite": True, "tags": ["fox"]}]})

    title: Title | None = None
    tags: Annotated[list[Tag], Field(max_length=30)] | None = None
    favourite: bool | None = None
    visibility: Literal["private", "studio"] | None = Field(None, description="`studio`: every signed-in user sees it")


class ArtworkBrief(BaseModel):
    """As lists and jobs have it; `GET /artworks/{id}` has the provenance too."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    generation_id: str | None
    position: int
    title: str
    tags: list[str]
    favourite: bool
    visibility: str
    media_type: str
    size_bytes: int
    width: int | None
    height: int | None
    sha256: str
    model: str
    task: str
    seed: int | None
    subject: str = Field(description="What it is of, in words: its prompt, or the style that it was asked for")
    facts: dict[str, Any] = Field(description="What is known of it besides: seconds, lines, parts")
    created_at: datetime
    deleted_at: datetime | None

    @computed_field(description="What it is: pictures, films, music or texts")  # type: ignore[prop-decorator]
    @property
    def medium(self) -> str:
        return of_type(self.media_type).name

    @computed_field(description="The same as `subject`", json_schema_extra={"deprecated": True})  # type: ignore[prop-decorator]
    @property
    def prompt(self) -> str | None:
        return self.subject or None


class ArtworkOut(ArtworkBrief):
    provenance: dict[str, Any] = Field(description="The full request, the checkpoint's hash and software versions")


class ArtworkList(BaseModel):
    items: list[ArtworkBrief]
    next_cursor: str | None
