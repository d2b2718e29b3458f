"""What a checkpoint's card must say, for whoever reads one. Torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT = 1


class Card(BaseModel):
    """The fields that others rely on; a card holds more besides."""

    model_config = ConfigDict(extra="allow", strict=True)

    format: int = Field(ge=FORMAT, le=FORMAT)
    family: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parameters: int = Field(ge=1)
    config: dict[str, Any] = {}
    files: dict[str, str] = {}
    figures: dict[str, Any] = {}
    title: str = ""
    description: str = ""
    description_zh: str = ""
    license: str = ""
    trained_on: str = ""
    collection: str = ""
    lacks: str = ""
    lacks_zh: str = ""
    styles: list[dict[str, str]] = []
    preview: bool = False


def problem(card: object) -> str | None:
    """What is wrong with a card, in one line; None when it is one of ours."""
    try:
        Card.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the card'}: {first['msg']}"
    return None
