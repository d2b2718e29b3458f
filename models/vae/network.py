"""A residual VAE with one latent vector a picture, and the flow that its latents are drawn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.autoencoders.likelihood import LIKELIHOODS, Likelihood, normal_log_prob
from models.autoencoders.spatial import blocks
from models.contract.latent_spec import SMALLEST_GRID
from models.vae.spec import VAEConfig

LARGEST_LOG_VARIANCE = 8.0


class Encoder(nn.Module):
    """Pictures to the mean and log-variance of their latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(config.patch),
            nn.Conv2d(3 * config.patch**2, widths[0], 3, padding=1),
        ]
        for i, width in enumerate(widths):
            if i:
                layers += [nn.PixelUnshuffle(2), nn.Conv2d(4 * widths[i - 1], width, 1)]
            layers += blocks(width, config.blocks)
        self.body = nn.Sequential(*layers, nn.GroupNorm(8, widths[-1]), nn.SiLU())
        self.out = nn.Linear(widths[-1] * SMALLEST_GRID**2, 2 * config.latent)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, size, size) in [-1, 1] -> two (B, latent)."""
        mean, log_variance = self.out(self.body(pictures).flatten(1)).float().chunk(2, 1)
        return mean, log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


class Decoder(nn.Module):
    """Latents to pictures."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.widths
        self.first = widths[0]
        self.enter = nn.Linear(config.latent, self.first * SMALLEST_GRID**2)
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            if i:
                layers += [nn.Conv2d(widths[i - 1], 4 * width, 1), nn.PixelShuffle(2)]
            layers += blocks(width, config.blocks)
        last = widths[-1]
        self.body = nn.Sequential(
            *layers,
            nn.GroupNorm(8, last),
            nn.SiLU(),
            nn.Conv2d(last, 3 * config.patch**2, 3, padding=1),
            nn.PixelShuffle(config.patch),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """(B, latent) -> (B, 3, size, size), about [-1, 1]."""
        x = self.enter(latents).view(-1, self.first, SMALLEST_GRID, SMALLEST_GRID)
        pictures: Tensor = self.body(x.contiguous(memory_format=torch.channels_last))
        return pictures.float()


class Coupling(nn.Module):
    """Half of the numbers scale and shift the other half; turned around in every second layer."""

    def __init__(self, width: int, hidden: int, condition: int, swap: bool) -> None:
        super().__init__()
        self.swap, self.kept = swap, width // 2
        self.net = nn.Sequential(
            nn.Linear(self.kept + condition, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * (width - self.kept)),
        )
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def parts(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = x.flip(1) if self.swap else x
        kept, changed = x[:, : self.kept], x[:, self.kept :]
        log_scale, shift = self.net(torch.cat([kept, condition], 1)).chunk(2, 1)
        return kept, changed, torch.tanh(log_scale), shift

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width) towards the normal, and (B,) log-determinant."""
        kept, changed, log_scale, shift = self.parts(x, condition)
        y = torch.cat([kept, (changed - shift) * torch.exp(-log_scale)], 1)
        return (y.flip(1) if self.swap else y), -log_scale.sum(1)

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        kept, changed, log_scale, shift = self.parts(y, condition)
        x = torch.cat([kept, changed * torch.exp(log_scale) + shift], 1)
        return x.flip(1) if self.swap else x


class FlowPrior(nn.Module):
    """What the encoder's latents of all pictures really look like, fitted after the VAE is trained.

    The standard normal of the ELBO is only where they are pulled to; pictures drawn from it are worse than those drawn
    from the aggregated posterior. Affine couplings: Dinh et al., "Density estimation using Real NVP", 2017.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        part = config.prior_width // 4
        self.embedding = nn.Embedding(config.classes, part) if config.classes else None
        self.sentence = nn.Linear(config.text, 2 * part, bias=False) if config.text else None
        condition = (part if config.classes else 0) + (2 * part if config.text else 0)
        self.couplings = nn.ModuleList(
            Coupling(config.latent, config.prior_width, condition, swap=bool(i % 2)) for i in range(config.prior_layers)
        )

    def condition(self, latents: Tensor, labels: Tensor | None, sentences: Tensor | None = None) -> Tensor:
        parts = [latents.new_zeros(len(latents), 0)]
        if self.embedding is not None:
            parts.append(self.embedding(labels))
        if self.sentence is not None:
            nothing = latents.new_zeros(len(latents), self.sentence.in_features)
            # Sentences have unit length; each number is to be about one.
            parts.append(self.sentence(nothing if sentences is None else sentences * nothing.size(1) ** 0.5))
        return torch.cat(parts, 1)

    def log_prob(self, latents: Tensor, labels: Tensor | None = None, sentences: Tensor | None = None) -> Tensor:
        """(B, latent), (B,) labels where it knows some, (B, text) sentences or none -> (B,) nats."""
        x, log_determinant = self.to_normal(latents, labels, sentences)
        zeros = torch.zeros_like(x)
        return normal_log_prob(x, zeros, zeros) + log_determinant

    def to_normal(
        self, latents: Tensor, labels: Tensor | None = None, sentences: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, latent) -> where they lie in the standard normal, and (B,) log-determinants."""
        condition = self.condition(latents, labels, sentences)
        x, log_determinant = latents, latents.new_zeros(len(latents))
        for coupling in self.couplings:
            x, change = coupling(x, condition)
            log_determinant = log_determinant + change
        return x, log_determinant

    def likeliest(self, latents: Tensor) -> Tensor:
        """(B,) the label that each of (B, latent) is most likely of."""
        assert self.embedding is not None
        styles = torch.arange(self.embedding.num_embeddings, device=latents.device)
        scores = [self.log_prob(latents, style.expand(len(latents))) for style in styles]
        return torch.stack(scores, 1).argmax(1)

    def forward(self, normal: Tensor, labels: Tensor | None = None, sentences: Tensor | None = None) -> Tensor:
        """(B, latent) of a standard normal -> latents."""
        condition = self.condition(normal, labels, sentences)
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, Coupling)
            normal = coupling.inverse(normal, condition)
        return normal


class VAE(nn.Module):
    """Encoder, decoder, likelihood, and the prior to draw from."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.likelihood: Likelihood = LIKELIHOODS[config.likelihood]()
        self.prior = FlowPrior(config)
        self.directions: Tensor  # from without to with an attribute, where latents are normal
        self.register_buffer("directions", torch.zeros(config.directions, config.latent))
