"""A discriminator that judges features instead of pixels: it needs far fewer pictures to learn what is real.

Sauer et al., "Projected GANs Converge Faster", 2021, on EfficientNet-Lite0: four maps, mixed over channels and over
scales by fixed random convolutions, each with a small head of its own. To be played for the hinge loss, unpenalised.
What a picture is to be of is told by projection: Miyato and Koyama, "cGANs with Projection Discriminator", 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from models.measure.features import BLOCKS, FEATURE_SCALE, SMALLEST_SEEN, load_lite0

MAPS = (0, 2, 4, 10)  # blocks at a half, a quarter, an eighth and a sixteenth of the side
MIXED = (32, 48, 64, 96)  # channels after mixing
WIDTH = 64  # of a head
SLOPE = 0.2


Embedding = Callable[[int], nn.Module]  # of conditions, as vectors of so many numbers


def embedded_classes(classes: int) -> Embedding | None:
    """Of labels in [0, classes), if there are any."""
    return (lambda width: nn.Embedding(classes, width)) if classes else None


class Head(nn.Module):
    """A map to scores of its places, averaged; spectrally normalised (Miyato et al., 2018)."""

    def __init__(self, channels: int, halvings: int, embedding: Embedding | None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(halvings):
            layers += [spectral_norm(nn.Conv2d(channels if i == 0 else WIDTH, WIDTH, 4, 2, 1)), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*layers)
        last = WIDTH if halvings else channels
        self.out = spectral_norm(nn.Conv2d(last, 1, 3, padding=1))
        self.embedding = spectral_norm(embedding(last)) if embedding else None

    def forward(self, x: Tensor, conditions: Tensor | None, by_each: bool = False) -> Tensor:
        """(B, C, H, W) -> (B,); `by_each` of N conditions (B, N)."""
        x = self.body(x)
        scores: Tensor = self.out(x).mean((1, 2, 3))
        if self.embedding is None:
            return scores
        embedded, pooled = self.embedding(conditions).float(), x.mean((2, 3)).float()
        if not by_each:
            return scores + (embedded * pooled).sum(1)
        with torch.autocast(x.device.type, enabled=False):
            return scores[:, None] + pooled @ embedded.T


class ProjectedDiscriminator(nn.Module):
    """Pictures to one score a scale, by what they are to be of where there is an `embedding`. Only the heads learn."""

    def __init__(self, embedding: Embedding | None = None) -> None:
        super().__init__()
        channels = [BLOCKS[i][1] for i in MAPS]
        self.features = load_lite0(MAPS[-1] + 1)
        self.over_channels = nn.ModuleList(nn.Conv2d(c, m, 1) for c, m in zip(channels, MIXED, strict=True))
        self.over_scales = nn.ModuleList(nn.Conv2d(deeper, m, 3, padding=1) for m, deeper in pairwise(MIXED))
        for fixed in (self.over_channels, self.over_scales):
            for layer in fixed:
                assert isinstance(layer, nn.Conv2d)
                nn.init.kaiming_normal_(layer.weight)
        for part in (self.features, self.over_channels, self.over_scales):
            part.requires_grad_(False)
        self.heads = nn.ModuleList(Head(m, 3 - i, embedding) for i, m in enumerate(MIXED))
        self.eval()

    @torch.no_grad()
    def advance(self) -> None:
        """One power iteration a step: at every forward pass it would depend on the number of pieces and processes."""
        self.heads.train()
        for layer in self.heads.modules():
            if is_parametrized(layer):
                _ = layer.weight
        self.heads.eval()

    def forward(self, pictures: Tensor, conditions: Tensor | None = None) -> Tensor:
        """(B, 3, size, size) in [-1, 1], and what the embedding takes of each -> (B, 4)."""
        return self.scores(self.maps(pictures), conditions)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """What is seen of (B, 3, size, size): (B, MIXED[i], h, w), at a half of the side and down to a sixteenth."""
        if pictures.size(-1) < SMALLEST_SEEN:
            pictures = F.interpolate(pictures, (SMALLEST_SEEN, SMALLEST_SEEN), mode="bilinear", align_corners=False)
        maps = self.features(pictures)
        # Scores are as much as Lipschitz heads make of the maps, and the hinge looks at differences of 1: of maps as
        # loud as they are, nine pictures were told from all else within 50 steps, as now in 300.
        mixed = [mix(maps[i] / FEATURE_SCALE) for i, mix in zip(MAPS, self.over_channels, strict=True)]
        for i in range(len(mixed) - 2, -1, -1):  # from the deepest up, as in a feature pyramid
            deeper = F.interpolate(mixed[i + 1], mixed[i].shape[-2:], mode="bilinear", align_corners=False)
            mixed[i] = mixed[i] + self.over_scales[i](deeper)
        return mixed

    def scores(self, maps: list[Tensor], conditions: Tensor | None = None, by_each: bool = False) -> Tensor:
        """Of pictures of which these maps were seen, (B, 4); `by_each` of N conditions (B, 4, N)."""
        return torch.stack([head(x, conditions, by_each) for head, x in zip(self.heads, maps, strict=True)], 1).float()
