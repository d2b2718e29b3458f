"""Artworks on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f,]+$")]
Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00]*$")]


class ArtworkChange(BaseModel):
    """What may be changed of an artwork."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"favourite": True, "tags": ["fox"]}]})

    title: Title | None = None
    tags: Annotated[list[Tag], Field(max_length=30)] | None = None
    favourite: bool | None = None
    visibility: Literal["private", "studio"] | None = Field(None, description="`studio`: every signed-in user sees it")


class ArtworkOut(BaseModel):
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
    provenance: dict[str, Any] = Field(description="The full request, the checkpoint's hash and software versions")
    created_at: datetime
    deleted_at: datetime | None


class ArtworkList(BaseModel):
    items: list[ArtworkOut]
    next_cursor: str | None
