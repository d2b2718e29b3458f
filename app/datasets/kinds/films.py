"""Silent films: animated WebP, GIF and PNG, played through once to see that they can be, and kept as they came."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

from app.datasets.kinds.kept import Kept, Kind
from app.datasets.looks import fingerprint
from app.errors import Invalid, UnsupportedMedia
from app.imaging import encode_png
from app.settings import get_settings

MEDIA = {"WEBP": "image/webp", "GIF": "image/gif", "PNG": "image/apng"}
MAX_SIDE, MAX_FRAMES = 1024, 2000
MAX_PIXELS = 500_000_000  # of all frames together: some seconds to decode
SHORTEST, INSTEAD = 20, 100  # milliseconds: browsers show a frame that asks for less by so many


def read(content: bytes, name: str) -> Kept:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            film = opened(content)
            frames = frames_of(film)
            looks, seconds = list[tuple[str, str]](), 0.0
            for number in range(frames):
                film.seek(number)
                film.load()
                seconds += shown(film) / 1000
                if number in (0, frames // 2):
                    looks.append(fingerprint(film))
    except UnidentifiedImageError as error:
        raise UnsupportedMedia("The file is not an animated WebP, GIF or PNG") from error
    except Invalid:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise Invalid("The film is broken or cut off") from error
    (first, colour), (middle, _) = looks
    facts = {"frames": frames, "seconds": round(seconds, 2)}
    return Kept(content, MEDIA[str(film.format)], first + middle, *film.size, colour, facts)


def opened(content: bytes) -> Image.Image:
    """Nothing but its description is read. Raises Invalid where that says no film, or one too large."""
    if not content:
        raise Invalid("The file is empty")
    film = Image.open(io.BytesIO(content), formats=tuple(MEDIA))
    frames = frames_of(film)
    if max(film.size) > MAX_SIDE:
        raise Invalid(f"{film.width} x {film.height} pixels are too many; at most {MAX_SIDE} a side")
    if frames > MAX_FRAMES or frames * film.width * film.height > MAX_PIXELS:
        raise Invalid(f"{frames} frames of {film.width} x {film.height} pixels are too many")
    if frames < 2:
        raise Invalid("It does not move: it has one frame")
    return film


def frames_of(film: Image.Image) -> int:
    return int(getattr(film, "n_frames", 1))


def shown(film: Image.Image) -> float:
    """Milliseconds of the present frame."""
    wanted = float(film.info.get("duration") or 0)
    return wanted if wanted >= SHORTEST else INSTEAD


def poster(content: bytes, media_type: str) -> bytes:
    """Its first frame as a PNG."""
    return encode_png(Image.open(io.BytesIO(content)).convert("RGBA"))


KIND = Kind(
    "films",
    read,
    most_bytes=lambda: get_settings().max_upload_mib << 20,
    extent="frames",
    unit="frames",
    totals=("seconds",),
    picture=poster,
)
