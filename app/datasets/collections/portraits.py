"""Portraits composed of hand-drawn parts, as many as wanted: pixel faces at 32 px, open peeps at 64 px; both CC0.

DiceBear's own code draws them, run by Node; what each is composed of becomes its captions and tags.
"""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from app.datasets.collections.parts import source
from app.datasets.prepared import Item, write_prepared
from app.packages.npm import NpmPackage, fetch_npm, node_command
from app.packages.package import PATIENCE_SECONDS, FetchError

CORE = NpmPackage(
    "@dicebear/core",
    "9.4.3",
    "6ca7dae651c74ad547e548fbe7c41f49aaa377cf4617259277518389bf6b1a3d",
    "MIT",
    "DiceBear, Copyright Florian Körner",
)
PIXEL_ART = NpmPackage(
    "@dicebear/pixel-art",
    "9.4.3",
    "1252d798c632c20f194e7d8b2fbc18b23ad76b2511e668668d0051084bfaa754",
    "CC0-1.0",
    "Pixel Art by DiceBear",
)
OPEN_PEEPS = NpmPackage(
    "@dicebear/open-peeps",
    "9.4.3",
    "65b664ec00dc69c068051461f2b5bd97c8335af676e36c284e906a3017c23d4f",
    "CC0-1.0",
    "Open Peeps by Pablo Stanley",
)
HELD_OUT_EVERY = 20
BACKGROUNDS = ["b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf", "d5f0d5"]
Words = dict[str, tuple[str, str]]  # what a part's name begins with, or a colour -> (English, Chinese)

HAIR_COLOURS: Words = {
    "cab188": ("blond", "金色"),
    "603a14": ("brown", "棕色"),
    "83623b": ("brown", "棕色"),
    "603015": ("brown", "棕色"),
    "a78961": ("light brown", "浅棕色"),
    "611c17": ("auburn", "红棕色"),
    "612616": ("auburn", "红棕色"),
    "28150a": ("black", "黑色"),
    "009bbd": ("blue", "蓝色"),
    "bd1700": ("red", "红色"),
    "91cb15": ("green", "绿色"),
}


@dataclass(frozen=True)
class Style:
    """One DiceBear style. `parts` gives for a component (key) the words for its variants, by their beginning."""

    package: NpmPackage
    title: str
    size: int
    count: int
    hair: str  # the colour that is the hair's, if one always is
    parts: dict[str, Words]
    options: dict[str, Any] = field(default_factory=dict)
    is_pixel_art: bool = False
    scale: int = 1  # drawn at so many times its size and averaged down


STYLES = {
    "pixel-faces": Style(
        PIXEL_ART,
        "Pixel faces",
        32,
        24_000,
        "hairColor",
        {
            "hat": {"": ("a hat", "帽子")},
            "hair": {"long": ("long hair", "长发"), "short": ("short hair", "短发")},
            "glasses": {"dark": ("sunglasses", "墨镜"), "light": ("glasses", "眼镜")},
            "beard": {"": ("a beard", "胡子")},
            "mouth": {"happy": ("a smile", "微笑"), "sad": ("a sad mouth", "难过的嘴")},
        },
        {"glassesProbability": 25, "beardProbability": 15, "hatProbability": 12, "backgroundColor": BACKGROUNDS},
        is_pixel_art=True,
    ),
    "open-peeps": Style(
        OPEN_PEEPS,
        "Open peeps",
        64,
        12_000,
        "",
        {
            "head": {
                "hat": ("a hat", "帽子"),
                "hijab": ("a hijab", "头巾"),
                "turban": ("a turban", "缠头巾"),
                "bear": ("a bear hat", "熊帽"),
                "afro": ("an afro", "爆炸头"),
                "bun": ("a bun", "发髻"),
                "bantu": ("buns", "发髻"),
                "long": ("long hair", "长发"),
                "medium": ("half-long hair", "中长发"),
                "mohawk": ("a mohawk", "莫霍克头"),
                "noHair": ("no hair", "光头"),
                "dreads": ("dreadlocks", "脏辫"),
                "cornrows": ("cornrows", "辫子头"),
                "gray": ("grey hair", "灰发"),
                "": ("short hair", "短发"),
            },
            "facialHair": {"moustache": ("a moustache", "小胡子"), "": ("a beard", "胡子")},
            "accessories": {
                "sunglasses": ("sunglasses", "墨镜"),
                "glasses": ("glasses", "眼镜"),
                "eyepatch": ("an eyepatch", "眼罩"),
            },
            "mask": {"": ("a mask", "口罩")},
            "face": {
                "smile": ("a smile", "微笑"),
                "loving": ("a loving grin", "深情的笑"),
                "angry": ("an angry face", "生气的脸"),
                "veryAngry": ("an angry face", "生气的脸"),
                "rage": ("an angry face", "生气的脸"),
                "fear": ("a frightened face", "害怕的脸"),
                "eyesClosed": ("closed eyes", "闭着的眼睛"),
                "tired": ("a tired face", "疲倦的脸"),
                "old": ("an old face", "年老的脸"),
            },
        },
        {"facialHairProbability": 12, "maskProbability": 3, "backgroundColor": BACKGROUNDS, "scale": 95},
        scale=2,
    ),
}


