"""The flow transformer: from a noisy picture, a time and a prompt it says what the clean picture is.

Peebles and Xie, "Scalable Diffusion Models with Transformers" (DiT), 2023; Li and He, "Back to Basics: Let Denoising
Generative Models Denoise" (JiT), 2025. Knows nothing of how noise is mixed in, or of what its channels mean.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.diffusion.spec import FlowConfig
from models.parts.attention import Attention, KeyValue, Norm, axial_rotary, rotate
from models.parts.prompt import PromptReader

FREQUENCIES = 128
Prompts = tuple[list[KeyValue], Tensor, Tensor]  # of each layer; their mask (B, 1, 1, N + T); the sentence (B, D)


def time_features(t: Tensor) -> Tensor:
    """Times (B,) in [0, 1] -> (B, 2 FREQUENCIES) cosines and sines."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(FREQUENCIES, device=t.device) / FREQUENCIES)
    angles = 1000 * t[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(B, N, D) by (B, 1, D) each."""
    return x * (1 + scale) + shift


class ConvFeedForward(nn.Module):
    """Squared ReLU between two layers, and a depthwise 3x3 over the grid: neighbouring patches agree at their seams."""

    def __init__(self, width: int, hidden: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        assert self.mix.bias is not None
        nn.init.zeros_(self.mix.bias)
        nn.init.dirac_(self.mix.weight, groups=hidden)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x).unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)  # (B, hidden, h, w), channels last
        y = self.mix(y).permute(0, 2, 3, 1).flatten(1, 2)
        return self.down(F.relu(y).square())


class FlowLayer(nn.Module):
    """Attention over the picture's patches and the prompt at once, then the feed-forward layer.

    What time does to it is one table a layer, added to what all layers share (adaLN-single: Chen et al.,
    "PixArt-alpha", 2024).
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(config.width), Norm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.memory = nn.Linear(config.width, 2 * config.width, bias=False)
        self.feed_forward = ConvFeedForward(config.width, config.hidden, config.grid)
        self.table = nn.Parameter(torch.zeros(6, config.width))

    def keys_and_values(self, memory: Tensor) -> KeyValue:
        """Of the prompt (B, T, D): the same at every step of sampling."""
        key, value = self.memory(memory).chunk(2, dim=-1)
        return self.attention.key_norm(self.attention.split(key)), self.attention.split(value)

    def forward(
        self, x: Tensor, shared: Tensor, rotary: tuple[Tensor, Tensor], prompt: KeyValue, mask: Tensor
    ) -> Tensor:
        """x (B, N, D), shared (B, 6, D), mask (B, 1, 1, N + T)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (shared + self.table).unsqueeze(2).unbind(1)
        y = modulate(self.norm1(x), shift1, scale1)
        query = rotate(self.attention.queries(y), *rotary)
        key, value = self.attention.keys_and_values(y)
        key = torch.cat([rotate(key, *rotary), prompt[0].type_as(key)], dim=2)
        value = torch.cat([value, prompt[1].type_as(value)], dim=2)
        x = x + gate1 * self.attention.attend(query, (key, value), mask)
        return x + gate2 * self.feed_forward(modulate(self.norm2(x), shift2, scale2))


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


class Trunk(PromptReader):
    """Layers over a grid of patches that read a prompt and know a time: what enters and what leaves is another's."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        width = config.width
        self.grid = config.grid
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        self.layers = nn.ModuleList(FlowLayer(config) for _ in range(config.layers))
        self.norm = Norm(width)
        self.last_modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.last_modulation.weight)
        nn.init.zeros_(self.last_modulation.bias)
        cosine, sine = axial_rotary(config.grid, width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def encode(self, tokens: Tensor, sentence: Tensor) -> Prompts:
        """Prompts (B, T) and sentences (B, 512), for `transform`: the same at every step of sampling."""
        memory, mask = self.read(tokens, sentence)
        mask = F.pad(mask, (self.grid**2, 0), value=True)  # of patches, then of the prompt
        layers: list[FlowLayer] = list(self.layers)  # type: ignore[arg-type]
        return [layer.keys_and_values(memory) for layer in layers], mask, memory[:, 0]

    def condition(self, t: Tensor, prompts: Prompts) -> Tensor:
        """Times (B,) in [0, 1] -> (B, width): what modulates every layer, and knows the sentence too."""
        sentence = prompts[2]
        return F.silu(self.time(time_features(t).type_as(sentence)) + sentence)

    def transform(self, x: Tensor, condition: Tensor, prompts: Prompts) -> Tensor:
        """Patches (B, N, width) -> (B, N, width)."""
        keys, mask, _ = prompts
        shared = self.modulation(condition).unflatten(1, (6, -1))
        for layer, prompt in zip(self.layers, keys, strict=True):
            x = layer(x, shared, (self.cosine, self.sine), prompt, mask)
        shift, scale = self.last_modulation(condition).unsqueeze(1).chunk(2, dim=-1)
        return modulate(self.norm(x), shift, scale)


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
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("scale", torch.ones(config.channels))
        self.mean: Tensor  # of each channel of the data, and its standard deviation: noise has 0 and 1
        self.scale: Tensor

    def normalized(self, x: Tensor) -> Tensor:
        """Data (B, C, H, W) -> with the mean and the scale of the noise."""
        return (x - self.mean.view(-1, 1, 1)) / self.scale.view(-1, 1, 1)

    def denormalized(self, x: Tensor) -> Tensor:
        return x * self.scale.view(-1, 1, 1) + self.mean.view(-1, 1, 1)

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

    def forward(self, z: Tensor, t: Tensor, tokens: Tensor, sentence: Tensor) -> Tensor:
        return self.denoise(z, t, self.encode(tokens, sentence))
