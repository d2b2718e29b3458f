"""Uploads that are broken, huge, disguised or odd; PNG files that say where they come from."""

import io
import json
import struct
import time
import zlib

import pytest
from PIL import Image, ImageCms

from app.errors import Invalid, UnsupportedMedia
from app.media import pixels, previews, provenance


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", Invalid),
        (encoded(Image.new("RGB", (64, 64), "red"))[:70], Invalid),
        (b"<html><script>alert(1)</script></html>", UnsupportedMedia),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', UnsupportedMedia),
        (png_of_size(50_000, 50_000), Invalid),
        (png_of_size(8_000, 8_000), Invalid),
        (b"\x80\x04\x95pickle", UnsupportedMedia),
    ],
    ids=["empty", "truncated", "html", "svg", "50000px", "many-pixels", "pickle"],
)
def test_bad_pictures_are_refused_at_once(content: bytes, error: type[Exception]) -> None:
    began = time.monotonic()
    with pytest.raises(error):
        pixels.read_upload(content)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("side", [9_000, 50_000])
def test_a_picture_that_is_too_large_is_not_called_broken(side: int) -> None:
    with pytest.raises(Invalid, match="many"):
        pixels.read_upload(png_of_size(side, side))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_becomes_eight_bit_rgb_or_rgba(mode: str) -> None:
    form = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    png, width, height = pixels.read_upload(encoded(Image.new(mode, (20, 10)), form))
    assert (width, height) == (20, 10)
    assert Image.open(io.BytesIO(png)).mode in ("RGB", "RGBA")


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    png, _, _ = pixels.read_upload(encoded(Image.new("I;16", (2, 2), 0x8000)))
    assert abs(Image.open(io.BytesIO(png)).convert("L").getpixel((0, 0)) - 128) <= 1  # type: ignore[operator]


def test_rotation_is_applied_and_metadata_stripped() -> None:
    picture, exif = Image.new("RGB", (20, 10)), Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    png, width, height = pixels.read_upload(encoded(picture, "JPEG", exif=exif, icc_profile=profile, comment=b"secret"))
    assert (width, height) == (10, 20)
    assert not Image.open(io.BytesIO(png)).info and b"secret" not in png


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    png, _, _ = pixels.read_upload(gif)
    assert Image.open(io.BytesIO(png)).convert("RGB").getpixel((0, 0)) == (254, 0, 0) or Image.open(
        io.BytesIO(png)
    ).convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_what_follows_the_picture_in_a_polyglot_is_gone() -> None:
    png, _, _ = pixels.read_upload(encoded(Image.new("RGB", (8, 8))) + b"PK\x03\x04<script>")
    assert b"<script>" not in png


def test_a_png_says_what_made_it_in_three_ways() -> None:
    made = {
        "model": "m",
        "checkpoint_sha256": "ab" * 32,
        "params": {"prompt": "红狐狸", "guidance_scale": 3.0},
        "seed": 7,
        "width": 8,
        "height": 8,
        "version": "1",
    }
    png = provenance.with_provenance(pixels.encode_png(Image.new("RGB", (8, 8))), made)
    info = Image.open(io.BytesIO(png)).info
    assert info["parameters"].startswith("红狐狸\nSeed: 7, CFG scale: 3.0, Size: 8x8, Model: m")
    assert json.loads(info["danqing"]) == made
    assert b"trainedAlgorithmicMedia" in png


def test_small_works_are_enlarged_for_the_screen() -> None:
    picture = Image.open(io.BytesIO(previews.preview(encoded(Image.new("RGB", (64, 32), "red")), 256)))
    assert picture.size == (256, 128) and picture.format == "WEBP"
