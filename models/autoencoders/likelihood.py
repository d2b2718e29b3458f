"""The evidence lower bound and its parts.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2014. All values are in nats and include every constant, so that
bounds of different models on the same pictures can be compared.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256  # of a channel
LEVEL = 2 / (LEVELS - 1)  # distance of two levels in [-1, 1]
Schedule = Literal["constant", "warm-up", "cyclical"]
CYCLES, RISING = 4, 0.5  # of a cyclical schedule; the share of a cycle in which it rises


class Likelihood(nn.Module, ABC):
    """p(x | z) of pictures in [-1, 1] around a decoder's output, with one learnt scale for all pixels.

    A learnt scale balances reconstruction and KL by itself (Rybkin et al., "Simple and Effective VAE Training with
    Calibrated Decoders", 2021).
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def fix(self, scale: float) -> None:
        """Not learnt any more."""
        self.log_scale.data.fill_(math.log(scale))
        self.log_scale.requires_grad_(False)

    @abstractmethod
    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """(B, ...) and (B, ...) -> (B,): sum over all other dimensions."""


class Gaussian(Likelihood):
    """A density; the mean log-density of whole levels is that of the mass times 1 / LEVEL."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        standard = (x - output) * torch.exp(-self.log_scale)
        return total(-0.5 * standard.square() - self.log_scale - 0.5 * math.log(2 * math.pi))


class Laplace(Likelihood):
    """A density with sharper edges: its mean error is absolute, not squared."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        return total(-(x - output).abs() * torch.exp(-self.log_scale) - self.log_scale - math.log(2))


class DiscretisedLogistic(Likelihood):
    """The mass of each of the 256 levels (Kingma et al., "Improving Variational Inference with IAF", 2016)."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        inverse = torch.exp(-self.log_scale)
        above, below = (x - output + LEVEL / 2) * inverse, (x - output - LEVEL / 2) * inverse
        # log(sigmoid(above) - sigmoid(below)), stable in both tails; the outermost levels take all that lies beyond
        inside = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(below - above))
        lowest, highest = x < -1 + LEVEL / 2, x > 1 - LEVEL / 2
        return total(torch.where(lowest, F.logsigmoid(above), torch.where(highest, F.logsigmoid(-below), inside)))


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "laplace": Laplace,
    "discretised-logistic": DiscretisedLogistic,
}


def total(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """(B, D) KL divergence of N(mean, variance) from the standard normal, dimension by dimension."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def with_free_bits(divergences: Tensor, free: float, whole: Tensor | None = None) -> Tensor:
    """Scalar: the mean over the batch, where a dimension costs nothing below `free` nats (Kingma et al., 2016).

    `whole` (D,) is the mean over the whole batch where `divergences` are only a piece of it.
    """
    mean = divergences.mean(0)
    return torch.where((mean if whole is None else whole) > free, mean, free).sum()


def beta_at(schedule: Schedule, beta: float, progress: float, warm: float = 0.2) -> float:
    """Weight of the KL term at `progress` in [0, 1]: from 0 up over the first `warm`, or up again in every cycle.

    Fu et al., "Cyclical Annealing Schedule", 2019.
    """
    if schedule == "constant":
        return beta
    if schedule == "warm-up":
        return beta * min(1.0, progress / warm)
    return beta * min(1.0, (progress * CYCLES % 1) / RISING) if progress < 1 else beta


def normal_log_prob(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """(..., D) -> (...): log-density of a diagonal normal."""
    values = (z - mean).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi)
    return -0.5 * values.sum(-1)


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A sample of a posterior from a standard normal one."""
    return mean + torch.exp(0.5 * log_variance) * noise


def bits_a_number(likelihood: Likelihood, nats: float, numbers: int) -> float:
    """Nats of a whole picture as bits a number, of whole levels: a density is taken times the width of a level."""
    if not isinstance(likelihood, DiscretisedLogistic):
        nats += numbers * math.log(LEVEL)
    return -nats / numbers / math.log(2)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    return normal_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))


class Explained(Protocol):
    """A model whose latents are one vector a picture, for a bound."""

    likelihood: Likelihood

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> means and log-variances of the posterior, (B, D) each."""

    def decoder(self, z: Tensor) -> Tensor: ...


@torch.no_grad()
def importance_weighted_bound(
    model: Explained,
    x: Tensor,
    samples: int,
    random: torch.Generator,
    prior: Callable[[Tensor], Tensor] = standard_normal_log_prob,
) -> Tensor:
    """(B,) lower bound of log p(x) from `samples` draws of the encoder: the ELBO for 1, tighter for more.

    `prior` is the log-density of (B, D) latents. Burda et al., "Importance Weighted Autoencoders", 2016.
    """
    mean, log_variance = model.encoder(x)
    bounds = []
    for _ in range(samples):
        z = reparameterize(mean, log_variance, torch.randn(mean.shape, generator=random).to(mean))
        weight = model.likelihood.log_prob(x, model.decoder(z))
        bounds.append(weight + prior(z) - normal_log_prob(z, mean, log_variance))
    return torch.logsumexp(torch.stack(bounds), 0) - math.log(samples)
