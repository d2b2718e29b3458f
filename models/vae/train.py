"""Trains a VAE on the evidence lower bound, then fits the prior that its pictures are drawn from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.autoencoders.likelihood import beta_at, bits_a_number, divergence, reparameterize, with_free_bits
from models.checkpoint import write_model
from models.data.pictures import (
    Collection,
    EpochOrder,
    Indices,
    augment,
    contact_sheet,
    label_names,
    labels_of,
    measured,
    sent,
    to_pixels,
    to_unit,
)
from models.measure.features import PerceptualLoss
from models.measure.metrics import psnr
from models.parts.placed import placed
from models.parts.sentences import OnProgress, SentenceEncoder, caption_sentences, captions_from
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part
from models.vae.network import VAE
from models.vae.spec import VAETraining

MEASURED, SHOWN, CHANCE, COLUMNS = 512, 32, 32, 16
ACTIVE = 0.01  # nats, beyond which a latent number is said to be in use
FEWEST_TAGGED, MOST_TAGS = 20, 24
PRIOR_STEPS, PRIOR_BATCH, PRIOR_RATE = 3000, 512, 1e-3
CAPTION_DROP = 0.1


@dataclass
class Losses:
    """Parts of the objective; all but `divergences` are scalars."""

    reconstruction: Tensor  # -log p(x | z), nats a picture
    divergences: Tensor  # (latent,) nats, mean over the batch
    perceptual: Tensor
    objective: Tensor  # nats a number of the picture

    def stacked(self) -> Tensor:
        return torch.cat([torch.stack([self.reconstruction, self.perceptual, self.objective]), self.divergences])


def bound(
    network: VAE,
    pictures: Tensor,
    noise: Tensor,
    beta: float,
    params: VAETraining,
    perceptual: PerceptualLoss | None,
    whole: Tensor | None = None,
) -> Losses:
    """(B, 3, H, W) in [-1, 1], (B, latent) of a standard normal; `whole`: divergences of the whole batch."""
    mean, log_variance = network.encoder(pictures)
    rebuilt = network.decoder(reparameterize(mean, log_variance, noise))
    reconstruction = -network.likelihood.log_prob(pictures, rebuilt).mean()
    divergences = divergence(mean, log_variance)
    features = perceptual(rebuilt, pictures) if perceptual else rebuilt.new_zeros(())
    elbo = reconstruction + beta * with_free_bits(divergences, params.free_bits, whole)
    objective = elbo / pictures[0].numel() + params.perceptual_weight * features
    return Losses(reconstruction, divergences.mean(0), features, objective)


def train(params: VAETraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    labels = label_names(data) if params.labels else []
    params = params.model_copy(update={"network": params.network.model_copy(update={"classes": len(labels)})})
    network = placed(VAE(params.network), run.device)
    before = start_checkpoint(params.start_from, run)
    load_start_weights(network, before, anew=("prior.", "directions"))
    if params.scale:
        network.likelihood.fix(params.scale)
    trained = [
        weight for name, weight in network.named_parameters() if weight.requires_grad and not name.startswith("prior.")
    ]
    optimizer = torch.optim.AdamW(trained, lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    ema = EMA(network, params.ema_decay)
    perceptual = PerceptualLoss().to(run.device) if params.perceptual_weight else None
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "optimizer": optimizer}
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    held_out = to_unit(data.pictures(measured(data, MEASURED))).to(run.device)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            chosen = order.at(k)
            batch = augment(to_unit(data.pictures(chosen, run.device)), random, data.mirrorable[chosen], shift=0)
            noise = torch.randn(len(batch), params.network.latent, generator=random)
        factor = run.rate * warmup_stable_decay(k, run.progress(k), warmup=200)
        set_learning_rate([optimizer], factor)
        beta = beta_at(params.schedule, params.beta, run.progress(k))
        whole = None
        if params.free_bits:
            whole = run.whole_mean(len(batch), params.network.latent, partial(divergences_of, network, batch))

        def losses(rows: slice) -> tuple[Tensor, Tensor]:
            pictures = batch[rows].contiguous(memory_format=torch.channels_last)
            with mixed_precision(run.device):
                found = bound(network, pictures, sent(noise[rows], run.device), beta, params, perceptual, whole)
            return found.objective, found.stacked()

        figures = backward(run, network, [optimizer], len(batch), losses, 3 + params.network.latent)
        descend(run, k, figures[2], trained, [optimizer])
        ema.update(network, k)
        return len(batch), lambda: {
            **described(figures, network, beta, params.free_bits),
            "learning_rate": factor * params.learning_rate,
        }

    def evaluate(done: int) -> None:
        measure(ema.average, held_out, max(1, params.batch_size // run.pieces), done, run)

    done = fit(run, step, parts, evaluate if len(held_out) else None)
    result = run.result(done, ema.average)
    run.finish()
    if run.is_first:
        names = fit_to_collection(ema.average, params, data, labels, run)
        family = "prompted-vae" if params.network.text else "vae"
        card = training_card(family, params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, "labels": labels, "directions": names})


def fit_to_collection(network: VAE, params: VAETraining, data: Collection, labels: list[str], run: Run) -> list[str]:
    """What is fitted once the bound is: the prior, and a direction for each common tag, whose names it returns."""
    run.beat("fitting", progress=1.0)
    indices = data.indices("train")
    means, log_variances = encoded(network, data, indices, run, max(1, params.batch_size // run.pieces))
    styles = labels_of(data, indices, labels).to(run.device) if labels else None
    captions = None
    if params.network.text:
        captions = Captions(data, indices, lambda done: run.is_at_work("fitting", read=done))
    fit_prior(network, means, log_variances, styles, captions, run)
    names = common_tags(data, indices)
    params.network.directions = len(names)
    network.directions = attribute_directions(network, data, indices, means, styles, names)
    return names


def divergences_of(network: VAE, batch: Tensor, rows: slice) -> Tensor:
    """(n, latent) nats."""
    return divergence(*network.encoder(batch[rows]))


def described(parts: Tensor, network: VAE, beta: float, free_bits: float) -> dict[str, float]:
    reconstruction, perceptual, objective = parts[:3].tolist()
    return {
        "loss": objective,
        "reconstruction_nats": reconstruction,
        "kl_nats": float(parts[3:].sum()),
        "perceptual": perceptual,
        "active_latents": float((parts[3:] > max(ACTIVE, 2 * free_bits)).sum()),
        "beta": beta,
        "scale": network.likelihood.log_scale.exp().item(),
    }


@torch.no_grad()
def measure(network: VAE, held_out: Tensor, batch: int, done: int, run: Run) -> None:
    """The bound on held-out pictures, in bits a number; a sheet of reconstructions and of pictures from chance."""
    random = step_generator(run.seed, 0)
    bounds, rebuilt, means = [], [], []
    for pictures in held_out.split(batch):
        mean, log_variance = network.encoder(pictures)
        noise = torch.randn(mean.shape, generator=random).to(mean)
        likelihood = network.likelihood.log_prob(pictures, network.decoder(reparameterize(mean, log_variance, noise)))
        bounds.append(likelihood - divergence(mean, log_variance).sum(1))
        rebuilt.append(network.decoder(mean))
        means.append(mean)
    bits = bits_a_number(network.likelihood, float(torch.cat(bounds).mean()), held_out[0].numel())
    pictures = torch.cat(rebuilt)
    run.log.write(done, held_out_bound_bits=bits, held_out_psnr=psnr(pictures, held_out))
    run.report_metric(done, bits)
    if run.is_first:
        pairs = torch.stack([held_out[:SHOWN], pictures[:SHOWN]], 1).flatten(0, 1)
        shown = torch.cat([pairs, network.decoder(spread_as(torch.cat(means), step_generator(run.seed, 1)))])
        run.folder.keep_samples(done, Image.fromarray(contact_sheet(to_pixels(shown).cpu(), COLUMNS)))


def spread_as(latents: Tensor, random: torch.Generator) -> Tensor:
    """(CHANCE, latent) from chance, about where (N, latent) lie: the prior is fitted only when the training is over."""
    noise = torch.randn(CHANCE, latents.size(1), generator=random).to(latents)
    return latents.mean(0) + latents.std(0, correction=0) * noise


@torch.no_grad()
def encoded(network: VAE, data: Collection, indices: Indices, run: Run, piece: int) -> tuple[Tensor, Tensor]:
    """Two (N, latent): means and log-variances of pictures, of which `piece` at once fit into memory."""
    parts = []
    for start in range(0, len(indices), piece):
        parts.append(network.encoder(to_unit(data.pictures(indices[start : start + piece], run.device))))
        run.is_at_work("fitting", encoded=start)
    means, log_variances = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(log_variances)


class Captions:
    """Sentences of the captions of some items; with a share of them left out, so that nothing may be said too."""

    def __init__(self, data: Collection, indices: Indices, on_progress: OnProgress = lambda done: None) -> None:
        self.sentences = caption_sentences(data, SentenceEncoder(), on_progress)
        ranges = captions_from(data)
        self.low, self.high = ranges[indices], ranges[indices + 1]

    def draw(self, chosen: Tensor, random: torch.Generator) -> Tensor:
        """(B, 512) of one caption each, of the items at (B,) places; zeros for those that are left out."""
        low, high = self.low[chosen.numpy()], self.high[chosen.numpy()]
        draws = torch.rand(2, len(chosen), generator=random, dtype=torch.float64).numpy()
        rows = self.sentences[low + (draws[0] * (high - low)).astype(np.int64)].astype(np.float32)
        return torch.from_numpy(rows * (draws[1] >= CAPTION_DROP)[:, None].astype(np.float32))


def fit_prior(
    network: VAE, means: Tensor, log_variances: Tensor, styles: Tensor | None, captions: Captions | None, run: Run
) -> None:
    """Fit the flow to latents of the training pictures, drawn anew from the encoder at every step."""
    network.prior.requires_grad_(True).train()
    optimizer = torch.optim.Adam(network.prior.parameters(), lr=PRIOR_RATE)
    steps = min(PRIOR_STEPS, max(50, run.budget.steps))
    for step in range(steps):
        random = step_generator(run.seed, step)
        chosen = torch.randint(len(means), (PRIOR_BATCH,), generator=random)
        noise = torch.randn(PRIOR_BATCH, means.size(1), generator=random).to(means)
        sentences = captions.draw(chosen, random).to(means) if captions else None
        chosen = chosen.to(means.device)
        latents = reparameterize(means[chosen], log_variances[chosen], noise)
        loss = -network.prior.log_prob(latents, None if styles is None else styles[chosen], sentences).mean()
        optimizer.param_groups[0]["lr"] = PRIOR_RATE * (1 - step / steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.prior.parameters(), 1.0)
        optimizer.step()
    network.prior.requires_grad_(False).eval()


def common_tags(data: Collection, indices: Indices) -> list[str]:
    """Tags that many pictures have and many have not, the commonest first."""
    counts = Counter(tag for i in indices for tag in sorted(set(data.items[i].get("tags", []))))
    enough = max(FEWEST_TAGGED, len(indices) // 200)
    return [tag for tag, count in counts.most_common(MOST_TAGS) if enough <= count <= len(indices) - enough]


@torch.no_grad()
def attribute_directions(
    network: VAE,
    data: Collection,
    indices: Indices,
    means: Tensor,
    styles: Tensor | None,
    names: list[str],
) -> Tensor:
    """(tags, latent) from the mean of pictures without a tag to that of those with it, where latents are normal."""
    normal, _ = network.prior.to_normal(means, styles)
    found = [torch.zeros(0, means.size(1), device=means.device)]
    for name in names:
        tagged = torch.tensor([name in data.items[i].get("tags", []) for i in indices], device=means.device)
        found.append((normal[tagged].mean(0) - normal[~tagged].mean(0))[None])
    return torch.cat(found)
