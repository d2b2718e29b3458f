"""The generator: latents and a prompt to a picture, or to what an autoencoder makes one of, in one pass.

Convolutions from grid to grid as in `models.gan`, whose layers a style vector of chance and the sentence scales (Karras
et al., "A Style-Based Generator Architecture for GANs" (StyleGAN), 2019), and coarse grids that attend to the words
(Kang et al., "Scaling up GANs for Text-to-Image Synthesis" (GigaGAN), 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contract.latent_spec import SMALLEST_GRID
from models.parts.attention import Attention, Norm
from models.parts.caption_reader import WIDTH
from models.parts.convolutions import CellNorm
from models.parts.prompt import PromptReader
from models.parts.standardized import Standardized
from models.prompted_gan.spec import ATTENDED, PromptedGANConfig

GROUP = 16  # channels of a group of the 3x3 convolutions
HEAD = 32  # channels of an attention head
SLOPE = 0.2


@dataclass(frozen=True)
class Conditions:
    """What prompts say as a `whole` (B, width + WIDTH) and word by word, `memory` (B, M, width); attention adds `bias`
    (B, 1, 1, M) to its scores, the logarithm of how much a word counts.
    """

    whole: Tensor
    memory: Tensor
    bias: Tensor


def mixed(conditions: Sequence[Conditions], weights: Tensor) -> Conditions:
    """Of prompts of which the rows take (B, prompts) `weights` that sum to one: what lies between theirs, and the
    words of all, each as likely to be attended to as its prompt weighs.
    """
    whole = torch.stack([each.whole for each in conditions], 1)
    bias = [each.bias + weights[:, i].log()[:, None, None, None] for i, each in enumerate(conditions)]
    return Conditions(
        (weights[..., None] * whole).sum(1), torch.cat([each.memory for each in conditions], 1), torch.cat(bias, -1)
    )


class StyledNorm(CellNorm):
    """A norm of each cell whose scale and shift the style says."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__(channels, elementwise_affine=False)
        self.affine = nn.Linear(style, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.5 / math.sqrt(style))
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W), (B, style) -> (B, C, H, W)."""
        scale, shift = self.affine(style)[..., None, None].chunk(2, 1)
        return super().forward(x) * (1 + scale) + shift


class Block(nn.Module):
    """A residual block that is activated first: 1x1 to twice the channels, grouped 3x3, 1x1 back."""

    def __init__(self, channels: int, style: int, depth: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.norm1, self.norm2 = StyledNorm(channels, style), StyledNorm(inner, style)
        self.expand = nn.Conv2d(channels, inner, 1)
        self.spread = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // GROUP)
        self.project = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.expand, self.spread, self.project):
            nn.init.kaiming_normal_(layer.weight, SLOPE)
        self.project.weight.data *= 0.5 * depth**-0.5  # what all blocks add up to does not grow with their number

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, C, H, W), (B, style) -> (B, C, H, W)."""
        y = self.expand(F.leaky_relu(self.norm1(x, style), SLOPE))
        y = self.spread(F.leaky_relu(y, SLOPE))
        return x + self.project(F.leaky_relu(self.norm2(y, style), SLOPE))


class Words(nn.Module):
    """Each cell attends to the words."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.memory = nn.Linear(width, channels, bias=False)
        self.attention = Attention(channels, max(1, channels // HEAD))

    def forward(self, x: Tensor, given: Conditions) -> Tensor:
        """(B, C, H, W) -> the same."""
        cells = x.flatten(2).transpose(1, 2)
        heard = self.attention.keys_and_values(self.memory(given.memory))
        found = self.attention.attend(self.attention.queries(self.norm(cells)), heard, given.bias)
        return x + found.transpose(1, 2).reshape(x.shape)


class Grid(nn.Module):
    """What is done on the cells of one grid."""

    def __init__(self, side: int, channels: int, config: PromptedGANConfig, depth: int) -> None:
        super().__init__()
        self.words = Words(channels, config.width) if side <= ATTENDED else None
        self.blocks = nn.ModuleList(Block(channels, config.width, depth) for _ in range(config.blocks))

    def forward(self, x: Tensor, style: Tensor, given: Conditions) -> Tensor:
        if self.words is not None:
            x = self.words(x, given)
        for block in self.blocks:
            x = block(x, style)
        return x


def enlarged(x: Tensor, times: int) -> Tensor:
    """Without the checks of strided convolutions, which the features that the discriminator judges hardly show."""
    return x if times == 1 else F.interpolate(x, scale_factor=float(times), mode="bilinear", align_corners=False)


class PromptedGenerator(PromptReader, Standardized):
    """Latents and prompts to pictures, or to an autoencoder's cells."""

    def __init__(self, config: PromptedGANConfig) -> None:
        super().__init__(config)
        self.config = config
        width, channels = config.width, [channels for _, channels in config.grids]
        self.mapping = nn.Sequential(
            nn.Linear(config.latent + width + WIDTH, width), nn.SiLU(), nn.Linear(width, width), Norm(width)
        )
        self.first_layer = nn.Linear(width, channels[0] * SMALLEST_GRID**2)
        nn.init.normal_(self.first_layer.weight, std=1 / math.sqrt(width))
        depth = config.blocks * len(channels)
        self.grids = nn.ModuleList(Grid(side, wide, config, depth) for side, wide in config.grids)
        self.narrow = nn.ModuleList(nn.Conv2d(wide, narrow, 1, bias=False) for wide, narrow in pairwise(channels))
        self.norm, last = CellNorm(channels[-1]), max(16, channels[-1] // 2)
        self.fine = nn.Conv2d(channels[-1], last, 1)
        self.smooth = nn.Conv2d(last, last, 3, padding=1)
        self.out = nn.Conv2d(last, config.drawn_channels, 3, padding=1)
        nn.init.kaiming_normal_(self.smooth.weight, SLOPE)
        nn.init.normal_(self.out.weight, std=0.5 / math.sqrt(9 * last))  # begins at half the spread of data
        self.keep_scale(config.drawn_channels)

    def conditions(self, tokens: Tensor, sentence: Tensor) -> Conditions:
        """Of prompts (B, T) and sentence vectors (B, 512)."""
        memory, mask = self.read(tokens, sentence)
        bias = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)
        assert self.captions is not None
        read = self.captions(tokens, sentence) * WIDTH**0.5  # numbers of about 1, as the memory's are
        return Conditions(torch.cat([memory[:, 0], read.type_as(memory)], 1), memory, bias)

    def draw(self, latents: Tensor, given: Conditions) -> Tensor:
        """(B, latent) of a standard normal -> (B, drawn_channels, size, size): pixels of about [-1, 1], or cells."""
        style = self.mapping(torch.cat([latents, given.whole.type_as(latents)], 1))
        x = self.first_layer(style).unflatten(1, (-1, SMALLEST_GRID, SMALLEST_GRID))
        x = x.contiguous(memory_format=torch.channels_last)
        for i, grid in enumerate(self.grids):
            x = grid(enlarged(self.narrow[i - 1](x), 2) if i else x, style, given)
        x = enlarged(self.fine(F.leaky_relu(self.norm(x), SLOPE)), self.config.patch)
        return self.denormalized(self.out(F.leaky_relu(self.smooth(F.leaky_relu(x, SLOPE)), SLOPE)))

    def forward(self, latents: Tensor, tokens: Tensor, sentence: Tensor) -> Tensor:
        """(B, latent), (B, T), (B, 512) -> (B, drawn_channels, size, size)."""
        return self.draw(latents, self.conditions(tokens, sentence))
