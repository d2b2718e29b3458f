"""Trains an FSQ autoencoder: L1, L2 and a perceptual loss on shifted pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.checkpoint import write_model
from models.data import Collection, EpochOrder, contact_sheet, to_pixels, to_unit
from models.features import PerceptualLoss
from models.training.ema import EMA
from models.training.run import Run, training_card
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.state import pack, unpack
from models.vae.fsq import FSQAutoencoder
from models.vae.spec import FSQTraining


def train(params: FSQTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    network = FSQAutoencoder(params.network).to(run.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    ema = EMA(network, params.ema_decay)
    perceptual = PerceptualLoss().to(run.device, memory_format=torch.channels_last)
    done, tensors = run.restore()
    if tensors:
        unpack(tensors, network=network, ema=ema.average, optimizer=optimizer)
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    held_out = to_unit(data.pictures(data.indices(*data.held_out[:1])[: measured_pictures(params)])).to(run.device)

    for step in run.steps_from(done):
        with run.spend("data"):
            batch = augment(to_unit(data.pictures(order.at(step))), step_generator(run.seed, step))
        factor = run.rate * warmup_stable_decay(step, run.progress(step), warmup=200)
        set_learning_rate([optimizer], factor)
        optimizer.zero_grad(set_to_none=True)
        parts = torch.zeros(3, device=run.device)
        for share, weight in run.shares(len(batch)):
            pictures = batch[share].to(run.device).contiguous(memory_format=torch.channels_last)
            with mixed_precision(run.device):
                rebuilt = network(pictures)
                losses = torch.stack(
                    [F.l1_loss(rebuilt, pictures), F.mse_loss(rebuilt, pictures), perceptual(rebuilt, pictures)]
                )
                loss = weight * total(losses, params)
            loss.backward()
            parts += weight * losses.detach()
        run.add_up(network, parts)
        done = step + 1
        run.watch(done, total(parts, params))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        ema.update(network, step)
        if run.log_is_due(done, every=100):
            l1, l2, features = parts.tolist()
            rate = factor * params.learning_rate
            run.log_step(done, len(batch), l1=l1, l2=l2, perceptual=features, learning_rate=rate)
        if len(held_out) and run.measure_is_due(done):
            with run.spend("measuring"):
                rebuilt = reconstruct(ema.average, held_out, max(1, params.batch_size // run.pieces))
                run.log(done, held_out_psnr=(figure := psnr(rebuilt, held_out)))
                run.measured(done, -figure)
                pairs = torch.stack([held_out[:32], rebuilt[:32]], 1).flatten(0, 1)
                if run.is_first:
                    run.folder.keep_sheet(done, Image.fromarray(contact_sheet(to_pixels(pairs).cpu(), 16)))
        if run.checkpoint_is_due(done):
            run.save(done, pack(network=network, ema=ema.average, optimizer=optimizer))
    step, figures, best = run.outcome(done)
    if best:
        unpack(best, ema=ema.average)
    if run.is_first:
        card = training_card("fsq-autoencoder", params, data.card, run, step, figures)
        write_model(run.folder.model, ema.average, card)


def measured_pictures(params: FSQTraining) -> int:
    """How many held-out pictures are measured: 256 of 64 px, or as many pixels in larger ones."""
    return max(16, min(256, 256 * 64**2 // params.network.size**2))


def total(losses: Tensor, params: FSQTraining) -> Tensor:
    """The loss of (L1, L2, perceptual)."""
    return losses[0] + 2 * losses[1] + params.perceptual_weight * losses[2]


def augment(pictures: Tensor, generator: torch.Generator, mirrorable: Tensor | None = None, shift: int = 2) -> Tensor:
    """Shift each picture by up to two pixels (their margin is as wide) and mirror half of them; (B, 3, H, W).

    `mirrorable` (B,) says which may be mirrored; None: all.
    """
    count, _, height, width = pictures.shape
    mirrored = torch.rand(count, generator=generator) < 0.5
    if mirrorable is not None:
        mirrored &= mirrorable
    pictures = torch.where(mirrored.view(-1, 1, 1, 1), pictures.flip(-1), pictures)
    if not shift:
        return pictures
    shifts = torch.randint(0, 2 * shift + 1, (count, 2), generator=generator).tolist()
    padded = F.pad(pictures, (shift, shift, shift, shift), value=1.0)
    return torch.stack([p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, shifts, strict=True)])


@torch.no_grad()
def reconstruct(network: torch.nn.Module, pictures: Tensor, batch: int = 64) -> Tensor:
    return torch.cat([network(part) for part in pictures.split(batch)])


def psnr(ours: Tensor, theirs: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in dB; pictures in [-1, 1]."""
    errors = (ours.clamp(-1, 1) - theirs).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / errors.clamp(min=1e-10))).mean())
