"""Finds the latents whose pictures are most like given ones: a GAN has no encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import OnStep, Previews
from models.data import to_pixels
from models.features import PerceptualLoss
from models.gan.network import Generator

STARTS, STEPS = 256, 80
AFAR = 32  # pixels
RATE, PULL = 0.08, 2e-3  # of Adam; towards the usual latents, a squared number


class Starts:
    """Latents from chance and what they look like. They are always the same, so that a picture gives the same."""

    @torch.no_grad()
    def __init__(self, network: Generator) -> None:
        device, classes = next(network.parameters()).device, network.config.classes
        random = torch.Generator().manual_seed(0)
        self.latents = torch.randn(STARTS, network.config.latent, generator=random).to(device)
        self.labels = torch.arange(STARTS, device=device) % classes if classes else None
        parts = torch.arange(STARTS, device=device).split(64)
        drawn = [network(self.latents[at], None if self.labels is None else self.labels[at]) for at in parts]
        self.seen = torch.cat([seen(part) for part in drawn])

    def nearest(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """(latents, labels where there are some) of what looks most like each."""
        best = torch.stack([(self.seen - picture).abs().mean((1, 2, 3)).argmin() for picture in seen(pictures)])
        return self.latents[best].clone(), None if self.labels is None else self.labels[best]


def seen(pictures: Tensor) -> Tensor:
    """From afar, which is enough to find where to start."""
    return F.interpolate(pictures, (AFAR, AFAR), mode="area") if pictures.size(-1) > AFAR else pictures


def project(
    network: Generator, perceptual: PerceptualLoss, pictures: Tensor, on_step: OnStep, starts: Starts | None = None
) -> tuple[Tensor, Tensor | None]:
    """(B, 3, size, size) in [-1, 1] -> (B, latent), and (B,) labels where the generator has some.

    The nearest of many latents from chance, then gradient descent on pixels and features, after Zhu et al.,
    "Generative Visual Manipulation on the Natural Image Manifold", 2016. `on_step` may raise to leave.
    """
    latents, labels = (starts or Starts(network)).nearest(pictures)
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


def previews(drawn: Tensor) -> Previews:
    return list(to_pixels(drawn).permute(0, 2, 3, 1).cpu().numpy())


def projector(network: Generator) -> Callable[[Tensor, OnStep], tuple[Tensor, Tensor | None]]:
    """`project` of one generator, which loads and draws what it needs when that is first wanted."""
    known: list[tuple[PerceptualLoss, Starts]] = []

    def encode(pictures: Tensor, on_step: OnStep) -> tuple[Tensor, Tensor | None]:
        if not known:
            known.append((PerceptualLoss().to(pictures.device), Starts(network)))
        perceptual, starts = known[0]
        return project(network, perceptual, pictures, on_step, starts)

    return encode
