"""The VAE: likelihoods, divergences and bounds against what is known exactly, its networks and its prior."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.autoencoders.likelihood import (
    LEVEL,
    LEVELS,
    DiscretisedLogistic,
    Gaussian,
    Laplace,
    Likelihood,
    beta_at,
    divergence,
    importance_weighted_bound,
    normal_log_prob,
    with_free_bits,
)
from models.checkpoint import write_model
from models.contract.sampling import Request
from models.data.pictures import Collection
from models.parts.latents import TASK
from models.parts.sentences import SentenceEncoder
from models.training.run import Run
from models.vae.network import VAE, FlowPrior
from models.vae.sample import load
from models.vae.spec import DrawnFromPrior, PromptedFromPrior, VAEConfig
from models.vae.train import Captions, attribute_directions, common_tags, encoded, fit_prior

SMALL = VAEConfig(size=16, patch=1, latent=8, width=8, max_width=16, blocks=1, prior_width=32, prior_layers=4)

# --- likelihoods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Gaussian, Laplace])
@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_densities_integrate_to_one(kind: type[Likelihood], scale: float) -> None:
    x = torch.linspace(-5, 5, 200_001).view(-1, 1)
    mass = kind(scale).log_prob(x, torch.full_like(x, 0.2)).exp().sum() * 10 / 200_000
    assert (mass).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("scale", [0.002, 0.05, 1.0])
@pytest.mark.parametrize("output", [-1.3, 0.11, 0.999])
def test_masses_of_all_levels_add_up_to_one(scale: float, output: float) -> None:
    levels = (torch.arange(LEVELS) * LEVEL - 1).view(-1, 1)
    likelihood = DiscretisedLogistic(scale)
    masses = likelihood.log_prob(levels, torch.full_like(levels, output))
    assert (masses.exp().sum()).item() == pytest.approx(1, abs=1e-4)
    assert torch.isfinite(masses).all()


def test_a_density_times_the_width_of_a_level_is_about_its_mass() -> None:
    """So that bounds of different likelihoods may be compared."""
    levels = (torch.arange(LEVELS) * LEVEL - 1).view(-1, 1)
    output = torch.full_like(levels, 0.1)
    masses = Gaussian(0.2).log_prob(levels, output).exp() * LEVEL
    assert (masses.sum()).item() == pytest.approx(1, abs=1e-3)


# --- the bound ------------------------------------------------------------------------------------------------------


def test_the_divergence_is_that_of_normals() -> None:
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, torch.exp(0.5 * log_variance)), torch.distributions.Normal(0.0, 1.0)
    )
    assert torch.allclose(divergence(mean, log_variance), exact, atol=1e-5)


def test_free_bits_cost_nothing_below_and_all_above() -> None:
    parts = torch.tensor([[0.1, 2.0], [0.3, 4.0]], requires_grad=True)
    found = with_free_bits(parts, 0.5)
    assert (found).item() == pytest.approx(3.5)
    found.backward()
    assert parts.grad is not None and parts.grad.tolist() == [[0, 0.5], [0, 0.5]]


def test_beta_follows_its_schedule() -> None:
    assert [beta_at("constant", 2, p) for p in (0, 1)] == [2, 2]
    assert [beta_at("warm-up", 2, p) for p in (0, 0.1, 0.2, 1)] == [0, 1, 2, 2]
    assert [beta_at("cyclical", 1, p) for p in (0, 0.0625, 0.125, 0.2, 0.25, 1)] == [0, 0.5, 1, 1, 0, 1]


class Linear(nn.Module):
    """A linear VAE: what it can reach is known exactly, as probabilistic PCA."""

    def __init__(self, numbers: int, latent: int) -> None:
        super().__init__()
        self.mean, self.decoder = nn.Linear(numbers, latent), nn.Linear(latent, numbers)
        self.log_variance = nn.Parameter(torch.zeros(latent))
        self.likelihood = Gaussian(0.5)

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(x)
        return mean, self.log_variance.expand_as(mean)


def principal_log_likelihood(x: Tensor, latent: int) -> float:
    """Mean log p(x) of probabilistic PCA at its maximum (Tipping and Bishop, 1999)."""
    numbers = x.size(1)
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = values[latent:].mean()
    log_determinant = torch.log(values[:latent]).sum() + (numbers - latent) * torch.log(noise)
    return float(-0.5 * (numbers * math.log(2 * math.pi) + log_determinant + numbers))


def test_a_linear_vae_reaches_the_likelihood_of_probabilistic_pca() -> None:
    """Lucas et al., "Don't Blame the ELBO!", 2019: the bound of a linear VAE is tight at its best."""
    torch.manual_seed(0)
    x = torch.randn(2000, 3) @ torch.diag(torch.tensor([2.0, 1.3, 0.8])) @ torch.randn(3, 10) + 0.5 * torch.randn(
        2000, 10
    )
    model = Linear(10, 3)
    optimizer = torch.optim.Adam(model.parameters())
    steps = 5000
    for step in range(steps):
        mean, log_variance = model.encoder(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        bound = model.likelihood.log_prob(x, model.decoder(z)) - divergence(mean, log_variance).sum(1)
        optimizer.param_groups[0]["lr"] = 5e-2 * min(1, 2 * (1 - step / steps))
        optimizer.zero_grad()
        (-bound.mean()).backward()
        optimizer.step()
    exact = principal_log_likelihood(x, 3)
    random = torch.Generator().manual_seed(0)
    found = [float(importance_weighted_bound(model, x, draws, random).mean()) for draws in (1, 64)]
    assert abs(found[0] - exact) < 0.01 * abs(exact)
    assert found[0] <= found[1] + 0.01 and found[1] <= exact + 0.01 * abs(exact)


def test_more_draws_give_a_tighter_bound() -> None:
    torch.manual_seed(0)
    model, x = Linear(6, 2), torch.randn(500, 6)
    bounds = [
        float(importance_weighted_bound(model, x, draws, torch.Generator().manual_seed(0)).mean())
        for draws in (1, 8, 64)
    ]
    assert bounds[0] < bounds[1] < bounds[2]


# --- networks, prior, sampling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "patch"), [(16, 1), (32, 2), (64, 4), (128, 4)])
def test_pictures_of_every_size_become_latents_and_pictures_again(size: int, patch: int) -> None:
    network = VAE(SMALL.model_copy(update={"size": size, "patch": patch}))
    mean, log_variance = network.encoder(torch.rand(2, 3, size, size))
    assert mean.shape == log_variance.shape == (2, 8)
    assert network.decoder(mean).shape == (2, 3, size, size)


def test_the_flow_is_its_own_inverse_and_a_density() -> None:
    torch.manual_seed(0)
    flow = FlowPrior(SMALL.model_copy(update={"classes": 2, "latent": 2})).double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.3)
    normal, labels = torch.randn(50, 2, dtype=torch.float64), torch.arange(50) % 2
    latents = flow(normal, labels)
    condition = flow.condition(latents, labels)
    back = latents
    for coupling in flow.couplings:
        back, _ = coupling(back, condition)
    assert torch.allclose(back, normal)
    side = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).view(-1, 2)
    for label in (0, 1):
        masses = flow.log_prob(grid, torch.full((len(grid),), label)).exp()
        assert (masses.sum() * (side[1] - side[0]) ** 2).item() == pytest.approx(1, abs=0.02)


def test_the_log_density_of_a_normal_is_torchs() -> None:
    z, mean, log_variance = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 3)
    wanted = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance)).log_prob(z).sum(-1)
    assert torch.allclose(normal_log_prob(z, mean, log_variance), wanted, atol=1e-5)


def test_attributes_become_directions(tmp_path: Path) -> None:
    """Pictures whose only difference is a tag's brightness lie on both sides of its direction."""
    random = np.random.default_rng(0)
    bright = np.arange(60) % 2
    images = np.clip(random.normal(90 + 90 * bright[:, None, None, None], 10, (60, 16, 16, 3)), 0, 255).astype(np.uint8)
    tags = [["bright", "rare"] if i == 1 else ["bright"] if b else [] for i, b in enumerate(bright)]
    items = [{"style": "", "split": "train", "recoloured": False, "tags": each} for each in tags]
    data, indices = Collection(tmp_path, images, items, {}), np.arange(60)
    torch.manual_seed(0)
    network = VAE(SMALL)
    names = common_tags(data, indices)
    means, _ = encoded(network, data, indices, Run(tmp_path / "run", steps=1), 16)
    (found,) = attribute_directions(network, data, indices, means, None, names)
    assert names == ["bright"]
    along = means.detach() @ found
    assert along[bright == 1].min() > along[bright == 0].max()


