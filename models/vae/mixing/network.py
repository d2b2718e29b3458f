"""Two encoders and a decoder: content is a grid, an eighth of the picture's side; style is one vector a picture.

Content that keeps its places lets a picture that was never seen be drawn again in detail, which one vector cannot.
Style reaches every block of the decoder as a scale and a shift, after Huang and Belongie, "Arbitrary Style Transfer in
Real-time with Adaptive Instance Normalization", 2017.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.likelihood import LIKELIHOODS, Likelihood
from models.autoencoders.spatial import blocks
from models.vae.mixing.spec import MixingConfig

LARGEST_LOG_VARIANCE = 8.0
APART = 6.0
Posterior = tuple[Tensor, Tensor]  # mean and log-variance


class StyledBlock(nn.Module):
    """A residual block whose normalised channels are scaled and shifted by the style."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(8, channels, affine=False) for _ in range(2))
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.style = nn.Linear(hidden, 4 * channels)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        scale1, shift1, scale2, shift2 = self.style(hidden)[:, :, None, None].chunk(4, 1)
        y = self.conv1(F.silu(self.norm1(x) * (1 + scale1) + shift1))
        return x + self.conv2(F.silu(self.norm2(y) * (1 + scale2) + shift2))


class ContentEncoder(nn.Module):
    """What is drawn, place by place."""

    def __init__(self, config: MixingConfig) -> None:
        super().__init__()
        eighth, quarter, _ = config.widths
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, quarter, 3, padding=1),
            *blocks(quarter, config.encoder_blocks),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * quarter, eighth, 1),
            *blocks(eighth, config.encoder_blocks),
            nn.GroupNorm(8, eighth),
            nn.SiLU(),
            nn.Conv2d(eighth, 2 * config.content, 1),
        )

    def forward(self, pictures: Tensor) -> Posterior:
        """(B, 3, H, W) in [-1, 1] -> two (B, content, H/8, W/8)."""
        mean, log_variance = self.body(pictures).float().chunk(2, 1)
        return mean, log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


class StyleEncoder(nn.Module):
    """How it is drawn: means and spreads of channels, which do not know places (Gatys et al., 2016)."""

    def __init__(self, config: MixingConfig) -> None:
        super().__init__()
        _, quarter, half = config.widths
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, half, 3, padding=1),
            nn.SiLU(),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * half, quarter, 1),
            *blocks(quarter, 1),
            nn.SiLU(),
        )
        self.out = nn.Linear(2 * quarter, 2 * config.style)

    def forward(self, pictures: Tensor) -> Posterior:
        """(B, 3, H, W) in [-1, 1] -> two (B, style)."""
        maps = self.body(pictures).float().flatten(2)
        mean, log_variance = self.out(torch.cat([maps.mean(2), maps.std(2)], 1)).float().chunk(2, 1)
        return mean, log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


class MixingDecoder(nn.Module):
    """Content and style to pictures."""

    def __init__(self, config: MixingConfig) -> None:
        super().__init__()
        eighth, quarter, half = config.widths
        hidden = 4 * config.style
        count = config.decoder_blocks
        self.style = nn.Sequential(nn.Linear(config.style, hidden), nn.SiLU())
        self.enter = nn.Conv2d(config.content, eighth, 3, padding=1)
        self.layers = nn.ModuleList(
            [
                *[StyledBlock(eighth, hidden) for _ in range(count)],
                nn.Sequential(nn.Conv2d(eighth, 4 * quarter, 1), nn.PixelShuffle(2)),
                *[StyledBlock(quarter, hidden) for _ in range(count)],
                nn.Sequential(nn.Conv2d(quarter, 4 * half, 1), nn.PixelShuffle(2)),
                *[StyledBlock(half, hidden) for _ in range(2)],
            ]
        )
        self.out = nn.Sequential(nn.GroupNorm(8, half), nn.SiLU(), *ending(half, config.full))

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """(B, content, h, w), (B, style) -> (B, 3, 8h, 8w), about [-1, 1]."""
        hidden = self.style(style)
        x = self.enter(content.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x = layer(x, hidden) if isinstance(layer, StyledBlock) else layer(x)
        pictures: Tensor = self.out(x)
        return pictures.float()


def ending(half: int, full: int) -> list[nn.Module]:
    """From half the size to pictures. Pixels that lie next to each other come from different channels of one cell; only
    convolutions at the whole size keep a pattern of two pixels' width off plain areas.
    """
    if not full:
        return [nn.Conv2d(half, 12, 3, padding=1), nn.PixelShuffle(2)]
    return [
        nn.Conv2d(half, 4 * full, 1),
        nn.PixelShuffle(2),
        nn.Conv2d(full, full, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(full, 3, 3, padding=1),
    ]


class MixingVAE(nn.Module):
    """Encoders, decoder, likelihood, and where the styles lie that it has learnt.

    The prior of styles is a mixture of normals (Jiang et al., "Variational Deep Embedding", 2017), here one a label:
    what a label says of a style costs no nats, and the decoder hears it from the first step.
    """

    def __init__(self, config: MixingConfig) -> None:
        super().__init__()
        self.config = config
        self.content, self.style = ContentEncoder(config), StyleEncoder(config)
        self.decoder = MixingDecoder(config)
        # Means of the labels' priors, far apart at their unit variance.
        self.priors = nn.Parameter(APART * F.normalize(torch.randn(config.classes, config.style)))
        self.likelihood: Likelihood = LIKELIHOODS[config.likelihood]()
        # The aggregated posterior of each label's styles, as a normal: its mean and a root of its covariance.
        self.style_means: Tensor
        self.style_roots: Tensor
        self.register_buffer("style_means", torch.zeros(config.classes, config.style))
        self.register_buffer("style_roots", torch.zeros(config.classes, config.style, config.style))

    def label_scores(self, styles: Tensor) -> Tensor:
        """(B, style) -> (B, classes): log-densities under each label's prior, but for a constant."""
        return styles @ self.priors.T - 0.5 * self.priors.square().sum(1)

    def fit_styles(self, means: Tensor, log_variances: Tensor, labels: Tensor) -> None:
        """(N, style) posteriors of pictures with (N,) labels: one normal a label."""
        for label in range(self.config.classes):
            own = labels == label
            covariance = torch.cov(means[own].T, correction=0) + torch.diag(log_variances[own].exp().mean(0))
            self.style_means[label] = means[own].mean(0)
            self.style_roots[label] = torch.linalg.cholesky(covariance.double()).float()
