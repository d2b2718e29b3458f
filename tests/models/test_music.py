"""The music transformer: voices on a grid, what may be seen, what is given comes back, training that resumes."""

import itertools
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.datasets.prepared import ScoreItem, write_scores
from models.contract.message import Message
from models.contract.publication import publish
from models.contract.samples import PICTURE, PIECES, SAMPLES, read_pieces, whole_samples, write_samples
from models.contract.sampling import Request, Unfit
from models.contract.values import Note, Score
from models.contract.voices import SILENCE, TICKS, Sung, in_order, line, notes_of, ticks, voices_of
from models.data.items import Scores, open_items
from models.data.pictures import Unsuitable
from models.measure.effort import Effort
from models.measure.evaluation import measure
from models.measure.music import Runs, histograms, overlap, parallels, steps_of
from models.music import evaluate
from models.music.known import closes
from models.music.network import PITCHES, SOUNDING, ReadingLayer
from models.music.pieces import Pieces, batch, given_of
from models.music.sample import MusicSampler, load
from models.music.spec import (
    TASKS,
    ContinuationParams,
    GenerationParams,
    HarmonizationParams,
    InpaintingParams,
    MusicConfig,
    MusicTraining,
    problem,
    tasks_of,
)
from models.music.train import train
from models.music.work import work_of
from models.parts.keys import KEYS, above_c, is_chord_of, key_of, transposed
from models.training.run import Run, Stopped
from tests.support import composer
from tests.support.composer import chorale, item_of, known
from tests.support.interrupted import StopsAt13

SMALL: dict[str, Any] = {**composer.SMALL, "length": 96}


@cache
def sampler(voices: int = 4) -> MusicSampler:
    return MusicSampler(composer.network(voices, length=96), known(voices))


def melody(score: Score) -> Score:
    return Score([n for n in score.notes if n.part == 0], score.tempo, metre=score.metre, pickup=score.pickup)


def made(task: str, params: Any, seed: int = 0, voices: int = 4, **inputs: Score) -> tuple[Score, Message | None]:
    return composer.composed(sampler(voices), task, params, seed, **inputs)


# --- voices ---------------------------------------------------------------------------------------------------------


def test_voices_have_no_gaps_and_come_back_as_they_were() -> None:
    score = chorale()
    voices = voices_of(score)
    assert [len(voices), {voice[-1].end for voice in voices}] == [4, {16 * TICKS}]
    for voice in voices:
        assert all(a.end == b.start for a, b in itertools.pairwise(voice))
    assert notes_of(in_order(voices)) == score.notes
    order = in_order(voices)
    ends = [0] * 4
    for note in order:
        assert note.voice == ends.index(min(ends)), "the voice that ends first goes on"
        ends[note.voice] = note.end


