"""Unfinished works as events show them."""

from __future__ import annotations

import base64

from app.jobs.events import PreviewEvent
from app.media import MEDIA, encoded
from models.contract.values import Score, Text, Value


def preview(job: str, index: int, value: Value) -> PreviewEvent | None:
    """A text as it is; of anything else its poster; None while there is nothing to see."""
    if isinstance(value, Score) and not value.notes:
        return None
    if isinstance(value, Text):
        return PreviewEvent(generation=job, index=index, text=value.text)
    poster = MEDIA[value.medium].poster
    assert poster is not None
    kept = encoded(value)
    png = poster(kept.content, kept.media_type)
    return PreviewEvent(generation=job, index=index, image="data:image/png;base64," + base64.b64encode(png).decode())