def test_a_picture_depends_on_its_seed_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_model(tmp_path / "m", VAE(SMALL), {"family": "vae", "config": SMALL.model_dump(), "labels": []})
    sampler = load(tmp_path / "m", torch.device("cpu"))
    batch = [Request(TASK, DrawnFromPrior(), seed) for seed in (1, 2, 3)]
    several = sampler.sample(batch, lambda *_: None)
    (alone,) = sampler.sample(batch[2:], lambda *_: None)
    assert np.abs(several[2].pixels.astype(int) - alone.pixels).max() <= 1
    still = sampler.sample([Request(TASK, DrawnFromPrior(temperature=0), seed) for seed in (1, 2)], lambda *_: None)
    assert np.array_equal(still[0].pixels, still[1].pixels)


class Words:
    """A collection whose captions say which of two kinds a picture is of."""

    def __init__(self, folder: Path, kinds: Tensor) -> None:
        names = ["a red fox", "a blue boat"]
        self.folder, self.items = folder, [{"captions": [names[kind], f"{names[kind]}!"]} for kind in kinds.tolist()]


def test_a_prior_that_hears_words_draws_what_they_say(tmp_path: Path) -> None:
    torch.manual_seed(0)
    kinds = torch.arange(600) % 2
    means = torch.randn(600, 4) * 0.3 + (2.0 * kinds - 1)[:, None]
    network = VAE(SMALL.model_copy(update={"latent": 4, "text": 512}))
    captions = Captions(Words(tmp_path, kinds), np.arange(600))  # type: ignore[arg-type]
    fit_prior(network, means, torch.full((600, 4), -6.0), None, captions, Run(tmp_path / "run", steps=300, echo=False))
    sentences = torch.from_numpy(SentenceEncoder().encode(["a red fox", "a blue boat", "eine rote Füchsin"]))
    normal = torch.randn(3, 100, 4)
    with torch.no_grad():
        fox, boat, other = (
            network.prior(normal[i], None, sentences[i].expand(100, -1)).mean() for i in range(len(sentences))
        )
        silent = network.prior(normal[0])
    assert fox.item() < -0.7 and boat.item() > 0.7 and other.item() < 0
    assert min((silent.mean(1) < -0.3).float().mean().item(), (silent.mean(1) > 0.3).float().mean().item()) > 0.15


def test_a_prompt_is_drawn_by_its_seed_and_can_be_mixed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"text": 512})
    network = VAE(config)
    for coupling in network.prior.couplings:
        torch.nn.init.normal_(coupling.net[-1].weight, std=0.3)  # type: ignore[union-attr,index,arg-type]
    write_model(tmp_path / "words", network, {"family": "prompted-vae", "config": config.model_dump(), "labels": []})
    sampler = load(tmp_path / "words", torch.device("cpu"))
    asked = [
        Request("text-to-image", PromptedFromPrior(prompt=prompt), seed)
        for prompt, seed in (("a red fox", 1), ("a red fox", 1), ("a blue boat", 1), ("a red fox", 2))
    ]
    one, same, other, next_one = (output.pixels for output in sampler.sample(asked, lambda *_: None))
    alone = sampler.sample(asked[:1], lambda *_: None)[0].pixels
    assert np.array_equal(one, same) and np.abs(one.astype(int) - alone).max() <= 1
    assert not np.array_equal(one, other) and not np.array_equal(one, next_one)
