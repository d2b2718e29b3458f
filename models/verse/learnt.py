"""Poems of a collection as numbers, and what a step of training sees of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.items import Texts
from models.data.pictures import Indices, Unsuitable
from models.verse.forms import EITHER, REGULATED, Form
from models.verse.poem import NOWHERE, Poem, Slot, read_poem
from models.verse.rhymes import Rhymes, cilin
from models.verse.spec import LONGEST_TITLE
from models.verse.tunes import learn_forms
from models.verse.vocabulary import ACROSTIC, BEGIN, PAD, TITLE, UNKNOWN, Vocabulary

FEWEST_OF_FORM = 20  # poems that a form needs to be learnt
RHYMES, FORMS, VOCABULARY = "rhymes.json", "forms.json", "vocabulary.json"
# How often something is said of a poem in training, so that it may be left out when one is asked for.
SAID_TITLE, SAID_GROUP, SAID_ACROSTIC, SAID_TONES, SAID_TONE = 0.8, 0.5, 0.15, 0.5, 0.8


@dataclass(frozen=True)
class Tables:
    """What is known of verse before a poem is read: forms by title, and the rhymes that each goes by."""

    forms: dict[str, Form]
    pingshui: Rhymes

    @classmethod
    def of(cls, forms: list[Form], rhymes: Rhymes) -> Tables:
        return cls({form.title: form for form in [*REGULATED.values(), *forms]}, rhymes)

    @classmethod
    def read(cls, forms: str, rhymes: str) -> Tables:
        return cls.of([form_of(each) for each in json.loads(forms)], Rhymes.read(rhymes))

    @classmethod
    def learnt(cls, data: Texts, rhymes: Rhymes) -> Tables:
        """With the forms of the tunes that the training poems name."""
        named = [(item["form"], item["text"]) for item in data.items if item.get("form") and item["split"] == "train"]
        return cls.of(learn_forms(named, cilin(rhymes)), rhymes)

    @cached_property
    def cilin(self) -> Rhymes:
        return cilin(self.pingshui)

    def rhymes(self, form: Form) -> Rhymes:
        return self.pingshui if form.name in REGULATED else self.cilin

    @cached_property
    def groups(self) -> list[str]:
        return [*self.pingshui.groups, *self.cilin.groups]


def form_of(given: dict[str, Any]) -> Form:
    """As it was written down in a collection or a checkpoint."""
    lines, rhymes = tuple(given["lines"]), tuple(frozenset(found) for found in given["rhymes"])
    return Form(given["name"], given["title"], lines, rhymes, given["stops"])


def written(forms: list[Form]) -> str:
    """The forms that are not known to all."""
    own = [form for form in forms if form.name not in REGULATED]
    return json.dumps(
        [
            {
                "name": form.name,
                "title": form.title,
                "lines": form.lines,
                "rhymes": [sorted(lines) for lines in form.rhymes],
                "stops": form.stops,
            }
            for form in own
        ],
        ensure_ascii=False,
    )


class Poems:
    """Those of a collection that have a form and only characters of the vocabulary."""

    def __init__(self, data: Texts, tables: Tables, rarest: int, vocabulary: Vocabulary | None, most: int) -> None:
        read = [self.read(item, tables) for item in data.items]
        if vocabulary is None:
            vocabulary = learn_vocabulary(data, read, tables, rarest, most)
        self.tables, self.vocabulary = tables, vocabulary
        known, of_forms = set(vocabulary.characters), set(vocabulary.forms)
        self.poems: dict[int, Poem] = {
            i: poem
            for i, poem in enumerate(read)
            if poem and poem.form.title in of_forms and known.issuperset(poem.characters)
        }
        self.titles = {i: str(data.items[i].get("title", ""))[:LONGEST_TITLE] for i in self.poems}
        self.splits = {i: data.items[i]["split"] for i in self.poems}
        if not self.poems:
            raise Unsuitable("the collection has no poems of a known form")

    @staticmethod
    def read(item: dict[str, Any], tables: Tables) -> Poem | None:
        tune = item.get("form")
        forms = [form for form in [tables.forms.get(tune)] if form] if tune else list(REGULATED.values())
        return read_poem(item["text"], forms, tables.cilin if tune else tables.pingshui)

    def indices(self, split: str) -> Indices:
        return np.array([i for i, found in self.splits.items() if found == split], dtype=np.int64)

    def lengths(self, indices: Indices) -> npt.NDArray[np.int64]:
        return np.array([self.poems[int(i)].form.length + len(self.titles[int(i)]) for i in indices])

    def numbers(self, index: int, chance: npt.NDArray[np.float64]) -> tuple[list[int], list[Slot], int]:
        """(tokens, the slot of the one after each, where the poem begins); six draws say what is said of it."""
        poem, vocabulary = self.poems[index], self.vocabulary
        title = self.titles[index] if chance[0] < SAID_TITLE else ""
        group = poem.group if chance[1] < SAID_GROUP else None
        acrostic = line_starts(poem) if chance[2] < SAID_ACROSTIC else ""
        tones = [EITHER] * len(poem.characters)
        if chance[3] < SAID_TONES:
            of = self.tables.pingshui.tones
            said = np.random.default_rng(int(chance[4] * 2**32)).random(len(tones)) < SAID_TONE
            tones = [of.get(c, EITHER) if yes else EITHER for c, yes in zip(poem.characters, said, strict=True)]
        before = opening(vocabulary, poem.form.title, title, group, acrostic)
        tokens = [*before, *vocabulary.encode(poem.characters)]
        slots = [NOWHERE] * (len(before) - 1) + poem.slots(tones)
        return tokens, slots, len(before)


def opening(vocabulary: Vocabulary, form: str, title: str, group: str | None, acrostic: str) -> list[int]:
    """What is said before a poem, in tokens."""
    found = [vocabulary.form(form)]
    if title:
        found += [TITLE, *vocabulary.encode(title[:LONGEST_TITLE])]
    if group:
        found.append(vocabulary.group(group))
    if acrostic:
        found += [ACROSTIC, *vocabulary.encode(acrostic)]
    return [*found, BEGIN]


def line_starts(poem: Poem) -> str:
    return "".join(c for c, (_, place) in zip(poem.characters, poem.form.places, strict=True) if place == 0)


def learn_vocabulary(data: Texts, read: list[Poem | None], tables: Tables, rarest: int, most: int) -> Vocabulary:
    """Of the training poems: every form that has enough of them, every character that occurs often enough."""
    seen, forms = Counter[str](), Counter[str]()
    for item, poem in zip(data.items, read, strict=True):
        if poem and item["split"] == "train":
            seen.update(poem.characters)
            seen.update(item.get("title", "")[:LONGEST_TITLE])
            forms[poem.form.title] += 1
    titles = [title for title in tables.forms if forms[title] >= FEWEST_OF_FORM]
    without = Vocabulary(titles, tables.groups, [])
    common = [character for character, count in seen.most_common() if count >= rarest and character.isalpha()]
    return Vocabulary(titles, tables.groups, common[: most - len(without)])


def batch(poems: Poems, chosen: Indices, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (B, N), slots (B, N - 1, 4) and targets (B, N - 1), -1 where nothing is learnt."""
    draws = torch.rand(len(chosen), 6, generator=random, dtype=torch.float64).numpy()
    rows = [poems.numbers(int(i), chance) for i, chance in zip(chosen, draws, strict=True)]
    longest = max(len(tokens) for tokens, _, _ in rows)
    tokens = np.full((len(rows), longest), PAD, np.int64)
    slots = np.zeros((len(rows), longest - 1, 4), np.int64)
    targets = np.full((len(rows), longest - 1), -1, np.int64)
    for i, (row, places, begins) in enumerate(rows):
        tokens[i, : len(row)] = row
        slots[i, : len(places)] = places
        targets[i, begins - 1 : len(row) - 1] = row[begins:]
    targets[targets == UNKNOWN] = -1
    return torch.from_numpy(tokens), torch.from_numpy(slots), torch.from_numpy(targets)