def test_of_notes_at_once_the_highest_is_sung_until_the_next() -> None:
    sung = line(0, [Note(0, 3, 60, 0), Note(0, 1, 64, 0), Note(2, 4, 62, 0)], 8 * TICKS)
    assert [(n.start // TICKS, n.duration // TICKS, n.pitch) for n in sung] == [
        (0, 1, 64),
        (1, 1, SILENCE),
        (2, 4, 62),
        (6, 2, SILENCE),
    ]
    assert [ticks(1 / 3), ticks(0.26), ticks(2.98), ticks(0.125)] == [8, 6, 72, 3]


def test_keys_are_heard() -> None:
    def scale(steps: list[int], tonic: int) -> list[Sung]:
        return [Sung(i * TICKS, 0, TICKS, 48 + tonic + step) for i, step in enumerate(steps)]

    assert KEYS[key_of(scale([0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0], 7))] == "G major"
    assert KEYS[key_of(scale([0, 2, 3, 5, 7, 8, 11, 12, 7, 3, 0], 2))] == "D minor"
    assert KEYS[transposed(KEYS.index("B minor"), 1)] == "C minor"
    assert KEYS[key_of([])] == KEYS[key_of([Sung(0, 0, TICKS, SILENCE)])] == "C major"
    assert key_of(Sung(i * TICKS, 0, TICKS, 48 + i) for i in range(12)) in range(len(KEYS))
    assert KEYS[transposed(KEYS.index("C major"), -1)] == "B major"


# --- what may be seen -----------------------------------------------------------------------------------------------


def pieces(count: int = 6, longest: int = 96) -> Pieces:
    items = [{**item_of(chorale(seed=i)), "split": "train"} for i in range(count)]
    return Pieces(Scores(Path(), items, {}), known(), longest)


def test_a_piece_is_learnt_in_one_key_whichever_it_stands_in() -> None:
    score = chorale()
    higher = replace(score, notes=[replace(note, pitch=note.pitch + 3) for note in score.notes])
    found = Pieces(Scores(Path(), [{**item_of(each), "split": "train"} for each in (score, higher)], {}), known(), 500)
    drawn = batch(found, np.arange(2), np.random.default_rng(3), moved=False)
    apart = set((drawn.pitch[0] - drawn.pitch[1]).tolist()) - {0}
    assert apart <= {12} or apart <= {-12}, "the same notes, or all of them an octave from there"
    piece = found.pieces[0]
    durations = [known().durations[i] for i in drawn.duration[0].tolist()]
    columns = zip(piece.start.tolist(), piece.voice.tolist(), durations, drawn.pitch[0].tolist(), strict=True)
    assert KEYS[key_of(Sung(*column) for column in columns)] in ("C major", "A minor")


def test_nothing_to_come_is_seen_and_what_is_given_is() -> None:
    network, found = sampler().network, pieces()
    drawn = batch(found, np.arange(4), np.random.default_rng(1), moved=False)
    drawn.given[:] = False
    with torch.no_grad():
        base = network(drawn)
        drawn.pitch[:, 20], drawn.duration[:, 20] = 61, 3
        changed = network(drawn)
        assert torch.allclose(base[:, :21], changed[:, :21], atol=1e-5), "a note is not seen before it is written"
        assert not torch.allclose(base[:, 21], changed[:, 21], atol=1e-3)
        drawn.given[:, 20] = True
        given = network(drawn)
    assert not torch.allclose(changed[:, :20], given[:, :20], atol=1e-3), "a note that is given is seen from the start"


def test_the_encoder_knows_nothing_of_notes_that_are_hidden() -> None:
    network = sampler().network
    drawn = batch(pieces(), np.arange(4), np.random.default_rng(1), moved=False)
    drawn.given = (drawn.slots[..., 0] == 0) & drawn.real
    with torch.no_grad():
        base = network.encode(drawn)
        hidden = ~drawn.given
        drawn.pitch[hidden], drawn.duration[hidden] = 50, 1
        drawn.slots[..., SOUNDING + 1 :] = 50
        after = network.encode(drawn)
    seen = base.mask[:, 0, 0]
    for before, now in zip(base.layers, after.layers, strict=True):
        for kept, other in zip(before, now, strict=True):
            assert torch.equal(kept.transpose(1, 2)[seen], other.transpose(1, 2)[seen])


def test_a_layer_reads_as_the_plain_formula_says() -> None:
    torch.manual_seed(0)
    layer = ReadingLayer(16, 2, 32).eval()
    torch.nn.init.normal_(layer.read_out.weight)
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    still = torch.ones(1), torch.zeros(1)  # no turn
    mask = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])[:, None, None]
    with torch.no_grad():
        ours = layer.decode(x, still, layer.keys_and_values(memory, still), mask)
        after = layer.attend(x, still, None, None, 0)

        def heads(y: Tensor) -> Tensor:
            return y.view(2, -1, 2, 8).transpose(1, 2)

        query = F.rms_norm(heads(layer.query(layer.norm3(after))), (8,))
        key, value = layer.key_value(memory).chunk(2, -1)
        scores = query @ F.rms_norm(heads(key), (8,)).transpose(2, 3) / math.sqrt(8)
        mixed = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ heads(value)
        plain = layer.feed_forward(after + layer.read_out(mixed.transpose(1, 2).flatten(2)))
    assert torch.allclose(ours, plain, atol=1e-5)


