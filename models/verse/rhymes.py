"""Tones and rhyme groups of characters by 平水韻, the rhyme table that regulated verse was judged by. Torch-free."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from models.verse.forms import LEVEL, OBLIQUE

CI_LEVEL, CI_OBLIQUE, CI_ENTERING = "詞平", "詞仄", "詞入"
OF_LEVEL = "上平聲", "下平聲", CI_LEVEL


class Rhymes:
    """A table of groups: the name of each, such as `上平聲一東`, and its characters in traditional script."""

    def __init__(self, groups: dict[str, str]) -> None:
        self.groups = groups

    @classmethod
    def read(cls, text: str) -> Rhymes:
        return cls(json.loads(text))

    def __str__(self) -> str:
        return json.dumps(self.groups, ensure_ascii=False)

    def within(self, characters: Iterable[str]) -> Rhymes:
        """What the table says of these characters alone."""
        known = set(characters)
        return Rhymes({name: "".join(c for c in found if c in known) for name, found in self.groups.items()})

    @cached_property
    def groups_of(self) -> dict[str, frozenset[str]]:
        """The groups that a character is in; with several readings it is in several."""
        found = defaultdict(set)
        for name, characters in self.groups.items():
            for character in characters:
                found[character].add(name)
        return {character: frozenset(names) for character, names in found.items()}

    @cached_property
    def tones(self) -> dict[str, str]:
        """Of characters that can be read in one tone only."""
        every = {c: {tone_of(name) for name in names} for c, names in self.groups_of.items()}
        return {character: tones.pop() for character, tones in every.items() if len(tones) == 1}

    @cached_property
    def level_groups(self) -> list[str]:
        return [name for name in self.groups if tone_of(name) == LEVEL]

    def may_have(self, character: str, tone: str) -> bool:
        return any(tone_of(name) == tone for name in self.groups_of.get(character, ()))

    def rhyme(self, characters: Iterable[str]) -> frozenset[str]:
        """The groups that all of them are in."""
        found = [self.groups_of.get(character, frozenset()) for character in characters]
        return frozenset.intersection(*found) if found else frozenset()


def tone_of(group: str) -> str:
    return LEVEL if group.startswith(OF_LEVEL) else OBLIQUE


def short(group: str) -> str:
    """A group as readers name it: by its last character, such as 東."""
    return group[-1]


# 詞林正韻, by which ci rhyme: groups of 平水韻 by their last character, thrown together; those cut in two are in both.
PARTS = [
    ("東冬", "董腫送宋"),
    ("江陽", "講養絳漾"),
    ("支微齊灰", "紙尾薺賄寘未霽隊泰"),
    ("魚虞", "語麌御遇"),
    ("佳灰", "蟹賄泰卦隊"),
    ("真文元", "軫吻阮震問願"),
    ("寒刪先元", "旱潸銑阮翰諫霰願"),
    ("蕭肴豪", "篠巧皓嘯效號"),
    ("歌", "哿箇"),
    ("佳麻", "馬卦禡"),
    ("庚青蒸", "梗迥敬徑"),
    ("尤", "有宥"),
    ("侵", "寢沁"),
    ("覃鹽咸", "感琰豏勘豔陷"),
]
ENTERING = ["屋沃", "覺藥", "質陌錫職緝", "物月曷黠屑葉", "合洽"]


def cilin(rhymes: Rhymes) -> Rhymes:
    """The wider groups that ci rhyme by: level and oblique ones of fourteen parts, and five of entering tones."""
    by_sign = {short(name): characters for name, characters in rhymes.groups.items()}

    def joined(signs: str) -> str:
        return "".join(dict.fromkeys("".join(by_sign[sign] for sign in signs)))

    groups = {}
    for level, oblique in PARTS:
        groups[f"{CI_LEVEL}{level[0]}"] = joined(level)
        groups[f"{CI_OBLIQUE}{level[0]}"] = joined(oblique)
    return Rhymes(groups | {f"{CI_ENTERING}{signs[0]}": joined(signs) for signs in ENTERING})
