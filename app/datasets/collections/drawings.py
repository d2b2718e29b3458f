"""Emoji in nine open styles and colour icons, captioned in English and Chinese: what the default model learns from.

Builds itself from public npm packages, all under licences without share-alike and without conditions on use.
`large-drawings` are some of them at four times the size, for models that enlarge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.datasets.collections import emoji as six
from app.datasets.collections.colours import main_colour, recolour
from app.datasets.collections.concepts import (
    Concept,
    Icon,
    held_out_names,
    read_emoji,
    read_icons,
    rows,
    split,
    without_held_out,
)
from app.datasets.collections.emojibase import EMOJIBASE, group_of, normal
from app.datasets.collections.iconify import Draw, named_drawings, on_white
from app.datasets.collections.parts import fraction, source
from app.datasets.collections.wording import Style, captions
from app.datasets.prepared import Item, write_prepared
from app.packages.npm import NpmPackage, fetch_npm

STREAMLINE = "Streamline, Copyright Webalys LLC"
FXEMOJI = NpmPackage(
    "@iconify-json/fxemoji",
    "1.2.2",
    "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
    "Apache-2.0",
    "FxEmojis, Copyright Mozilla Foundation",
)
CARTOON = NpmPackage(
    "@iconify-json/streamline-emojis",
    "1.2.4",
    "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
    "CC-BY-4.0",
    STREAMLINE,
)
ICONS = {  # package -> how its icons are drawn
    NpmPackage(
        "@iconify-json/streamline-ultimate-color",
        "1.2.2",
        "46133a11f3734bcef29066391d7edc141ed1d8056242ddfa1b5d36ce286420b6",
        "CC-BY-4.0",
        STREAMLINE,
    ): Style("line icon", "线条图标", True),
    NpmPackage(
        "@iconify-json/streamline-kameleon-color",
        "1.2.2",
        "5f972d986afb340d8a45d7a16e767f99f91fdd94db53e46a78c79847212aed7b",
        "CC-BY-4.0",
        STREAMLINE,
    ): Style("badge icon", "圆形图标", True),
    NpmPackage(
        "@iconify-json/streamline-stickies-color",
        "1.2.2",
        "e96b8b2bbe1efde22272c420a75024b4b2c7e224ec1f323c93a421a07410971e",
        "CC-BY-4.0",
        STREAMLINE,
    ): Style("sticker", "贴纸", True),
    NpmPackage(
        "@iconify-json/streamline-color",
        "1.2.2",
        "06c2addb59f572b2bfe581863888fcf7dbe0927e0511e7157c54f332fe90347f",
        "CC-BY-4.0",
        STREAMLINE,
    ): Style("blue icon", "蓝色图标", True),
    NpmPackage(
        "@iconify-json/streamline-plump-color",
        "1.2.2",
        "33ed8a9ebda9ed896125f1e01873105688d68d0b0c95ca1bcead5a41309afcf6",
        "CC-BY-4.0",
        STREAMLINE,
    ): Style("blue icon", "蓝色图标", True),
    NpmPackage(
        "@iconify-json/icon-park",
        "1.2.4",
        "c1a25212a31602aca93c3fa6f6b3288e89b9d7811afc132dfd78506e9d586b6f",
        "Apache-2.0",
        "IconPark, Copyright ByteDance",
    ): Style("bold icon", "粗线图标", True),
    NpmPackage(
        "@iconify-json/flat-color-icons",
        "1.2.3",
        "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786",
        "MIT",
        "Flat Color Icons, Copyright Icons8",
    ): Style("flat icon", "扁平图标", True),
    NpmPackage(
        "@iconify-json/flat-ui",
        "1.2.3",
        "f7f83b80a26d83d93db6def7d44caaf6c211998bb8e248e511b98a33cf9cb655",
        "MIT",
        "Flat UI, Copyright Designmodo, Inc.",
    ): Style("flat icon", "扁平图标", True),
    NpmPackage(
        "@iconify-json/fluent-color",
        "1.2.21",
        "fa2ddaaac7a2a7b902659cea1b5b8c03017ce2ae56295138876b86a36177dfbe",
        "MIT",
        "Fluent UI System Icons, Copyright Microsoft Corporation",
    ): Style("gradient icon", "渐变图标", True),
}
STYLES = {name: Style(name, name_zh) for name, name_zh in six.STYLES.items()} | {
    "emojitwo": Style("emojitwo", "emojitwo"),
    "fxemoji": Style("fxemoji", "fxemoji"),
    "cartoon": Style("cartoon", "卡通"),
}
PACKAGES = [*six.PACKAGES, six.EMOJITWO, FXEMOJI, CARTOON, *ICONS]

NEAR = 2.5  # of 255: mean difference of two thumbnails that show the same
THUMBNAIL = 16
LARGE, LARGE_PART = 256, 0.2  # pixels of a side; of all drawings


def split_of(concept: Concept, style: str) -> str:
    """`concept`: held out in every style; `pair`: held out in this style alone; else `train`."""
    if concept.held_out:
        return "concept"
    return "pair" if concept.emoji and six.is_held_out_pair(group_of(concept.id), style) else "train"


class NearDuplicates:
    """Remembers small versions of the drawings so far."""

    def __init__(self) -> None:
        self.seen: dict[str, list[npt.NDArray[np.int16]]] = {}

    def is_new(self, pixels: npt.NDArray[np.uint8], among: str) -> bool:
        """Whether no drawing of those `among` the same looks like this one; it is remembered if so."""
        small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        thumbnail = np.asarray(small, dtype=np.int16)
        seen = self.seen.setdefault(among, [])
        if seen and np.abs(np.stack(seen) - thumbnail).mean((1, 2, 3)).min() < NEAR:
            return False
        seen.append(thumbnail)
        return True


def drawings_of(folders: dict[str, Path]) -> Iterator[tuple[str, str, Style, Draw]]:
    """(id, hexcode, style, drawing) of every emoji of every set."""
    for name, drawings in six.drawings(folders, [*six.PACKAGES, six.EMOJITWO]).items():
        for code, draw in drawings.items():
            yield f"{code}/{name}", code, STYLES[name], draw
    by_set = {"fxemoji": (FXEMOJI, STYLES["fxemoji"]), "streamline-emojis": (CARTOON, STYLES["cartoon"])}
    sets = {name: named_drawings(folders[package.name]) for name, (package, _) in by_set.items()}
    for set_name, name, code in rows("emoji_names.tsv"):
        style = by_set[set_name][1]
        yield f"{normal(code)}/{style.name}/{name}", normal(code), style, sets[set_name][name]


def icon_drawings(folders: dict[str, Path], icons: list[Icon]) -> Iterator[tuple[str, str, Style, Draw]]:
    """The same of icons; for a hexcode the concept that an icon shows."""
    by_set = {package.name.rpartition("/")[2]: (package, style) for package, style in ICONS.items()}
    sets = {name: named_drawings(folders[package.name]) for name, (package, _) in by_set.items()}
    for icon in icons:
        yield f"{icon.set}/{icon.name}", icon.concept, by_set[icon.set][1], sets[icon.set][icon.name]


@dataclass(frozen=True)
class Found:
    """A drawing of the collection, as it is drawn and as it looks at its usual size."""

    item: Item
    words: Concept
    style: Style
    draw: Draw
    pixels: npt.NDArray[np.uint8]


def found_in(cache: Path, check_cancelled: Callable[[], None]) -> Iterator[Found]:
    """Every drawing that is not nearly another one, in an order that never changes."""
    folders = {package.name: fetch_npm(package, cache, check_cancelled) for package in PACKAGES}
    concepts = read_emoji(folders[EMOJIBASE.name])
    icons = read_icons(concepts)
    split(concepts)
    kept_from_training = held_out_names(concepts.values())
    near = NearDuplicates()
    for id_, code, style, draw in [*drawings_of(folders), *icon_drawings(folders, icons)]:
        check_cancelled()
        concept = concepts.get(code)
        if concept is None:
            continue
        pixels = on_white(draw)
        if not near.is_new(pixels, style.name):
            continue
        part = split_of(concept, style.name)
        words = concept if part == "concept" else without_held_out(concept, kept_from_training)
        colour = main_colour(pixels)
        item = Item(
            id=id_,
            concept=concept.id,
            group=concept.cluster,
            style=style.name,
            split=part,
            label=concept.label,
            label_zh=concept.label_zh,
            mirrorable=six.may_be_mirrored(concept.topic, concept.label),
            captions=captions(words, style, colour, six.COLOURED, f"{six.SALT}|{id_}"),
        )
        yield Found(item, words, style, draw, pixels)


def items(cache: Path, check_cancelled: Callable[[], None]) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Each of them, and some in another colour."""
    for each in found_in(cache, check_cancelled):
        yield each.item, each.pixels
        id_, style, colour = each.item.id, each.style, main_colour(each.pixels)
        if colour and not style.always_named and (new := six.another_colour(id_, colour)):
            texts = captions(each.words, style, new, 1.0, f"{six.SALT}|{id_}|{new}")
            item = replace(each.item, id=f"{id_}/{new}", recoloured=True, captions=texts)
            yield item, recolour(each.pixels, colour, new)


def large_items(cache: Path, check_cancelled: Callable[[], None]) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """A fifth of them, large."""
    for each in found_in(cache, check_cancelled):
        if fraction("large", each.item.id) < LARGE_PART:
            yield each.item, on_white(each.draw, LARGE)


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build `drawings` or `large-drawings` in `folder`; returns its card."""
    is_large = name == "large-drawings"
    return write_prepared(
        folder,
        (large_items if is_large else items)(cache, check_cancelled),
        {
            "name": name,
            "title": "Large emoji and colour icons" if is_large else "Emoji in nine open styles, and colour icons",
            "sources": [source(package) for package in PACKAGES],
            "left_out": "skin tones, flags, letters and signs, logos, interface glyphs, near copies",
            "styles": list(STYLES),
            "styles_of_icons": sorted({style.name for style in ICONS.values()}),
        },
    )
