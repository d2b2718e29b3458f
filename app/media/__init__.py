"""What works, uploads and items of datasets may be: pictures, films, music or texts, each in a module of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from app.errors import Invalid
from app.media import films, pictures, scores, texts
from app.media.medium import SAYS_NOTHING, Kept, Medium
from models.contract.values import PICTURES, Value

__all__ = [
    "MEDIA",
    "SAYS_NOTHING",
    "TYPES",
    "Kept",
    "Medium",
    "decoded",
    "encoded",
    "made_as",
    "of_type",
    "signed",
    "suffix_of",
    "taken",
]

MEDIA = {medium.name: medium for medium in (pictures.MEDIUM, films.MEDIUM, scores.MEDIUM, texts.MEDIUM)}

TYPES: dict[str, Any] = {media_type: {} for medium in MEDIA.values() for media_type in medium.types}  # for OpenAPI


def of_type(media_type: str) -> Medium:
    """Raises LookupError for a type that no medium has."""
    for medium in MEDIA.values():
        if media_type in medium.types:
            return medium
    raise LookupError(media_type)


def suffix_of(media_type: str) -> str:
    return of_type(media_type).types[media_type]


def made_as(medium: str) -> str:
    """The media type of a model's works of a medium: the first that it names."""
    return next(iter(MEDIA[medium].types))


def encoded(value: Value) -> Kept:
    """A file of what a model has made."""
    encode = MEDIA[value.medium].encode
    assert encode is not None, "what a task gives can be kept"
    return encode(value)


def decoded(content: bytes, media_type: str) -> Value:
    """What a model is to work from, out of its file. Raises LookupError."""
    decode = of_type(media_type).decode
    assert decode is not None, "only what can be given is taken"
    value: Value = decode(content, media_type)
    return value


def taken(content: bytes, name: str) -> Kept:
    """A stranger's file that a model is to work from. Raises Invalid or UnsupportedMedia."""
    by_name = [medium for medium in MEDIA.values() if name.lower().endswith(medium.suffixes)]
    medium = by_name[0] if by_name else MEDIA[PICTURES]
    return (medium.take or medium.read)(content, name)


def signed(content: bytes) -> dict[str, Any]:
    """What a file that a studio has made says of how that was done, whatever its medium. Raises Invalid."""
    for medium in MEDIA.values():
        with suppress(Invalid):
            return medium.signed(content)
    raise Invalid(SAYS_NOTHING)