def test_what_is_written_costs_what_teacher_forcing_says() -> None:
    """The sampler's path with its cache and the trainer's give the same choices: here of the most likely notes."""
    found, network = sampler(), sampler().network
    greedy = GenerationParams(bars=4, key="A major", metre="4/4", temperature=0.1, top_p=0.05)
    score, _ = made("music-generation", greedy)
    item = {"split": "train", "notes": [(n.start, n.duration, n.pitch, n.part) for n in score.notes], "metre": (4, 4)}
    one = Pieces(Scores(Path(), [item], {}), known(), 500)
    sung = one.pieces[0]
    sung.key, up = KEYS.index("A major"), -3
    drawn = batch(one, np.zeros(1, np.int64), np.random.default_rng(0), moved=False)
    drawn.given[:] = False
    drawn.conditions = torch.tensor([found.known.conditions(sung.key, "4/4", None)])
    singable = torch.zeros(4, PITCHES, dtype=torch.bool)
    for voice, (low, high) in enumerate(found.known.ranges):
        singable[voice, low - up : high - up + 1] = True
    singable[:, SILENCE] = True
    with torch.no_grad():
        logits = network.pitch_logits(network(drawn))[0]
    likeliest = logits.masked_fill(~singable[sung.voice], -torch.inf).argmax(-1)
    seen = SMALL["length"]  # from there on the sampler reads on from the middle of what it sees
    assert len(sung.pitch) > seen / 2 and torch.equal(likeliest[:seen], drawn.pitch[0, :seen])


# --- what is made ---------------------------------------------------------------------------------------------------


def test_a_piece_is_as_long_as_asked_in_every_voice_and_the_same_alone() -> None:
    asked = [GenerationParams(bars=3), GenerationParams(bars=5, key="G major", upbeat=True, tempo=100)]
    requests = [Request("music-generation", params, seed) for seed, params in enumerate(asked)]
    together = [output.value for output in sampler().sample(requests, lambda *_: None)]
    for i, params in enumerate(asked):
        alone, _ = made("music-generation", params, seed=i)
        assert alone == together[i]
        voices = voices_of(alone)
        assert {voice[-1].end for voice in voices} == {4 * params.bars * TICKS}
        for voice, (low, high) in zip(voices, known().ranges, strict=True):
            assert all(low <= note.pitch <= high for note in voice if note.pitch != SILENCE)
    second = together[1]
    assert isinstance(second, Score) and (second.pickup, second.tempo) == (1.0, 100)
    assert made("music-generation", asked[0], seed=7)[0] != together[0]


def test_a_piece_that_is_longer_than_the_network_sees() -> None:
    score, _ = made("music-generation", GenerationParams(bars=12))
    assert len(score.notes) > 96 and max(n.start + n.duration for n in score.notes) == 48


def test_a_melody_is_kept_and_gets_its_voices() -> None:
    score = chorale(pickup=1.0)
    harmony, remark = made("music-harmonization", HarmonizationParams(), melody=melody(score))
    assert melody(harmony).notes == melody(score).notes and {n.part for n in harmony.notes} == {0, 1, 2, 3}
    assert (harmony.tempo, harmony.pickup, remark) == (72.0, 1.0, None)
    high = Score([Note(n.start, n.duration, n.pitch + 24, 0) for n in melody(score).notes], 72.0)
    moved, remark = made("music-harmonization", HarmonizationParams(), melody=high)
    assert remark is not None and "octaves" in str(remark)
    assert [n.pitch for n in melody(moved).notes] == [n.pitch for n in melody(score).notes]
    _, remark = made("music-harmonization", HarmonizationParams(), melody=score)
    assert remark is not None and "4 parts" in str(remark)


def test_an_opening_is_kept_and_goes_on() -> None:
    score = chorale()
    longer, remark = made("music-continuation", ContinuationParams(bars=2), opening=score)
    assert remark is None and [n for n in longer.notes if n.start < 16] == score.notes
    assert max(n.start + n.duration for n in longer.notes) == 24
    alone, remark = made("music-continuation", ContinuationParams(bars=1), opening=melody(score))
    assert remark is not None and "others" in str(remark) and {n.part for n in alone.notes} == {0, 1, 2, 3}
    one, remark = made("music-continuation", ContinuationParams(bars=1), voices=1, opening=score)
    assert remark is not None and {n.part for n in one.notes} == {0}


