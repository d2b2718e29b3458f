"""What generator and discriminator play for. D is the discriminator's unbounded score, sigmoid(D) a probability of
being real where the objective makes it one.

Goodfellow et al., "Generative Adversarial Nets", 2014 (minimax, non-saturating); Lim and Ye, "Geometric GAN", 2017
(hinge); Jolicoeur-Martineau, "On Relativistic f-GANs", 2019, and Huang et al., 2024 (relativistic pairing);
Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018 (R1, R2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]  # (scores of real, scores of fake), both (B,) or (B, heads) -> the same


@dataclass(frozen=True)
class GameOf:
    """Losses of both players.

    `probability`: whether sigmoid(D) estimates p_data / (p_data + p_g). `paired`: whether a fake is judged beside a
    real one, so that only the difference of their scores means something.
    """

    discriminator: Loss
    generator: Loss
    probability: bool = False
    paired: bool = False


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))): minus the value of the minimax game."""
    return F.softplus(-real) + F.softplus(fake)


OBJECTIVES = {
    # The generator minimises the value itself: log(1 - sigmoid(D(G(z)))).
    "minimax": GameOf(cross_entropy, lambda real, fake: -F.softplus(fake), probability=True),
    # It maximises log sigmoid(D(G(z))) instead, which has a gradient where the discriminator is sure.
    "non-saturating": GameOf(cross_entropy, lambda real, fake: F.softplus(-fake), probability=True),
    "hinge": GameOf(
        lambda real, fake: F.relu(1 - real) + F.relu(1 + fake),
        lambda real, fake: -fake,
    ),
    # Each fake is judged beside a real one, so no mode of the data can be dropped for free.
    "relativistic": GameOf(
        lambda real, fake: F.softplus(fake - real), lambda real, fake: F.softplus(real - fake), paired=True
    ),
}


def gradient_penalty(pictures: Tensor, scores: Tensor) -> Tensor:
    """(B,) squared norm of the gradient of each score by its own picture: R1 on real ones, R2 on fake ones."""
    (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def divergence_bound(loss: float) -> float:
    """Lower bound of the Jensen-Shannon divergence in nats from the mean cross-entropy loss; log 2 at most.

    The value of the game is -log 4 + 2 JSD at the best discriminator, and less at any other.
    """
    return (math.log(4) - loss) / 2
