"""Finds the latents whose pictures are most like given ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from models.contract.sampling import OnStep, Previews, as_pictures
from models.data.pictures import to_pixels
from models.gan.encoder import Encoder, fit_encoder, seen
from models.gan.network import Generator
from models.measure.features import PerceptualLoss, feature_distance

STEPS = 5
RATE, MEMORY, MEMORY_OF_SQUARES = 0.06, 0.3, 0.9  # of Adam: a search so short has no time to build up speed
PULL = 2e-3  # towards the usual latents, a squared number
FEWER = 512  # pictures that an encoder is fitted to where the checkpoint has none


def project(
    network: Generator, encoder: Encoder, perceptual: PerceptualLoss, pictures: Tensor, on_step: OnStep
) -> tuple[Tensor, Tensor | None]:
    """(B, 3, size, size) in [-1, 1] -> (B, latent), and (B,) labels where the generator has some.

    What the encoder reads, then gradient descent on pixels and features. `on_step` may raise to leave.
    """
    with torch.no_grad():
        latents, labels = encoder(seen(perceptual.features, pictures))
        wanted = perceptual.features(pictures)
    mean, square = torch.zeros_like(latents), torch.zeros_like(latents)
    for step in range(STEPS):
        with torch.enable_grad():
            latents = latents.detach().requires_grad_()
            drawn = network(latents, labels)
            features = feature_distance(list(zip(perceptual.features(drawn), wanted, strict=True)))
            distance = (drawn - pictures).abs().mean() + features
            (gradient,) = torch.autograd.grad(len(pictures) * (distance + PULL * latents.square().mean()), latents)
        # Adam by hand: torch's imports a compiler first, which takes longer than the whole search.
        mean, square = mean.lerp(gradient, 1 - MEMORY), square.lerp(gradient.square(), 1 - MEMORY_OF_SQUARES)
        direction = mean / (1 - MEMORY ** (step + 1))
        spread = (square / (1 - MEMORY_OF_SQUARES ** (step + 1))).sqrt() + 1e-8
        latents = latents.detach() - RATE * (1 - step / STEPS) * direction / spread
        on_step(step, STEPS, partial(previews, drawn.detach()))
    return latents, labels


def previews(drawn: Tensor) -> Previews:
    return as_pictures(list(to_pixels(drawn).permute(0, 2, 3, 1).cpu().numpy()))


def projector(network: Generator, encoder: Encoder | None) -> Callable[[Tensor, OnStep], tuple[Tensor, Tensor | None]]:
    """`project` of one generator. What can be loaded is loaded now: later somebody waits for it."""
    perceptual = PerceptualLoss().to(network.out.weight.device)

    @cache
    def at_hand() -> Encoder:
        return encoder or fit_encoder(network, perceptual.features, FEWER)

    def encode(pictures: Tensor, on_step: OnStep) -> tuple[Tensor, Tensor | None]:
        return project(network, at_hand(), perceptual, pictures, on_step)

    return encode
