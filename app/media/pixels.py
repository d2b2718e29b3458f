"""Pixels in and out: safe decoding of strangers' pictures, and PNG."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from app.errors import Invalid, UnsupportedMedia
from app.media.colour import profile_of, to_srgb
from app.media.jpeg import scans
from app.media.png import SIGNATURE, Colours, stripped

JPEG = JpegImagePlugin.JpegImageFile  # and pictures with a gain map or depth beside them
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # brands of what iPhones write
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
MAX_SIDE, MAX_PIXELS = 8192, 40_000_000
# A JPEG is decoded at a fraction of its size, row by row; one of several scans has all of its numbers in memory before.
MAX_JPEG_SIDE, MAX_JPEG_PIXELS, MAX_JPEG_BYTES = 20_000, 220_000_000, 400 << 20
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS  # of any file that is opened: `check_size` says what each format may have
MAX_STORED_SIDE = 2048  # an input larger than this is made smaller: no model reads more


def read_upload(content: bytes, max_side: int = MAX_STORED_SIDE) -> tuple[bytes, int, int]:
    """(PNG, width, height) of a foreign picture: first frame, upright, sRGB(A) 8 bit, without any metadata.

    One with a side longer than `max_side` is made smaller.

    Raises UnsupportedMedia when it is no picture of a known format, Invalid when it is broken or too large.
    """
    if not content:
        raise Invalid("The file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture, colours = opened(content)
            check_size(picture, content)
            if isinstance(picture, JPEG):
                picture.draft(picture.mode, (max_side, max_side))
            picture.load()
            icc = profile_of(picture, content, colours)
            picture = upright(picture)
    except UnidentifiedImageError as error:
        raise UnsupportedMedia("The file is not a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture") from error
    except Image.DecompressionBombError as error:
        raise Invalid("The picture has too many pixels; at most {most} a side", most=MAX_SIDE) from error
    except Invalid:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise Invalid("The picture is broken or cut off") from error
    picture = eight_bit(picture)
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    picture = to_srgb(picture, icc) if icc else picture
    picture = picture.convert("RGBA" if picture.mode in ("RGBA", "LA") else "RGB")
    clean = Image.new(picture.mode, picture.size)
    clean.paste(picture)
    return encode_png(clean), clean.width, clean.height


def opened(content: bytes) -> tuple[Image.Image, Colours | None]:
    """(the picture, not decoded yet; what a PNG says of its colours). Side information of a PNG is left out."""
    colours = None
    if content.startswith(SIGNATURE):
        content, colours = stripped(content)
    formats: tuple[str, ...] = FORMATS
    if content[4:8] == b"ftyp" and content[8:12] in HEIF:
        import pillow_heif  # its library is loaded where there is such a picture only

        pillow_heif.register_heif_opener(thumbnails=False)
        formats = ("HEIF", "AVIF")
    return Image.open(io.BytesIO(content), formats=formats), colours


def check_size(picture: Image.Image, content: bytes) -> None:
    """Raises Invalid where a picture is larger than what its format may have."""
    (width, height), is_jpeg = picture.size, isinstance(picture, JPEG)
    side, pixels = (MAX_JPEG_SIDE, MAX_JPEG_PIXELS) if is_jpeg else (MAX_SIDE, MAX_PIXELS)
    if max(width, height) > side:
        raise Invalid(
            "{width} x {height} pixels are too many; at most {most} a side", width=width, height=height, most=side
        )
    if width * height > pixels:
        raise Invalid(
            "{width} x {height} pixels are too many: {megapixels} million, at most {most} million",
            width=width,
            height=height,
            megapixels=round(width * height / 1e6),
            most=pixels // 1_000_000,
        )
    if isinstance(picture, JPEG) and width * height > MAX_PIXELS and scans(content) > 1:
        widest, highest = max(part[1] for part in picture.layer), max(part[2] for part in picture.layer)
        shares = sum(part[1] * part[2] for part in picture.layer) / (widest * highest)
        if 2 * shares * width * height > MAX_JPEG_BYTES:
            raise Invalid(
                "A JPEG of several scans needs more than {mebibytes} MiB at {width} x {height} pixels; "
                "save it as a baseline JPEG",
                mebibytes=MAX_JPEG_BYTES >> 20,
                width=width,
                height=height,
            )


def upright(picture: Image.Image) -> Image.Image:
    """Turned as its Exif says, if that can be read."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # of a stranger's Exif anything may be broken
        return picture


def eight_bit(picture: Image.Image) -> Image.Image:
    """In mode L, LA, RGB, RGBA or CMYK."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    if picture.mode == "F":  # of scans and renderers: of light in [0, 1], or of whatever there is
        low, high = (float(bound) for bound in picture.getextrema())  # type: ignore[arg-type]
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        scale = 255 / max(high - low, 1e-9)
        picture = picture.point(lambda value: value * scale - low * scale).convert("L")
    has_alpha = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    if has_alpha:
        return picture.convert("LA" if picture.mode in ("L", "LA", "La", "1") else "RGBA")
    return picture if picture.mode in ("L", "RGB", "CMYK") else picture.convert("L" if picture.mode == "1" else "RGB")


@dataclass(frozen=True)
class Foreign:
    """What a file holds of which `read_upload` keeps less: whether it `moves`, `pages` of a TIFF, its longer `side`."""

    moves: bool = False
    pages: int = 1
    side: int = 0


def foreign(content: bytes) -> Foreign:
    """Of a picture that `read_upload` takes."""
    with contextlib.suppress(Exception):
        picture, _ = opened(content)
        # A JPEG of several pictures is one photograph with its thumbnail or depth.
        moves = picture.format in ANIMATED and bool(getattr(picture, "is_animated", False))
        pages = int(getattr(picture, "n_frames", 1)) if picture.format == "TIFF" else 1
        return Foreign(moves, pages, max(picture.size))
    return Foreign()


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
