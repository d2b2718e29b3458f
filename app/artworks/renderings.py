"""What a score can be made into when somebody asks: notation, files of other programs, sound. None of it is kept."""

from __future__ import annotations

from app.artworks import service
from app.artworks.tables import Artwork
from app.errors import Invalid
from app.media import musicxml, scores
from app.media.engraving import engraved
from app.media.sound import LONGEST, opus, wav
from models.contract.values import Score

MOST_ENGRAVED, MOST_BARS = 20_000, 2000  # notes and bars: their page takes a second or two
FORMATS = {"svg": "image/svg+xml", "musicxml": scores.MUSICXML, "wav": "audio/wav", "opus": "audio/ogg"}
HEARD = {"wav": wav, "opus": opus}


def score_of(work: Artwork) -> Score:
    """Raises Conflict for a work that is no music, NotFound where its file is gone."""
    return scores.score_in(service.content(work), work.media_type)


def rendered(work: Artwork, form: str) -> bytes:
    """In one of FORMATS. Raises what `score_of` does, Invalid for a piece that is too long, Unavailable."""
    score = score_of(work)
    if form in HEARD:
        if work.facts.get("seconds", 0) > LONGEST:
            raise Invalid("Pieces of more than {minutes} minutes are not played here", minutes=int(LONGEST // 60))
        return HEARD[form](scores.encode(score).content)
    if len(score.notes) > MOST_ENGRAVED:
        raise Invalid("Pieces of more than {most} notes are not engraved here", most=MOST_ENGRAVED)
    if (max(note.start + note.duration for note in score.notes) / score.bar) > MOST_BARS:
        raise Invalid("Pieces of more than {most} bars are not engraved here", most=MOST_BARS)
    return engraved(score) if form == "svg" else musicxml.write(score)
