"""Datasets on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.media import MEDIA
from app.validation import Identifier, Uuid, no_controls
from models.contract.message import Message

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f<>\"'&/\\]+$")
]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(no_controls)]
LONGEST_CAPTION = 1000
Caption = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=LONGEST_CAPTION), AfterValidator(no_controls)
]
Part = Annotated[str, StringConstraints(max_length=LONGEST_CAPTION), AfterValidator(no_controls)]


def known(kind: str) -> str:
    if kind not in MEDIA:
        raise ValueError(Message("There is no kind {name}; available: {names}", name=kind, names=", ".join(MEDIA)))
    return kind


Kind = Annotated[str, AfterValidator(known), Field(json_schema_extra={"enum": [*MEDIA]})]
Visibility = Literal["private", "studio"]
VISIBILITY = "`studio`: every signed-in user sees its items and may work from them; else only admins do"
State = Literal["accepted", "refused", "similar", "uncaptioned"]


class DatasetIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Kites", "description": "Kites that I photographed"}]}
    )

    name: Name
    description: Description = ""
    kind: Kind = Field("pictures", description="What it holds; it stays so")
    visibility: Visibility = Field("private", description=VISIBILITY)


class DatasetChange(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"description": "Kites over Weifang"}]})

    name: Name | None = None
    description: Description | None = None
    visibility: Visibility | None = Field(None, description=VISIBILITY)


class DatasetOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: Identifier
    name: str
    description: str
    kind: Kind
    visibility: Visibility
    accepted: int
    refused: int
    created_at: datetime


class DatasetList(BaseModel):
    items: list[DatasetOut]
    next_cursor: str | None


class ItemChange(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"caption": "a red kite"}]})

    caption: Caption


class ItemSelection(BaseModel):
    """What is done to which items: `caption` gives all the same one; `prepend` and `append` put `text` before or behind
    the one that each has; `replace` puts it in the place of `find`; `delete` is for ever.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"ids": ["0199c0de-0000-7000-8000-000000000000"], "action": "append", "text": ", flat style"}]
        },
    )

    ids: Annotated[list[Uuid], Field(min_length=1, max_length=500)]
    action: Literal["caption", "prepend", "append", "replace", "delete"]
    text: Part = ""
    find: Part = ""

    @model_validator(mode="after")
    def is_whole(self) -> Self:
        if self.action == "replace" and not self.find:
            raise ValueError(Message("Say what to replace"))
        if self.action in ("prepend", "append") and not self.text:
            raise ValueError(Message("Say what to add"))
        return self

    def caption_of(self, before: str) -> str:
        match self.action:
            case "prepend":
                return self.text + before
            case "append":
                return before + self.text
            case "replace":
                return before.replace(self.find, self.text)
        return self.text


class ItemSelectionOut(BaseModel):
    changed: int
    missing: list[str] = Field(description="Ids of which there is no item")


class ItemOut(BaseModel):
    """`refusal` says why a file was not kept; such an item has no content. `similar_to` is an earlier item's id."""

    model_config = ConfigDict(from_attributes=True)

    id: Identifier
    name: str
    media_type: str
    sha256: str | None
    width: int | None
    height: int | None
    size_bytes: int
    caption: str
    facts: dict[str, Any] = Field(
        description="Of music: notes, parts, seconds, ...; of a film: frames, seconds; of a text: ..."
    )
    similar_to: Identifier | None
    refusal: Message | None
    created_at: datetime


class ItemList(BaseModel):
    items: list[ItemOut]
    next_cursor: str | None


class Refusal(BaseModel):
    name: str
    reason: Message


class ImportOut(BaseModel):
    """What became of the files of one upload. `refusals` lists the first hundred."""

    accepted: int = 0
    repeated: int = Field(0, description="Files that the dataset held already")
    captions: int = Field(0, description="Captions that went to files of earlier uploads")
    refused: int = 0
    refusals: list[Refusal] = []
    repeats: list[Refusal] = Field([], description="Of those held already under another name, the first hundred")
    remarks: list[Refusal] = Field([], description="Of what was kept in part, or not used; the first hundred")
    captions_unused: int = Field(0, description="Captions that no file has the name of; `remarks` names them")

    @property
    def told(self) -> list[Refusal]:
        """All that the sender is told of single files."""
        return [*self.refusals, *self.repeats, *self.remarks]


class FetchOut(ImportOut):
    """What became of the files of a starter collection."""

    dataset: DatasetOut | None = Field(
        None, description="That has them; none for pictures, which are made ready for training under their own name"
    )


class StarterOut(BaseModel):
    """A starter collection: `absent`, being fetched, `here`, or `failed` to be fetched the last time."""

    name: str
    title: str
    kind: Kind
    size: int | None = Field(None, description="Side of the pictures, in pixels")
    megabytes: int = Field(0, description="That are fetched, where they are many")
    needs_apt: bool = Field(False, description="Whether it comes from a package of Debian, by apt")
    status: Literal["absent", "fetching", "here", "failed"]
    works: int = Field(0, description="Of a fetch that goes on: how many are there")
    error: Message | None = None
    dataset: str | None = Field(None, description="Id of the dataset that has its works")


class StarterList(BaseModel):
    items: list[StarterOut]


class Statistics(BaseModel):
    """What a dataset holds. `smallest`, `median` and `largest` are in `unit`: of pictures, the longer side."""

    accepted: int
    refused: int
    similar: int
    captioned: int
    bytes: int
    unit: str
    smallest: int | None
    median: int | None
    largest: int | None
    totals: dict[str, float] = Field(
        description="Of films: seconds in all; of music: seconds and notes; of texts: characters and lines"
    )
    words: list[tuple[str, int]] = Field(description="The commonest words of the captions, how often each")
    colours: list[tuple[str, int]] = Field(
        description="The commonest colours of what is drawn as RRGGBB, and in how many of some of its pictures"
    )
    version: str = Field(description="SHA-256 over every file with its caption, folder and name")
