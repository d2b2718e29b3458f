"""The captioned emoji collection: one concept drawn in six open styles, or nine, captioned in English and Chinese.

Builds itself from public npm packages. Concepts are split so that held-out ones are never trained on; variants of one
concept (gender, skin, direction) share a group, and a group never straddles the split.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from app.datasets.collections.emojibase import EMOJIBASE, Concept, normal, read_concepts
from app.datasets.collections.parts import fraction, source
from app.datasets.packages import NpmPackage, fetch_npm
from app.datasets.prepared import Item, write_prepared

GOOGLE = "Noto Emoji, Copyright Google LLC"
MICROSOFT = "Fluent Emoji, Copyright Microsoft Corporation"
NOTO = NpmPackage(
    "@iconify-json/noto",
    "1.2.9",
    "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    "Apache-2.0",
    GOOGLE,
)
NOTO_V1 = NpmPackage(
    "@iconify-json/noto-v1",
    "1.2.5",
    "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    "Apache-2.0",
    GOOGLE,
)
FLAT = NpmPackage(
    "@iconify-json/fluent-emoji-flat",
    "1.2.6",
    "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    "MIT",
    MICROSOFT,
)
FLUENT = NpmPackage(
    "@iconify-json/fluent-emoji",
    "1.2.7",
    "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    "MIT",
    MICROSOFT,
)
TWEMOJI = NpmPackage(
    "@iconify-json/twemoji",
    "1.2.5",
    "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    "CC-BY-4.0",
    "Twemoji, Copyright Twitter, Inc. and other contributors",
)
FLUENT_3D = NpmPackage(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    "MIT",
    MICROSOFT,
)
PACKAGES = [NOTO, NOTO_V1, FLAT, FLUENT, TWEMOJI, FLUENT_3D, EMOJIBASE]
OPENMOJI = NpmPackage(
    "@iconify-json/openmoji",
    "1.2.29",
    "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
    "CC-BY-SA-4.0",
    "OpenMoji, HfG Schwäbisch Gmünd",
)
EMOJITWO = NpmPackage(
    "@iconify-json/emojione",
    "1.2.3",
    "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    "CC-BY-4.0",
    "Emojitwo, Copyright its contributors",
)
EMOJIONE = NpmPackage(
    "@iconify-json/emojione-v1",
    "1.2.3",
    "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3",
    "CC-BY-SA-4.0",
    "EmojiOne, Copyright Ranks.com Inc.",
)
MORE_PACKAGES = [OPENMOJI, EMOJITWO, EMOJIONE]  # two are share-alike, so these are not in the usual collection

SIZE = 64  # pixels; drawings are rendered smaller and padded, so that a shift by two pixels loses nothing
MARGIN = 2
CAPTIONS = 12  # a picture, half English and half Chinese
HELD_OUT_CONCEPTS, HELD_OUT_PAIRS = 0.05, 0.03
RECOLOURED = 0.3  # share of colourful drawings that appear once more in another colour, which their captions name
SALT = "danqing-emoji-1"

# In Chinese prompts the style is written as here; in English as its key.
STYLES = {"noto": "noto", "classic": "经典", "flat": "扁平", "fluent": "fluent", "twemoji": "twemoji", "3d": "立体"}
MORE_STYLES = {"outlined": "描边", "emojitwo": "emojitwo", "emojione": "emojione"}
NAMES_ZH = STYLES | MORE_STYLES

COLOURS = {
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "black": "黑色",
    "grey": "灰色",
}
HUES = {"red": 0, "orange": 28, "yellow": 50, "green": 120, "blue": 215, "purple": 272, "pink": 325}  # degrees


def split_of(concept: Concept, style: str) -> str:
    """`concept`: held out in every style; `pair`: held out in this style alone; else `train`."""
    if fraction(SALT, concept.group) < HELD_OUT_CONCEPTS:
        return "concept"
    return "pair" if fraction(SALT, concept.group, style) < HELD_OUT_PAIRS else "train"


# --- drawings -------------------------------------------------------------------------------------------------------

Draw = Callable[[], Image.Image]


def iconify_drawings(folder: Path, names_folder: Path) -> dict[str, Draw]:
    """Hexcode -> drawing, of one Iconify set; `names_folder` is the set whose table of code points is used."""
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    names = json.loads((names_folder / "chars.json").read_text("utf-8"))
    drawings: dict[str, Draw] = {}
    for code, name in names.items():
        alias = icons.get("aliases", {}).get(name, {})
        icon = icons["icons"].get(alias.get("parent", name))
        if icon is None:
            continue
        box = [icon.get(k, icons.get(k, d)) for k, d in (("left", 0), ("top", 0), ("width", 16), ("height", 16))]
        drawings[normal(code)] = partial(draw_svg, icon["body"], box, bool(alias.get("hFlip")))
    return drawings


def draw_svg(body: str, box: list[int], flip: bool) -> Image.Image:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{" ".join(map(str, box))}">{body}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE - 2 * MARGIN, skip_system_fonts=True)
    picture = Image.open(io.BytesIO(bytes(png)))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else picture


def draw_file(path: Path) -> Image.Image:
    return Image.open(path)


def on_white(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """(SIZE, SIZE, 3) with the drawing centred on white."""
    picture = picture.convert("RGBA")
    inner = SIZE - 2 * MARGIN
    if max(picture.size) != inner:
        scale = inner / max(picture.size)
        picture = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS
        )
    page = Image.new("RGBA", (SIZE, SIZE), "white")
    page.alpha_composite(picture, ((SIZE - picture.width) // 2, (SIZE - picture.height) // 2))
    return np.asarray(page.convert("RGB"), dtype=np.uint8)


# --- captions -------------------------------------------------------------------------------------------------------


def main_colour(pixels: npt.NDArray[np.uint8]) -> str | None:
    """The named colour that covers most of what is not white, if it covers at least two fifths of it."""
    hue, saturation, value = (
        np.moveaxis(np.asarray(Image.fromarray(pixels).convert("HSV"), dtype=np.float32), -1, 0) / 255.0
    )
    drawn = ~((saturation < 0.06) & (value > 0.94))
    if drawn.sum() < 40:
        return None
    h, s, v = hue[drawn] * 360, saturation[drawn], value[drawn]
    names = np.full(h.shape, "", dtype="<U6")
    bounds = [
        ("red", 14),
        ("orange", 40),
        ("yellow", 66),
        ("green", 165),
        ("blue", 255),
        ("purple", 290),
        ("pink", 342),
        ("red", 361),
    ]
    low = 0.0
    for name, high in bounds:
        names[(h >= low) & (h < high)] = name
        low = high
    names[((names == "red") | (names == "purple")) & (v > 0.85) & (s < 0.55)] = "pink"
    names[((names == "red") | (names == "orange")) & (v < 0.65)] = "brown"
    names[s < 0.15] = "grey"
    names[v < 0.22] = "black"
    name, count = Counter(names.tolist()).most_common(1)[0]
    return name if name and count >= 0.4 * drawn.sum() else None


def recolour(pixels: npt.NDArray[np.uint8], old: str, new: str) -> npt.NDArray[np.uint8]:
    """Turn the hue circle so that the colour `old` becomes `new`."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV")).copy()
    turn = round((HUES[new] - HUES[old]) / 360 * 256)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 256
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def english(rng: random.Random, concept: Concept, colour: str | None, share: float) -> str:
    label = re.sub(r"[:“”]", "", concept.label).replace("’", "'")
    if colour and rng.random() < share:
        label = f"{colour} {label}"
    tag = rng.choice(concept.tags) if concept.tags else label
    return rng.choice(
        [
            label,
            label,
            article(label),
            article(label),
            f"a drawing of {article(label)}",
            f"{label}, {tag}",
            f"{tag} {label}",
            f"{article(label)} emoji",
        ]
    )


