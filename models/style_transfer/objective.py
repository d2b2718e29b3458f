"""How near a picture is to the content of one and to the style of another.

Style is what local features occur, and how often: their distributions are compared by sliced Wasserstein distances,
which see all of a distribution (Heitz et al., "A Sliced Wasserstein Loss for Neural Texture Synthesis", 2021), at
several depths of a network that knows photographs, of colours, and of patches of pixels (Elnekave & Weiss,
"Generating Natural Images with Direct Patch Distributions Matching", 2022). Features of a network with residual
blocks are peaky, and are bounded first, after Wang et al., "Rethinking and Improving the Robustness of Image Style
Transfer", 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.measure.features import load_lite0

STYLE_DEPTHS = (0, 2, 4, 7)  # blocks of Lite0: a half to a sixteenth of the side
CONTENT_DEPTHS = {4: 1.0, 7: 0.5}  # and what each counts
DIRECTIONS = 32  # that a distribution is projected on
POINTS = 4096  # of a map that are compared
PATCH, LEVELS = 7, 3  # side of patches in pixels, and how often pictures are halved
COLOURS, PATCHES = 2.0, 0.4  # what they count beside features
LEAST_TEXTURE = 0.01  # variance of what is hardly structured


class StyleTransferLoss(nn.Module):
    """Distances of what was made from a content and a style picture; features of Lite0, which is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.features = load_lite0(max(*STYLE_DEPTHS, *CONTENT_DEPTHS) + 1)

    def forward(self, made: Tensor, content: Tensor, style: Tensor, seed: int) -> Tensor:
        """Three (B, 3, H, W) in [-1, 1] -> (2, B): of content, of style. Directions are drawn by `seed`."""
        random = torch.Generator().manual_seed(seed)
        ours = self.features(made)
        with torch.no_grad():
            wanted, theirs = self.features(content), self.features(style)
        with torch.autocast(made.device.type, enabled=False):  # sorted numbers need their digits
            made, style = made.float(), style.float()
            contents = [weight * content_distance(ours[i], wanted[i]) for i, weight in CONTENT_DEPTHS.items()]
            features = [sliced_wasserstein(*bounded(ours[i], theirs[i]), random) for i in STYLE_DEPTHS]
            colours = sliced_wasserstein(F.avg_pool2d(made, 4), F.avg_pool2d(style, 4), random)
            styles = torch.stack(features).mean(0) + COLOURS * colours + PATCHES * patch_distance(made, style, random)
            return torch.stack([torch.stack(contents).sum(0), styles])


def content_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """(B,): without what a style changes first, how strong each channel is."""
    a, b = (F.instance_norm(maps.float()) for maps in (ours, theirs))
    return (a - b).square().mean((1, 2, 3))


def bounded(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Each place's features as shares, so that no few of them decide all; both by the spread of `theirs`."""
    spread = theirs.float().std((1, 2, 3), keepdim=True).clamp_min(1e-3)
    a, b = (maps.size(1) * torch.softmax(maps.float() / spread, 1) for maps in (ours, theirs))
    return a, b


def sliced_wasserstein(ours: Tensor, theirs: Tensor, random: torch.Generator) -> Tensor:
    """Two (B, C, h, w), places in any order -> (B,): the mean squared distance of sorted projections."""
    directions = F.normalize(torch.randn(DIRECTIONS, ours.size(1), generator=random), dim=1).to(ours)
    a, b = ((directions @ thinned(maps, random).flatten(2)).sort(-1).values for maps in (ours, theirs))
    if a.size(-1) != b.size(-1):
        b = F.interpolate(b, a.size(-1), mode="linear", align_corners=True)
    return (a - b).square().mean((1, 2))


def thinned(maps: Tensor, random: torch.Generator) -> Tensor:
    """At most POINTS places, evenly, from a chance one on: else some are always seen and others never."""
    step = max(1, round((maps.size(2) * maps.size(3) / POINTS) ** 0.5))
    top, left = torch.randint(0, step, (2,), generator=random).tolist()
    return maps[..., top::step, left::step]


def patch_distance(made: Tensor, style: Tensor, random: torch.Generator) -> Tensor:
    """(B,): of patches at several sizes, without their colours, of the variance that they have in the style. What
    projects patches are convolutions with filters by chance.
    """
    found = []
    for level in range(LEVELS):
        if level:
            made, style = F.avg_pool2d(made, 2), F.avg_pool2d(style, 2)
        filters = torch.randn(DIRECTIONS, 3, PATCH, PATCH, generator=random).to(made)
        filters = filters - filters.mean((2, 3), keepdim=True)
        filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        a, b = (thinned(F.conv2d(x, filters), random).flatten(2) for x in (made, style))
        if a.size(-1) != b.size(-1):
            b = F.interpolate(b, a.size(-1), mode="linear", align_corners=True)
        apart = (a.sort(-1).values - b.sort(-1).values).square().mean((1, 2))
        found.append(apart / b.square().mean((1, 2)).clamp_min(LEAST_TEXTURE))
    return torch.stack(found).mean(0)
