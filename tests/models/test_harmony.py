"""The harmony of music: chords under beats, written before the notes and never heard."""

from collections.abc import Collection
from dataclasses import replace
from functools import cache
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
from models.music.harmony import KINDS, OCTAVE, chords_of, is_tonic
from models.music.known import Known
from models.music.network import PITCHES
from models.music.pieces import Pieces, batch
from models.music.sample import MusicSampler
from models.music.spec import ContinuationParams, GenerationParams, HarmonizationParams, InpaintingParams
from models.music.work import work_of
from models.parts.keys import KEYS
from tests.support import composer
from tests.support.composer import chorale, item_of

MAJOR, MINOR, DOMINANT = (OCTAVE * (1 + kind) for kind in (0, 1, 3))  # of C


def lines(*voices: list[tuple[int, float]]) -> list[list[Sung]]:
    """Of pitches and beats, one after another."""
    made = []
    for voice, notes in enumerate(voices):
        starts = np.cumsum([0, *(beats for _, beats in notes)])
        made.append([Sung(int(TICKS * s), voice, int(TICKS * b), p) for s, (p, b) in zip(starts, notes, strict=False)])
    return made


def read(voices: list[list[Sung]], up: int = 0, pickup: int = 0, ends: Collection[int] = ()) -> list[tuple[int, int]]:
    return [(note.pitch, note.duration // TICKS) for note in chords_of(voices, up, pickup, ends)]


def test_chords_are_heard_under_each_beat() -> None:
    cadence = lines(
        [(76, 1), (74, 1), (74, 1), (72, 1)],
        [(67, 1), (69, 1), (67, 0.5), (65, 0.5), (64, 1)],
        [(60, 1), (65, 1), (59, 1), (55, 1)],
        [(48, 1), (50, 1), (55, 1), (48, 1)],
    )
    assert read(cadence) == [(MAJOR, 1), (MINOR + 2, 1), (MAJOR + 7, 1), (MAJOR, 1)], "a seventh in passing is none"
    held = [*cadence[:1], lines([(67, 1), (69, 1), (65, 1), (64, 1)])[0], *cadence[2:]]
    assert read(held)[2] == (DOMINANT + 7, 1)
    assert read([[note._replace(pitch=note.pitch + 3) for note in line] for line in cadence], up=3) == read(cadence)
    assert read(lines([(64, 5)], [(60, 5)], [(48, 5)])) == [(MAJOR, 4), (MAJOR, 1)], "four beats at most"
    assert read(lines([(64, 4)], [(60, 4)], [(48, 4)]), ends={2 * TICKS}) == [(MAJOR, 2), (MAJOR, 2)]
    late = chords_of(lines([(64, 2)], [(60, 2)], [(48, 2)]), 0, TICKS // 2, ())
    assert [(note.start, note.duration) for note in late] == [(0, 2 * TICKS)]
    assert read(lines([(SILENCE, 2)], [(SILENCE, 2)], [(SILENCE, 1), (48, 1)])) == [(SILENCE, 1), (MAJOR, 1)]


def test_the_chord_that_a_piece_closes_on() -> None:
    assert is_tonic(MAJOR, False) and not is_tonic(MINOR, False) and not is_tonic(MAJOR + 7, False)
    assert is_tonic(MINOR + 9, True) and is_tonic(MAJOR + 9, True) and not is_tonic(DOMINANT + 9, True)
    assert not is_tonic(SILENCE, False)


@cache
def known() -> Known:
    chords = [OCTAVE * (1 + kind) + root for kind in range(len(KINDS)) for root in range(OCTAVE)]
    return replace(composer.known(), chords=chords, order=[4, 0, 3, 2, 1])


@cache
def sampler() -> MusicSampler:
    return MusicSampler(composer.network(5), known())


def composed(task: str, params: Any, **inputs: Score) -> Score:
    return composer.composed(sampler(), task, params, 3, **inputs)[0]


def test_chords_are_written_and_not_heard() -> None:
    (work,) = works = [work_of(Request(GENERATION, GenerationParams(bars=4), 1), known())]
    sampler().write(works, lambda done: None, free=False)
    order = [note.voice for note in work.sung if note.start == 0]
    assert order == [4, 0, 3, 2, 1], "first the chord, then the outer voices"
    assert {note.pitch for note in work.sung if note.voice == 4} <= {SILENCE, *known().chords}
    assert {note.part for note in work.score().notes} == {0, 1, 2, 3}


def test_what_is_given_comes_back_beside_chords() -> None:
    score = chorale()
    longer = composed(CONTINUATION, ContinuationParams(bars=2), opening=score)
    assert set(score.notes) <= set(longer.notes) and max(n.start + n.duration for n in longer.notes) == 24
    mended = composed(INPAINTING, InpaintingParams(first_bar=2, last_bar=2), score=score)
    kept = [note for note in score.notes if note.start + note.duration <= 4 or note.start >= 8]
    assert set(kept) <= set(mended.notes) and mended.notes != score.notes
    melody = Score([note for note in score.notes if note.part == 0])
    harmonised = composed(HARMONIZATION, HarmonizationParams(), melody=melody)
    assert set(melody.notes) <= set(harmonised.notes) and len(voices_of(harmonised)) == 4


@pytest.mark.parametrize("key", ["D major", "F minor"])
def test_what_is_written_costs_what_teacher_forcing_says(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = GenerationParams(bars=3, key=key, metre="4/4", temperature=0.1, top_p=0.05)
    (work,) = works = [work_of(Request(GENERATION, greedy, 0), known())]
    sampler().write(works, lambda done: None, free=False)
    chords = [note for note in work.sung if note.voice == 4]
    monkeypatch.setattr(Known, "harmony", lambda *_: chords)
    one = Pieces(Scores(Path(), [{**item_of(work.score()), "split": "train"}], {}), known(), 500)
    one.pieces[0].key = KEYS.index(key)
    drawn = batch(one, np.zeros(1, np.int64), np.random.default_rng(0), moved=False)
    drawn.given[:] = False
    drawn.conditions = torch.tensor([known().conditions(KEYS.index(key), "4/4", None)])
    singable = torch.zeros(5, PITCHES, dtype=torch.bool)
    for voice, (low, high) in enumerate(known().ranges):
        singable[voice, work.lowered(low, voice) : work.lowered(high, voice) + 1] = True
    singable[4, known().chords] = True
    singable[:, SILENCE] = True
    network = sampler().network
    with torch.no_grad():
        logits = network.pitch_logits(network(drawn))[0]
    likeliest = logits.masked_fill(~singable[one.pieces[0].voice], -torch.inf).argmax(-1)
    seen = network.config.length // 2
    assert torch.equal(likeliest[:seen], drawn.pitch[0, :seen])


def test_a_collection_of_several_voices_has_chords() -> None:
    items = [{**item_of(chorale(seed=seed)), "split": "train"} for seed in range(6)]
    own = Pieces(Scores(Path(), items, {}), None, 96)
    assert own.known.lines == 5 and own.known.order == [4, 0, 3, 2, 1] and own.known.chords
    drawn = batch(own, np.arange(6), np.random.default_rng(1))
    assert set(drawn.slots[..., 0].flatten().tolist()) == {0, 1, 2, 3, 4}
    melodies = [{**item, "notes": [note for note in item["notes"] if note[3] == 0]} for item in items]
    assert Pieces(Scores(Path(), melodies, {}), None, 96).known.lines == 1


def test_a_collection_too_small_for_chords_has_none() -> None:
    notes = [(float(beat), 1.0, pitch + beat, part) for beat in range(3) for part, pitch in enumerate((72, 65, 60, 48))]
    item = {"split": "train", "notes": notes, "metre": (4, 4)}
    own = Pieces(Scores(Path(), [item], {}), None, 96)
    assert not own.known.chords and own.known.order == [0, 3, 2, 1]
