"""Trains an FSQ autoencoder: L1, L2 and a perceptual loss on shifted pictures."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.checkpoint import write_model
from models.data import Collection, EpochOrder, contact_sheet, to_pixels, to_unit
from models.ema import EMA
from models.features import PerceptualLoss
from models.training import (
    Run,
    mixed_precision,
    pack,
    set_learning_rate,
    step_generator,
    training_card,
    unpack,
    warmup_stable_decay,
)
from models.vae.fsq import FSQAutoencoder
from models.vae.spec import FSQTraining

LOG_EVERY = 100
VALIDATE_EVERY = 500


def train(params: FSQTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until `run.steps`; writes `run.folder/model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    network = FSQAutoencoder(params.network).to(run.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    ema = EMA(network, params.ema_decay)
    perceptual = PerceptualLoss().to(run.device, memory_format=torch.channels_last)
    start, tensors = run.restore()
    if tensors:
        unpack(tensors, network=network, ema=ema.average, optimizer=optimizer)
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    held_out = to_unit(data.pictures(data.indices(*data.held_out[:1]))[:256]).to(run.device)
    clock, since = time.monotonic(), start

    for step in range(start, run.steps):
        generator = step_generator(run.seed, step)
        pictures = augment(to_unit(data.pictures(order.at(step))), generator).to(run.device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        set_learning_rate([optimizer], run.rate * warmup_stable_decay(step, run.steps, warmup=200))
        with mixed_precision(run.device):
            rebuilt = network(pictures)
            l1, l2 = F.l1_loss(rebuilt, pictures), F.mse_loss(rebuilt, pictures)
            features = perceptual(rebuilt, pictures)
            loss = l1 + 2 * l2 + params.perceptual_weight * features
        run.watch(step + 1, loss)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        ema.update(network, step)
        done = step + 1
        if done % LOG_EVERY == 0:
            now = time.monotonic()
            run.log(
                done,
                l1=l1.item(),
                l2=l2.item(),
                perceptual=features.item(),
                images_per_second=(done - since) * params.batch_size / (now - clock),
            )
            clock, since = now, done
        if len(held_out) and (done % VALIDATE_EVERY == 0 or done == run.steps):
            rebuilt = reconstruct(ema.average, held_out)
            run.log(done, held_out_psnr=psnr(rebuilt, held_out))
            pairs = torch.stack([held_out[:32], rebuilt[:32]], 1).flatten(0, 1)
            Image.fromarray(contact_sheet(to_pixels(pairs).cpu(), 16)).save(run.folder / f"samples/{done:08d}.png")
        if run.checkpoint_is_due(done):
            run.save(done, pack(network=network, ema=ema.average, optimizer=optimizer))
    write_model(
        run.folder / "model",
        ema.average,
        training_card("fsq-autoencoder", params, data.card, run),
    )


def augment(pictures: Tensor, generator: torch.Generator, mirrorable: Tensor | None = None) -> Tensor:
    """Shift each picture by up to two pixels (their margin is as wide) and mirror half of them; (B, 3, H, W).

    `mirrorable` (B,) says which may be mirrored; None: all.
    """
    count, _, height, width = pictures.shape
    mirrored = torch.rand(count, generator=generator) < 0.5
    if mirrorable is not None:
        mirrored &= mirrorable
    shifts = torch.randint(0, 5, (count, 2), generator=generator).tolist()
    pictures = torch.where(mirrored.view(-1, 1, 1, 1), pictures.flip(-1), pictures)
    padded = F.pad(pictures, (2, 2, 2, 2), value=1.0)
    return torch.stack([p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, shifts, strict=True)])


@torch.no_grad()
def reconstruct(network: torch.nn.Module, pictures: Tensor, batch: int = 64) -> Tensor:
    return torch.cat([network(part) for part in pictures.split(batch)])


def psnr(ours: Tensor, theirs: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in dB; pictures in [-1, 1]."""
    errors = (ours.clamp(-1, 1) - theirs).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / errors.clamp(min=1e-10))).mean())
