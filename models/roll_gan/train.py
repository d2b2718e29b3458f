"""Trains the GAN of music: discriminator and generator in turn, on rolls of bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.adversarial.game import Game, diagnostics, learn
from models.checkpoint import write_model
from models.data.items import Scores
from models.data.pictures import EpochOrder, Unsuitable, spread
from models.measure.music import Voices, histograms, of_scores, overlap
from models.parts.rolls import FIRST, Rolls, score_of
from models.roll_gan.network import DIRECTIONS, RollDiscriminator, RollGenerator, concrete, gumbel_noise, one_hot
from models.roll_gan.sample import RollGANSampler
from models.roll_gan.spec import RollGANTraining
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, fit
from models.training.run import Run
from models.training.schedule import set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part

MEASURED, DIRECTED, TOGETHER = 64, 2048, 64  # pieces that are looked at, that directions are found by, at once
ENCODER_STEPS, ENCODER_BATCH, ENCODER_RATE = 1500, 32, 1e-3
LEAST_SPREAD = 1e-6
CLEAR_FROM, CLEAR = 0.8, 11.0  # share of the training from which on notes stand out, and the logit that they have then


def train(params: RollGANTraining, data: Scores, run: Run) -> None:
    """Train on the collection's `train` pieces until the run is over; writes its `model`. Resumes by itself.

    Raises Unsuitable where the collection has no pieces in bars of four quarters.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    rolls = Rolls(data, params.network.bars)
    if not len(rolls.indices("train")):
        raise Unsuitable("the collection has no pieces in bars of four quarters")
    params.network.voices = rolls.voices
    generator = RollGenerator(params.network).to(run.device)
    load_start_weights(generator, before)
    discriminator = RollDiscriminator(params.network).to(run.device)
    weights_d = list(discriminator.parameters())
    weights_g = [w for name, w in generator.named_parameters() if not name.startswith("encoder.")]
    optimizer_d, optimizer_g = (
        torch.optim.Adam(weights, lr=params.learning_rate, betas=(0.0, 0.99)) for weights in (weights_d, weights_g)
    )
    ema = EMA(generator, params.ema_decay)
    parts: dict[str, Part] = {
        "generator": generator,
        "discriminator": discriminator,
        "ema": ema.average,
        "optimizer_d": optimizer_d,
        "optimizer_g": optimizer_g,
    }
    game = Game(discriminator, params.objective, params.gamma, params.penalty_every)
    order = EpochOrder(rolls.indices("train"), params.batch_size, run.seed)
    windows = torch.from_numpy(np.stack(rolls.windows)).to(run.device)
    penalties: dict[str, float] = {}  # as last taken
    watched = Watched(rolls, data, run)

    def step(k: int) -> tuple[int, Metrics]:
        random = step_generator(run.seed, k)
        notes = certainty(params, run.progress(k)) * one_hot(windows[torch.from_numpy(order.at(k)).to(run.device)])
        real = concrete(notes, gumbel_noise(notes, random))
        latents = torch.randn(len(real), params.network.latent, generator=random).to(run.device)
        noise = gumbel_noise(notes, random)
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate([optimizer_d, optimizer_g], factor)

        def made(rows: slice) -> Tensor:
            return concrete(generator(latents[rows]), noise[rows])

        def discriminate(rows: slice) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                fake = made(rows)
            return game.discriminator_losses(real[rows], fake, (), k)

        def generate(rows: slice) -> tuple[Tensor, Tensor]:
            loss = game.generator_loss(real[rows], made(rows))
            return loss, loss[None]

        learn(weights_d, True)
        figures = backward(run, discriminator, [optimizer_d], len(real), discriminate, 6)
        optimizer_d.step()
        learn(weights_d, False)
        (generator_loss,) = backward(run, generator, [optimizer_g], len(real), generate)
        run.watch(k + 1, figures[0] + generator_loss)
        optimizer_g.step()
        ema.update(generator, k)
        if game.penalises(k):
            penalties.update(r1=float(figures[4]), r2=float(figures[5]))
        return len(real), lambda: {
            **diagnostics(game, figures.tolist(), float(generator_loss)),
            **penalties,
            "learning_rate": factor * params.learning_rate,
            "epoch": (k + 1) * params.batch_size / len(order.indices),
        }

    done = fit(run, step, parts, lambda done: watched.measure(done, ema.average))
    result = run.result(done, ema.average)
    run.finish()
    fit_encoder(ema.average, run)
    find_directions(ema.average)
    if run.is_first:
        card = training_card("roll-gan", params, data.card, run, result, before)
        said = {**rolls.said, "ranges": rolls.ranges, "directions": list(DIRECTIONS)}
        write_model(run.folder.model, ema.average, {**card, **said})


