"""A patch discriminator that joins an autoencoder's training late and sharpens what the other losses leave vague.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017; Esser et al., "Taming
Transformers for High-Resolution Image Synthesis", 2021. Each rebuilt patch is judged beside the one it rebuilds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.gan.objective import OBJECTIVES, gradient_penalty
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate
from models.vae.shared_spec import SharpenedTraining

WIDTH = 32
LEARNING_RATE = 4e-4
GAMMA, PENALTY_EVERY = 0.005, 8  # of R1 and R2; seen in mixing: with 0.03 it sharpens nothing, with less it wins
GAME = OBJECTIVES["relativistic"]


class PatchDiscriminator(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> (B, H/4, W/4) scores, each of a patch of 26 pixels' side.

    With classes also whether a patch is one of its class (Miyato and Koyama, "cGANs with Projection Discriminator",
    2018).
    """

    def __init__(self, classes: int = 0, width: int = WIDTH) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.GroupNorm(8, 4 * width),
            nn.LeakyReLU(0.2),
        )
        self.score = nn.Conv2d(4 * width, 1, 3, padding=1)
        self.of_class = nn.Embedding(classes, 4 * width) if classes else None
        if self.of_class:
            nn.init.zeros_(self.of_class.weight)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        seen = self.body(pictures)
        scores = self.score(seen).squeeze(1)
        if self.of_class and labels is not None:
            scores = scores + torch.einsum("bchw,bc->bhw", seen, self.of_class(labels))
        return scores.float()


class Critic:
    """The discriminator and its optimiser. Without a weight it is nothing, and costs nothing."""

    def __init__(self, params: SharpenedTraining, run: Run, classes: int = 0) -> None:
        self.params, self.run = params, run
        self.parts: dict[str, nn.Module | torch.optim.Optimizer] = {}
        if params.is_sharpened:
            self.network = PatchDiscriminator(classes).to(run.device, memory_format=torch.channels_last)
            self.optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE, betas=(0.0, 0.99))
            self.parts = {"critic": self.network, "critic_optimizer": self.optimizer}

    def weight(self, progress: float) -> float:
        """Of `doubt` in the autoencoder's loss, at this part of the training."""
        return self.params.adversarial_weight * self.params.late(progress)

    def doubt(self, pictures: Tensor, rebuilt: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the autoencoder is to lower: how much less real its patches look than those that they rebuild."""
        self.network.requires_grad_(False)
        with torch.no_grad():
            real = self.network(pictures, labels)
        return GAME.generator(real, self.network(rebuilt, labels)).mean()

    def learn(self, pictures: Tensor, rebuilt: list[Tensor], step: int, labels: Tensor | None = None) -> float:
        """One step on a whole batch, of which this process has rebuilt its shares. Returns the mean margin.

        Raises Diverged.
        """
        self.network.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        penalised = step % PENALTY_EVERY == 0
        set_learning_rate([self.optimizer], self.run.rate)
        sums = torch.zeros(2, device=self.run.device)
        for (share, weight), fake in zip(self.run.shares(len(pictures)), rebuilt, strict=True):
            both = torch.cat([pictures[share].to(self.run.device), fake.detach()])
            both = both.contiguous(memory_format=torch.channels_last).requires_grad_(penalised)
            given = None if labels is None else labels[share].to(self.run.device).repeat(2)
            with mixed_precision(self.run.device):
                scores = self.network(both, given)
            real, made = scores.chunk(2)
            loss = GAME.discriminator(real, made).mean()
            if penalised:  # the mean of R1 and R2 is half of their sum
                penalty = gradient_penalty(both, scores.flatten(1).sum(1) / scores[0].numel() ** 0.5).mean()
                loss = loss + GAMMA * PENALTY_EVERY * penalty
            (weight * loss).backward()
            sums += weight * torch.stack([loss, (real - made).mean()]).detach()
        self.run.add_up(self.network, sums)
        self.run.watch(step + 1, sums[0])
        self.optimizer.step()
        return float(sums[1])
