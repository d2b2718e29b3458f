"""Translates pictures from one style into another without pairs: a generator a direction, and heads that compare
places.

Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", 2020: what is at a place of the result must
be more like what was there than what was anywhere else.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.convolutions import MirroredConv
from models.translation.spec import TranslationConfig

PLACES, TEMPERATURE = 256, 0.07  # that are compared; of their likeness
HEAD = 128  # numbers that a place is told by


class Conv(nn.Module):
    """A convolution, normalised and rectified."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, upsample: bool = False) -> None:
        super().__init__()
        self.conv = MirroredConv(inputs, outputs, kernel, stride, upsample)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class ResBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width)
        self.second = MirroredConv(width, width)
        self.norm = nn.InstanceNorm2d(width, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.second(self.first(x)))


class Generator(nn.Module):
    """(B, 3, H, W) in [-1, 1], sides multiples of GRID -> the same in the other style."""

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        full, half, quarter = config.widths
        self.encoder = nn.ModuleList(
            [Conv(3, full, 7), Conv(full, half, stride=2), Conv(half, quarter, stride=2)]
            + [ResBlock(quarter) for _ in range(config.blocks)]
        )
        self.decoder = nn.Sequential(Conv(quarter, half, upsample=True), Conv(half, full, upsample=True))
        self.out = MirroredConv(full, 3, 7)

    def forward(self, pictures: Tensor) -> Tensor:
        made, _ = self.with_maps(pictures)
        return made

    def with_maps(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(translations, `maps` of the pictures)."""
        last, found = self.encoded(pictures)
        return torch.tanh(self.out(self.decoder(last))), found

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Of the layers whose places are compared: after the first two that halve the size, and through the blocks."""
        return self.encoded(pictures)[1]

    def encoded(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, found = pictures, []
        for layer in self.encoder:
            x = layer(x)
            found.append(x)
        return x, [found[i] for i in (1, 2, 2 + (len(found) - 3) // 2, -1)]


class TranslationNetwork(nn.Module):
    """Two generators: the first into the first style, the second into the second."""

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        self.config = config
        self.generators = nn.ModuleList(Generator(config) for _ in range(2))

    def exchange(self) -> None:
        """The first style and the second."""
        self.generators = nn.ModuleList([self.generators[1], self.generators[0]])

    def generator(self, style: int) -> Generator:
        found = self.generators[style]
        assert isinstance(found, Generator)
        return found

    def forward(self, pictures: Tensor, style: int) -> Tensor:
        made: Tensor = self.generator(style)(pictures)
        return made


class Heads(nn.Module):
    """What tells places of a generator's maps; learnt with it, and of no use after."""

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        _, half, quarter = config.widths
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, HEAD), nn.ReLU(), nn.Linear(HEAD, HEAD))
            for width in (half, quarter, quarter, quarter)
        )

    def forward(self, ours: list[Tensor], theirs: list[Tensor], random: torch.Generator) -> Tensor:
        """InfoNCE over places of one picture, of maps (B, C, h, w) of results and of what they were made from."""
        losses = []
        with torch.autocast(ours[0].device.type, enabled=False):
            for head, made, given in zip(self.heads, ours, theirs, strict=True):
                cells = made.shape[-2] * made.shape[-1]
                places = torch.randperm(cells, generator=random)[:PLACES].to(made.device)
                a, b = (F.normalize(head(each.flatten(2)[..., places].mT.float()), dim=-1) for each in (made, given))
                likeness = a @ b.detach().mT / TEMPERATURE
                wanted = torch.arange(len(places), device=made.device).expand(len(made), -1)
                losses.append(F.cross_entropy(likeness.flatten(0, 1), wanted.flatten()))
        return torch.stack(losses).mean()
