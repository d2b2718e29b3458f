"""Small WebP of pictures, kept in a cache that may be deleted."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from app.errors import NotFound
from app.settings import get_settings
from app.storage.places import open_at, write_at

PIXEL_ART = 32  # a picture no larger than this is looked at by its pixels
PREVIEW_SIZES = (64, 128, 256, 512, 1024)
SEAL = 32  # bytes in front of a preview in the cache


def cached_preview(digest: str, size: int, content: Callable[[], bytes]) -> bytes:
    """WebP of the picture with this SHA-256, in one of PREVIEW_SIZES; made once, kept in a cache that may be deleted.

    A kept one follows its hash in its file: a damaged one is made anew.

    Raises NotFound when the file is broken, and what `content()` raises.
    """
    size = next((s for s in PREVIEW_SIZES if s >= size), PREVIEW_SIZES[-1])
    path = preview_path(digest, size)
    root, names = path.parent.parent, (path.parent.name, path.name)
    with contextlib.suppress(OSError), open_at(root, *names) as file:
        seal, kept = file.read(SEAL), file.read()
        if seal == seal_of(path, kept):
            return kept
    original = content()
    try:
        made = preview(original, size)
    except (OSError, SyntaxError, ValueError) as error:
        raise NotFound("The file of this picture is broken") from error
    with contextlib.suppress(OSError):  # a full disk must not hide the picture
        root.mkdir(parents=True, exist_ok=True)
        write_at(root, *names, content=seal_of(path, made) + made)
    return made


def seal_of(path: Path, kept: bytes) -> bytes:
    """Of a preview and of which one it is."""
    return hashlib.sha256(path.name.encode() + kept).digest()


def forget_previews(digest: str) -> None:
    """Delete what the cache has of the picture with this SHA-256."""
    for size in PREVIEW_SIZES:
        preview_path(digest, size).unlink(missing_ok=True)


def preview_path(digest: str, size: int) -> Path:
    return get_settings().data / "cache" / "previews" / digest[:2] / f"{digest}-{size}.webp"


def preview(content: bytes, size: int) -> bytes:
    """A WebP with its longer side `size`; works are enlarged smoothly, but tiny ones pixel by pixel."""
    picture: Image.Image = Image.open(io.BytesIO(content))
    picture = picture.convert("RGBA" if picture.mode in ("RGBA", "LA", "P") else "RGB")
    scale = size / max(picture.size)
    method = Image.Resampling.NEAREST if max(picture.size) <= PIXEL_ART else Image.Resampling.LANCZOS
    if scale != 1:
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), method)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88, method=2)
    return buffer.getvalue()
