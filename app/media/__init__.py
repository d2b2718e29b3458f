"""What a dataset may be of: pictures, films, music or texts. Each kind reads foreign files in a module of its own."""

from __future__ import annotations

from app.media import films, pictures, scores, texts
from app.media.medium import Kept, Kind

__all__ = ["KINDS", "Kept", "Kind"]

KINDS = {kind.name: kind for kind in (pictures.KIND, films.KIND, scores.KIND, texts.KIND)}
