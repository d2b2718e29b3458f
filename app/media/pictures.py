"""Pictures: decoded, made upright and kept as PNG without any metadata."""

from __future__ import annotations

import io

from PIL import Image

from app.media.looks import fingerprint
from app.media.medium import Kept, Kind
from app.media.pixels import is_animated, read_upload
from app.settings import get_settings

KEPT_SIDE = 1024  # training pictures are kept no larger than this
FIRST_FRAME = "It moves, and only its first frame was kept; a dataset of films keeps all of it"


def read(content: bytes, name: str) -> Kept:
    png, width, height = read_upload(content, KEPT_SIDE)
    looks, colour = fingerprint(Image.open(io.BytesIO(png)))
    remark = FIRST_FRAME if is_animated(content) else ""
    return Kept(png, "image/png", looks, width, height, colour, remark=remark)


KIND = Kind(
    "pictures",
    read,
    most_bytes=lambda: get_settings().max_upload_mib << 20,
    extent="",
    unit="px",
    picture=lambda content, media_type: content,
)
