"""The captioned emoji collection: one concept drawn in six open styles, or nine, captioned in English and Chinese.

Builds itself from public npm packages. Concepts are split so that held-out ones are never trained on; variants of one
concept (gender, skin, direction) share a group, and a group never straddles the split.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.datasets.collections.colour_names import COLOURS
from app.datasets.collections.colours import HUES, main_colour, recolour
from app.datasets.collections.emojibase import EMOJIBASE, Concept, normal, read_concepts, tidy
from app.datasets.collections.iconify import Draw, draw_file, iconify_drawings, on_white
from app.datasets.collections.parts import fraction, source
from app.datasets.prepared import Item, write_prepared
from app.packages.npm import NpmPackage, fetch_npm

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

CAPTIONS = 12  # a picture, half English and half Chinese
HELD_OUT_CONCEPTS, HELD_OUT_PAIRS = 0.05, 0.03
COLOURED = 0.35  # share of captions that names the colour, where a drawing has one
RECOLOURED = 0.3  # share of colourful drawings that appear once more in another colour, which their captions name
SALT = "danqing-emoji-1"

# In Chinese prompts the style is written as here; in English as its key.
STYLES = {"noto": "noto", "classic": "经典", "flat": "扁平", "fluent": "fluent", "twemoji": "twemoji", "3d": "立体"}
MORE_STYLES = {"outlined": "描边", "emojitwo": "emojitwo", "emojione": "emojione"}
NAMES_ZH = STYLES | MORE_STYLES


def split_of(concept: Concept, style: str) -> str:
    """`concept`: held out in every style; `pair`: held out in this style alone; else `train`."""
    if is_held_out(concept.group):
        return "concept"
    return "pair" if is_held_out_pair(concept.group, style) else "train"


def is_held_out(group: str) -> bool:
    return fraction(SALT, group) < HELD_OUT_CONCEPTS


def is_held_out_pair(group: str, style: str) -> bool:
    return fraction(SALT, group, style) < HELD_OUT_PAIRS


def another_colour(id_: str, colour: str | None) -> str | None:
    """In which a drawing of this colour appears once more, if it does."""
    if colour not in HUES or fraction(SALT, "recolour", id_) >= RECOLOURED:
        return None
    others = [name for name in HUES if name != colour]
    return others[int(fraction(SALT, "colour", id_) * len(others))]


# --- captions -------------------------------------------------------------------------------------------------------


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def english(rng: random.Random, concept: Concept, colour: str | None, share: float) -> str:
    label = tidy(concept.label)
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


def drawings(folders: dict[str, Path], packages: list[NpmPackage]) -> dict[str, dict[str, Draw]]:
    """Style -> hexcode -> drawing; `folders` are those of the packages, by name."""
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
    return sets


def items(
    packages: list[NpmPackage], cache: Path, check_cancelled: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Every drawing of every concept, in an order that never changes."""
    folders = {package.name: fetch_npm(package, cache, check_cancelled) for package in packages}
    sets = drawings(folders, packages)
    for concept in read_concepts(folders[EMOJIBASE.name]):
        for style, drawn in sets.items():
            draw = drawn.get(normal(concept.hexcode))
            if draw is None:
                continue
            check_cancelled()
            pixels = on_white(draw)
            colour = main_colour(pixels)
            item = Item(
                id=f"{concept.hexcode}/{style}",
                concept=concept.hexcode,
                group=concept.group,
                style=style,
                split=split_of(concept, style),
                label=concept.label,
                label_zh=concept.label_zh,
                mirrorable=may_be_mirrored(concept.topic, concept.label),
                captions=captions(concept, style, colour, COLOURED),
            )
            yield item, pixels
            if colour and (new := another_colour(item.id, colour)):
                yield (
                    replace(item, id=f"{item.id}/{new}", recoloured=True, captions=captions(concept, style, new, 1.0)),
                    recolour(pixels, colour, new),
                )


def may_be_mirrored(topic: int | None, label: str) -> bool:
    """Faces, people, animals and food without a named direction; symbols, clocks and letters would turn wrong."""
    return topic in (0, 1, 3, 4) and not re.search(r"\b(left|right)\b", label)


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build `emoji` (about 11,000 pictures of 64 px) or `emoji-nine` in `folder`; returns its card."""
    nine = name == "emoji-nine"
    packages = PACKAGES + MORE_PACKAGES if nine else PACKAGES
    return write_prepared(
        folder,
        items(packages, cache, check_cancelled),
        {
            "name": name,
            "title": f"Emoji in {'nine' if nine else 'six'} open styles",
            "sources": [source(package) for package in packages],
            "left_out": "skin tones, country flags, components",
            "styles": list(NAMES_ZH if nine else STYLES),
        },
    )