def test_all_bars_written_anew_stay_in_the_key() -> None:
    moved = [replace(note, pitch=note.pitch + 3) for note in chorale().notes]
    score = replace(chorale(), notes=moved)
    whole = InpaintingParams(first_bar=1, last_bar=4)
    work = work_of(Request("music-inpainting", whole, 0, {"score": [score]}), known())
    assert not work.given and work.up == above_c(key_of(in_order(voices_of(score)))) != 0


def test_bars_are_written_anew_and_the_rest_stays() -> None:
    score = chorale(bars=6)
    mended, _ = made("music-inpainting", InpaintingParams(first_bar=3, last_bar=4), score=score)

    def heard(piece: Score, start: float, end: float) -> list[list[int]]:
        """What each voice sings at every eighth."""
        times = np.arange(start, end, 0.5)
        return [
            [n.pitch for t in times for n in piece.notes if n.part == part and n.start <= t < n.start + n.duration]
            for part in range(4)
        ]

    assert [heard(mended, a, b) == heard(score, a, b) for a, b in ((0, 8), (16, 24), (8, 16))] == [True, True, False]
    assert [n for n in mended.notes if n.start < 8] == [n for n in score.notes if n.start < 8]
    with pytest.raises(Unfit, match="fewer"):
        made("music-inpainting", InpaintingParams(first_bar=9, last_bar=9), score=score)
    with pytest.raises(Unfit, match="1 parts"):
        made("music-inpainting", InpaintingParams(), score=melody(score))
    assert problem(InpaintingParams(first_bar=9, last_bar=9), {"score": [{"bars": 6}]}) is not None
    with pytest.raises(ValueError, match="before the first"):
        InpaintingParams(first_bar=4, last_bar=3)


def test_what_cannot_be_read_is_refused() -> None:
    many = Score([Note(i / 4, 0.25, 60, 0) for i in range(4001)])
    with pytest.raises(Unfit, match="4001"):
        made("music-continuation", ContinuationParams(), opening=many)
    with pytest.raises(Unfit, match="H major"):
        made("music-generation", GenerationParams(key="H major"))
    with pytest.raises(Unfit, match="1000"):
        made("music-harmonization", HarmonizationParams(), melody=Score([Note(0, 1, 60, 0), Note(90_000, 1, 60, 0)]))
    with pytest.raises(Unfit, match="1000"):
        made("music-continuation", ContinuationParams(bars=64), opening=Score([Note(0, 1, 60, 0)], metre=(255, 1)))
    with pytest.raises(Unfit, match="metre"):
        made("music-continuation", ContinuationParams(), opening=Score([Note(0, 1, 60, 0)], metre=(1, 64)))


def test_progress_ends_where_all_pieces_do_and_previews_grow() -> None:
    told: list[tuple[int, int, list[int]]] = []

    def on_step(step: int, total: int, previews: Any) -> None:
        told.append((step, total, [len(value.notes) for value in previews()]))

    asked = [Request("music-generation", GenerationParams(bars=bars), bars) for bars in (2, 4)]
    sampler().sample(asked, on_step)
    assert [step for step, _, _ in told] == sorted(step for step, _, _ in told)
    assert told[-1][0] == told[-1][1] == 24
    assert all(a <= b for x, y in itertools.pairwise(told) for a, b in zip(x[2], y[2], strict=True))


def test_one_voice_is_not_harmonised() -> None:
    assert len(tasks_of({"voices": ["Melody"]})) == len(TASKS) - 1 and tasks_of({"voices": list("SATB")}) == TASKS


# --- training -------------------------------------------------------------------------------------------------------


def test_every_pattern_of_what_is_given_leaves_something_to_learn() -> None:
    piece = next(iter(pieces(1).pieces.values()))
    patterns = [given_of(piece, np.random.default_rng(seed)) for seed in range(60)]
    assert all(not given.all() for given in patterns[:40]) or any(not given.any() for given in patterns)
    assert any(not given.any() for given in patterns) and any(0 < given.mean() < 1 for given in patterns)
    assert any((given == (piece.voice == 0)).all() for given in patterns)


def collection(folder: Path) -> Scores:
    items = [
        ScoreItem.of(str(i), "held_out" if i % 5 == 4 else "train", chorale(seed=i % 3), f"No. {i}") for i in range(20)
    ]
    write_scores(folder, items, {"name": "tiny"})
    data = open_items(folder)
    assert isinstance(data, Scores)
    return data


