"""Artworks on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, computed_field

from app.media import of_type
from app.validation import Identifier, Uuid

Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f,]+$")]
Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00]*$")]


Ids = Annotated[list[Uuid], Field(min_length=1, max_length=500)]


class ArtworkChange(BaseModel):
    """What may be changed of an artwork."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"favourite": True, "tags": ["fox"]}]})

    title: Title | None = None
    tags: Annotated[list[Tag], Field(max_length=30)] | None = None
    favourite: StrictBool | None = None
    visibility: Literal["private", "studio"] | None = Field(None, description="`studio`: every signed-in user sees it")


class Selection(BaseModel):
    """What is done to which works."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": ["0199c0de-0000-7000-8000-000000000000"], "action": "trash"}]},
    )

    ids: Ids
    action: Literal["trash", "restore", "delete", "favourite", "unfavourite", "tag", "untag", "download"] = Field(
        description="`delete` is for ever, for works in the trash only; `download` answers with one zip of the files"
    )
    tags: Annotated[list[Tag], Field(max_length=30)] = []


class SelectionOut(BaseModel):
    changed: int
    missing: list[str] = Field(description="Ids of which there is no work of the user's")


class TrashOut(BaseModel):
    deleted: int


class ArtworkBrief(BaseModel):
    """As lists and jobs have it; `GET /artworks/{id}` has the provenance too."""

    model_config = ConfigDict(from_attributes=True)

    id: Identifier
    generation_id: Identifier | None
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
