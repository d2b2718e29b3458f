"""The GAN: its objectives against what theory says, its networks, augmentation and sampling."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.adversarial.augment import KINDS, adapted, augment, draw
from models.adversarial.game import Game
from models.adversarial.objective import OBJECTIVES, divergence_bound, gradient_penalty
from models.adversarial.projected import ProjectedDiscriminator, embedded_classes
from models.checkpoint import CheckpointError, write_model
from models.contract.sampling import Request
from models.contract.tasks import VariationParams
from models.gan.network import ConvolutionalGenerator, discriminator_of, generator_of
from models.gan.residual import ResidualGenerator
from models.gan.sample import load
from models.gan.spec import GANConfig, GANTraining, UnconditionalImage
from models.parts.latents import TASK
from models.parts.noise import truncated_normal
from tests.models.pictures import from_pictures

SMALL = GANConfig(size=16, patch=1, latent=8, width=16, max_width=32, blocks=1)

# --- the game, on a plane where everything is known ------------------------------------------------------------------

CENTRES = torch.tensor([[-1.5, -0.8], [1.5, -0.8], [0.0, 1.6]])
SIDE = torch.linspace(-6, 6, 241)
GRID = torch.stack(torch.meshgrid(SIDE, SIDE, indexing="ij"), -1).view(-1, 2)
CELL = float(SIDE[1] - SIDE[0]) ** 2


def data(count: int, spread: float, random: torch.Generator) -> Tensor:
    """(count, 2) of a mixture of three Gaussians."""
    which = torch.randint(3, (count,), generator=random)
    return CENTRES[which] + spread * torch.randn(count, 2, generator=random)


def density(x: Tensor, centres: Tensor, spread: float) -> Tensor:
    squares = (x[:, None] - centres).square().sum(-1)
    return torch.exp(-squares / (2 * spread**2)).mean(1) / (2 * math.pi * spread**2)


def jensen_shannon(p: Tensor, q: Tensor, cell: float) -> float:
    middle = (p + q) / 2
    return float((torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).nansum() * cell / 2)


class Frozen(nn.Module):
    """A generator whose density is known: a Gaussian."""

    def forward(self, latents: Tensor) -> Tensor:
        return 1.3 * latents


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron(2, 1)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points).squeeze(1)


def perceptron(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@pytest.mark.parametrize("objective", ["minimax", "non-saturating"])
def test_beside_a_frozen_generator_the_discriminator_learns_the_ratio_of_densities(objective: str) -> None:
    torch.manual_seed(0)
    random, steps = torch.Generator().manual_seed(0), 3000
    judge = Judge()
    generator, game = Frozen(), Game(judge, objective)
    optimizer = torch.optim.Adam(judge.parameters(), betas=(0.9, 0.99))
    for step in range(steps):
        fake = generator(torch.randn(512, 2, generator=random))
        loss, _ = game.discriminator_losses(data(512, 0.6, random), fake, (), step)
        descend(optimizer, loss, 5e-3 * min(1, 2 * (1 - step / steps)))
    p, q = density(GRID, CENTRES, 0.6), density(GRID, torch.zeros(1, 2), 1.3)
    divergence = jensen_shannon(p, q, CELL)
    assert 0.1 < divergence < 0.5
    with torch.no_grad():
        scores = judge(GRID)
    near = (torch.sigmoid(scores) - p / (p + q)).abs() < 0.05
    assert float(((p + q) / 2 * near).sum() * CELL) > 0.99
    value = float((p * nn.functional.logsigmoid(scores) + q * nn.functional.logsigmoid(-scores)).sum() * CELL)
    wanted = -math.log(4) + 2 * divergence
    assert abs(value - wanted) < 0.05 * abs(wanted)
    assert divergence_bound(-value) == pytest.approx(divergence, abs=0.05)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_taking_turns_brings_the_generator_to_the_data(objective: str) -> None:
    torch.manual_seed(0)
    random, steps, batch = torch.Generator().manual_seed(0), 3000, 1024
    gamma = 0.0 if OBJECTIVES[objective].probability else 0.05
    generator, judge = perceptron(4, 2), Judge()
    game = Game(judge, objective, gamma, penalty_every=4)
    players = [torch.optim.Adam(net.parameters(), betas=(0.0, 0.99)) for net in (judge, generator)]

    def divergence(count: int = 400_000) -> float:
        """From histograms of 30 x 30 cells."""

        def histogram(points: Tensor) -> Tensor:
            cells, _, _ = np.histogram2d(*points.T.numpy(), bins=30, range=[[-4, 4], [-4, 4]])
            return torch.from_numpy(cells / count)

        with torch.no_grad():
            drawn = generator(torch.randn(count, 4, generator=random))
        return jensen_shannon(histogram(data(count, 0.75, random)), histogram(drawn), 1)

    before = divergence()
    for step in range(steps):
        rate = 1e-3 * min(1, 2 * (1 - step / steps))
        real = data(batch, 0.75, random)
        fake = generator(torch.randn(batch, 4, generator=random))
        loss, _ = game.discriminator_losses(real, fake, (), step)
        descend(players[0], loss, 2 * rate)
        descend(players[1], game.generator_loss(real, fake), rate)
    assert before > 0.2 and divergence() < 0.02


# --- objectives -----------------------------------------------------------------------------------------------------


def test_losses_are_those_of_the_papers() -> None:
    real, fake = torch.tensor([0.5, -2.0]), torch.tensor([1.5, -0.3])
    d, g = torch.sigmoid(real), torch.sigmoid(fake)
    value = torch.log(d) + torch.log(1 - g)
    assert torch.allclose(OBJECTIVES["minimax"].discriminator(real, fake), -value)
    assert torch.allclose(OBJECTIVES["minimax"].generator(real, fake), torch.log(1 - g))
    assert torch.allclose(OBJECTIVES["non-saturating"].generator(real, fake), -torch.log(g))
    assert OBJECTIVES["hinge"].discriminator(real, fake).tolist() == pytest.approx([3.0, 3.7])
    assert OBJECTIVES["hinge"].generator(real, fake).tolist() == pytest.approx([-1.5, 0.3])
    pairs = OBJECTIVES["relativistic"]
    assert torch.allclose(pairs.discriminator(real, fake), -torch.log(torch.sigmoid(real - fake)))
    assert torch.allclose(pairs.generator(real, fake), pairs.discriminator(fake, real))


def test_the_penalty_is_the_squared_norm_of_each_pictures_own_gradient() -> None:
    weights = torch.tensor([1.0, 2.0, -2.0])
    points = torch.tensor([[1.0, 0, 0], [0, 3.0, 1.0]], requires_grad=True)
    found = gradient_penalty(points, (points.square() @ weights) / 2)
    assert found.tolist() == pytest.approx([1.0, 40.0])


def test_a_seldom_penalty_weighs_as_many_times_more() -> None:
    torch.manual_seed(0)
    real, fake, judge = torch.randn(8, 2), torch.randn(8, 2), Judge()
    always, seldom = (Game(judge, "hinge", 1.0, every) for every in (1, 4))
    loss, parts = always.discriminator_losses(real, fake, (), 0)
    dear, same = seldom.discriminator_losses(real, fake, (), 0)
    free, _ = seldom.discriminator_losses(real, fake, (), 1)
    assert torch.equal(parts, same) and float(parts[4]) > 0
    once, four = (loss - free).item(), (dear - free).item()
    assert four == pytest.approx(4 * once, rel=1e-4)
    assert once == pytest.approx(float(parts[4] + parts[5]) / 2, rel=1e-4)


# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "blocks"), [("convolutional", 1), ("convolutional", 2), ("residual", 1)])
@pytest.mark.parametrize(("size", "patch"), [(16, 1), (16, 2), (32, 2), (64, 4), (128, 4), (256, 4)])
def test_pictures_of_every_size_are_drawn_and_judged(size: int, patch: int, architecture: str, blocks: int) -> None:
    shape = {"size": size, "patch": patch, "latent": 8, "width": 16, "max_width": 32, "classes": 3}
    config = GANConfig.model_validate({**shape, "architecture": architecture, "blocks": blocks})
    labels = torch.tensor([0, 2])
    pictures = generator_of(config)(torch.randn(2, 8), labels)
    assert pictures.shape == (2, 3, size, size)
    scores = discriminator_of(config)(pictures, labels)
    assert scores.shape == (2,) and scores.dtype == torch.float32


@pytest.mark.parametrize(("architecture", "blocks"), [("convolutional", 1), ("convolutional", 3), ("residual", 2)])
def test_at_the_start_pictures_have_about_the_scale_of_data(architecture: str, blocks: int) -> None:
    torch.manual_seed(0)
    generator = generator_of(GANConfig.model_validate({"architecture": architecture, "blocks": blocks}))
    pictures = generator(torch.randn(64, 64))
    assert 0.1 < pictures.std().item() < 2


@pytest.mark.parametrize(
    "given",
    [
        {"network": {"size": 16, "patch": 4}},
        {"size": 48},
        {"size": "32"},
        {"network": 3},
        {"objective": "wgan"},
        {"network": {"architecture": "round"}},
    ],
)
def test_parameters_that_do_not_fit_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GANTraining.model_validate(given)


def test_the_size_is_said_in_one_place() -> None:
    assert GANTraining.model_validate({"size": 64}).network == GANConfig(size=64, patch=4)
    assert GANTraining.model_validate({"network": {"size": 16}}).size == 16
    whole = GANTraining.model_validate({"size": 64, "network": {"patch": 2}})
    assert whole.network.patch == 2 and GANTraining.model_validate(whole.model_dump()) == whole


def test_the_projected_discriminator_learns_in_its_heads_alone_and_lets_gradients_through() -> None:
    judge = ProjectedDiscriminator(embedded_classes(2))
    pictures, labels = torch.rand(2, 3, 16, 16, requires_grad=True), torch.tensor([0, 1])
    scores = judge(pictures, labels)
    assert scores.shape == (2, 4)
    scores.sum().backward()
    assert pictures.grad is not None and float(pictures.grad.abs().sum()) > 0
    learning = {name.split(".")[0] for name, weight in judge.named_parameters() if weight.requires_grad}
    assert learning == {"heads"}
    game = Game(ProjectedDiscriminator(), "hinge")
    loss, parts = game.discriminator_losses(torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), (), 0)
    assert loss.ndim == 0 and torch.isfinite(parts).all()


# --- augmentation ---------------------------------------------------------------------------------------------------


def test_augmentation_keeps_shapes_lets_gradients_through_and_depends_on_its_numbers_alone() -> None:
    pictures = torch.rand(6, 3, 16, 16, requires_grad=True)
    numbers = draw(6, torch.Generator().manual_seed(1))
    assert numbers.shape == (6, KINDS, 3)
    changed = augment(pictures, 1.0, numbers)
    assert changed.shape == pictures.shape and torch.equal(changed, augment(pictures, 1.0, numbers))
    assert torch.equal(changed[2:4], augment(pictures[2:4], 1.0, numbers[2:4]))
    assert augment(pictures, 0.0, numbers) is pictures
    assert not torch.allclose(changed, pictures)
    changed.sum().backward()
    assert pictures.grad is not None and float(pictures.grad.abs().sum()) > 0


def test_augmentation_adapts_between_nothing_and_the_most() -> None:
    strength = 0.0
    for _ in range(20_000):
        strength = adapted(strength, signs=0.9, batch=32, most=0.3)
    assert strength == 0.3 and adapted(0.3, signs=0.1, batch=32, most=0.3) < 0.3
    assert adapted(0.0, signs=-1, batch=32, most=0.3) == 0.0


# --- sampling -------------------------------------------------------------------------------------------------------


def checkpoint(folder: Path, labels: list[str]) -> Path:
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"classes": len(labels)})
    write_model(folder, generator_of(config), {"family": "gan", "config": config.model_dump(), "labels": labels})
    return folder


def test_a_picture_depends_on_its_seed_and_its_style_alone(tmp_path: Path) -> None:
    sampler = load(checkpoint(tmp_path / "m", ["ink", "oil"]), torch.device("cpu"))
    params = UnconditionalImage(label="oil")
    batch = [Request(TASK, params, seed) for seed in (5, 6, 7)]
    several = sampler.sample(batch, lambda *_: None)
    (alone,) = sampler.sample(batch[1:2], lambda *_: None)
    assert np.abs(several[1].pixels.astype(int) - alone.pixels).max() <= 1
    assert {output.facts["label"] for output in several} == {"oil"}
    free = sampler.sample([Request(TASK, UnconditionalImage(), seed) for seed in range(12)], lambda *_: None)
    assert {output.facts["label"] for output in free} == {"ink", "oil"}


def test_directions_are_those_that_change_the_first_layer_most(tmp_path: Path) -> None:
    sampler = load(checkpoint(tmp_path / "m", []), torch.device("cpu"))
    found = torch.stack(list(sampler.directions.values()))
    assert found.shape == (8, 8) and torch.allclose(found @ found.T, torch.eye(8), atol=1e-5)
    change = (sampler.network.first_layer.weight @ found.T).norm(dim=0)  # type: ignore[union-attr]
    assert torch.all(change[:-1] >= change[1:] - 1e-5)
    image = np.full((16, 16, 3), 128, np.uint8)
    given = [
        Request("image-variation", VariationParams(strength=0, direction=d, amount=3), 0, from_pictures(image))
        for d in (None, "1")
    ]
    still, moved = sampler.sample(given, lambda *_: None)
    assert not np.array_equal(still.pixels, moved.pixels)


def test_less_variety_keeps_latents_nearer_to_the_usual() -> None:
    uniform = np.random.default_rng(0).random(10_000)
    assert np.abs(truncated_normal(uniform, 0.5)).max() <= 0.5
    wide = truncated_normal(uniform, 4.0)
    assert abs(wide.std() - 1) < 0.02 and np.corrcoef(wide, truncated_normal(uniform, 1.0))[0, 1] > 0.9


def test_a_card_that_misnames_its_styles_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", ["ink", "oil"])
    card = (folder / "card.json").read_text("utf-8")
    (folder / "card.json").write_text(card.replace('"labels": [\n  "ink",\n  "oil"\n ]', '"labels": []'), "utf-8")
    with pytest.raises(CheckpointError, match="labels"):
        load(folder, torch.device("cpu"))


@pytest.mark.parametrize(
    ("growth", "widths"), [(1, [32] * 3), (2, [128, 64, 32]), (3, [288, 96, 32]), (4, [320, 128, 32])]
)
def test_coarser_grids_have_as_many_times_more_channels(growth: int, widths: list[int]) -> None:
    config = GANConfig(size=32, width=32, growth=growth, max_width=320)
    assert config.widths == widths
    assert generator_of(config)(torch.zeros(1, config.latent)).shape == (1, 3, 32, 32)


def test_a_card_from_before_there_were_two_architectures_is_of_the_residual_one() -> None:
    before = {"size": 32, "patch": 2, "latent": 64, "width": 96, "max_width": 256, "blocks": 2, "classes": 0}
    config = GANConfig.model_validate(before)
    assert config.widths == [256, 192, 96] and isinstance(generator_of(config), ResidualGenerator)
    assert isinstance(generator_of(GANConfig(classes=2)), ConvolutionalGenerator)
    assert GANConfig.model_validate(GANConfig().model_dump()) == GANConfig()


def test_a_cell_of_many_pixels_is_held_by_as_many_channels() -> None:
    network = GANTraining.model_validate({"size": 64}).network
    assert network.widths == [256, 128, 64]
    assert network.widths[-1] >= 3 * network.patch**2
