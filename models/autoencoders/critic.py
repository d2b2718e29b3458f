"""A discriminator that joins an autoencoder's training late and sharpens what the other losses leave vague.

It judges the features of a network that knows photographs, as the projected discriminator of the GAN does, for it has
half of a training to learn in. Esser et al., "Taming Transformers for High-Resolution Image Synthesis", 2021, had one
of pixels; Sauer et al., "Projected GANs Converge Faster", 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.adversarial.game import Game, learn
from models.adversarial.projected import ProjectedDiscriminator, embedded_classes
from models.autoencoders.shared_spec import SharpenedTraining
from models.parts.placed import placed
from models.training.fit import backward
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate

LEARNING_RATE = 4e-4


class Critic:
    """The discriminator and its optimiser. Without a weight it is nothing, and costs nothing.

    With classes it also says whether a picture is one of its class.
    """

    def __init__(self, params: SharpenedTraining, run: Run, classes: int = 0) -> None:
        self.params, self.run = params, run
        self.parts: dict[str, nn.Module | torch.optim.Optimizer] = {}
        if params.is_sharpened:
            self.network = placed(ProjectedDiscriminator(embedded_classes(classes)), run.device)
            self.game = Game(self.network, "hinge")
            self.learnable = [weight for weight in self.network.parameters() if weight.requires_grad]
            self.optimizer = torch.optim.Adam(self.learnable, LEARNING_RATE, betas=(0.0, 0.99))
            self.parts = {"critic": self.network, "critic_optimizer": self.optimizer}

    def weight(self, progress: float) -> float:
        """Of `adversarial_loss` in the autoencoder's loss, at this part of the training."""
        return self.params.adversarial_weight * self.params.ramp(progress)

    def adversarial_loss(self, pictures: Tensor, rebuilt: Tensor, *labels: Tensor) -> Tensor:
        """What the autoencoder is to lower: how little real (B, 3, H, W) look, rebuilt from `pictures`."""
        learn(self.learnable, False)
        return self.game.generator_loss(pictures, rebuilt, labels)

    def learn(self, pictures: Tensor, rebuilt: list[Tensor], step: int, *labels: Tensor) -> float:
        """One step on a whole batch, of which this process has rebuilt its shares. Returns the mean margin between the
        scores of both.

        Raises Diverged.
        """
        learn(self.learnable, True)
        self.network.advance()
        set_learning_rate([self.optimizer], self.run.rate)
        fakes = iter(rebuilt)

        def losses(rows: slice) -> tuple[Tensor, Tensor]:
            real = pictures[rows].contiguous(memory_format=torch.channels_last)
            given = tuple(label[rows].to(self.run.device) for label in labels)
            with mixed_precision(self.run.device):
                return self.game.discriminator_losses(real, next(fakes), given, step)

        loss_of_all, of_real, of_fake, *_ = backward(self.run, self.network, [self.optimizer], len(pictures), losses, 6)
        self.run.watch(step + 1, loss_of_all)
        self.optimizer.step()
        return float(of_real - of_fake)
