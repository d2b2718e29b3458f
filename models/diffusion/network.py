"""The flow transformer: from a noisy picture, a time and a prompt it says what the clean picture is.

Peebles and Xie, "Scalable Diffusion Models with Transformers" (DiT), 2023; Li and He, "Back to Basics: Let Denoising
Generative Models Denoise" (JiT), 2025. Knows nothing of how noise is mixed in, or of what its channels mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.diffusion.spec import REFERENCE_WIDTH, FlowConfig
from models.parts.trunk import Prompts, Trunk


class ResBlock(nn.Module):
    """Two 3x3 convolutions, the second scaled and shifted by time."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, C, H, W), condition (B, width)."""
        shift, scale = self.time(condition)[:, :, None, None].chunk(2, dim=1)
        y = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.conv2(F.silu(y))


class FlowTransformer(Trunk):
    """(B, channels, size, size) noisy -> the clean picture of the same shape.

    With `outer_blocks` it is an hourglass: convolutions at twice the resolution of the patches before and after the
    transformer, and a skip between the two.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self.config = config
        width, patch = config.width, config.patch
        if config.outer_blocks:
            outer, half = config.outer_width, patch // 2
            inner = config.channels * half**2
            self.stem = nn.Sequential(nn.PixelUnshuffle(half), nn.Conv2d(inner, outer, 3, padding=1))
            self.before = nn.ModuleList(ResBlock(outer, width) for _ in range(config.outer_blocks))
            self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * outer, width, 1))
            self.leave = nn.Sequential(nn.Conv2d(width, 4 * outer, 1), nn.PixelShuffle(2))
            self.join = nn.Conv2d(2 * outer, outer, 1)
            self.after = nn.ModuleList(ResBlock(outer, width) for _ in range(config.outer_blocks))
            self.smooth = nn.Sequential(nn.GroupNorm(8, outer), nn.SiLU())
            self.out = nn.Conv2d(outer, inner, 3, padding=1)
            self.unfold = nn.PixelShuffle(half)
        else:
            inner = config.channels * patch**2
            pressed = min(inner, config.bottleneck)
            self.enter = nn.Sequential(
                nn.PixelUnshuffle(patch), nn.Conv2d(inner, pressed, 1, bias=False), nn.Conv2d(pressed, width, 1)
            )
            self.out = nn.Conv2d(width, inner, 1)
            self.unfold = nn.PixelShuffle(patch)
        for part in self.out.parameters():  # foresees the mean at first
            nn.init.zeros_(part)
        if config.reference:
            self.reference = nn.Linear(REFERENCE_WIDTH, width, bias=False)
            nn.init.normal_(self.reference.weight, std=0.02 / REFERENCE_WIDTH**0.5)  # an embedding's size, as of words
            self.register_buffer("reference_mean", torch.zeros(REFERENCE_WIDTH))
            self.register_buffer("reference_scale", torch.ones(REFERENCE_WIDTH))
            self.reference_mean: Tensor  # of what is seen in the data
            self.reference_scale: Tensor
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("scale", torch.ones(config.channels))
        self.mean: Tensor  # of each channel of the data, and its standard deviation: noise has 0 and 1
        self.scale: Tensor

    def normalized(self, x: Tensor) -> Tensor:
        """Data (B, C, H, W) -> with the mean and the scale of the noise."""
        return (x - self.mean.view(-1, 1, 1)) / self.scale.view(-1, 1, 1)

    def denormalized(self, x: Tensor) -> Tensor:
        return x * self.scale.view(-1, 1, 1) + self.mean.view(-1, 1, 1)

    def encode(self, tokens: Tensor, sentence: Tensor, reference: Tensor | None = None) -> Prompts:
        """Also what is seen of reference pictures (B, REFERENCE_WIDTH), zeros where there is none."""
        if reference is None or not self.config.reference:
            return super().encode(tokens, sentence)
        memory, mask = self.read(tokens, sentence)
        given = reference.any(1, keepdim=True)
        token = self.reference((reference - self.reference_mean) / self.reference_scale) * given
        memory = torch.cat([memory, self.memory_norm(token).unsqueeze(1)], 1)
        return self.remember(memory, torch.cat([mask, given[:, None, None]], -1), memory[:, 0] + memory[:, -1])

    def denoise(self, z: Tensor, t: Tensor, prompts: Prompts) -> Tensor:
        """Noisy z (B, C, H, W) at times t (B,), 0 for noise and 1 for the picture -> the picture."""
        condition = self.condition(t, prompts)
        skip = None
        if self.config.outer_blocks:
            z = self.stem(z.contiguous(memory_format=torch.channels_last))
            for block in self.before:
                z = block(z, condition)
            skip = z
        x = self.transform(self.enter(z).flatten(2).mT, condition, prompts)
        x = x.mT.reshape(len(x), -1, self.grid, self.grid)
        if skip is not None:
            x = self.join(torch.cat([self.leave(x), skip], dim=1))
            for block in self.after:
                x = block(x, condition)
            x = self.smooth(x)
        clean: Tensor = self.unfold(self.out(x))
        return clean

    def forward(
        self, z: Tensor, t: Tensor, tokens: Tensor, sentence: Tensor, reference: Tensor | None = None
    ) -> Tensor:
        return self.denoise(z, t, self.encode(tokens, sentence, reference))
