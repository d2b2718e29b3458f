"""Captions of a drawing: short and long ones in English and Chinese, the same in every build."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from app.datasets.collections.colour_names import COLOURS
from app.datasets.collections.concepts import Concept
from app.datasets.collections.emoji import article

CAPTIONS = 16  # a drawing: 7 in English, 7 in Chinese, 2 that are its character
STYLED = 0.7  # share that names the style, where a style may be left out
ANIMALS = 3  # topic of emojibase: 一只


@dataclass(frozen=True)
class Style:
    """How a set draws. Icons always say so: nobody who names no style asks for one."""

    name: str
    name_zh: str
    always_named: bool = False


def captions(concept: Concept, style: Style, colour: str | None, coloured: float, seed: str) -> list[str]:
    """CAPTIONS texts; of those that may, a share `coloured` names the colour."""
    rng = random.Random(seed)
    english = [styled(rng, text, style, chinese=False) for text in english_of(rng, concept, colour, coloured)]
    chinese = [styled(rng, text, style, chinese=True) for text in chinese_of(rng, concept, colour, coloured)]
    if not concept.emoji or coloured == 1.0:  # a character does not say another colour than its own
        return [*english, *chinese]
    return [*english, *chinese, concept.emoji, styled(rng, concept.emoji, style, chinese=rng.random() < 0.5)]


def styled(rng: random.Random, text: str, style: Style, chinese: bool) -> str:
    if not style.always_named and rng.random() >= STYLED:
        return text
    if chinese:
        return f"{text}，{style.name_zh}风格"
    return f"{text}{rng.choice([f', {style.name} style', f', {style.name} style', f' in {style.name} style'])}"


def english_of(rng: random.Random, concept: Concept, colour: str | None, coloured: float) -> list[str]:
    """Seven texts, or two fewer where nobody has described it."""
    name = rng.choice([concept.label, *concept.names])
    texts = [
        tinted(rng, concept.label, colour, coloured),
        one(tinted(rng, concept.label, colour, coloured)),
        one(tinted(rng, name, colour, coloured)),
        rng.choice(["a drawing of {}", "a picture of {}", "{} emoji", "draw {}"]).format(
            one(tinted(rng, rng.choice([concept.label, *concept.names]), colour, coloured))
        ),
        with_tags(rng, tinted(rng, name, colour, coloured), concept.tags, ", "),
    ]
    if concept.description and not (colour and coloured == 1.0):
        texts += [concept.description, f"{concept.label}: {concept.description}"]
    return texts


def chinese_of(rng: random.Random, concept: Concept, colour: str | None, coloured: float) -> list[str]:
    measure = "一只" if concept.topic == ANIMALS else "一个"
    name = rng.choice([concept.label_zh, *concept.names_zh])
    texts = [
        tinted_zh(rng, concept.label_zh, colour, coloured),
        tinted_zh(rng, name, colour, coloured),
        one_zh(measure, tinted_zh(rng, name, colour, coloured)),
        rng.choice(["画{}", "{}图案", "{}的图画"]).format(
            tinted_zh(rng, rng.choice([concept.label_zh, *concept.names_zh]), colour, coloured)
        ),
        with_tags(rng, tinted_zh(rng, name, colour, coloured), concept.tags_zh, "，"),
    ]
    if concept.description_zh and not (colour and coloured == 1.0):
        texts += [concept.description_zh, f"{concept.label_zh}：{concept.description_zh}"]
    return texts


def one(phrase: str) -> str:
    """With an article, unless it is of several."""
    last = phrase.split()[-1]
    return phrase if last.endswith("s") and not last.endswith("ss") else article(phrase)


def one_zh(measure: str, phrase: str) -> str:
    return phrase if phrase[0] in "一二两三四五" else measure + phrase


def tinted(rng: random.Random, text: str, colour: str | None, share: float) -> str:
    """With the colour in front, unless the text names one."""
    if not colour or rng.random() >= share or any(name in text.split() for name in COLOURS):
        return text
    return f"{colour} {text}"


def tinted_zh(rng: random.Random, text: str, colour: str | None, share: float) -> str:
    if not colour or rng.random() >= share or any(name[0] in text for name in COLOURS.values()):
        return text
    return f"{COLOURS[colour]}的{text}"


def with_tags(rng: random.Random, text: str, tags: Sequence[str], joint: str) -> str:
    chosen = rng.sample(list(tags), min(len(tags), rng.randint(1, 2)))
    return joint.join([text, *chosen])
