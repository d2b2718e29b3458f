"""The phrases of music: read of fermatas, planned for a new piece, known to the network before a note is."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.contract.composing import CONTINUATION, GENERATION, HARMONIZATION, INPAINTING
from models.contract.sampling import Request
from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung, voices_of
from models.data.items import Scores
from models.music.known import Known, usual_steps
from models.music.network import CLOSE, PHRASE, SOUNDING
from models.music.phrases import Phrase, Plan, ahead, phrases_of, plan_of, planned
from models.music.pieces import Pieces, batch
from models.music.sample import MusicSampler
from models.music.spec import ContinuationParams, GenerationParams, HarmonizationParams, InpaintingParams
from models.music.work import usual_upbeat
from models.parts.keys import KEYS
from tests.support import composer
from tests.support.composer import chorale, item_of

BEATS = 4 * TICKS
LOWEST = [Sung(0, 3, BEATS, 50), Sung(BEATS, 3, BEATS, 0), Sung(2 * BEATS, 3, BEATS, 43)]
PLANS = [
    Plan("4/4", False, False, [2 * BEATS, 2 * BEATS], [7, 0]),
    Plan("4/4", True, False, [3 * BEATS, BEATS, 2 * BEATS], [5, 7, 0]),
    Plan("4/4", False, True, [2 * BEATS, 2 * BEATS], [4, 9]),
]
MAJOR = Plan("4/4", False, False, [], [])


def test_a_phrase_closes_on_the_note_of_the_lowest_voice() -> None:
    assert phrases_of([], LOWEST, 0, 3 * BEATS) == [], "of a piece without fermatas nothing is known"
    assert phrases_of([4, 8], LOWEST, 2, 3 * BEATS) == [
        Phrase(BEATS, 0),
        Phrase(2 * BEATS, None),
        Phrase(3 * BEATS, 5),
    ]
    assert phrases_of([4, 12, 99], LOWEST, 0, 3 * BEATS)[1:] == [Phrase(3 * BEATS, 7)]
    assert plan_of("4/4", False, True, [Phrase(BEATS, 2), Phrase(3 * BEATS, 7)]) == Plan(
        "4/4", False, True, [BEATS, 2 * BEATS], [2, 7]
    )
    assert plan_of("4/4", False, True, [Phrase(BEATS, None)]) is plan_of("4/4", False, True, []) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_fits_and_is_like_what_is_wanted(seed: int) -> None:
    assert planned(PLANS, MAJOR, 0, 4 * BEATS, seed) == [Phrase(2 * BEATS, 7), Phrase(4 * BEATS, 0)]
    minor = planned(PLANS, MAJOR._replace(is_minor=True), BEATS, 5 * BEATS, seed)
    assert minor == [Phrase(3 * BEATS, 4), Phrase(5 * BEATS, 9)]
    longer = planned(PLANS, MAJOR, 0, 8 * BEATS, seed)  # over again
    assert [phrase.close for phrase in longer] in ([7, 0, 7, 0], [0, 5, 7, 0])
    assert planned(PLANS, MAJOR, 0, 3 * BEATS, seed) == [Phrase(BEATS, 7), Phrase(3 * BEATS, 0)], "without one cut"
    cut = planned(PLANS[:1], MAJOR, 0, 5 * BEATS // 2, seed)
    assert cut == [Phrase(5 * BEATS // 2, 0)], "half a bar belongs to what follows"
    assert planned(PLANS, MAJOR._replace(metre="3/4"), 0, 4 * BEATS, seed) == []
    assert planned([], MAJOR, 0, 4 * BEATS, seed) == planned(PLANS, MAJOR, 4, 4, seed) == []


def test_a_checkpoint_that_says_nonsense_of_phrases() -> None:
    odd = [
        PLANS[0]._replace(lengths=[0, 0]),
        PLANS[0]._replace(lengths=[], closes=[]),
        PLANS[0]._replace(closes=[12, 0]),
    ]
    told = replace(composer.known(), plans=[*odd, PLANS[0]._replace(closes=[1]), PLANS[1]])
    assert Known.read(str(told)).plans == [PLANS[1]]


def test_what_lies_ahead_of_a_note() -> None:
    phrases = [Phrase(BEATS, 7), Phrase(2 * BEATS, None)]
    assert ahead(phrases, 0) == (BEATS, 8) and ahead(phrases, BEATS - 1) == (1, 8)
    assert ahead(phrases, BEATS) == (BEATS, 0)
    assert ahead(phrases, 2 * BEATS) == ahead([], 5) == (0, 0)


def test_training_hides_phrases_at_times_and_knows_them_at_others() -> None:
    scores = [replace(chorale(seed=seed), phrase_ends=[8.0]) for seed in range(8)]
    items = [{**item_of(score), "split": "train"} for score in scores]
    own = Pieces(Scores(Path(), items, {}), None, 96)
    assert len(own.known.plans) > 4 and Known.read(str(own.known)).plans == own.known.plans
    found = set()
    for seed in range(12):
        slots = batch(own, np.arange(8), np.random.default_rng(seed)).slots
        found |= {(bool(row[..., PHRASE].any()), bool(row[..., CLOSE].any())) for row in slots}
    assert found == {(False, False), (True, False), (True, True)}


@cache
def sampler() -> MusicSampler:
    return MusicSampler(composer.network(phrases=True), replace(composer.known(), plans=PLANS))


def composed(task: str, params: Any, **inputs: Score) -> Score:
    return composer.composed(sampler(), task, params, 3, **inputs)[0]


def test_a_piece_says_where_its_phrases_end() -> None:
    made = composed(GENERATION, GenerationParams(bars=4, key="D major", metre="4/4", upbeat=False))
    assert made.phrase_ends == [8.0, 16.0]
    assert composed(GENERATION, GenerationParams(bars=4, metre="2/2")).phrase_ends == [], "nothing is known of these"
    longer = composed(CONTINUATION, ContinuationParams(bars=4), opening=made)
    assert longer.phrase_ends[:2] == [8.0, 16.0] and longer.phrase_ends[-1] == 32.0
    opening = replace(made, phrase_ends=[4.0])
    assert [
        end for end in composed(CONTINUATION, ContinuationParams(bars=4), opening=opening).phrase_ends if end < 16
    ] == [4.0]
    ended = composed(CONTINUATION, ContinuationParams(bars=4), opening=replace(made, phrase_ends=[16.0]))
    assert ended.phrase_ends == [16.0], "that it ends says nothing of phrases"
    again = composed(INPAINTING, InpaintingParams(first_bar=2, last_bar=3), score=made)
    melody = Score([note for note in made.notes if note.part == 0], phrase_ends=made.phrase_ends)
    assert again.phrase_ends == composed(HARMONIZATION, HarmonizationParams(), melody=melody).phrase_ends == [8.0, 16.0]
    bare = replace(melody, phrase_ends=[])
    assert composed(HARMONIZATION, HarmonizationParams(), melody=bare).phrase_ends == []


def test_an_upbeat_is_as_usual_as_in_what_was_learnt_unless_it_is_asked_for() -> None:
    found = [usual_upbeat(sampler().known, "4/4", seed) for seed in range(300)]
    assert 0.25 < sum(found) / len(found) < 0.42, "a third of the plans"
    assert not any(usual_upbeat(sampler().known, "2/2", seed) for seed in range(9)), "nothing is known of these"
    for asked in (True, False):
        made = composed(GENERATION, GenerationParams(bars=4, metre="4/4", upbeat=asked))
        assert made.pickup == float(asked)


def test_a_voice_takes_the_steps_that_it_usually_takes() -> None:
    steps = [[-2, -1, 1, 2], [-12, 12], [0], []]
    own = MusicSampler(composer.network(), replace(composer.known(), steps=steps))
    asked = [Request(GENERATION, GenerationParams(bars=8), 1)]

    def taken(free: bool) -> list[set[int]]:
        (output,) = own.sample(asked, lambda *_: None, free)
        assert isinstance(output.value, Score)
        lines = voices_of(output.value)
        return [{b.pitch - a.pitch for a, b in pairwise(line) if SILENCE not in (a.pitch, b.pitch)} for line in lines]

    assert all(found <= set(usual) for found, usual in zip(taken(free=False), steps, strict=True))
    assert taken(free=True)[0] - set(steps[0]), "by itself it leaps"


def test_steps_that_a_voice_hardly_takes_are_not_usual() -> None:
    once = [Sung(24 * i, 0, 24, 60 + i % 2) for i in range(2500)]
    far = [once[0], once[1]._replace(pitch=75)]
    assert usual_steps([once, far]) == [-1, 1] and usual_steps([once[:5], far]) == [-1, 1, 15]


def test_the_network_hears_of_phrases_before_it_writes() -> None:
    network = composer.network(phrases=True)
    conditions = torch.tensor([sampler().known.conditions(KEYS.index("C major"), "4/4", None)])
    slots = torch.zeros(1, 1, SOUNDING + 4, dtype=torch.int64)
    told = slots.clone()
    told[..., PHRASE], told[..., CLOSE] = 3, 8
    assert not torch.equal(network.slot(slots, conditions), network.slot(told, conditions))
    without = composer.network()
    assert torch.equal(without.slot(slots, conditions), without.slot(told, conditions)), "it was trained without them"
