"""What is said to people, in English, as a template and its values: to say it in another language needs no more."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Message(str):
    """English text that keeps how it was made: `Message("The model {name} is gone", name="foxes")`.

    A template is filled in as by `str.format`. A value that is a message itself is translated with it; one of any other
    type stays as it is in every language.
    """

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str = "", /, **values: Any) -> Self:
        if isinstance(template, cls) and not values:
            return template
        made = super().__new__(cls, template.format(**values) if values else template)
        made.template, made.values = str(template), values
        return made

    def to_json(self) -> dict[str, Any]:
        """For a database or another process: `{"template": ..., "values": {...}}`."""
        return {"template": self.template, "values": {name: written(value) for name, value in self.values.items()}}

    @classmethod
    def from_json(cls, given: dict[str, Any] | str) -> Message:
        if isinstance(given, str):  # as versions before wrote it
            return cls(given)
        values = {
            name: cls.from_json(value) if isinstance(value, dict) else value for name, value in given["values"].items()
        }
        return cls(given["template"], **values)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Text in a schema and in an answer."""
        return core_schema.no_info_wrap_validator_function(
            lambda given, is_text: given if isinstance(given, cls) else cls(is_text(given)), core_schema.str_schema()
        )


def written(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_json()
    return value if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) else str(value)


class MessageError(Exception):
    """An error whose words are for people."""

    def __init__(self, template: str = "", /, **values: Any) -> None:
        self.message = Message(template, **values)
        super().__init__(self.message)