def test_it_learns_resumes_with_its_dropout_and_is_measured(tmp_path: Path) -> None:
    data = collection(tmp_path / "tiny")
    params = MusicTraining(network=MusicConfig.model_validate(SMALL), batch_size=4, dropout=0.1)

    def run(folder: str, kind: type[Run] = Run) -> Run:
        run = kind(tmp_path / folder, steps=40, echo=False, checkpoint_seconds=0.0)
        train(params.model_copy(deep=True), data, run)
        return run

    with pytest.raises(Stopped):
        run("again", StopsAt13)
    whole, again = run("whole"), run("again")
    losses = [value for _, value in whole.folder.curves()["loss"]]
    assert losses[-1] < 0.9 * losses[0]
    ours, theirs = (load(each.folder.model, torch.device("cpu")) for each in (whole, again))
    for a, b in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert ours.known.metres == ["4/4"] and len(ours.known.voices) == 4
    measure(whole.folder.model, data, tmp_path, 1.0)
    assert [path.suffix for path in whole_samples(whole.folder.model / SAMPLES)] == [PICTURE, PIECES]
    assert len(whole.folder.pieces(40)) == 6 and not whole.folder.pieces(41)
    published = publish(whole.folder.model, tmp_path / "published", "own-tunes")
    assert read_pieces(published / "samples.json") == read_pieces(whole.folder.model / "samples.json")
    figures, _ = evaluate.evaluate(whole.folder.model, data, tmp_path, Effort(16, 5.0))
    assert figures["held_out_nats_held_out"] > 0
    assert figures["real"]["longest_copied_run"]["median"] > 50, "here what is held out is a copy"
    for part in ("composed", "harmonised"):
        assert 0 < figures[part]["pitch_class_overlap"] <= 1


@pytest.mark.parametrize(
    "broken",
    [
        '[{"notes": [{"start": -1, "duration": 1, "pitch": 60, "part": 0}]}]',
        '[{"notes": [{"start": 1e9, "duration": 1, "pitch": 60, "part": 0}]}]',
        '[{"notes": [{"start": 0, "duration": 1, "pitch": 600, "part": 0}]}]',
        '[{"notes": [{"start": 0, "duration": 1, "pitch": 60, "part": 3}]}]',
        '[{"notes": [], "tempo": 0}]',
        '[{"notes": [], "metre": [4, 0]}]',
        '{"notes": []}',
        "[" * 10_000,
    ],
)
def test_samples_of_others_that_cannot_be_played_are_left_out(broken: str, tmp_path: Path) -> None:
    write_samples(tmp_path / SAMPLES, [chorale()])
    assert len(whole_samples(tmp_path / SAMPLES)) == 2
    (tmp_path / "samples.json").write_text(broken)
    assert [path.name for path in whole_samples(tmp_path / SAMPLES)] == ["samples.png"]


def test_pieces_of_other_voices_and_durations_are_left_out(tmp_path: Path) -> None:
    items = [ScoreItem.of(str(i), "train", chorale(seed=i)) for i in range(6)]
    items += [ScoreItem.of("two", "train", Score(melody(chorale()).notes))]
    items += [ScoreItem.of("odd", "train", Score([Note(0, 7 - part / 2, 60, part) for part in range(4)]))]
    write_scores(tmp_path / "mixed", items, {"name": "mixed"})
    data = open_items(tmp_path / "mixed")
    assert isinstance(data, Scores)
    found = Pieces(data, None, 96)
    assert sorted(found.pieces) == [0, 1, 2, 3, 4, 5] and set(found.known.durations) <= {12, 24, 36, 48}
    write_scores(tmp_path / "none", [ScoreItem.of("1", "held_out", chorale())], {"name": "none"})
    none = open_items(tmp_path / "none")
    assert isinstance(none, Scores)
    with pytest.raises(Unsuitable, match="nothing to learn"):
        Pieces(none, None, 96)


# --- figures --------------------------------------------------------------------------------------------------------


