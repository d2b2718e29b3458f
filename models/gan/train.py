"""Trains a GAN: discriminator and generator in turn, on pictures that both see augmented."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from models.adversarial import augment
from models.adversarial.game import Game, diagnostics, learn, rest_of
from models.adversarial.projected import ProjectedDiscriminator, embedded_classes
from models.checkpoint import write_model
from models.data.pictures import (
    Collection,
    EpochOrder,
    Indices,
    Unsuitable,
    contact_sheet,
    label_names,
    labels_of,
    measured,
    sent,
    to_pixels,
    to_unit,
)
from models.data.pictures import augment as mirrored
from models.gan.encoder import PICTURES, PIECE, fit_encoder
from models.gan.network import ConvolutionalGenerator, discriminator_of, generator_of
from models.gan.residual import ResidualGenerator
from models.gan.sample import directions
from models.gan.spec import GANTraining
from models.measure.features import LOSS_DEPTH, load_lite0
from models.parts.placed import placed
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, fit
from models.training.held_out import HeldOutDistance
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part

SHOWN, COLUMNS = 64, 16
MEASURED = 1000  # pictures of each side, of 64 px
DRAWN_AGAIN = 10  # of so many pictures of a training one at most is drawn for the encoder


@dataclass
class Step:
    """What a step looks at, and all of its randomness, for the whole batch."""

    real: Tensor  # (B, 3, H, W) in [-1, 1]
    latents: Tensor  # (B, latent), the same for both turns
    augmentations: Tensor  # (3, B, KINDS, 3): of real and of fakes when the discriminator learns, then of both alike
    labels: Tensor | None  # (B,)

    def share(self, rows: slice) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """(real, latents, labels where there are some), on the device of the pictures."""
        device = self.real.device
        given = () if self.labels is None else (sent(self.labels[rows], device),)
        return self.real[rows], sent(self.latents[rows], device), given


def draw_step(params: GANTraining, data: Collection, chosen: Indices, labels: list[str], run: Run, step: int) -> Step:
    random, count = step_generator(run.seed, step), len(chosen)
    latents = torch.randn(count, params.network.latent, generator=random)
    augmentations = augment.draw(3 * count, random).view(3, count, augment.KINDS, 3)
    real = mirrored(to_unit(data.pictures(chosen, run.device)), random, data.mirrorable[chosen], shift=0)
    real = real.contiguous(memory_format=torch.channels_last)
    return Step(real, latents, augmentations, labels_of(data, chosen, labels) if labels else None)


def train(params: GANTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    labels = label_names(data) if params.labels else []
    if before:
        labels = labels_for(params.network.classes, labels, params.labels)
    params = params.model_copy(update={"network": params.network.model_copy(update={"classes": len(labels)})})
    generator = placed(generator_of(params.network), run.device)
    load_start_weights(generator, before, labels, by_label=("embedding.weight",), anew=("encoder.",))
    projected = params.discriminator == "projected"
    discriminator = (
        ProjectedDiscriminator(embedded_classes(len(labels))) if projected else discriminator_of(params.network)
    )
    discriminator = placed(discriminator, run.device)
    weights_d = [weight for weight in discriminator.parameters() if weight.requires_grad]
    optimizer_d, optimizer_g = (
        torch.optim.Adam(weights, lr=params.learning_rate, betas=(0.0, 0.99), fused=True)
        for weights in (weights_d, list(generator.parameters()))
    )
    ema = EMA(generator, params.ema_decay)
    strength = torch.tensor(params.strength if params.augmentation == "fixed" else 0.0, dtype=torch.float64)
    rest = rest_of(run.budget.steps if before else 0)
    parts: dict[str, Part] = {
        "generator": generator,
        "discriminator": discriminator,
        "ema": ema.average,
        "optimizer_d": optimizer_d,
        "optimizer_g": optimizer_g,
    }
    game = Game(discriminator, params.objective, params.penalty, params.penalty_every)
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    penalties: dict[str, float] = {}  # as last taken
    watched = Watched(params, data, run)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            batch = draw_step(params, data, order.at(k), labels, run, k)
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate([optimizer_d], factor)
        set_learning_rate([optimizer_g], run.rate * warmup_stable_decay(max(0, k - int(rest)), run.progress(k)))
        chance, fake = float(strength), torch.empty(0)

        def discriminate(rows: slice) -> tuple[Tensor, Tensor]:
            nonlocal fake
            real, latents, given = batch.share(rows)
            with mixed_precision(run.device):
                with torch.set_grad_enabled(run.pieces == 1):
                    fake = generator(latents, *given)
                return game.discriminator_losses(
                    real, fake, given, k, augment.of_rows(batch.augmentations, (0, 1), rows, chance)
                )

        def generate(rows: slice) -> tuple[Tensor, Tensor]:
            """The same pictures as the discriminator's. Those of many pieces are drawn again: one piece is held."""
            real, latents, given = batch.share(rows)
            with mixed_precision(run.device):
                made = generator(latents, *given) if run.pieces > 1 else fake
                loss = game.generator_loss(real, made, given, augment.of_rows(batch.augmentations, (2,), rows, chance))
            return loss, loss[None]

        discriminator.advance()
        learn(weights_d, True)
        figures = backward(run, discriminator, [optimizer_d], len(batch.real), discriminate, 6)
        optimizer_d.step()
        learn(weights_d, False)
        (generator_loss,) = backward(run, generator, [optimizer_g], len(batch.real), generate)
        run.watch(k + 1, figures[0] + generator_loss)
        if k >= rest:
            optimizer_g.step()
            ema.update(generator, k)

        if params.augmentation == "adaptive":
            strength.fill_(augment.adapted(chance, float(figures[3]), len(batch.real), params.strength))
        if game.penalises(k):
            penalties.update(r1=float(figures[4]), r2=float(figures[5]))
        return len(batch.real), lambda: {
            **diagnostics(game, figures.tolist(), float(generator_loss)),
            **penalties,
            "augmentation": float(strength),
            "learning_rate": factor * params.learning_rate,
        }

    def measure(done: int) -> None:
        if done > rest or run.budget.is_over(done):
            watched.measure(done, ema.average)

    done = fit(run, step, parts, measure, numbers={"strength": strength, "rest": rest})
    result = run.result(done, ema.average)
    run.finish()
    if run.is_first:
        add_encoder(ema.average, done * params.batch_size, watched.distance.piece, run)
        card = training_card("gan", params, data.card, run, result, before)
        learnt = {"labels": labels, "directions": list(directions(ema.average))}
        write_model(run.folder.model, ema.average, {**card, **learnt})


