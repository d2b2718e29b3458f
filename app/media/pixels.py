"""Pixels in and out: safe decoding of strangers' pictures, and PNG."""

from __future__ import annotations

import contextlib
import io
import warnings

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from app.errors import Invalid, UnsupportedMedia

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_SIDE, MAX_PIXELS = 8192, 40_000_000
MAX_STORED_SIDE = 2048  # an input larger than this is made smaller: no model reads more


def read_upload(content: bytes, max_side: int = MAX_STORED_SIDE) -> tuple[bytes, int, int]:
    """(PNG, width, height) of a foreign picture: first frame, upright, RGB(A) 8 bit, without any metadata.

    One with a side longer than `max_side` is made smaller.

    Raises UnsupportedMedia when it is no picture of a known format, Invalid when it is broken or too large.
    """
    if not content:
        raise Invalid("The file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = picture.size
            if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                raise Invalid(
                    "{width} x {height} pixels are too many; at most {most} a side",
                    width=width,
                    height=height,
                    most=MAX_SIDE,
                )
            if picture.format == "JPEG":
                picture.draft("RGB", (max_side, max_side))
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError as error:
        raise UnsupportedMedia("The file is not a PNG, JPEG, WebP, GIF or BMP picture") from error
    except Image.DecompressionBombError as error:
        raise Invalid("The picture has too many pixels; it may have {most} a side", most=MAX_SIDE) from error
    except Invalid:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise Invalid("The picture is broken or cut off") from error
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    picture = picture.convert("RGBA" if has_alpha else "RGB")
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    clean = Image.new(picture.mode, picture.size)
    clean.paste(picture)
    return encode_png(clean), clean.width, clean.height


def is_animated(content: bytes) -> bool:
    """Whether a picture that `read_upload` takes has more frames than the one that it keeps."""
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        # A JPEG of several pictures is one photograph with its thumbnail or depth.
        return picture.format in ("GIF", "PNG", "WEBP") and bool(getattr(picture, "is_animated", False))
    return False


def on_white(content: bytes) -> Image.Image:
    """A picture of ours in RGB, transparency on white."""
    return flattened(Image.open(io.BytesIO(content)))


def flattened(picture: Image.Image) -> Image.Image:
    opaque = picture.convert("RGBA")
    flat = Image.new("RGB", opaque.size, "white")
    flat.paste(opaque, mask=opaque.getchannel("A"))
    return flat


def encode_png(picture: Image.Image, info: PngImagePlugin.PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
