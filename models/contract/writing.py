"""What tasks that write texts take. Torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from models.contract.tasks import SamplingParams
from models.contract.training_spec import MORE

TEXT_GENERATION = "text-generation"
LONGEST_NAME = 40  # characters of who speaks in a play


def temperature_field(usual: float) -> Any:
    return Field(
        usual,
        ge=0.1,
        le=2,
        allow_inf_nan=False,
        title="Temperature",
        description="Lower is more usual, higher more surprising",
        json_schema_extra=MORE,
    )


def top_p_field(usual: float) -> Any:
    return Field(
        usual,
        ge=0.05,
        le=1,
        allow_inf_nan=False,
        title="Top p",
        description="Only the likeliest that are together so probable",
        json_schema_extra=MORE,
    )


def is_name(line: str) -> bool:
    """Whether a line of a play says who speaks next: in capitals, and no stage direction."""
    return line == line.upper() != line.lower() and len(line) <= LONGEST_NAME and not line.startswith("[")


def starts_speech(paragraph: str) -> bool:
    """Whether it is a name on a line of its own, and what follows."""
    name, newline, _ = paragraph.partition("\n")
    return bool(newline) and is_name(name)


class WritingParams(SamplingParams):
    """How freely it is written."""

    temperature: float = temperature_field(0.9)
    top_p: float = top_p_field(0.9)
