"""Trains an upscaler on crops of large pictures and what is left of them when they are made small, some of them through
an autoencoder: L1 and a perceptual loss, and late a discriminator where it has a weight.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", 2017.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from models.autoencoders.critic import Critic
from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.load import load_autoencoder
from models.checkpoint import write_model
from models.data.pictures import Collection, EpochOrder, contact_sheet, spread, to_pixels, to_unit
from models.measure.features import PerceptualLoss
from models.measure.metrics import psnr
from models.parts.crops import crops
from models.parts.placed import placed
from models.training import parallel
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, pin_checkpoint, start_checkpoint
from models.training.state import Part
from models.upscaling.degrade import REBUILT, made_small, rebuilt
from models.upscaling.network import bicubic, upscaler
from models.upscaling.spec import FACTOR, UpscalingTraining

MEASURED, SHOWN = 48, 6  # held-out pictures


def train(params: UpscalingTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    network = placed(upscaler(params.network), run.device)
    before = start_checkpoint(params.start_from, run)
    load_start_weights(network, before)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=0)
    ema = EMA(network, params.ema_decay)
    perceptual = placed(PerceptualLoss(), run.device)
    autoencoder = pinned_autoencoder(params.autoencoder, run)
    critic = Critic(params, run)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "optimizer": optimizer, **critic.parts}
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    large = to_unit(data.pictures(spread(data.indices(*data.held_out), MEASURED)))
    small = made_small(large, params.damage, step_generator(run.seed, 0)) if len(large) else large

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            pictures = to_unit(data.pictures(order.at(k)))
            given, wanted = (part.to(run.device) for part in pairs(pictures, params, autoencoder, random))
        factor = params.lr_factor(run.progress(k)) * warmup_stable_decay(k, run.progress(k), warmup=200) * run.rate
        set_learning_rate([optimizer], factor)
        weight, drawn = critic.weight(run.progress(k)), list[Tensor]()

        def losses(rows: slice) -> tuple[Tensor, Tensor]:
            target = wanted[rows].contiguous(memory_format=torch.channels_last)
            with mixed_precision(run.device):
                made = network(given[rows].contiguous(memory_format=torch.channels_last))
                nothing = made.new_zeros(())
                found = torch.stack(
                    [
                        F.l1_loss(made, target),
                        perceptual(made, target),
                        critic.adversarial_loss(target, made) if weight else nothing,
                    ]
                )
            if weight:
                drawn.append(made.detach())
            return total(found, params, weight), found

        figures = backward(run, network, [optimizer], len(given), losses, 3)
        descend(run, k, total(figures, params, weight), network.parameters(), [optimizer])
        ema.update(network, k)
        margin = critic.learn(wanted, drawn, k) if weight else None

        def metrics() -> dict[str, float]:
            l1, features, adversarial_loss = figures.tolist()
            named = {"l1": l1, "perceptual": features}
            named |= {} if margin is None else {"adversarial": adversarial_loss, "margin": margin}
            return {**named, "learning_rate": factor * params.learning_rate}

        return len(given), metrics

    def measure(done: int) -> None:
        made = enlarge(ema.average, small.to(run.device)).cpu()
        run.log.write(done, held_out_psnr=(figure := psnr(made, large)))
        if not params.is_sharpened:
            run.report_metric(done, -figure)
        if run.is_first:
            run.folder.keep_samples(done, Image.fromarray(sheet(small[:SHOWN], made[:SHOWN], large[:SHOWN])))

    done = fit(run, step, parts, measure if len(large) else None, log_every=100)
    result = run.result(done, ema.average)
    if run.is_first:
        write_model(
            run.folder.model,
            ema.average,
            training_card("image-upscaler", params, data.card, run, result, before),
        )


def pairs(
    pictures: Tensor, params: UpscalingTraining, autoencoder: nn.Module | None, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Of (B, 3, size, size) what is enlarged in training, (B, 3, crop, crop), and the same places as they were."""
    given = made_small(pictures, params.damage, random)
    if autoencoder and (drawn := torch.rand(len(given), generator=random) < REBUILT).any():
        given[drawn] = rebuilt(made_small(pictures[drawn], 0, random), autoencoder)
    both = torch.cat([F.interpolate(given, scale_factor=FACTOR), pictures], 1)  # cropped, turned as one
    small, large = crops(both, FACTOR * params.crop, random, turned=True, grid=FACTOR).chunk(2, 1)
    return small[..., ::FACTOR, ::FACTOR], large


def pinned_autoencoder(name: str | None, run: Run) -> FSQAutoencoder | None:
    """The run's own copy of it. Raises CheckpointError."""
    if name is None:
        return None
    with parallel.first_alone():
        own = pin_checkpoint(name, run, Path("autoencoder") / name)
    return load_autoencoder(name, run.device, beside=own.parent)[0].eval().requires_grad_(False)


def total(losses: Tensor, params: UpscalingTraining, adversarial_weight: float) -> Tensor:
    """The loss of (L1, perceptual, adversarial)."""
    return losses[0] + params.perceptual_weight * losses[1] + adversarial_weight * losses[2]


@torch.no_grad()
def enlarge(network: torch.nn.Module, small: Tensor) -> Tensor:
    return torch.cat([network(part).clamp(-1, 1) for part in small.split(4)])


def sheet(small: Tensor, made: Tensor, large: Tensor) -> npt.NDArray[np.uint8]:
    """Rows of a picture made small (bicubic), enlarged again, and as it was, each at its large size."""
    return contact_sheet(to_pixels(torch.stack([bicubic(small), made, large], 1).flatten(0, 1)), 6)
