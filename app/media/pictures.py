"""Pictures: decoded, made upright and kept as PNG without any metadata."""

from __future__ import annotations

import io

from PIL import Image

from app.media.looks import fingerprint
from app.media.medium import Kept, Medium, Words
from app.media.pixels import MAX_STORED_SIDE, Foreign, encode_png, foreign, on_white, read_upload
from app.media.provenance import signed, with_provenance
from app.settings import get_settings
from models.contract.message import Message
from models.contract.values import PICTURES, Picture

PNG = "image/png"
KEPT_SIDE = 1024  # training pictures are kept no larger than this
FIRST_FRAME = Message("It is animated, and only its first frame was kept; a dataset of films keeps all of it")


def read(content: bytes, name: str) -> Kept:
    png, width, height = read_upload(content, KEPT_SIDE)
    looks, colour = fingerprint(Image.open(io.BytesIO(png)))
    return Kept(png, PNG, looks, width, height, colour, remark=first_of_many(foreign(content), FIRST_FRAME))


def first_of_many(found: Foreign, of_a_film: Message) -> Message | None:
    if found.pages > 1:
        return Message("It has {count} pages, and only the first was kept", count=found.pages)
    return of_a_film if found.moves else None


def take(content: bytes, name: str) -> Kept:
    png, width, height = read_upload(content, MAX_STORED_SIDE)
    remark = first_of_many(found := foreign(content), Message("It is animated, and only its first frame was kept"))
    if remark is None and found.side > max(width, height):
        remark = Message("It was made smaller: {width} × {height} pixels", width=width, height=height)
    return Kept(png, PNG, width=width, height=height, remark=remark)


def encode(picture: Picture) -> Kept:
    made = Image.fromarray(picture.pixels)
    return Kept(encode_png(made), PNG, width=made.width, height=made.height)


def decode(content: bytes, media_type: str) -> Picture:
    """Transparency on white."""
    import numpy as np  # only workers compute

    return Picture(np.asarray(on_white(content), dtype=np.uint8))


CAPTIONS_LIST = Message(
    "Captions come from .txt files beside the pictures, from metadata.jsonl, from CSV, or "
    "from file names. Items separated by commas, such as “red hair, smile”, become features "
    "that a VAE can draw more or less of."
)

MEDIUM = Medium(
    PICTURES,
    {PNG: ".png"},
    read,
    take=take,
    most_bytes=lambda: get_settings().max_upload_mib << 20,
    words=Words(
        Message("Pictures"),
        Message("This has to be a picture"),
        Message("Drop pictures, a folder or a zip here"),
        Message("Longer side"),
        lambda picture: Message("{width} × {height}", width=picture.width, height=picture.height),
        CAPTIONS_LIST,
    ),
    extent="",
    unit=Message("px"),
    poster=lambda content, media_type: content,
    is_own_poster=True,
    encode=encode,
    decode=decode,
    sign=with_provenance,
    signed=signed,
)
