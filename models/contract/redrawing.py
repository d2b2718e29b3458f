"""Tasks that draw a given picture again, pixel by pixel: how large it may be. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.contract.message import Message

FRAME = 768 * 768  # pixels of a picture that a live frame is drawn of


def reduced(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) at which a picture is drawn again: in its own proportions, neither more than `longest`."""
    scale = min(1.0, longest / max(width, height))
    return round(scale * width), round(scale * height)


def too_narrow(size: Mapping[str, Any], least: int, longest: int) -> Message | None:
    """What to say of a picture that has a side of less than `least` pixels then; None of others."""
    width, height = int(size["width"]), int(size["height"])
    drawn = reduced(width, height, longest)
    if min(drawn) >= least:
        return None
    given = pixels(width, height)
    if drawn == (width, height):
        return Message("A picture of {size} pixels is too small: {least} a side at least", size=given, least=least)
    said = "A picture of {size} pixels is made smaller first, to {drawn}; that is too narrow: {least} a side at least"
    return Message(said, size=given, drawn=pixels(*drawn), least=least)


def pixels(width: int, height: int) -> Message:
    return Message("{width} x {height}", width=width, height=height)
