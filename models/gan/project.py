"""Finds the latents whose pictures are most like given ones: a GAN has no encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from models.base import OnStep, Previews
from models.data import to_pixels
from models.features import PerceptualLoss
from models.gan.network import Generator

STARTS, STEPS = 256, 150
RATE, PULL = 0.08, 2e-3  # of Adam; towards the usual latents, a squared number


def project(
    network: Generator, perceptual: PerceptualLoss, pictures: Tensor, on_step: OnStep
) -> tuple[Tensor, Tensor | None]:
    """(B, 3, size, size) in [-1, 1] -> (B, latent), and (B,) labels where the generator has some.

    The nearest of many latents from chance, then gradient descent on pixels and features, after Zhu et al.,
    "Generative Visual Manipulation on the Natural Image Manifold", 2016. `on_step` may raise to leave.
    """
    latents, labels = nearest_from_chance(network, pictures)
    with torch.enable_grad():
        latents = latents.requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=RATE)
        for step in range(STEPS):
            drawn = network(latents, labels)
            distance = (drawn - pictures).abs().mean() + perceptual(drawn, pictures)
            loss = len(pictures) * (distance + PULL * latents.square().mean())
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            on_step(step, STEPS, partial(previews, drawn.detach()))
    return latents.detach(), labels


@torch.no_grad()
def nearest_from_chance(network: Generator, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
    """Where to start: always the same latents are tried, so that a picture always gives the same."""
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(STARTS, network.config.latent, generator=random).to(pictures)
    classes = network.config.classes
    labels = torch.arange(STARTS, device=pictures.device) % classes if classes else None
    drawn = torch.cat(
        [
            network(part, None if labels is None else labels[i * 64 : (i + 1) * 64])
            for i, part in enumerate(latents.split(64))
        ]
    )
    best = torch.stack([(drawn - picture).abs().mean((1, 2, 3)).argmin() for picture in pictures])
    return latents[best].clone(), None if labels is None else labels[best]


def previews(drawn: Tensor) -> Previews:
    return list(to_pixels(drawn).permute(0, 2, 3, 1).cpu().numpy())


def projector(network: Generator) -> Callable[[Tensor, OnStep], tuple[Tensor, Tensor | None]]:
    """`project` of one generator, which loads the features when they are first wanted."""
    loaded: list[PerceptualLoss] = []

    def encode(pictures: Tensor, on_step: OnStep) -> tuple[Tensor, Tensor | None]:
        if not loaded:
            loaded.append(PerceptualLoss().to(pictures.device))
        return project(network, loaded[0], pictures, on_step)

    return encode
