"""Trains the VAE of music on the evidence lower bound; at the end it learns how latents of music are distributed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.autoencoders.likelihood import beta_at, divergence, reparameterize, with_free_bits
from models.checkpoint import write_model
from models.contract.values import Score
from models.data.items import Scores
from models.data.pictures import EpochOrder, Indices, Unsuitable, spread
from models.parts.rolls import Rolls
from models.roll_vae.network import RollVAE, nats
from models.roll_vae.sample import RollSampler
from models.roll_vae.spec import RollTraining
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import (
    mixed_precision,
    seed_dropout,
    set_learning_rate,
    step_generator,
    warmup_stable_decay,
)
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part

MEASURED, PIECE = 128, 32  # held-out windows, and how many at once
SHOWN = 3
JITTER = 1e-4  # of a variance, so that the covariance has a Cholesky factor


def train(params: RollTraining, data: Scores, run: Run) -> None:
    """Train on the collection's `train` pieces until the run is over; writes its `model`. Resumes by itself.

    Raises Unsuitable where the collection has no pieces in bars of four quarters.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    rolls = Rolls(data, params.network.bars)
    if not len(rolls.indices("train")):
        raise Unsuitable("the collection has no pieces in bars of four quarters")
    params.network.voices = rolls.voices
    network = RollVAE(params.network, params.dropout).to(run.device)
    load_start_weights(network, before)
    optimizer = torch.optim.AdamW(
        [weight for weight in network.parameters() if weight.requires_grad],
        lr=params.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=1e-3,
    )
    ema = EMA(network, params.ema_decay)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "optimizer": optimizer}
    order = EpochOrder(rolls.indices("train"), params.batch_size, run.seed)
    windows = torch.from_numpy(np.stack(rolls.windows)).to(run.device)

    def step(k: int) -> tuple[int, Metrics]:
        random = step_generator(run.seed, k)
        drawn = windows[torch.from_numpy(order.at(k)).to(run.device)]
        noise = torch.randn(len(drawn), params.network.latent, generator=random).to(run.device)
        hidden = torch.rand(drawn.flatten(2).shape, generator=random).to(run.device) < params.hidden_share
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate([optimizer], factor)
        seed_dropout(run.seed, k)
        beta = beta_at(params.schedule, params.beta, run.progress(k))

        def losses(rows: slice) -> tuple[Tensor, Tensor]:
            with mixed_precision(run.device):
                mean, log_variance = network.encode(drawn[rows])
                latents = reparameterize(mean, log_variance, noise[rows])
                reconstruction = nats(network.decode(latents, drawn[rows], hidden[rows]), drawn[rows]).mean()
            divergences = divergence(mean, log_variance)
            loss = (reconstruction + beta * with_free_bits(divergences, params.free_bits)) / drawn[0].numel()
            return loss, torch.stack([loss, reconstruction, divergences.sum(1).mean()])

        loss, reconstruction, kl = backward(run, network, [optimizer], params.batch_size, losses, figures=3)
        norm = descend(run, k, loss, network.parameters(), [optimizer])
        ema.update(network, k)
        return params.batch_size, lambda: {
            "loss": loss.item(),
            "reconstruction_nats": reconstruction.item(),
            "kl_nats": kl.item(),
            "gradient_norm": norm.item(),
            "learning_rate": factor * params.learning_rate,
            "epoch": (k + 1) * params.batch_size / len(order.indices),
        }

    def measure(done: int) -> None:
        found = {split: held_out_bound(ema.average, windows, rolls.indices(split)) for split in data.held_out}
        run.log.write(done, **{f"held_out_nats_{split}": figure for split, figure in found.items()})
        if found:
            run.report_metric(done, sum(found.values()) / len(found))
        if run.is_first:
            run.folder.keep_samples(done, samples(ema.average, rolls, data.held_out))

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    fit_prior(ema.average, windows[torch.from_numpy(rolls.indices("train")).to(run.device)])
    if run.is_first:
        card = training_card("roll-vae", params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, **rolls.said})


@torch.no_grad()
def held_out_bound(network: RollVAE, windows: Tensor, indices: Indices, most: int = MEASURED) -> float:
    """The negative evidence lower bound, in nats a token, of at most so many windows; the same noise every time."""
    total, chosen = 0.0, torch.from_numpy(spread(indices, most)).to(windows.device)
    for start in range(0, len(chosen), PIECE):
        drawn = windows[chosen[start : start + PIECE]]
        noise = torch.randn(len(drawn), network.config.latent, generator=step_generator(0, start)).to(drawn.device)
        with mixed_precision(drawn.device):
            mean, log_variance = network.encode(drawn)
            found = nats(network.decode(reparameterize(mean, log_variance, noise), drawn), drawn)
        total += float((found + divergence(mean, log_variance).sum(1)).sum())
    return total / max(1, len(chosen)) / windows[0].numel()


@torch.no_grad()
def fit_prior(network: RollVAE, windows: Tensor) -> None:
    """The mean and covariance of the latents of all windows, with what each leaves open."""
    means, variances = [], []
    for start in range(0, len(windows), PIECE):
        mean, log_variance = network.encode(windows[start : start + PIECE])
        means.append(mean)
        variances.append(log_variance.exp())
    mean, variance = torch.cat(means), torch.cat(variances).mean(0)
    centred = mean - mean.mean(0)
    covariance = centred.T @ centred / max(1, len(mean)) + torch.diag(variance + JITTER)
    network.prior_mean.copy_(mean.mean(0))
    network.prior_factor.copy_(torch.linalg.cholesky(covariance))


def samples(network: RollVAE, rolls: Rolls, held_out: list[str]) -> list[Score]:
    """Held-out pieces, and after each what the model makes of it."""
    sampler = RollSampler(network, rolls.parts, rolls.tempo)
    indices = rolls.indices(*held_out)
    chosen = indices if len(indices) else rolls.indices("train")
    return sampler.samples([rolls.windows[int(i)] for i in spread(chosen, SHOWN)])
