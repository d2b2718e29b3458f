"""Layers over a grid of patches that read a prompt and know a time: what enters and what leaves is another's.

Peebles and Xie, "Scalable Diffusion Models with Transformers" (DiT), 2023, with one table of modulation a layer
(adaLN-single: Chen et al., "PixArt-alpha", 2024) and the prompt in the same attention as the patches.
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
Prompts = tuple[
    list[KeyValue], Tensor, Tensor
]  # of each layer; their mask (B, 1, 1, N + M); what it is all about (B, D)


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


class TrunkLayer(nn.Module):
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
        """Of the prompt (B, M, D): the same at every step of sampling."""
        key, value = self.memory(memory).chunk(2, dim=-1)
        return self.attention.key_norm(self.attention.split(key)), self.attention.split(value)

    def forward(
        self, x: Tensor, shared: Tensor, rotary: tuple[Tensor, Tensor], prompt: KeyValue, mask: Tensor
    ) -> Tensor:
        """x (B, N, D), shared (B, 6, D), mask (B, 1, 1, N + M)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (shared + self.table).unsqueeze(2).unbind(1)
        y = modulate(self.norm1(x), shift1, scale1)
        query = rotate(self.attention.queries(y), *rotary)
        key, value = self.attention.keys_and_values(y)
        key = torch.cat([rotate(key, *rotary), prompt[0].type_as(key)], dim=2)
        value = torch.cat([value, prompt[1].type_as(value)], dim=2)
        x = x + gate1 * self.attention.attend(query, (key, value), mask)
        return x + gate2 * self.feed_forward(modulate(self.norm2(x), shift2, scale2))


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
        self.layers = nn.ModuleList(TrunkLayer(config) for _ in range(config.layers))
        self.norm = Norm(width)
        self.last_modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.last_modulation.weight)
        nn.init.zeros_(self.last_modulation.bias)
        cosine, sine = axial_rotary(config.grid, width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def encode(self, tokens: Tensor, sentence: Tensor, reference: Tensor | None = None) -> Prompts:
        """Prompts (B, T), sentences (B, 512) and what is seen of reference pictures (B, REFERENCE_WIDTH), zeros where
        there is none, for `transform`: the same at every step of sampling.
        """
        memory, mask = self.read(tokens, sentence, reference)
        summary = memory[:, 0] if reference is None else memory[:, 0] + memory[:, -1]
        mask = F.pad(mask, (self.grid**2, 0), value=True)  # of patches, then of the memory
        layers: list[TrunkLayer] = list(self.layers)  # type: ignore[arg-type]
        return [layer.keys_and_values(memory) for layer in layers], mask, summary

    def condition(self, t: Tensor, prompts: Prompts) -> Tensor:
        """Times (B,) in [0, 1] -> (B, width): what modulates every layer, and knows what it is all about."""
        summary = prompts[2]
        return F.silu(self.time(time_features(t).type_as(summary)) + summary)

    def transform(self, x: Tensor, condition: Tensor, prompts: Prompts) -> Tensor:
        """Patches (B, N, width) -> (B, N, width)."""
        keys, mask, _ = prompts
        shared = self.modulation(condition).unflatten(1, (6, -1))
        for layer, prompt in zip(self.layers, keys, strict=True):
            x = layer(x, shared, (self.cosine, self.sine), prompt, mask)
        shift, scale = self.last_modulation(condition).unsqueeze(1).chunk(2, dim=-1)
        return modulate(self.norm(x), shift, scale)