def chinese(rng: random.Random, concept: Concept, colour: str | None, share: float) -> str:
    label = re.sub(r"[:“”]", "", concept.label_zh)
    tag = rng.choice(concept.tags_zh) if concept.tags_zh else label
    if colour and rng.random() < share:
        label = f"{COLOURS[colour]}的{label}"
    measure = "一只" if concept.topic == 3 else "一个"
    return rng.choice(
        [
            label,
            label,
            label,
            measure + label,
            f"画{measure}{label}",
            f"{label}，{tag}",
            f"{tag} {label}",
            f"{label}图案",
        ]
    )


def captions(concept: Concept, style: str, colour: str | None, share: float) -> list[str]:
    """CAPTIONS texts, the same in every build: half English, half Chinese, three in four name the style.

    `share` of them name the colour.
    """
    rng = random.Random(f"{SALT}|{concept.hexcode}|{style}|{share}")
    texts = []
    for i in range(CAPTIONS):
        styled = rng.random() < 0.75
        if i % 2:
            texts.append(chinese(rng, concept, colour, share) + (f"，{NAMES_ZH[style]}风格" if styled else ""))
        else:
            suffix = rng.choice([f", {style} style", f", {style} style", f" in {style} style"])
            texts.append(english(rng, concept, colour, share) + (suffix if styled else ""))
    return texts


