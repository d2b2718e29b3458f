"""Writes verse: characters one after the other, of which only those that the form allows may be chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from opencc import OpenCC
from torch import Tensor

from models.checkpoint import loaded, read_text
from models.contract.message import Message
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request, Unfit
from models.contract.values import Text
from models.contract.writing import TEXT_GENERATION
from models.parts.copies import Copies, read_copies
from models.parts.noise import gumbel
from models.parts.nucleus import nucleus
from models.parts.placed import bytes_of
from models.verse.forms import EITHER, LEVEL, REGULATED, Form
from models.verse.learnt import FORMS, RHYMES, VOCABULARY, Tables, opening
from models.verse.network import VerseTransformer
from models.verse.poem import NOWHERE, Slot, pieces_of, slots
from models.verse.rhymes import Rhymes, tone_of
from models.verse.spec import VerseConfig, VerseParams, characters
from models.verse.vocabulary import PAD, Vocabulary

LIKELIEST = 512  # characters that are looked at
FIRST_RHYMES = {5: 0.3, 7: 0.8}  # how many poems rhyme in their first line too, by its length
to_traditional, to_simplified = OpenCC("s2t").convert, OpenCC("t2s").convert


def traditional(given: str | None) -> str:
    """What was typed, in the characters that are learnt, without spaces and punctuation."""
    return to_traditional(characters(given or ""))


@dataclass
class Work:
    """A poem that is being written: what is fixed of it, and what was chosen so far."""

    params: VerseParams
    seed: int
    form: Form
    rhymes: Rhymes
    vocabulary: Vocabulary
    free_form: bool = False  # nothing is held: what the network does by itself
    written: str = ""
    groups: dict[int, frozenset[str]] = field(default_factory=dict)  # left to each set of lines that rhyme

    @cached_property
    def random(self) -> np.random.Generator:
        return np.random.default_rng((self.seed, 1))

    @cached_property
    def fixed(self) -> dict[int, str]:
        """Characters by their place in the poem."""
        places = self.form.places
        found: dict[int, str] = {}
        starts = [i for i, (_, place) in enumerate(places) if place == 0]
        acrostic = traditional(self.params.acrostic)
        if len(acrostic) > len(starts):
            raise Unfit(
                "{form} has {lines} lines, the acrostic more characters", form=self.form.title, lines=len(starts)
            )
        found |= dict(zip(starts, acrostic, strict=False))
        first = traditional(self.params.first_line)
        if first and len(first) != self.form.lines[0]:
            raise Unfit(
                "The first line of {form} has {count} characters", form=self.form.title, count=self.form.lines[0]
            )
        return found | dict(enumerate(first))

    @cached_property
    def group(self) -> str | None:
        return self.params.rhyme if self.params.rhyme in self.rhymes.groups else None

    @cached_property
    def pattern(self) -> tuple[str, ...] | None:
        """The tones of each line, where they are asked for and the form has any: one that suits what is fixed."""
        if not self.params.tones or not self.form.patterns:
            return None
        order = [self.form.patterns[i] for i in self.random.permutation(len(self.form.patterns))]

        def misfits(pattern: tuple[str, ...]) -> int:
            tones = "".join(pattern)
            return sum(
                tones[i] != EITHER and not self.rhymes.may_have(character, tones[i])
                for i, character in self.fixed.items()
                if character in self.rhymes.groups_of
            )

        return min(order, key=misfits)

    @cached_property
    def first_rhymes(self) -> bool:
        form, last = self.form, self.form.lines[0] - 1
        if not form.first_may_rhyme:
            return False
        if self.pattern:
            return self.pattern[0][-1] == LEVEL
        if last in self.fixed:
            own = self.rhymes.groups_of.get(self.fixed[last], frozenset())
            return self.group in own if self.group else any(tone_of(name) == LEVEL for name in own)
        return bool(self.random.random() < FIRST_RHYMES.get(form.lines[0], 0.5))

    @cached_property
    def tones(self) -> str:
        return "".join(self.pattern) if self.pattern else EITHER * self.form.length

    @cached_property
    def slots(self) -> list[Slot]:
        return slots(self.form, self.first_rhymes, self.tones)

    @cached_property
    def opening(self) -> list[int]:
        title = traditional(self.params.theme)
        acrostic = traditional(self.params.acrostic)
        return opening(self.vocabulary, self.form.title, title, self.group, acrostic)

    @cached_property
    def set_of(self) -> dict[int, int]:
        """Of each place that rhymes, which set of lines it belongs to."""
        ends = {line: i for i, (line, place) in enumerate(self.form.places) if place == self.form.lines[line] - 1}
        return {ends[line]: n for n, lines in enumerate(self.form.rhymed(self.first_rhymes)) for line in lines}

    @property
    def place(self) -> int:
        return len(self.written)

    @property
    def is_done(self) -> bool:
        return self.place == self.form.length

    def allowed(self) -> tuple[frozenset[str] | None, str, set[str]]:
        """(rhyme groups, tone, characters that are used up) of the next character; None for any group."""
        number = self.set_of.get(self.place)
        if number is None:
            return None, self.tones[self.place], set()
        left = self.groups.get(number)
        if left is None:
            usual = (name for name in self.rhymes.groups if self.form.name not in REGULATED or tone_of(name) == LEVEL)
            left = frozenset([self.group] if self.group and number == 0 else usual)
        used = {self.written[i] for i, n in self.set_of.items() if n == number and i < self.place}
        return left, self.tones[self.place], used

    def take(self, character: str) -> None:
        number = self.set_of.get(self.place)
        if number is not None:
            own = self.rhymes.groups_of.get(character, frozenset())
            left = self.groups.get(number, frozenset([self.group]) if self.group and number == 0 else own) & own
            self.groups[number] = left or self.groups.get(number, own)  # a fixed one may not rhyme
        self.written += character

    def text(self) -> str:
        made = self.form.written(self.written)
        return to_simplified(made) if self.params.script == "simplified" else made

    def remark(self) -> Message | None:
        """What of the request had no effect."""
        asked = (self.params.theme, self.params.first_line, self.params.acrostic)
        given = "".join(traditional(each) for each in asked)
        unknown = "".join(dict.fromkeys(c for c in given if c not in self.vocabulary.numbers and not c.isascii()))
        if unknown:
            return Message("Characters that the model was not trained on: {characters}", characters=unknown[:24])
        if self.params.tones and not self.form.patterns:
            return Message("{form} has no tone pattern here: tones are free", form=self.form.title)
        return None


class VerseSampler:
    """A verse transformer, and the forms and rhymes that it learnt with."""

    batch_size = BATCHES[-1]

    def __init__(
        self, network: VerseTransformer, vocabulary: Vocabulary, tables: Tables, copies: Copies | None = None
    ) -> None:
        self.network, self.vocabulary, self.tables, self.copies = network, vocabulary, tables, copies
        self.device = network.embedding.weight.device
        self.memory_bytes = bytes_of(network)
        self.masks: dict[tuple[int, str, str], Tensor] = {}

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep, free_form: bool = False) -> list[Output]:
        """One poem a request. Raises Unfit where what is fixed does not fit the form.

        With `free_form` the network writes as it likes, which says how well it knows the form.
        """
        works = [self.work(request, free_form) for request in batch]
        self.write(works, on_step)
        return [Output(Text(w.text()), {"form": w.form.title}, remark=w.remark() or self.copied(w)) for w in works]

    def copied(self, work: Work) -> Message | None:
        """What of a poem stands in one that was learnt, but what was asked for."""
        if self.copies is None:
            return None
        written = work.form.written(work.written)
        found = self.copies.among(pieces_of(written), [traditional(work.params.first_line)])
        return Message("It learnt this by heart: {pieces}", pieces="、".join(found)) if found else None

    def work(self, request: Request, free_form: bool = False) -> Work:
        params: VerseParams = request.params
        if params.form not in self.vocabulary.forms:
            raise Unfit("This model does not know the form {form}", form=params.form)
        form = self.tables.forms[params.form]
        work = Work(params, request.seed, form, self.tables.rhymes(form), self.vocabulary, free_form)
        if len(work.opening) + form.length > self.network.config.length:
            raise Unfit("The title is too long for this form")
        _ = work.fixed  # what does not fit is said before anything is written
        return work

    def write(self, works: list[Work], on_step: OnStep) -> None:
        total = max(work.form.length for work in works)
        longest = max(len(work.opening) for work in works)
        padding = torch.tensor([longest - len(work.opening) for work in works], device=self.device)
        tokens = torch.tensor([[PAD] * (longest - len(w.opening)) + w.opening for w in works], device=self.device)
        first = torch.tensor([[NOWHERE] * (longest - 1) + [w.slots[0]] for w in works], device=self.device)
        noise = torch.stack([gumbel(w.seed, total, LIKELIEST) for w in works], 1).to(self.device)  # (N, B, LIKELIEST)
        cache = self.network.decoder.empty_cache(len(works))
        pad = padding if int(padding.max()) else None
        x = self.network(tokens, first, cache, 0, pad)[:, -1]
        for step in range(total):
            chosen = self.choose(self.network.logits(x).float(), works, noise[step])
            on_step(step + 1, total, partial(previews, works))
            if step + 1 == total:
                break
            after = [w.slots[w.place] if not w.is_done else NOWHERE for w in works]
            following = torch.tensor(after, device=self.device)[:, None]
            x = self.network(chosen[:, None], following, cache, longest + step, pad)[:, 0]

    def choose(self, logits: Tensor, works: list[Work], noise: Tensor) -> Tensor:
        """(B,) the next token of each, of (B, vocabulary) logits."""
        for i, work in enumerate(works):
            if not work.is_done and not work.free_form:
                logits[i].masked_fill_(~self.mask(work), -torch.inf)
        logits[:, : self.vocabulary.first_character] = -torch.inf
        chosen = nucleus(logits, [work.params for work in works], noise).tolist()
        for i, work in enumerate(works):
            if work.is_done:
                chosen[i] = PAD
                continue
            fixed = work.fixed.get(work.place)
            if fixed is not None:
                (chosen[i],) = self.vocabulary.encode(fixed)
            work.take(fixed or self.vocabulary.decode([chosen[i]]))
        return torch.tensor(chosen, device=self.device)

    def mask(self, work: Work) -> Tensor:
        """(vocabulary,) true for what may follow."""
        groups, tone, used = work.allowed()
        allowed = self.of_tone(work.rhymes, tone)
        if groups is not None:
            rhyming = torch.zeros_like(allowed)
            for name in groups:
                rhyming |= self.of_group(work.rhymes, name)
            allowed = allowed & rhyming
            for character in used:
                allowed[self.vocabulary.encode(character)] = False
        return allowed if bool(allowed.any()) else self.of_tone(work.rhymes, EITHER)

    def of_tone(self, rhymes: Rhymes, tone: str) -> Tensor:
        if tone == EITHER:
            return self.cached(rhymes, "tone", tone, self.vocabulary.characters)
        known = (c for c in self.vocabulary.characters if rhymes.may_have(c, tone))
        return self.cached(rhymes, "tone", tone, known)

    def of_group(self, rhymes: Rhymes, name: str) -> Tensor:
        return self.cached(rhymes, "group", name, rhymes.groups[name])

    def cached(self, rhymes: Rhymes, what: str, name: str, known: Iterable[str]) -> Tensor:
        key = (id(rhymes), what, name)
        if key not in self.masks:
            made = torch.zeros(self.network.config.vocabulary, dtype=torch.bool)
            made[[self.vocabulary.numbers[c] for c in known if c in self.vocabulary.numbers]] = True
            self.masks[key] = made.to(self.device)
        return self.masks[key]

    def sheet(self, titles: tuple[str, ...] = ("春日", "秋夜", "送友人", "登樓")) -> str:
        """A poem of each form for a title each."""
        forms = self.vocabulary.forms[: 2 * len(titles)]
        asked = [
            Request(TEXT_GENERATION, VerseParams(form=form, theme=titles[i % len(titles)], script="traditional"), i)
            for i, form in enumerate(forms)
        ]
        made = self.sample(asked, lambda step, total, previews: None)
        parts = (
            f"{form} · {request.params.theme}\n{text(output)}"
            for form, request, output in zip(forms, asked, made, strict=True)
        )
        return "\n\n".join(parts) + "\n"


def text(output: Output) -> str:
    assert isinstance(output.value, Text)
    return output.value.text


def previews(works: list[Work]) -> Previews:
    return [Text(work.text()) for work in works]


def load(folder: Path, device: torch.device, published: Path | None = None) -> VerseSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: VerseTransformer(VerseConfig(**config)))
    read: Any = partial(read_text, folder, card=card)
    vocabulary, tables = Vocabulary.read(read(VOCABULARY)), Tables.read(read(FORMS), read(RHYMES))
    return VerseSampler(network.to(device), vocabulary, tables, read_copies(folder, card))
