"""Finite scalar quantisation and its autoencoder."""

import torch

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


def test_a_kl_autoencoder_rebuilds_from_drawn_latents_and_counts_their_nats() -> None:
    torch.manual_seed(0)
    network = KLAutoencoder(KLConfig(widths=(32, 16, 16, 8), encoder_blocks=1, decoder_blocks=1, latent=3))
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, log_variance = network.posterior(pictures)
    assert mean.shape == (2, 3, 8, 8)
    noise = network.noise(2, torch.Generator().manual_seed(0))
    rebuilt, nats = network.rebuild(pictures, noise)
    assert rebuilt.shape == pictures.shape and nats.shape == (2,)
    assert torch.allclose(nats, divergence(mean, log_variance).flatten(1).sum(1))
    assert torch.equal(network.rebuild(pictures, torch.zeros_like(noise))[0], network(pictures))