def add_encoder(network: ConvolutionalGenerator | ResidualGenerator, seen: int, piece: int, run: Run) -> None:
    """Give a generator the encoder that reads the latents of given pictures off them; `seen` in all while training."""
    run.beat("encoder", progress=1.0)
    count = min(PICTURES, max(PIECE, seen // DRAWN_AGAIN))
    lite0 = placed(load_lite0(LOSS_DEPTH), run.device)
    encoder = fit_encoder(
        network, lite0, count, min(PIECE, piece), lambda drawn: run.is_at_work("encoder", drawn=drawn)
    )
    network.add_module("encoder", encoder)


def labels_for(known: int, labels: list[str], wanted: bool = True) -> list[str]:
    """Which of these a generator that draws `known` styles can learn: all, or none. Raises Unsuitable."""
    if known and not wanted:
        raise Unsuitable("this model draws in styles: they have to be learnt")
    if known and not labels:
        raise Unsuitable("this model draws in styles, and the pictures of this collection have none")
    return labels if known else []


class Watched:
    """Samples of the averaged generator from fixed latents: a sheet, and how far they are from held-out pictures."""

    def __init__(self, params: GANTraining, data: Collection, run: Run) -> None:
        self.run = run
        held_out = measured(data, MEASURED)
        self.count = max(SHOWN, len(held_out))
        random = torch.Generator().manual_seed(run.seed)
        self.latents = torch.randn(self.count, params.network.latent, generator=random)
        classes = params.network.classes
        self.labels = torch.arange(self.count) % classes if classes else None
        self.distance = HeldOutDistance(run, params.batch_size, data, held_out)

    @torch.no_grad()
    def measure(self, done: int, network: nn.Module) -> None:
        drawn = torch.cat(
            [
                network(
                    self.latents[at].to(self.run.device),
                    *([] if self.labels is None else [self.labels[at].to(self.run.device)]),
                )
                for at in torch.arange(self.count).split(self.distance.piece)
            ]
        ).clamp(-1, 1)
        if self.run.is_first:
            sheet = contact_sheet(to_pixels(drawn[:SHOWN]).cpu(), COLUMNS)
            self.run.folder.keep_samples(done, Image.fromarray(sheet))
        self.distance.report(done, drawn)
