"""What tasks that make music are called, and what they take. Torch-free."""

from __future__ import annotations

from pydantic import Field

from models.contract.tasks import Input
from models.contract.values import MUSIC
from models.contract.writing import WritingParams

GENERATION, CONTINUATION = "music-generation", "music-continuation"
HARMONIZATION, INPAINTING = "music-harmonization", "music-inpainting"
INTERPOLATION, VARIATION = "music-interpolation", "music-variation"
OPENING, MELODY, SCORE = "opening", "melody", "score"  # roles
MOST_BARS = 64


class ComposingParams(WritingParams):
    """How freely it is composed, and how fast it is played."""

    tempo: int | None = Field(
        None,
        ge=20,
        le=300,
        title="Tempo",
        description="Quarters a minute; empty: as what is given, or as usual for its kind",
    )


def music(role: str, title: str, least: int = 1, most: int = 1) -> tuple[Input, ...]:
    """Scores to work from."""
    return (Input(role, title, MUSIC, least, most),)