def test_parallel_fifths_are_counted() -> None:
    def two(upper: list[int], lower: list[int]) -> list[list[Sung]]:
        return [
            [Sung(i * TICKS, voice, TICKS, p) for i, p in enumerate(row)] for voice, row in enumerate((upper, lower))
        ]

    assert parallels(two([67, 69], [60, 62])) == 1, "fifths"
    assert parallels(two([72, 74], [60, 62])) == 1, "octaves"
    assert parallels(two([67, 69], [60, 60])) == 0 and parallels(two([67, 65], [60, 62])) == 0
    assert parallels(two([64, 65], [60, 62])) == 0, "thirds"


def test_copies_are_found_in_whatever_key() -> None:
    corpus, moved = chorale(seed=1), chorale(seed=1)
    moved = Score([Note(n.start, n.duration, n.pitch + 3, n.part) for n in moved.notes])
    runs = Runs([voices_of(corpus)])
    assert runs.longest(voices_of(moved)) == len(steps_of(voices_of(corpus))) + 1
    assert runs.longest(voices_of(chorale(seed=2))) < 20


def test_overlaps_are_of_shares() -> None:
    found = histograms([voices_of(chorale(seed=1))])
    assert overlap(found["duration"], found["duration"]) == pytest.approx(1)
    assert 0 < overlap(found["interval"], histograms([voices_of(chorale(seed=2))])["interval"]) < 1


def test_parallels_are_avoided_where_the_music_avoids_them() -> None:
    own = sampler()
    strict = MusicSampler(own.network, replace(own.known, strict=True))
    asked = [Request("music-generation", GenerationParams(bars=8), seed) for seed in range(4)]

    def found(sampler: MusicSampler, free: bool = False) -> list[int]:
        made = sampler.sample(asked, lambda *_: None, free)
        return [parallels(voices_of(output.value)) for output in made if isinstance(output.value, Score)]

    assert sum(found(own)) > 0 and found(strict, free=True) == found(own)
    assert found(strict) == [0, 0, 0, 0]
    held = Pieces(Scores(Path(), [{**item_of(chorale(seed=i)), "split": "train"} for i in range(4)], {}), None, 96)
    assert not held.known.strict and not held.known.closes, "music by chance has them, and ends anywhere"


def test_a_piece_closes_in_its_key_where_the_music_does() -> None:
    own = sampler()
    closing = MusicSampler(own.network, replace(own.known, strict=True, closes=True))
    asked = [Request("music-generation", GenerationParams(bars=2, key=key), seed) for seed, key in enumerate(KEYS)]

    def closed(sampler: MusicSampler, free: bool = False) -> int:
        made = sampler.sample(asked, lambda *_: None, free)
        voices = [voices_of(output.value) for output in made if isinstance(output.value, Score)]
        assert {line[-1].end for piece in voices for line in piece} == {8 * TICKS}
        return sum(closes(key, piece) for key, piece in enumerate(voices))

    assert closed(own) <= 2 and closed(closing, free=True) == closed(own)
    assert closed(closing) == len(KEYS)


@pytest.mark.parametrize(("last", "told"), [((76, 67, 60, 48), True), ((76, 67, 62, 48), False)])
def test_whether_music_closes_in_its_key_is_learnt(last: tuple[int, ...], told: bool) -> None:
    first = (76, 67, 60, 48)
    notes = [
        Note(start, 2, pitch, i) for start in (0, 2, 4, 6) for i, pitch in enumerate(last if start == 6 else first)
    ]
    items = [{**item_of(Score(notes)), "split": "train"}] * 4
    assert Pieces(Scores(Path(), items, {}), None, 96).known.closes == told


def test_the_chord_of_a_key() -> None:
    c, a = KEYS.index("C major"), KEYS.index("A minor")
    assert is_chord_of(c, [76, 67, 60], 48) and is_chord_of(c, [76], None) and is_chord_of(c, [], 36)
    assert not is_chord_of(c, [76, 67, 60], 55), "the root lies lowest"
    assert not is_chord_of(c, [75, 67, 60], 48) and not is_chord_of(c, [76, SILENCE], 48)
    assert is_chord_of(a, [72, 69, 64], 45) and is_chord_of(a, [73, 69, 64], 45)
    assert not is_chord_of(a, [73, 72, 64], 45), "one third or the other"