def described(style: Style, extra: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(English, Chinese) words for what a portrait is composed of."""
    english, chinese = [], []
    for part, words in style.parts.items():
        if (variant := extra.get(part)) is None:
            continue
        found = next((pair for beginning, pair in words.items() if variant.startswith(beginning)), None)
        if found is None:
            continue
        colour = HAIR_COLOURS.get(str(extra.get(style.hair, "")).removeprefix("#"))
        coloured = colour is not None and found[0].endswith(" hair") and found[0] not in ("no hair", "grey hair")
        english.append(f"{colour[0]} {found[0]}" if coloured and colour else found[0])
        chinese.append(f"{colour[1]}的{found[1]}" if coloured and colour else found[1])
    return english, chinese


def draw(style: Style, svg: str) -> npt.NDArray[np.uint8]:
    """(size, size, 3)."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=style.size * style.scale, skip_system_fonts=True)
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    flat = page.convert("RGB")
    return np.asarray(flat.reduce(style.scale) if style.scale > 1 else flat, dtype=np.uint8)


def lines(style: Style, cache: Path, check_cancelled: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """What the style's own code composes, as it does so."""
    with tempfile.TemporaryDirectory() as temporary:
        modules = Path(temporary) / "node_modules" / "@dicebear"
        modules.mkdir(parents=True)
        for package in (CORE, style.package):
            (modules / package.name.rpartition("/")[2]).symlink_to(fetch_npm(package, cache, check_cancelled).resolve())
        script = Path(temporary) / "portraits.mjs"
        script.write_bytes((Path(__file__).parent / "portraits.mjs").read_bytes())
        command = [*node_command(), "--preserve-symlinks", "--preserve-symlinks-main", str(script)]
        command += [style.package.name, str(style.count), json.dumps(style.options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
            assert process.stdout is not None
            late = threading.Timer(PATIENCE_SECONDS, process.kill)  # then its output ends, and its exit code is no 0
            late.start()
            try:
                for line in process.stdout:
                    yield json.loads(line)
                if process.wait() != 0:
                    raise FetchError(
                        "{package} ended with exit code {code}", package=style.package.name, code=process.returncode
                    )
            finally:
                late.cancel()
                process.kill()


def items(
    style: Style, cache: Path, check_cancelled: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Portraits that all differ, in an order that never changes; every 20th is held out."""
    seen: set[bytes] = set()
    for made in lines(style, cache, check_cancelled):
        check_cancelled()
        pixels = draw(style, made["svg"])
        if (content := pixels.tobytes()) in seen:
            continue
        seen.add(content)
        english, chinese = described(style, made["extra"])
        number = len(seen)
        label, label_zh = " with ".join(["a portrait", ", ".join(english)]), f"{'、'.join(chinese)}的人像"
        item = Item(
            id=str(number),
            concept=str(number),
            group=str(number),
            style="",
            split="held_out" if number % HELD_OUT_EVERY == 0 else "train",
            label=label,
            label_zh=label_zh,
            captions=[label, label_zh],
            tags=english,
        )
        yield item, pixels


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection `name` in `folder`; returns its card. Raises FetchError."""
    style = STYLES[name]
    return write_prepared(
        folder,
        items(style, cache, check_cancelled),
        {
            "name": name,
            "title": style.title,
            "sources": [source(package) for package in (CORE, style.package)],
            **({"pixel_art": True} if style.is_pixel_art else {}),
        },
    )
