"""Finite scalar quantisation and its autoencoder."""

import pytest
import torch

from models.autoencoders.equivariance import SCALES, Transform, draw
from models.autoencoders.fsq import FSQ, FSQAutoencoder
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.likelihood import divergence
from models.autoencoders.spec import FSQConfig, KLConfig


def test_every_token_survives_the_way_to_latents_and_back() -> None:
    quantizer = FSQ([8, 5, 5, 5])
    tokens = torch.arange(1000).view(1, 25, 40)
    assert quantizer.size == 1000
    assert torch.equal(quantizer.to_tokens(quantizer.to_latents(tokens)), tokens)


def test_quantised_latents_lie_on_the_grid_of_their_tokens() -> None:
    quantizer = FSQ([8, 5, 5, 5])
    latents = quantizer(torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * 3)
    assert torch.allclose(quantizer.to_latents(quantizer.to_tokens(latents)), latents, atol=1e-6)
    assert latents.abs().max() <= 1


def test_rounding_passes_gradients_straight_through() -> None:
    z = torch.zeros(1, 4, 1, 1, requires_grad=True)
    FSQ([8, 5, 5, 5])(z).sum().backward()
    assert z.grad is not None and (z.grad > 0.4).all()


def test_the_autoencoder_keeps_the_shape_and_writes_one_token_for_eight_pixels() -> None:
    network = FSQAutoencoder(FSQConfig(widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1))
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    assert network(pictures).shape == pictures.shape
    tokens = network.encode(pictures)
    assert tokens.shape == (2, 8, 8) and tokens.min() >= 0 and tokens.max() < 1000
    assert network.decode(tokens).shape == pictures.shape


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("scale", SCALES)
def test_a_latent_turns_and_shrinks_as_its_picture_does(turns: int, scale: float) -> None:
    latent = torch.rand(1, 2, 8, 4)
    pictures = latent[:, :1].repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)
    transform = Transform(turns, scale)
    small, shown = transform.of_latent(latent), transform.of_pictures(pictures)
    assert shown.shape[-2:] == tuple(8 * side for side in small.shape[-2:])
    assert sorted(small.shape[-2:]) == [4 * scale, 8 * scale]
    assert (small.shape[-2] < small.shape[-1]) == (turns % 2 == 1)
    # Each cell shows its own number in the middle of its eight pixels, where it was neither mixed nor shrunk.
    if scale == 1:
        assert torch.equal(shown[:, :1, 3::8, 3::8], small[:, :1])
    assert float(shown.mean()) == pytest.approx(float(small[:, 0].mean()), abs=0.02)


def test_so_many_latents_are_transformed_as_was_asked() -> None:
    random = torch.Generator().manual_seed(0)
    assert all(draw(0, random) == Transform() for _ in range(20))
    drawn = [draw(0.5, random) for _ in range(2000)]
    assert sum(one != Transform() for one in drawn) == pytest.approx(1000, abs=90)
    assert len(set(drawn)) == 4 * len(SCALES)


def test_a_kl_autoencoder_rebuilds_from_drawn_latents_and_counts_their_nats() -> None:
    torch.manual_seed(0)
    network = KLAutoencoder(KLConfig(widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1, latent=3))
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, log_variance = network.posterior(pictures)
    assert mean.shape == (2, 3, 8, 8)
    noise = network.noise(2, torch.Generator().manual_seed(0))
    rebuilt, nats = network.rebuild(pictures, noise, Transform())
    assert rebuilt.shape == pictures.shape and nats.shape == (2,)
    assert torch.allclose(nats, divergence(mean, log_variance).flatten(1).sum(1))
    assert torch.equal(network.rebuild(pictures, torch.zeros_like(noise), Transform())[0], network(pictures))
