"""Trains an autoencoder with a latent grid: L1, L2 and a perceptual loss on shifted pictures, a small KL
term, and late a discriminator where it has a weight."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.autoencoders.critic import Critic
from models.autoencoders.equivariance import Transform, draw
from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.spatial import SpatialAutoencoder
from models.autoencoders.spec import FSQTraining, KLTraining
from models.checkpoint import read_card, write_model
from models.data.pictures import Collection, EpochOrder, augment, contact_sheet, measured, to_pixels, to_unit
from models.measure.features import PerceptualLoss
from models.measure.metrics import psnr
from models.parts.placed import placed
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part

MEASURED = 256  # held-out pictures of 64 px


def train(params: FSQTraining | KLTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    network: SpatialAutoencoder = placed(make(params), run.device)
    before = start_checkpoint(params.start_from, run)
    load_start_weights(network, before)
    network.encoder.requires_grad_(not params.decoder_only)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    ema = EMA(network, params.ema_decay)
    perceptual = placed(PerceptualLoss(), run.device) if params.perceptual_weight else no_loss
    critic = Critic(params, run)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "optimizer": optimizer, **critic.parts}
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    held_out = to_unit(data.pictures(measured(data, MEASURED))).to(run.device)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            batch = augment(to_unit(data.pictures(order.at(k), run.device)), random)
            noise = network.noise(len(batch), random)
        factor = params.lr_factor(run.progress(k)) * warmup_stable_decay(k, run.progress(k), warmup=200) * run.rate
        set_learning_rate([optimizer], factor)
        weight, rebuilt = critic.weight(run.progress(k)), list[Tensor]()
        transform = Transform() if weight else draw(params.equivariance, random)

        def losses(rows: slice) -> tuple[Tensor, Tensor]:
            inputs = batch[rows].contiguous(memory_format=torch.channels_last)
            pictures = transform.of_pictures(inputs)
            with mixed_precision(run.device):
                made, divergence = network.rebuild(inputs, noise[rows], transform)
                found = torch.stack(
                    [
                        F.l1_loss(made, pictures),
                        F.mse_loss(made, pictures),
                        perceptual(made, pictures),
                        divergence.mean(),
                        critic.adversarial_loss(pictures, made) if weight else no_loss(made, pictures),
                    ]
                )
            if weight:
                rebuilt.append(made.detach())
            return total(found, params, weight), found

        figures = backward(run, network, [optimizer], len(batch), losses, 5)
        descend(run, k, total(figures, params, weight), network.parameters(), [optimizer])
        ema.update(network, k)
        margin = critic.learn(batch, rebuilt, k) if weight else None

        def metrics() -> dict[str, float]:
            l1, l2, features, kl, adversarial_loss = figures.tolist()
            named = {"l1": l1, "l2": l2, "perceptual": features, **({"kl_nats": kl} if kl else {})}
            named |= {} if margin is None else {"adversarial": adversarial_loss, "margin": margin}
            return {**named, "learning_rate": factor * params.learning_rate}

        return len(batch), metrics

    def measure(done: int) -> None:
        rebuilt = reconstruct(ema.average, held_out, max(1, params.batch_size // run.pieces))
        run.log.write(done, held_out_psnr=(figure := psnr(rebuilt, held_out)))
        if not params.is_sharpened:
            run.report_metric(done, -figure)
        pairs = torch.stack([held_out[:32], rebuilt[:32]], 1).flatten(0, 1)
        if run.is_first:
            run.folder.keep_samples(done, Image.fromarray(contact_sheet(to_pixels(pairs).cpu(), 16)))

    done = fit(run, step, parts, measure if len(held_out) else None, log_every=100)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card(family_of(params), params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, **same_latents(params, before)})


def same_latents(params: FSQTraining | KLTraining, before: Path | None) -> dict[str, list[str]]:
    """For the card of a new decoder: the checkpoints, by their SHA-256, whose latents it draws as well."""
    if before is None or not params.decoder_only:
        return {}
    card = read_card(before)
    return {"same_latents_as": [card["sha256"], *card.get("same_latents_as", [])]}


def no_loss(rebuilt: Tensor, pictures: Tensor) -> Tensor:
    return rebuilt.new_zeros(())


def make(params: FSQTraining | KLTraining) -> SpatialAutoencoder:
    return FSQAutoencoder(params.network) if isinstance(params, FSQTraining) else KLAutoencoder(params.network)


def family_of(params: FSQTraining | KLTraining) -> str:
    return "fsq-autoencoder" if isinstance(params, FSQTraining) else "kl-autoencoder"


def total(losses: Tensor, params: FSQTraining | KLTraining, adversarial_weight: float) -> Tensor:
    """The loss of (L1, L2, perceptual, KL in nats a picture, adversarial)."""
    loss = losses[0] + 2 * losses[1] + params.perceptual_weight * losses[2] + adversarial_weight * losses[4]
    return loss + params.kl_weight * losses[3] if isinstance(params, KLTraining) else loss


@torch.no_grad()
def reconstruct(network: torch.nn.Module, pictures: Tensor, batch: int = 64) -> Tensor:
    return torch.cat([network(part) for part in pictures.split(batch)])
