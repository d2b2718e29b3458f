"""The GAN of music: choices with gradients, penalties, directions, an encoder, training that resumes."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.adversarial.game import Game
from models.contract.composing import DirectedParams, RollInterpolationParams, RollVariationParams
from models.contract.recipe import completed
from models.contract.samples import PICTURE, PIECES, SAMPLES, whole_samples
from models.contract.sampling import Request
from models.contract.values import Score
from models.measure.effort import Effort
from models.measure.evaluation import measure
from models.parts.rolls import FIRST, HIGHEST, LOWEST, REST, STEPS, TOKENS, Rolls
from models.roll_gan import evaluate
from models.roll_gan.network import (
    DIRECTIONS,
    PACKED,
    RollDiscriminator,
    RollGenerator,
    concrete,
    gumbel_noise,
    one_hot,
)
from models.roll_gan.sample import RollGANSampler, load
from models.roll_gan.spec import RollGANConfig, RollGANTraining
from models.roll_gan.train import find_directions, train
from models.training.run import Run, Stopped
from tests.models.test_roll_vae import collection, duet
from tests.support.interrupted import StopsAt13

SMALL: dict[str, Any] = {"bars": 2, "voices": 2, "latent": 8, "width": 16, "blocks": 1}


@cache
def generator() -> RollGenerator:
    torch.manual_seed(0)
    made = RollGenerator(RollGANConfig.model_validate(SMALL)).eval()
    for parameter in made.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        spread = made(torch.randn(64, 8)).std()
        made.out.bias.view(PACKED, 2, TOKENS)[..., :FIRST] += spread  # type: ignore[operator]
    find_directions(made)
    return made.requires_grad_(False)


def sampler(ranges: Sequence[tuple[int, int]] = ()) -> RollGANSampler:
    return RollGANSampler(generator(), ["Upper", "Lower"], 90.0, ranges)


def made(task: str, params: Any, *given: Score, seed: int = 0) -> Score:
    (output,) = sampler().sample([Request(task, params, seed, {"score": list(given)})], lambda *_: None)
    assert isinstance(output.value, Score)
    return output.value


def test_notes_in_noise_are_as_likely_as_their_logits_say_and_have_gradients() -> None:
    logits = torch.tensor([0.0, 1.0, 3.0], requires_grad=True)
    drawn = concrete(logits, gumbel_noise(torch.empty(20_000, 3), torch.Generator().manual_seed(0)))
    assert torch.allclose(drawn.sum(-1), torch.ones(20_000))
    often = torch.bincount(drawn.argmax(-1)) / len(drawn)
    assert torch.allclose(often, logits.softmax(-1), atol=0.015)
    (slope,) = torch.autograd.grad(drawn[:, 2].sum(), logits)
    assert slope[2] > 0 > slope[1]


def test_no_voice_leaves_its_range(tmp_path: Path) -> None:
    ranges = [(60, 72), (40, 52)]
    request = Request("music-generation", DirectedParams(), 0)
    (output,), (free,) = (sampler(each).sample([request], lambda *_: None) for each in (ranges, ()))
    assert isinstance(output.value, Score) and isinstance(free.value, Score)

    def outside(score: Score) -> int:
        return sum(not ranges[note.part][0] <= note.pitch <= ranges[note.part][1] for note in score.notes)

    assert output.value.notes and outside(output.value) == 0 < outside(free.value)
    rolls = Rolls(collection(tmp_path / "duets"), bars=2)
    assert all(LOWEST <= low < high <= HIGHEST for low, high in rolls.ranges)


def test_the_discriminator_is_penalised_for_its_slope() -> None:
    torch.manual_seed(0)
    discriminator = RollDiscriminator(RollGANConfig.model_validate(SMALL))
    real = one_hot(torch.randint(0, TOKENS, (4, 2, STEPS, 2)))
    fake = one_hot(torch.randint(0, TOKENS, (4, 2, STEPS, 2)))
    total, figures = Game(discriminator, "relativistic", 1.0).discriminator_losses(real, fake, (), 0)
    assert figures[4] > 0 and figures[5] > 0
    assert float(total.detach()) == pytest.approx(float(figures[0] + 0.5 * (figures[4] + figures[5])), rel=1e-4)


def test_pieces_depend_on_their_own_seed_and_can_be_mixed() -> None:
    asked = [DirectedParams(), DirectedParams(variety=0.5, key="D major")]
    requests = [Request("music-generation", params, seed) for seed, params in enumerate(asked)]
    together = [output.value for output in sampler().sample(requests, lambda *_: None)]
    assert together == [made("music-generation", params, seed=seed) for seed, params in enumerate(asked)]
    first, second = duet(1), duet(2)
    only = made("music-interpolation", RollInterpolationParams(weights=[0, 1]), first, second)
    assert only == made("music-variation", RollVariationParams(strength=0), second)
    assert only != made("music-variation", RollVariationParams(strength=1), second)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_lead_to_more_of_it(name: str) -> None:
    network = generator()

    def amount(step: float) -> float:
        latents = torch.randn(256, 8, generator=torch.Generator().manual_seed(5))
        rolls = network(latents + step * network.directions[DIRECTIONS.index(name)]).argmax(-1)
        begins = rolls >= FIRST
        return float(begins.float().mean()) if name == "denser" else float(rolls[begins].float().mean())

    assert amount(-1) < amount(0) < amount(1)
    assert float(network.directions[DIRECTIONS.index(name)].norm()) == pytest.approx(1, abs=1e-5)
    lower = made("music-generation", DirectedParams(direction=name, amount=-3), seed=4)
    assert lower != made("music-generation", DirectedParams(direction=name, amount=3), seed=4)


def test_it_learns_resumes_and_is_measured(tmp_path: Path) -> None:
    data = collection(tmp_path / "tiny")
    params = RollGANTraining(network=RollGANConfig.model_validate(SMALL), batch_size=8)

    def run(folder: str, kind: type[Run] = Run) -> Run:
        run = kind(tmp_path / folder, steps=40, echo=False, checkpoint_seconds=0.0)
        train(params.model_copy(deep=True), data, run)
        return run

    with pytest.raises(Stopped):
        run("again", StopsAt13)
    whole, again = run("whole"), run("again")
    curves = whole.folder.curves()
    assert {"loss_discriminator", "loss_generator", "r1", "held_out_histogram_distance"} <= curves.keys()
    ours, theirs = (load(each.folder.model, torch.device("cpu")) for each in (whole, again))
    for a, b in zip(ours.network.state_dict().values(), theirs.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert set(ours.directions) == set(DIRECTIONS)
    measure(whole.folder.model, data, tmp_path, 1.0)
    assert [path.suffix for path in whole_samples(whole.folder.model / SAMPLES)] == [PICTURE, PIECES]
    figures, _ = evaluate.evaluate(whole.folder.model, data, tmp_path, Effort(16, 5.0))
    assert 0 <= figures["composed"]["coverage"] <= 1 and figures["real"]["nearest_training"] < 0.01
    roll = np.full((2, STEPS, 2), REST, np.int64)
    assert ours.heard(roll).shape == (8,)


def test_settings_of_earlier_runs_are_read() -> None:
    before = {**RollGANTraining().model_dump(mode="json"), "softness": 1.0}
    assert RollGANTraining.model_validate(completed(before, RollGANTraining)) == RollGANTraining()
