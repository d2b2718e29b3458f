"""A classifier of styles that learns beside a mixing VAE, from real drawings, and is asked about its drawings.

The auxiliary classifier of Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs", 2017. It sees
statistics of features alone: not what is drawn, nor where.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.measure.features import BLOCKS, FEATURE_SCALE, LOSS_DEPTH, Sides


class StyleClassifier(nn.Module):
    """A linear classifier of the means and spreads of feature maps. It starts from zeros, and its loss is convex."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        channels = sum(out for _, out, _, _ in BLOCKS[:LOSS_DEPTH])
        self.weight = nn.Parameter(torch.zeros(classes, 2 * channels))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, feature_statistics: Sides, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Statistics of drawings and of real ones -> (the VAE's loss, the classifier's own).

        Mean cross-entropies, in nats. The classifier learns nothing from drawings, or it would know them by their
        faults.
        """
        ours, theirs = (torch.cat(blocks, 1) / FEATURE_SCALE for blocks in zip(*feature_statistics, strict=True))
        missed = F.cross_entropy(F.linear(ours, self.weight.detach(), self.bias.detach()), labels)
        return missed, F.cross_entropy(F.linear(theirs, self.weight, self.bias), labels)