def certainty(params: RollGANTraining, progress: float) -> float:
    """Logit of a real note. Noise that drowns some of them hides as many wrong ones of the generator: it fades."""
    return params.certainty if progress < CLEAR_FROM else max(params.certainty, CLEAR)


@dataclass
class Watched:
    """Pieces from fixed latents: a sheet, and how much of the histograms of held-out ones they have."""

    rolls: Rolls
    data: Scores
    run: Run

    def __post_init__(self) -> None:
        held_out = self.rolls.indices(*self.data.held_out)
        parts = self.rolls.parts
        real = (score_of(self.rolls.windows[int(i)], 0, 120, parts) for i in spread(held_out, MEASURED))
        self.real: list[Voices] = of_scores(real)

    @torch.no_grad()
    def measure(self, done: int, network: RollGenerator) -> None:
        sampler = RollGANSampler(network, self.rolls.parts, self.rolls.tempo, self.rolls.ranges)
        if self.run.is_first:
            self.run.folder.keep_samples(done, sampler.samples())
        if not self.real:
            return
        random = torch.Generator().manual_seed(self.run.seed)
        latents = torch.randn(MEASURED, network.config.latent, generator=random).to(self.run.device)
        made = of_scores(score_of(roll, 0, 120, sampler.parts) for roll in network(latents).argmax(-1).cpu().numpy())
        ours, theirs = histograms(made), histograms(self.real)
        apart = 1 - sum(overlap(ours[name], theirs[name]) for name in theirs) / len(theirs)
        self.run.log.write(done, held_out_histogram_distance=apart)
        self.run.report_metric(done, apart)


def fit_encoder(network: RollGenerator, run: Run) -> None:
    """Teach it which latents pieces come from, by pieces that it makes: given ones can be varied and mixed then."""
    steps = min(ENCODER_STEPS, max(20, run.budget.steps))
    encoder = network.encoder.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=ENCODER_RATE, weight_decay=1e-3)
    for k in range(steps):
        latents = torch.randn(ENCODER_BATCH, network.config.latent, generator=step_generator(run.seed + 1, k))
        latents = latents.to(run.device)
        with torch.no_grad():
            rolls = network(latents).argmax(-1)
        loss = F.mse_loss(encoder(one_hot(rolls)), latents)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = ENCODER_RATE * (1 - (k + 1) / steps)
        run.is_at_work("encoder", drawn=(k + 1) * ENCODER_BATCH)
    encoder.requires_grad_(False).eval()


@torch.no_grad()
def find_directions(network: RollGenerator) -> None:
    """By least squares over many pieces: which way notes become more, or higher; a step has length 1, so that pieces
    stay among those that are likely.
    """
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(DIRECTED, network.config.latent, generator=random)
    device = network.directions.device
    rolls = torch.cat([network(part.to(device)).argmax(-1) for part in latents.split(TOGETHER)]).flatten(1).cpu()
    begins = (rolls >= FIRST).float()
    density = begins.mean(1)
    height = (begins * rolls).sum(1) / begins.sum(1).clamp(min=1)
    for row, values in enumerate((density, height)):
        standard = (values - values.mean()) / values.std().clamp(min=LEAST_SPREAD)
        slope = torch.linalg.lstsq(latents, standard[:, None]).solution[:, 0]
        network.directions[row] = slope / slope.norm().clamp(min=LEAST_SPREAD)
