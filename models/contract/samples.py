"""What shows what a model makes: files of one name in a run's folder, or beside published weights. Torch-free."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter

from models.contract.files import write_atomically
from models.contract.piano_roll import roll_sheet
from models.contract.values import Score

SAMPLES = "samples"  # beside weights; in a run's folder the step
STYLES = "styles"  # beside weights: a row of squares, one in each style of the card
PICTURE, TEXT, PIECES = ".png", ".txt", ".json"  # to look at, to read, to listen to
LONGEST_READ = 4 << 20  # bytes
FARTHEST = 10_000  # beats
BROKEN = (SyntaxError, ValueError, OSError, Image.DecompressionBombError)  # what Pillow raises for bad pictures
SCORES = TypeAdapter(list[Score])
Samples = Image.Image | str | list[Score]


def write_samples(path: Path, samples: Samples, mode: int = 0o640) -> None:
    """A picture or a text, or pieces with a picture of their rolls, as files called `path` with endings of their own;
    each appears whole.
    """
    if isinstance(samples, str):
        write_atomically(path.with_suffix(TEXT), samples.encode(), mode)
        return
    if isinstance(samples, list):
        write_atomically(path.with_suffix(PIECES), SCORES.dump_json(samples), mode)
    buffer = io.BytesIO()
    picture = roll_sheet(samples) if isinstance(samples, list) else samples
    picture.save(buffer, "PNG", optimize=True)
    write_atomically(path.with_suffix(PICTURE), buffer.getvalue(), mode)


def read_pieces(path: Path) -> list[Score]:
    """Raises OSError, ValueError where they cannot be played: checkpoints may come from anywhere."""
    with path.open("rb") as file:
        found = SCORES.validate_json(file.read(LONGEST_READ + 1)[:LONGEST_READ])
    for score in found:
        parts = max(1, len(score.parts))
        for note in score.notes:
            if not (0 <= note.start < FARTHEST and 0 < note.duration < FARTHEST and note.pitch in range(128)):
                raise ValueError("a note is out of range")
            if note.part not in range(parts):
                raise ValueError("a note is of no part")
        if not (1 <= score.tempo <= 1000 and min(score.metre) > 0 and 0 <= score.pickup < FARTHEST):
            raise ValueError("the tempo or metre is out of range")
        if not all(0 <= end < FARTHEST for end in score.phrase_ends):
            raise ValueError("a phrase is out of range")
    return found


def whole_samples(path: Path) -> list[Path]:
    """Those of the files called `path` that can be shown; none where there is neither a picture nor a text."""
    text, picture, pieces = (path.with_suffix(suffix) for suffix in (TEXT, PICTURE, PIECES))
    found = []
    with suppress(*BROKEN):
        if is_plain(text):
            text.read_bytes()[:LONGEST_READ].decode("utf-8")
            return [text]
        if is_plain(picture):
            with Image.open(picture, formats=["PNG"]) as sheet:
                sheet.verify()
            found.append(picture)
            if is_plain(pieces):
                read_pieces(pieces)
                found.append(pieces)
    return found


def is_plain(path: Path) -> bool:
    """A file itself: a link in the data folder may lead anywhere, and is not followed."""
    return path.is_file() and not path.is_symlink()
