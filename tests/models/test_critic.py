"""The discriminator that sharpens autoencoders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models.autoencoders.critic import Critic
from models.autoencoders.shared_spec import SharpenedTraining
from models.training.run import Run


def pictures(count: int, seed: int) -> torch.Tensor:
    """Checks with sharp edges, of chance colours."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=random) * 2 - 1
    return F.interpolate(coarse, scale_factor=4, mode="nearest")


def blurred(sharp: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(F.pad(sharp, (2, 2, 2, 2), mode="reflect"), 5, 1)


def test_its_weight_rises_once_its_part_of_the_training_has_come(tmp_path: Path) -> None:
    critic = Critic(SharpenedTraining(adversarial_weight=0.2, late_from=0.5), Run(tmp_path, steps=1))
    weights = [critic.weight(progress) for progress in (0.0, 0.5, 0.55, 0.6, 1.0)]
    assert weights == pytest.approx([0, 0, 0.1, 0.2, 0.2])
    absent = Critic(SharpenedTraining(), Run(tmp_path, steps=1))
    assert absent.weight(1.0) == 0 and not absent.parts


def test_it_learns_to_tell_blurred_pictures_and_its_doubt_asks_for_sharper_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    critic = Critic(SharpenedTraining(adversarial_weight=1.0), Run(tmp_path, steps=1))
    for step in range(40):
        sharp = pictures(8, step)
        margin = critic.learn(sharp, [blurred(sharp)], step)
    assert margin > 1, "real pictures score higher than blurred ones"

    sharp = pictures(8, 1000)
    made = blurred(sharp).requires_grad_()
    critic.optimizer.zero_grad()
    adversarial_loss = critic.adversarial_loss(sharp, made)
    adversarial_loss.backward()
    assert all(weight.grad is None for weight in critic.network.parameters()), "the autoencoder's turn is not its own"
    assert made.grad is not None
    stepped = made.detach() - 0.5 * made.grad / made.grad.abs().amax()
    assert critic.adversarial_loss(sharp, stepped) < adversarial_loss
    assert critic.adversarial_loss(sharp, sharp) < adversarial_loss
