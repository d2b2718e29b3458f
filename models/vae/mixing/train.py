"""Trains the mixing VAE: each picture is drawn from the content of another drawing of its concept and the style of
another drawing in its style.

The evidence lower bound holds for any posterior, so also for one that looks at other pictures than the one it explains;
what these share is all that the latents can hold (Bouchacourt et al., "Multi-Level Variational Autoencoder", 2018; Reed
et al., "Deep Visual Analogy-Making", 2015). Half of the styles are drawn from the prior of their label, the hybrid
objective of Sohn et al., "Learning Structured Output Representation using Deep Conditional Generative Models", 2015:
the decoder learns the labels before the encoder can tell them. Unlike theirs, the divergence counts for every picture.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models.autoencoders.critic import Critic
from models.autoencoders.likelihood import beta_at
from models.checkpoint import write_model
from models.data.pictures import (
    Collection,
    EpochOrder,
    Indices,
    Unsuitable,
    contact_sheet,
    label_names,
    labels_of,
    to_pixels,
    to_unit,
)
from models.measure.features import PerceptualLoss
from models.parts.placed import placed
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part
from models.vae.mixing.network import MixingVAE
from models.vae.mixing.objective import LOGGED, Weights, divergences_of, draw_step, losses
from models.vae.mixing.pairs import Pairs
from models.vae.mixing.spec import MixingTraining
from models.vae.mixing.style_classifier import StyleClassifier

MEASURED, SHOWN = 256, 16
BATCH = 64


def train(params: MixingTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises Unsuitable where no concept is drawn in two styles, or a picture has no style.
    """
    torch.manual_seed(run.seed)
    labels = label_names(data)
    if not labels:
        raise Unsuitable("some pictures of this collection have no style: put each style in a folder of its own")
    params = params.model_copy(update={"network": params.network.model_copy(update={"classes": len(labels)})})
    train_items = data.indices("train")
    pairs = Pairs(data, train_items)
    network = placed(MixingVAE(params.network), run.device)
    before = start_checkpoint(params.start_from, run)
    load_start_weights(network, before, labels, by_label=("priors", "style_means", "style_roots"))
    style_classifier = StyleClassifier(len(labels)).to(run.device)
    learning = nn.ModuleList([network, style_classifier])
    optimizer = torch.optim.AdamW(learning.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    ema = EMA(network, params.ema_decay)
    perceptual = placed(PerceptualLoss(), run.device)
    critic = Critic(params, run, len(labels))
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "optimizer": optimizer, **critic.parts}
    parts["namer"] = style_classifier  # as states of before call it
    order = EpochOrder(train_items, params.batch_size, run.seed)
    styles = labels_of(data, np.arange(len(data.items)), labels)
    watched = Watched(params, data, run, pairs, perceptual)
    latents = params.network.content * (params.network.size // 8) ** 2 + params.network.style

    def step(k: int) -> tuple[int, Metrics]:
        progress = run.progress(k)
        beta = beta_at(params.schedule, params.beta, progress)
        weights = Weights(beta, params.ramp(progress), critic.weight(progress))
        with run.log.spend("data"):
            batch = draw_step(data, pairs, params, order, k, run, styles)
        factor = params.lr_factor(progress) * warmup_stable_decay(k, progress, warmup=200) * run.rate
        set_learning_rate([optimizer], factor)
        whole, drawings = None, list[Tensor]()
        if params.free_bits:
            whole = run.whole_mean(len(batch.wanted), latents, partial(divergences_of, network, batch, run.device))

        def losses_of(rows: slice) -> tuple[Tensor, Tensor]:
            seen = batch.share(rows, run.device)
            with mixed_precision(run.device):
                loss, logged, made = losses(network, style_classifier, perceptual, critic, seen, params, weights, whole)
            drawings.append(made.detach())
            return loss, logged

        figures = backward(run, learning, [optimizer], len(batch.wanted), losses_of, len(LOGGED))
        descend(run, k, figures[LOGGED.index("loss")], network.parameters(), [optimizer])
        ema.update(network, k)
        margin = critic.learn(batch.wanted, drawings, k, batch.labels) if weights.adversarial else None

        def metrics() -> dict[str, float]:
            named = dict(zip(LOGGED, figures.tolist(), strict=True))
            if margin is None:
                del named["adversarial"]
            else:
                named["margin"] = margin
            return {**named, "beta": beta, "learning_rate": factor * params.learning_rate}

        return len(batch.wanted), metrics

    done = fit(run, step, parts, (lambda done: watched.measure(done, ema.average)) if watched.count else None)
    result = run.result(done, ema.average)
    run.finish()
    if run.is_first:
        fit_styles(ema.average, data, train_items, labels, run.device)
        card = training_card("mixing-vae", params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, "labels": labels})


