"""Words of works and of searches in one form, whatever their case, composition and variant of Chinese characters; and
what a thing that is named is called in the other language.

A word becomes a token of ASCII, which every full-text index takes for a word in any locale: `fox` is `wfox`, what is
not Latin is its UTF-8 in hexadecimals. Characters of scripts that put no spaces between words are a token each, so
that a part of a Chinese word is found as a phrase.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from emoji import EMOJI_DATA, config, replace_emoji
from opencc import OpenCC

from app.datasets.collections.colour_names import COLOURS
from app.text import folded

TABLES = Path(__file__).parent.parent / "datasets" / "collections" / "tables"
HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA, SOUTH_EAST_ASIA = r"\u3040-\u30ff\u31f0-\u31ff", r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
IS_HAN, IS_ALONE = re.compile(f"[{HAN}]"), re.compile(f"[{HAN}{KANA}{SOUTH_EAST_ASIA}]")
LONGEST = {"words": 4, "characters": 8}  # of a name of a thing


def plain(text: str) -> str:
    """As texts are compared: 龍 is 龙, Ｆ is f, 🦊 is fox."""
    if not text.isascii():
        text = replace_emoji(text, lambda _, facts: f" {name_of(facts['en'])} ")
        text = simplified().convert(text) if IS_HAN.search(text) else text
    return folded(unicodedata.normalize("NFKC", text))


@cache
def simplified() -> OpenCC:
    return OpenCC("t2s")


def name_of(shortcode: str) -> str:
    return shortcode.strip(":").replace("_", " ")


def pieces(text: str) -> list[str]:
    """Its words, and characters that are words by themselves."""

    def kind(character: str) -> str:
        return "alone" if IS_ALONE.match(character) else "word" if unicodedata.category(character)[0] in "LMN" else ""

    runs = [(each, "".join(run)) for each, run in groupby(text, kind)]
    return [piece for each, run in runs if each for piece in (run if each == "alone" else [run])]


def token(piece: str) -> str:
    """Without accents where it is Latin: who types `cafe` looks for a café."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", piece) if unicodedata.category(c) != "Mn")
    return f"w{bare}" if bare.isascii() else f"x{piece.encode().hex()}"


def tokens(text: str) -> list[str]:
    return [token(piece) for piece in pieces(plain(text))]


def phrases(query: str) -> list[list[str]]:
    """What stands between spaces, each as the tokens that have to follow one another."""
    return [found for part in query.split() if (found := tokens(part))]


def may_go_on(token: str) -> bool:
    """Whether a word may be the beginning of another. A character alone is whole, and one letter begins too many."""
    piece = token[1:] if token[0] == "w" else bytes.fromhex(token[1:]).decode()
    return len(piece) > 1


# --- the other language ---------------------------------------------------------------------------------------------


def elsewhere(text: str) -> list[str]:
    """Names in the other language of the things that a text names; of names within each other the longest counts."""
    said = plain(text)
    english = (run.split() for run in re.split(f"[{HAN}]|[^\\w\\s]", said))
    found = [each for run in english for each in named(run, " ".join, LONGEST["words"])]
    found += [each for run in re.findall(f"[{HAN}]+", said) for each in named(run, "".join, LONGEST["characters"])]
    return list(dict.fromkeys(found))


def named(run: list[str] | str, joined: Callable[[Iterable[str]], str], longest: int) -> Iterator[str]:
    at = 0
    while at < len(run):
        for size in range(min(longest, len(run) - at), 0, -1):
            if others := looked_up(joined(run[at : at + size])):
                yield from sorted(others)
                at += size - 1
                break
        at += 1


def looked_up(name: str) -> frozenset[str]:
    """Also by its singular."""
    known = names()
    spelled = (name, name.removesuffix("s"), name.removesuffix("es"))
    return next((known[each] for each in spelled if each in known), frozenset())


@cache
def names() -> dict[str, frozenset[str]]:
    """By a name in either language: what the thing is called in the other, for emoji and for what collections draw."""
    found = defaultdict[str, set[str]](set)
    for english, chinese in pairs():
        a, b = plain(english), plain(chinese)
        if a and b:
            found[a].add(b)
            found[b].add(a)
    return {name: frozenset(others) for name, others in found.items()}


def pairs() -> Iterator[tuple[str, str]]:
    config.load_language("zh")
    for facts in EMOJI_DATA.values():
        if "zh" in facts:
            yield name_of(facts["en"]), name_of(facts["zh"])
    for english, chinese in COLOURS.items():
        yield from ((english, chinese), (english, chinese.removesuffix("色")))
    for _, _, label, label_zh, tags, tags_zh, *_ in rows("icons.tsv"):
        yield label, label_zh
        some, others = listed(tags), listed(tags_zh)
        if len(some) == len(others):  # then they are told in the same order
            yield from zip(some, others, strict=True)
    for _, _, _, called, called_zh, *_ in rows("emoji.tsv"):
        yield from ((a, b) for a in listed(called) for b in listed(called_zh))


def rows(name: str) -> Iterator[list[str]]:
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def listed(text: str) -> list[str]:
    return [part.strip() for part in re.split("[,，]", text) if part.strip()]
