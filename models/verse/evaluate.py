"""Figures of a verse transformer: what held-out poems cost it, the forms that it keeps, and what it copies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import read_card
from models.contract.sampling import Output, Request
from models.contract.writing import TEXT_GENERATION
from models.data.items import Texts
from models.measure.effort import Effort
from models.verse.forms import EITHER, REGULATED
from models.verse.learnt import Poems
from models.verse.poem import ends, lines_of
from models.verse.rhymes import Rhymes
from models.verse.sample import VerseSampler, load, text
from models.verse.spec import VerseParams
from models.verse.train import held_out_nats

WRITTEN, TOGETHER = 64, 16  # poems of each form, and how many at once
RUN = 12  # characters: as many in a row as in a training poem are copied


def evaluate(folder: Path, data: Texts, published: Path, effort: Effort) -> tuple[dict[str, Any], str]:
    """(figures, poems to read)."""
    sampler = load(folder, torch.device("cpu"))
    rarest = int(read_card(folder)["training"]["rarest"])
    poems = Poems(data, sampler.tables, rarest, sampler.vocabulary, len(sampler.vocabulary))
    figures: dict[str, Any] = {}
    for split in data.held_out:
        if len(indices := poems.indices(split)):
            figures[f"held_out_nats_{split}"] = round(held_out_nats(sampler.network, poems, indices), 4)
    written = effort.most(WRITTEN, lambda count: write(sampler, "七绝", count))
    regulated = [form for form in sampler.vocabulary.forms if sampler.tables.forms[form].name in REGULATED]
    held = {form: write(sampler, form, written, tones=True) for form in regulated}
    free = {form: write(sampler, form, written, free_form=True) for form in regulated}
    rhymes = sampler.tables.pingshui
    figures["rhymes"] = {
        "held": share(rhyme(each, form, rhymes) for form, made in held.items() for each in made),
        "by_itself": share(rhyme(each, form, rhymes) for form, made in free.items() for each in made),
    }
    figures["tones"] = round(
        float(np.mean([tones(each, form, rhymes) for form, made in held.items() for each in made])), 4
    )
    learnt = known_runs(data)
    every = [each for made in held.values() for each in made]
    figures["copied"] = {
        "lines": share(line in learnt[0] for each in every for line in lines_of(each)),
        f"runs_of_{RUN}": share(has_run("".join(lines_of(each)), learnt[1]) for each in every),
    }
    return figures if effort.is_worth_it else {}, sampler.sheet()


def write(sampler: VerseSampler, form: str, count: int, free_form: bool = False, **params: Any) -> list[str]:
    """So many poems without a title, in traditional script."""
    made: list[Output] = []
    wanted = VerseParams(form=form, script="traditional", **params)
    for start in range(0, count, TOGETHER):
        batch = [Request(TEXT_GENERATION, wanted, seed) for seed in range(start, min(start + TOGETHER, count))]
        made += sampler.sample(batch, lambda step, total, previews: None, free_form)
    return [text(output) for output in made]


def share(of: Iterable[bool]) -> float:
    found = list(of)
    return round(sum(found) / max(1, len(found)), 4)


def rhyme(poem: str, title: str, rhymes: Rhymes) -> bool:
    """Whether the lines that have to rhyme do."""
    form = next(form for form in REGULATED.values() if form.title == title)
    last = ends(form, "".join(lines_of(poem)))
    return all(rhymes.rhyme(last[i] for i in lines) for lines in form.rhymes)


def tones(poem: str, title: str, rhymes: Rhymes) -> float:
    """How many of the characters with one reading have the tone that is due, by the pattern that fits best."""
    form = next(form for form in REGULATED.values() if form.title == title)
    of = [rhymes.tones.get(character) for character in "".join(lines_of(poem))]
    found = []
    for pattern in form.patterns:
        due = [(tone, own) for tone, own in zip("".join(pattern), of, strict=True) if tone != EITHER and own]
        found.append(sum(tone == own for tone, own in due) / max(1, len(due)))
    return max(found)


def known_runs(data: Texts) -> tuple[set[str], set[int]]:
    """(lines, hashes of runs of RUN characters) of the training poems."""
    lines, runs = set[str](), set[int]()
    for item in data.items:
        if item["split"] == "train":
            own = lines_of(item["text"])
            lines.update(own)
            whole = "".join(own)
            runs.update(hash(whole[i : i + RUN]) for i in range(len(whole) - RUN + 1))
    return lines, runs


def has_run(characters: str, runs: set[int]) -> bool:
    return any(hash(characters[i : i + RUN]) in runs for i in range(len(characters) - RUN + 1))