def fit_styles(network: MixingVAE, data: Collection, indices: Indices, labels: list[str], device: torch.device) -> None:
    """Fit each label's distribution of styles to those of its drawings."""
    posteriors = [
        network.style(to_unit(data.pictures(indices[at : at + BATCH])).to(device))
        for at in range(0, len(indices), BATCH)
    ]
    means, log_variances = (torch.cat(part) for part in zip(*posteriors, strict=True))
    network.fit_styles(means, log_variances, labels_of(data, indices, labels).to(device))


class Watched:
    """Held-out concepts in other styles: how far from the artist's own drawing of them, and a sheet."""

    def __init__(
        self, params: MixingTraining, data: Collection, run: Run, pairs: Pairs, perceptual: PerceptualLoss
    ) -> None:
        self.run, self.perceptual, self.batch_size = run, perceptual, params.batch_size
        self.sharpened = params.is_sharpened
        rows = translations(data, pairs)[:MEASURED]
        self.count = len(rows)
        if rows:
            self.content, self.style, self.wanted = (
                to_unit(data.pictures(torch.tensor(column))).to(run.device) for column in zip(*rows, strict=True)
            )

    @torch.no_grad()
    def measure(self, done: int, network: MixingVAE) -> None:
        made, distances = [], []
        for at in torch.arange(self.count).split(max(1, self.batch_size // self.run.pieces)):
            part = network.decoder(network.content(self.content[at])[0], network.style(self.style[at])[0])
            distances.append(float(self.perceptual(part, self.wanted[at])) * len(at))
            made.append(part)
        figure = sum(distances) / self.count
        self.run.log.write(done, held_out_distance=figure)
        if not self.sharpened:
            self.run.report_metric(done, figure)
        if self.run.is_first:
            count = min(SHOWN, self.count)
            columns = (self.content, self.style, torch.cat(made), self.wanted)
            sheet = torch.cat([column[:count] for column in columns])
            self.run.folder.keep_samples(done, Image.fromarray(contact_sheet(to_pixels(sheet).cpu(), count)))


def translations(data: Collection, pairs: Pairs) -> list[tuple[int, int, int]]:
    """(content, style, wanted) items: a held-out concept as one style draws it, a training picture of another style,
    and what that style makes of the concept. Each wanted drawing once, in an order of chance.
    """
    held_out = [int(i) for i in data.indices(*data.held_out[:1], recoloured=False)]
    drawings: dict[str, list[int]] = defaultdict(list)
    for i in held_out:
        drawings[data.items[i]["concept"]].append(i)
    random = torch.Generator().manual_seed(0)
    found = []
    for i in held_out:
        others = [j for j in drawings[data.items[i]["concept"]] if data.items[j]["style"] != data.items[i]["style"]]
        beside = pairs.of_style.get(data.items[i]["style"], [])
        if others and beside:
            places = torch.rand(2, generator=random).tolist()
            found.append((others[int(places[0] * len(others))], beside[int(places[1] * len(beside))], i))
    order = torch.randperm(len(found), generator=random).tolist()
    return [found[i] for i in order]
