"""The VAE of music: rolls and scores, bars that are written side by side, mixtures, training that resumes."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.datasets.prepared import ScoreItem, write_scores
from models.contract.composing import RollGenerationParams, RollInterpolationParams, RollVariationParams
from models.contract.message import Message
from models.contract.samples import PICTURE, PIECES, SAMPLES, whole_samples
from models.contract.sampling import Request, Unfit
from models.contract.values import Note, Score
from models.contract.voices import names_of, voices_of
from models.data.items import Scores, open_items
from models.data.pictures import Unsuitable
from models.measure.effort import Effort
from models.measure.evaluation import measure
from models.parts.rolls import FIRST, HOLD, LOWEST, REST, STEPS, TOKENS, Rolls, given_roll, roll_of, score_of, tonic_of
from models.roll_vae import evaluate
from models.roll_vae.network import RollVAE, nats
from models.roll_vae.sample import RollSampler, load
from models.roll_vae.spec import RollConfig, RollTraining
from models.roll_vae.train import fit_prior, train
from models.training.run import Run, Stopped
from tests.support import composer
from tests.support.interrupted import StopsAt13

SMALL: dict[str, Any] = {"bars": 2, "voices": 2, "latent": 8, "width": 32, "heads": 2, "hidden": 64, "layers": 1}


@cache
def sampler() -> RollSampler:
    return RollSampler(composer.mixer(voices=2), ["Upper", "Lower"], 90.0)


def duet(seed: int = 0, bars: int = 2, up: int = 0) -> Score:
    """In C major, or `up` semitones higher."""
    random, notes = np.random.default_rng(seed), []
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    for part, octave in enumerate((72, 48)):
        now = 0.0
        while now < 4 * bars:
            duration = min(float(random.choice([0.5, 1.0, 2.0])), 4 * bars - now)
            is_last = now + duration >= 4 * bars
            pitch = octave + up + (0 if is_last or now == 0 else int(random.choice(scale)))
            notes.append(Note(now, duration, pitch, part))
            now += duration
    return Score(sorted(notes, key=lambda n: (n.start, -n.pitch)), 80.0)


def made(task: str, params: Any, *given: Score, seed: int = 0, index: int = 0) -> tuple[Score, Message | None]:
    request = Request(task, params, seed, {"score": list(given)}, index)
    (output,) = sampler().sample([request], lambda *_: None)
    assert isinstance(output.value, Score)
    return output.value, output.remark


def test_a_score_becomes_a_roll_and_a_score_again() -> None:
    score = duet(up=3)
    lines = voices_of(score)
    tonic = tonic_of(lines)
    assert tonic == 3
    roll = roll_of(lines, 0, tonic, 2)
    assert roll.shape == (2, STEPS, 2) and roll.max() < TOKENS
    assert roll[0, 0, 0] == FIRST + 72 - LOWEST and set(np.unique(roll)) >= {HOLD}
    again = score_of(roll, tonic, 80.0, [])
    assert again.notes == score.notes
    silent = roll.copy()
    silent[0, :, 1] = REST
    silent[0, 3, 1] = HOLD
    assert all(note.start >= 4 or note.part == 0 for note in score_of(silent, 0, 80, []).notes)


def test_what_is_given_may_be_of_other_lengths_and_parts() -> None:
    roll, tonic, more = given_roll(duet(bars=5, up=-2), 2, 2)
    assert roll.shape == (2, STEPS, 2) and (tonic, more) == (-2, True)
    melody = Score([note for note in duet().notes if note.part == 0])
    roll, _, more = given_roll(melody, 3, 2)
    assert (roll[..., 1] == REST).all() and (roll[2] == REST).all() and not more
    three = Score([*duet().notes, Note(0, 4, 30, 2)])
    assert given_roll(three, 2, 2)[0].max() < TOKENS


def test_nothing_to_come_is_seen_within_a_bar_and_no_other_bar() -> None:
    network = sampler().network
    rolls = torch.randint(0, TOKENS, (1, 2, STEPS, 2), generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    base, changed = network.decode(latents, rolls), rolls.clone()
    changed[0, 1, 5, 0] = (changed[0, 1, 5, 0] + 5) % TOKENS
    other = network.decode(latents, changed)
    assert torch.equal(base[0, 0], other[0, 0]), "bars know of each other by the latents alone"
    assert torch.allclose(base[0, 1, :11], other[0, 1, :11], atol=1e-5)
    assert not torch.allclose(base[0, 1, 11], other[0, 1, 11], atol=1e-3)


def test_the_cache_knows_the_same() -> None:
    network = sampler().network
    rolls = torch.randint(0, TOKENS, (1, 2, STEPS, 2), generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    whole = network.decode(latents, rolls)[0]
    told, cache = network.unfold(latents).flatten(0, 1), network.writer.empty_cache(2)
    tokens = rolls.flatten(0, 1).flatten(1)
    for place in range(2 * STEPS):
        before = tokens[:, place - 1] if place else None
        assert torch.allclose(network.next_logits(before, place, told, cache), whole[:, place], atol=1e-4)


def test_a_piece_is_the_same_alone_and_among_others() -> None:
    asked = [RollGenerationParams(), RollGenerationParams(key="E minor", tempo=120), RollGenerationParams(variety=0)]
    requests = [Request("music-generation", params, seed) for seed, params in enumerate(asked)]
    together = [output.value for output in sampler().sample(requests, lambda *_: None)]
    assert together == [made("music-generation", params, seed=seed)[0] for seed, params in enumerate(asked)]
    assert isinstance(together[1], Score) and together[1].tempo == 120 and together[1].parts == ["Upper", "Lower"]
    with pytest.raises(Unfit, match="H major"):
        made("music-generation", RollGenerationParams(key="H major"))


def test_mixtures_end_where_the_pieces_are() -> None:
    first, second = duet(1), duet(2)
    only = made("music-interpolation", RollInterpolationParams(weights=[1, 0]), first, second)[0]
    alone = made("music-variation", RollVariationParams(strength=0), first)[0]
    assert only == alone
    way = RollInterpolationParams(path=True, count=3)
    assert made("music-interpolation", way, first, second, index=0)[0] == alone
    last = made("music-interpolation", way, first, second, index=2)[0]
    assert last == made("music-variation", RollVariationParams(strength=0), second)[0] and last != alone
    assert last.tempo == 80.0
    _, remark = made("music-variation", RollVariationParams(), duet(bars=4))
    assert remark is not None and "2 bars" in str(remark)
    with pytest.raises(ValueError, match="more than 0"):
        RollInterpolationParams(weights=[0, 0])


def test_progress_ends_and_previews_grow() -> None:
    told: list[tuple[int, int, int]] = []

    def on_step(step: int, total: int, previews: Any) -> None:
        told.append((step, total, len(previews()[0].notes)))

    sampler().sample([Request("music-generation", RollGenerationParams(), 0)], on_step)
    assert [step for step, _, _ in told] == list(range(1, STEPS + 1)) and told[-1][1] == STEPS
    assert told[0][2] <= told[-1][2]


def test_the_prior_is_that_of_the_latents() -> None:
    torch.manual_seed(0)
    network = RollVAE(RollConfig.model_validate(SMALL)).eval()
    windows = torch.from_numpy(np.stack([roll_of(voices_of(duet(i)), 0, 0, 2) for i in range(40)]))
    fit_prior(network, windows)
    with torch.no_grad():
        mean, log_variance = network.encode(windows)
        assert torch.allclose(network.prior_mean, mean.mean(0), atol=1e-5)
        covariance = network.prior_factor @ network.prior_factor.T
        assert torch.allclose(covariance.diagonal(), mean.var(0, correction=0) + log_variance.exp().mean(0), rtol=0.01)
        latents = torch.randn(3, 8)
        assert torch.allclose(network.latents_of(network.noise_of(latents)), latents, atol=1e-4)


def test_what_is_given_at_once_costs_what_each_costs() -> None:
    network = sampler().network
    rolls = torch.from_numpy(np.stack([roll_of(voices_of(duet(i)), 0, 0, 2) for i in range(3)]))
    latents = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    together = nats(network.decode(latents, rolls), rolls)
    for i in range(3):
        assert nats(network.decode(latents[i : i + 1], rolls[i : i + 1]), rolls[i : i + 1])[0] == pytest.approx(
            float(together[i]), rel=1e-4
        )


def collection(folder: Path, **changes: Any) -> Scores:
    items = [
        ScoreItem.of(str(i), "held_out" if i % 5 == 4 else "train", duet(i % 4, 4, up=i % 3), f"No. {i}")
        for i in range(20)
    ]
    for item in items:
        for name, value in changes.items():
            setattr(item, name, value)
    write_scores(folder, items, {"name": "tiny"})
    data = open_items(folder)
    assert isinstance(data, Scores)
    return data


def test_windows_begin_at_bar_lines_in_one_key(tmp_path: Path) -> None:
    rolls = Rolls(collection(tmp_path / "tiny"), 2)
    assert rolls.voices == 2 and len(rolls.windows) == 20 * 3 and len(rolls.indices("held_out")) == 4 * 3
    firsts = [window for window, piece in zip(rolls.windows, rolls.pieces, strict=True) if piece in (0, 12)]
    assert any((a == b).all() for a in firsts[:3] for b in firsts[3:]), "the same music in another key"


def test_it_learns_resumes_and_is_measured(tmp_path: Path) -> None:
    data = collection(tmp_path / "tiny")
    params = RollTraining(network=RollConfig.model_validate(SMALL), batch_size=8)

    def run(folder: str, kind: type[Run] = Run) -> Run:
        run = kind(tmp_path / folder, steps=60, echo=False, checkpoint_seconds=0.0)
        train(params.model_copy(deep=True), data, run)
        return run

    with pytest.raises(Stopped):
        run("again", StopsAt13)
    whole, again = run("whole"), run("again")
    losses = [value for _, value in whole.folder.curves()["reconstruction_nats"]]
    assert losses[-1] < 0.8 * losses[0]
    ours, theirs = (load(each.folder.model, torch.device("cpu")) for each in (whole, again))
    for a, b in zip(ours.network.state_dict().values(), theirs.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert ours.parts == names_of(2)
    measure(whole.folder.model, data, tmp_path, 1.0)
    assert [path.suffix for path in whole_samples(whole.folder.model / SAMPLES)] == [PICTURE, PIECES]
    figures, _ = evaluate.evaluate(whole.folder.model, data, tmp_path, Effort(16, 5.0))
    assert figures["held_out_nats_held_out"] > 0 and 0 < figures["repeated_held_out"] <= 1


def test_pieces_in_other_metres_are_no_use(tmp_path: Path) -> None:
    with pytest.raises(Unsuitable, match="four quarters"):
        train(RollTraining(), collection(tmp_path / "three", metre=(3, 4)), Run(tmp_path / "run", 1, echo=False))
