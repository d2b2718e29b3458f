"""How near a picture is to the content of one and to the style of another.

Style is what local features occur, and how often: their distributions are compared by sliced Wasserstein distances,
which see all of a distribution (Heitz et al., "A Sliced Wasserstein Loss for Neural Texture Synthesis", 2021), at
several depths of a network that knows photographs, and of patches of pixels (Elnekave & Weiss, "Generating Natural
Images with Direct Patch Distributions Matching", 2022). Features of a network with residual blocks are peaky, and are
bounded first, after Wang et al., "Rethinking and Improving the Robustness of Image Style Transfer", 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.measure.features import load_lite0

STYLE_DEPTHS, CONTENT_DEPTHS = (0, 2, 4, 7), (4, 7)  # blocks of Lite0: a half to a sixteenth of the side
DIRECTIONS = 32  # that a distribution is projected on
POINTS = 4096  # of a map that are compared
PATCH, LEVELS = 7, 3  # side of patches in pixels, and how often pictures are halved
PIXELS = 1.0  # what patches count beside features


class StyleTransferLoss(nn.Module):
    """Distances of what was made from a content and a style picture; features of Lite0, which is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.features = load_lite0(max(*STYLE_DEPTHS, *CONTENT_DEPTHS) + 1)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        found: list[Tensor] = self.features(pictures)
        return found

    def forward(self, made: Tensor, content: Tensor, style: Tensor, random: torch.Generator) -> Tensor:
        """Three (B, 3, H, W) in [-1, 1] -> (content, style)."""
        ours = self.maps(made)
        with torch.no_grad():
            wanted, theirs = self.maps(content), self.maps(style)
        contents = [F.mse_loss(whitened(ours[i]), whitened(wanted[i])) for i in CONTENT_DEPTHS]
        styles = [sliced_wasserstein(bounded(ours[i]), bounded(theirs[i]), random) for i in STYLE_DEPTHS]
        styles += [PIXELS * patch_distance(made, style, random)]
        return torch.stack([torch.stack(contents).mean(), torch.stack(styles).mean()])


def whitened(maps: Tensor) -> Tensor:
    """Without what a style changes first: how strong each channel is."""
    return F.instance_norm(maps.float())


def bounded(maps: Tensor) -> Tensor:
    """Each place's features as shares, so that no few of them decide all."""
    maps = maps.float()
    return maps.size(1) * torch.softmax(maps / maps.std((1, 2, 3), keepdim=True).detach().clamp_min(1e-3), 1)


def sliced_wasserstein(ours: Tensor, theirs: Tensor, random: torch.Generator) -> Tensor:
    """Two (B, C, h, w), places in any order -> scalar: the mean squared distance of sorted projections."""
    directions = torch.randn(DIRECTIONS, ours.size(1), generator=random).to(ours)
    directions = F.normalize(directions, dim=1)
    a, b = ((directions @ maps.flatten(2)).sort(-1).values for maps in (thinned(ours), thinned(theirs)))
    if a.size(-1) != b.size(-1):
        b = F.interpolate(b, a.size(-1), mode="linear", align_corners=True)
    return (a - b).square().mean() / b.detach().square().mean().clamp_min(1e-4)


def thinned(maps: Tensor) -> Tensor:
    """At most POINTS places, evenly."""
    step = max(1, round((maps.size(2) * maps.size(3) / POINTS) ** 0.5))
    return maps[..., ::step, ::step]


def patch_distance(made: Tensor, style: Tensor, random: torch.Generator) -> Tensor:
    """Of patches at several sizes: projections of patches are convolutions with filters by chance."""
    found = []
    for level in range(LEVELS):
        if level:
            made, style = F.avg_pool2d(made, 2), F.avg_pool2d(style, 2)
        filters = torch.randn(DIRECTIONS, 3, PATCH, PATCH, generator=random).to(made)
        filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        a, b = (thinned(F.conv2d(x.float(), filters.float())).flatten(2).sort(-1).values for x in (made, style))
        found.append((a - b).square().mean() / b.detach().square().mean().clamp_min(1e-4))
    return torch.stack(found).mean()
