"""Silent films: animated WebP, GIF and PNG, played through once to see that they can be, kept without metadata."""

from __future__ import annotations

import warnings

from PIL import Image

from app.errors import Invalid
from app.media.colour import profile_of, to_srgb
from app.media.looks import fingerprint
from app.media.medium import Kept, Medium, Words, Work
from app.media.moving import bare
from app.media.pixels import encode_png, opened
from app.settings import get_settings
from models.contract.message import Message
from models.contract.values import FILMS

MAX_SIDE, MAX_FRAMES = 1024, 2000
TOO_LARGE = Message("A film may have at most 1024 pixels a side")
MAX_PIXELS = 200_000_000  # of all frames together: some seconds to decode
SHORTEST, INSTEAD = 20, 100  # milliseconds: browsers show a frame that asks for less by so many


def read(content: bytes, name: str) -> Kept:
    if not content:
        raise Invalid("The file is empty")
    content, media_type = bare(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            film, _ = opened(content)
            frames = numbers(film)
            looks, seconds = list[tuple[str, str]](), 0.0
            for number in frames:
                film.seek(number)
                film.load()
                seconds += shown(film) / 1000
                if number in (frames[0], frames[len(frames) // 2]):
                    looks.append(fingerprint(film))
    except Image.DecompressionBombError as error:
        raise Invalid(TOO_LARGE) from error
    except Invalid:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise Invalid("The film is broken or cut off") from error
    (first, colour), (middle, _) = looks
    facts = {"frames": len(frames), "seconds": round(seconds, 2)}
    return Kept(content, media_type, first + middle, *film.size, colour, facts)


def numbers(film: Image.Image) -> range:
    """Of the frames that are played; nothing is decoded for it. Raises Invalid where these are too few or too much."""
    frames = range(int(getattr(film, "default_image", False)), int(getattr(film, "n_frames", 1)))
    if max(film.size) > MAX_SIDE:
        raise Invalid(TOO_LARGE)
    if len(frames) > MAX_FRAMES or len(frames) * film.width * film.height > MAX_PIXELS:
        raise Invalid("The film is too long")
    if len(frames) < 2:
        raise Invalid("It does not move: it has one frame")
    return frames


def shown(film: Image.Image) -> float:
    """Milliseconds of the present frame."""
    wanted = float(film.info.get("duration") or 0)
    return wanted if wanted >= SHORTEST else INSTEAD


def poster(content: bytes, media_type: str) -> bytes:
    """Its first frame as a PNG, in sRGB."""
    film, colours = opened(content)
    frame = film.convert("RGBA")
    icc = profile_of(film, content, colours)
    return encode_png(to_srgb(frame, icc) if icc else frame)


def described(film: Work) -> Message:
    facts = {"frames": film.facts["frames"], "seconds": film.facts["seconds"]}
    return Message("{width} × {height}, {frames} frames, {seconds:g} s", width=film.width, height=film.height, **facts)


MEDIUM = Medium(
    FILMS,
    {"image/webp": ".webp", "image/gif": ".gif", "image/apng": ".png"},
    read,
    most_bytes=lambda: get_settings().max_upload_mib << 20,
    words=Words(
        Message("Films"),
        Message("This has to be a film"),
        Message("Drop animated WebP, GIF or PNG, a folder or a zip here"),
        Message("Length"),
        described,
    ),
    extent="frames",
    unit=Message("frames"),
    totals={"seconds": Message("Total time")},
    poster=poster,
)
