"""Pictures in and out: safe decoding of uploads, previews, and PNG files that carry their own provenance."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from app.errors import Invalid, NotFound, UnsupportedMedia
from app.settings import get_settings
from app.storage.places import open_at, write_at

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_SIDE, MAX_PIXELS = 8192, 40_000_000
MAX_STORED_SIDE = 2048  # an input larger than this is made smaller: no model reads more
PIXEL_ART = 32  # a picture no larger than this is looked at by its pixels
SAYS_NOTHING = "This file does not say how it was made; it has to be a PNG as a studio has made it"
PREVIEW_SIZES = (64, 128, 256, 512, 1024)
SEAL = 32  # bytes in front of a preview in the cache

PngImagePlugin.MAX_TEXT_CHUNK = 1 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 1 << 22

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType='
    '"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


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
                raise Invalid(f"{width} x {height} pixels are too many; at most {MAX_SIDE} a side")
            if picture.format == "JPEG":
                picture.draft("RGB", (max_side, max_side))
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError as error:
        raise UnsupportedMedia("The file is not a PNG, JPEG, WebP, GIF or BMP picture") from error
    except Image.DecompressionBombError as error:
        raise Invalid(f"The picture has too many pixels; it may have {MAX_SIDE} a side") from error
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


def png_with_provenance(picture: Image.Image, provenance: dict[str, Any]) -> bytes:
    """A PNG with `parameters` as other tools read it, `danqing` with the exact request, and XMP's mark of AI works."""
    info = PngImagePlugin.PngInfo()
    parameters = parameters_text(provenance)
    try:
        parameters.encode("latin-1")
        info.add_text("parameters", parameters)
    except UnicodeEncodeError:
        info.add_itxt("parameters", parameters)
    info.add_text("danqing", json.dumps(provenance, ensure_ascii=True))
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return encode_png(picture, info)


def told(content: bytes) -> dict[str, Any]:
    """What a PNG of ours says of how it was made; its pixels are not decoded. Raises Invalid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
                said = json.loads(picture.info["danqing"])
        if isinstance(said, dict):
            return said
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise Invalid(SAYS_NOTHING) from error
    raise Invalid(SAYS_NOTHING)


def parameters_text(provenance: dict[str, Any]) -> str:
    """The prompt, then `Key: value` pairs in one line: the convention that A1111 started."""
    params = dict(provenance["params"])
    pairs = {
        "Seed": provenance["seed"],
        "CFG scale": params.get("guidance_scale"),
        "Size": f"{provenance['width']}x{provenance['height']}",
        "Model": provenance["model"],
        "Model hash": provenance["checkpoint_sha256"][:10],
        "Version": f"danqing {provenance['version']}",
    }
    line = ", ".join(f"{key}: {value}" for key, value in pairs.items() if value is not None)
    return f"{params.get('prompt', '')}\n{line}"


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
