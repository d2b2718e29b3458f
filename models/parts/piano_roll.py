"""Scores as pictures, for the sheets of runs and models."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from models.contract.values import Score

SIZE = (384, 96)  # pixels of a piece
PAPER, INKS = "#faf8f4", ("#b5402f", "#2f5d8a", "#4f7d4a", "#8a6a2f", "#6b4a8a", "#3f8a86")


def piano_roll(score: Score) -> Image.Image:
    """Time to the right, pitch upwards, a colour a voice."""
    page = Image.new("RGB", SIZE, PAPER)
    pen, (width, height) = ImageDraw.Draw(page), SIZE
    end = max((note.start + note.duration for note in score.notes), default=1.0)
    pitches = [note.pitch for note in score.notes] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    row = height / (high - low + 1)
    for note in score.notes:
        left, top = note.start / end * width, (high - note.pitch) * row
        box = (left, top, left + max(1.0, note.duration / end * width - 2), top + max(1.0, row - 1))
        pen.rectangle(box, fill=INKS[note.part % len(INKS)])
    return page


def roll_sheet(scores: Sequence[Score]) -> Image.Image:
    """One below the other."""
    page = Image.new("RGB", (SIZE[0], max(1, len(scores)) * SIZE[1]), PAPER)
    for i, score in enumerate(scores):
        page.paste(piano_roll(score), (0, i * SIZE[1]))
    return page
