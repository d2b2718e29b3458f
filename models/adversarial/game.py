"""One round of the game: the discriminator learns to tell, then the generator to be taken for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.adversarial.objective import OBJECTIVES, GameOf, divergence_bound, gradient_penalty

Augmentation = Callable[[Tensor], Tensor]  # what the discriminator sees of pictures


REST = 200  # steps, at most


def identity(pictures: Tensor) -> Tensor:
    return pictures


def rest_of(steps: int) -> Tensor:
    """Steps of so many in which a generator that knows something waits for a discriminator that knows nothing."""
    return torch.tensor(min(REST, steps // 10))


def learn(weights: list[nn.Parameter], wanted: bool) -> None:
    """Whether these are to have gradients: who does not play must not pay for them."""
    for weight in weights:
        weight.requires_grad_(wanted)


@dataclass(frozen=True)
class Game:
    """The discriminator, and what it and a generator play for. Nothing here knows pictures: any data with a batch
    dimension will do; `fake` is what the generator has made of random numbers.

    `gamma / 2` weighs R1 + R2; where the penalty is taken every `penalty_every`-th step only, it weighs as many times
    more (Karras et al., "StyleGAN 2", 2020).
    """

    discriminator: nn.Module
    objective: str = "relativistic"
    gamma: float = 0.0
    penalty_every: int = 1

    @property
    def rules(self) -> GameOf:
        return OBJECTIVES[self.objective]

    def penalises(self, step: int) -> bool:
        return self.gamma > 0 and step % self.penalty_every == 0

    def discriminator_losses(
        self, real: Tensor, fake: Tensor, labels: tuple[Tensor, ...], step: int, augmentation: Augmentation = identity
    ) -> tuple[Tensor, Tensor]:
        """(loss to descend, diagnostics: loss, D(x), D(G(z)), share of pairs told right, R1, R2); means of a batch."""
        fake = fake.detach()
        penalised = self.penalises(step)
        if penalised:
            real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        scores = self.discriminator(augmentation(torch.cat([real, fake])), *(label.repeat(2) for label in labels))
        real_scores, fake_scores = scores.chunk(2)
        loss = self.rules.discriminator(real_scores, fake_scores).mean()
        r1 = r2 = loss.new_zeros(())
        total = loss
        if penalised:
            r1, r2 = gradient_penalty(real, real_scores).mean(), gradient_penalty(fake, fake_scores).mean()
            total = loss + self.gamma / 2 * self.penalty_every * (r1 + r2)
        reference = fake_scores if self.rules.paired else 0
        signs = torch.sign(real_scores - reference).mean()
        shown = torch.sigmoid(scores) if self.rules.probability else scores
        parts = [loss, shown[: len(real)].mean(), shown[len(real) :].mean(), signs, r1, r2]
        return total, torch.stack([part.detach() for part in parts])

    def generator_loss(
        self, real: Tensor, fake: Tensor, labels: tuple[Tensor, ...] = (), augmentation: Augmentation = identity
    ) -> Tensor:
        """Mean over the batch; the discriminator is to be frozen, so that no gradient is wasted on it."""
        scores = self.discriminator(augmentation(fake), *labels)
        if self.rules.paired:
            with torch.no_grad():
                beside = self.discriminator(augmentation(real), *labels)
        else:
            beside = scores
        return self.rules.generator(beside, scores).mean()


def diagnostics(game: Game, sums: list[float], generator_loss: float) -> dict[str, float]:
    """What the two players' losses mean, in the objective's own terms."""
    loss, real, fake, signs = sums[:4]
    found = {"loss_discriminator": loss, "loss_generator": generator_loss, "sign_real": signs}
    if game.rules.probability:
        found |= {"d_real": real, "d_fake": fake, "jsd_bound": divergence_bound(loss)}
    else:
        found["margin"] = real - fake
    return found
