"""Notes as a picture: of a work in the gallery, and on the sheets of runs and models. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from models.contract.values import Note, Score

ON_SHEET = (384, 96)  # pixels of a piece
PAPER, INKS = "#faf8f4", ("#b5402f", "#2f5d8a", "#4f7d4a", "#8a6a2f", "#6b4a8a", "#3f8a86")


def piano_roll(notes: Sequence[Note], size: tuple[int, int]) -> Image.Image:
    """Time to the right, pitch upwards, a colour a part; an empty page where there are no notes."""
    page, (width, height) = Image.new("RGB", size, PAPER), size
    if not notes:
        return page
    pen = ImageDraw.Draw(page)
    end = max(note.start + note.duration for note in notes) or 1.0
    low, high = min(note.pitch for note in notes) - 2, max(note.pitch for note in notes) + 2
    row = height / (high - low + 1)
    parts = sorted({note.part for note in notes})
    for note in notes:
        left, top = note.start / end * (width - 1), (high - note.pitch) * row
        right = max(left + 1, (note.start + note.duration) / end * (width - 1) - 1)
        pen.rectangle((left, top, right, top + max(1.0, row - 1)), fill=INKS[parts.index(note.part) % len(INKS)])
    return page


def roll_sheet(scores: Sequence[Score]) -> Image.Image:
    """One below the other."""
    width, height = ON_SHEET
    page = Image.new("RGB", (width, max(1, len(scores)) * height), PAPER)
    for i, score in enumerate(scores):
        page.paste(piano_roll(score.notes, ON_SHEET), (0, i * height))
    return page
