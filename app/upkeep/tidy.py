"""Tidying up: every process offers to do it; one at a time does, a few seconds at once, and goes on from a cursor."""

from __future__ import annotations

import socket

from app.settings import get_settings
from app.upkeep.garbage import collect_garbage, collect_leftovers
from app.upkeep.trash import drop_unused_uploads, empty_trash
from app.upkeep.turns import turn


def tidy() -> None:
    """A turn of each task that is due and that nobody else does."""
    with turn("rows") as mine:
        if mine:
            empty_trash()
            drop_unused_uploads()
            mine.done()
    with turn("files") as mine:
        if mine:
            collect_garbage(mine)
    with turn(f"leftovers {socket.gethostname()} {get_settings().data}") as mine:  # each folder has its own
        if mine:
            collect_leftovers()
            mine.done()
