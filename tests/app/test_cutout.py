"""Plain backgrounds are left out, and nothing else is."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from app.media.cutout import background_of, cut_out, is_plain
from app.media.pixels import encode_png

Colour = tuple[int, int, int]


def drawing(ground: Colour = (255, 255, 255), size: tuple[int, int] = (90, 64)) -> Image.Image:
    """A ring with a soft edge, so that there is ground inside it too."""
    picture = Image.new("RGB", (4 * size[0], 4 * size[1]), ground)
    box = (80, 40, 280, 220)
    ImageDraw.Draw(picture).ellipse(box, fill=(180, 40, 20))
    ImageDraw.Draw(picture).ellipse((150, 100, 210, 160), fill=ground)
    return picture.resize(size, Image.Resampling.LANCZOS)


@pytest.mark.parametrize("ground", [(255, 255, 255), (20, 30, 40), (0, 200, 90)])
def test_on_its_old_ground_a_cutout_is_the_old_picture(ground: Colour) -> None:
    picture = drawing(ground)
    made = cut_out(encode_png(picture))
    assert made is not None and made.size == picture.size
    whole = Image.new("RGBA", made.size, (*ground, 255))
    whole.alpha_composite(made)
    difference = ImageChops.difference(whole.convert("RGB"), picture)
    assert max(high for _, high in difference.getextrema()) <= 14  # type: ignore[misc]


def test_on_a_new_ground_there_is_no_fringe_of_the_old_one() -> None:
    made = cut_out(encode_png(drawing()))
    assert made is not None
    dark = Image.new("RGBA", made.size, (0, 0, 0, 255))
    dark.alpha_composite(made)
    outside_of_the_hole = dark.crop((0, 0, 90, 24)).convert("RGB")
    green, blue = (outside_of_the_hole.getchannel(name).getextrema()[1] for name in "GB")
    assert int(green) <= 60 and int(blue) <= 60, "white would be 255"


def test_what_is_enclosed_stays_though_it_has_the_colour_of_the_ground() -> None:
    made = cut_out(encode_png(drawing()))
    assert made is not None
    assert made.getpixel((45, 32)) == (255, 255, 255, 255), "the hole of the ring"
    assert made.getpixel((2, 2))[3] == 0  # type: ignore[index]


def test_noise_of_a_model_is_ground_and_a_scene_is_none() -> None:
    noise = Image.effect_noise((90, 64), 6).convert("RGB")
    noisy = ImageChops.subtract(drawing(), ImageChops.subtract(noise, Image.new("RGB", noise.size, (122, 122, 122))))
    made = cut_out(encode_png(noisy))
    assert made is not None and made.getpixel((0, 63))[3] == 0  # type: ignore[index]
    scene = Image.radial_gradient("L").resize((90, 64)).convert("RGB").filter(ImageFilter.BLUR)
    scene.paste((10, 200, 30), (0, 32, 90, 64))
    assert background_of(scene) is None and cut_out(encode_png(scene)) is None and not is_plain(encode_png(scene))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_the_smallest_pictures_are_all_ground(size: tuple[int, int]) -> None:
    made = cut_out(encode_png(Image.new("RGB", size, (9, 9, 9))))
    assert made is not None and made.getchannel("A").getextrema() == (0, 0)


def test_a_picture_that_is_transparent_or_grey_is_read_too() -> None:
    for mode in ("L", "RGBA", "P"):
        buffer = io.BytesIO()
        drawing().convert(mode).save(buffer, "PNG")
        assert is_plain(buffer.getvalue())
