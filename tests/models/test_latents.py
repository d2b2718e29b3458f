"""Mixtures and ways between latents, and pictures that are brought to a model's size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import read_card, write_model
from models.contract.sampling import Request
from models.contract.tasks import INTERPOLATION, VARIATION, InterpolationParams, VariationParams
from models.gan.encoder import fit_encoder, seen
from models.gan.project import project
from models.gan.sample import load as load_gan
from models.measure.features import PerceptualLoss
from models.parts.interpolation import mixing_weights, mixture, slerp
from models.parts.latents import LatentSampler
from models.vae.network import VAE
from models.vae.sample import load as load_vae
from tests.models.pictures import from_pictures
from tests.models.test_gan import checkpoint
from tests.models.test_vae import SMALL


def picture(seed: int, height: int = 16, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mix(images: list[np.ndarray], count: int = 1, **params: object) -> list[Request]:
    given = InterpolationParams(count=count, **params)  # type: ignore[arg-type]
    return [Request(INTERPOLATION.name, given, seed, from_pictures(*images), seed) for seed in range(count)]


@pytest.fixture
def sampler(tmp_path: Path) -> LatentSampler:
    torch.manual_seed(0)
    write_model(tmp_path / "vae", VAE(SMALL), {"family": "vae", "config": SMALL.model_dump(), "labels": []})
    return load_vae(tmp_path / "vae", torch.device("cpu"))


def test_slerp_stays_on_the_sphere_and_ends_where_it_should() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(64, generator=random), torch.randn(64, generator=random)
    assert torch.allclose(slerp(a, b, 0), a, atol=1e-5) and torch.allclose(slerp(a, b, 1), b, atol=1e-5)
    middle = slerp(a, b, 0.5)
    assert float(middle.norm()) == pytest.approx(float(a.norm() + b.norm()) / 2, rel=1e-4)
    assert float((a + b).norm() / 2) < 0.85 * float(middle.norm())
    angles = [torch.cosine_similarity(slerp(a, b, t), a, dim=0).acos().item() for t in (0.25, 0.5, 0.75)]
    assert angles[1] == pytest.approx(2 * angles[0], rel=1e-3) and angles[2] == pytest.approx(3 * angles[0], rel=1e-3)
    assert torch.isfinite(slerp(a, -a, 0.5)).all() and torch.allclose(slerp(a, a, 0.3), a, atol=1e-5)


def test_a_mixture_of_more_is_nearest_to_what_weighs_most() -> None:
    latents = [torch.randn(64, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    assert torch.equal(mixture(latents, [0, 1, 0]), latents[1])
    mixed = mixture(latents, [0.6, 0.2, 0.2])
    near = [torch.cosine_similarity(mixed, latent, dim=0).item() for latent in latents]
    assert near[0] > near[1] and near[0] > near[2]
    lengths = [float(latent.norm()) for latent in latents]
    assert min(lengths) <= float(mixed.norm()) <= max(lengths)


def test_weights_sum_to_one_and_a_way_visits_every_picture() -> None:
    images = [picture(i) for i in range(3)]
    assert mixing_weights(mix(images)[0], 3) == pytest.approx([1 / 3] * 3)
    assert mixing_weights(mix(images, weights=[1, 0, 1])[0], 3) == [0.5, 0, 0.5]
    way = [mixing_weights(request, 3) for request in mix(images, count=5, path=True)]
    assert way == [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]


def test_a_variation_of_no_strength_is_what_the_model_makes_of_the_picture(sampler: LatentSampler) -> None:
    image = from_pictures(picture(0))
    given = [Request(VARIATION.name, VariationParams(strength=s), seed, image) for s in (0, 1) for seed in (1, 2)]
    same, again, far, farther = (output.pixels for output in sampler.sample(given, lambda *_: None))
    assert np.array_equal(same, again) and not np.array_equal(far, farther)
    chance = [Request(VARIATION.name, VariationParams(strength=1), 1, from_pictures(picture(9)))]
    (unrelated,) = sampler.sample(chance, lambda *_: None)
    assert np.abs(far.astype(int) - unrelated.pixels).max() <= 1  # of full strength nothing of the picture is left


def test_mixtures_end_in_their_pictures_and_pictures_of_any_shape_are_taken(sampler: LatentSampler) -> None:
    wide, tall = picture(1, 40, 90), picture(2, 33, 20)
    ends = sampler.sample(mix([wide, tall], count=3, path=True), lambda *_: None)
    whole = VariationParams(strength=0)
    asked = [Request(VARIATION.name, whole, 0, from_pictures(image)) for image in (wide, tall)]
    alone = [sampler.sample([request], lambda *_: None)[0].pixels for request in asked]
    for end, pixels in zip((ends[0], ends[2]), alone, strict=True):
        assert np.abs(end.pixels.astype(int) - pixels).max() <= 1
    first, second = sampler.sample(mix([wide, tall], count=2, variety=0.3), lambda *_: None)
    assert not np.array_equal(first.pixels, second.pixels) and first.alone["weights"] == [0.5, 0.5]
    assert len(sampler.remembered.known) == 2


def test_the_projection_finds_a_picture_that_the_generator_can_draw(tmp_path: Path) -> None:
    sampler = load_gan(checkpoint(tmp_path / "m", ["ink", "oil"]), torch.device("cpu"))
    network = sampler.network
    perceptual = PerceptualLoss()
    encoder = fit_encoder(network, perceptual.features, 512)  # type: ignore[arg-type]
    random = torch.Generator().manual_seed(5)
    latents, labels = torch.randn(64, 8, generator=random), torch.randint(2, (64,), generator=random)
    wanted = network(latents, labels)
    read, told = encoder(seen(perceptual.features, wanted))
    assert told is not None and float((told == labels).float().mean()) > 0.9
    assert float((read - latents).square().mean()) < 0.5
    steps: list[int] = []

    def on_step(step: int, steps_in_all: int, previews: Callable[[], list[np.ndarray]]) -> None:
        steps.append(len(previews()))

    found, told = project(network, encoder, perceptual, wanted[:8], on_step)  # type: ignore[arg-type]
    assert steps and set(steps) == {8}
    near, start = network(found, told), network(read[:8], told)
    assert float((near - wanted[:8]).abs().mean()) < 0.7 * float((start - wanted[:8]).abs().mean())


def test_nothing_is_read_off_pictures_that_all_look_the_same(tmp_path: Path) -> None:
    network = load_gan(checkpoint(tmp_path / "m", []), torch.device("cpu")).network
    network.out.weight.zero_()  # type: ignore[operator, union-attr]
    perceptual = PerceptualLoss()
    encoder = fit_encoder(network, perceptual.features, 64)  # type: ignore[arg-type]
    latents, _ = encoder(seen(perceptual.features, torch.rand(4, 3, 16, 16)))
    assert torch.isfinite(latents).all() and float(latents.std(0).max()) < 0.1


def test_a_checkpoint_without_an_encoder_gets_one(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", [])
    sampler = load_gan(folder, torch.device("cpu"))
    own = sampler.draw(torch.zeros(1, 8), None)
    latents, _ = sampler.encode(own, lambda *_: None)
    kept = sampler.network
    kept.add_module("encoder", fit_encoder(kept, PerceptualLoss().features, 512))  # type: ignore[arg-type]
    write_model(tmp_path / "n", kept, {key: read_card(folder)[key] for key in ("family", "config", "labels")})
    again = load_gan(tmp_path / "n", torch.device("cpu"))
    assert torch.allclose(again.encode(own, lambda *_: None)[0], latents, atol=0.05)