# --- the collection -------------------------------------------------------------------------------------------------


def items(
    packages: list[NpmPackage], cache: Path, look: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Every drawing of every concept, in an order that never changes."""
    folders = {package.name: fetch_npm(package, cache, look) for package in packages}
    sets: dict[str, dict[str, Draw]] = {
        "noto": iconify_drawings(folders[NOTO.name], folders[NOTO.name]),
        "classic": iconify_drawings(folders[NOTO_V1.name], folders[NOTO.name]),
        "flat": iconify_drawings(folders[FLAT.name], folders[FLAT.name]),
        "fluent": iconify_drawings(folders[FLUENT.name], folders[FLAT.name]),
        "twemoji": iconify_drawings(folders[TWEMOJI.name], folders[TWEMOJI.name]),
        "3d": {
            normal(path.stem): partial(draw_file, path)
            for path in sorted((folders[FLUENT_3D.name] / "assets").glob("*.webp"))
        },
    }
    for style, package, named in zip(MORE_STYLES, MORE_PACKAGES, (OPENMOJI, TWEMOJI, TWEMOJI), strict=True):
        if package in packages:
            sets[style] = iconify_drawings(folders[package.name], folders[named.name])
    for concept in read_concepts(folders[EMOJIBASE.name]):
        for style, drawings in sets.items():
            draw = drawings.get(normal(concept.hexcode))
            if draw is None:
                continue
            look()
            pixels = on_white(draw())
            colour = main_colour(pixels)
            item = Item(
                id=f"{concept.hexcode}/{style}",
                concept=concept.hexcode,
                group=concept.group,
                style=style,
                split=split_of(concept, style),
                label=concept.label,
                label_zh=concept.label_zh,
                mirrorable=may_be_mirrored(concept),
                captions=captions(concept, style, colour, 0.35),
            )
            yield item, pixels
            if colour in HUES and fraction(SALT, "recolour", item.id) < RECOLOURED:
                others = [name for name in HUES if name != colour]
                new = others[int(fraction(SALT, "colour", item.id) * len(others))]
                yield (
                    replace(item, id=f"{item.id}/{new}", recoloured=True, captions=captions(concept, style, new, 1.0)),
                    recolour(pixels, colour, new),
                )


def may_be_mirrored(concept: Concept) -> bool:
    """Faces, people, animals and food without a named direction; symbols, clocks and letters would turn wrong."""
    return concept.topic in (0, 1, 3, 4) and not re.search(r"\b(left|right)\b", concept.label)


def build(name: str, folder: Path, cache: Path, look: Callable[[], None]) -> dict[str, Any]:
    """Build `emoji` (about 11,000 pictures of 64 px) or `emoji-nine` in `folder`; returns its card."""
    nine = name == "emoji-nine"
    packages = PACKAGES + MORE_PACKAGES if nine else PACKAGES
    return write_prepared(
        folder,
        items(packages, cache, look),
        {
            "name": name,
            "title": f"Emoji in {'nine' if nine else 'six'} open styles",
            "sources": [source(package) for package in packages],
            "left_out": "skin tones, country flags, components",
            "styles": list(NAMES_ZH if nine else STYLES),
        },
    )
