"""Trains a GAN that draws after words: discriminator and generator in turn, on pictures with their captions.

Where it draws an autoencoder's latents, the discriminator judges the pictures that they decode to, and the gradient
comes back through the decoder, which stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.adversarial import augment
from models.adversarial.game import learn, rest_of
from models.adversarial.objective import OBJECTIVES
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import load_latents
from models.checkpoint import CheckpointError, read_card
from models.data.pictures import Collection, EpochOrder, Indices, Unsuitable, measured, sent, spread, to_unit
from models.data.pictures import augment as mirrored
from models.measure.prompted import draw, watched_sheet
from models.parts.captions import Captions, prompt_encoder, watched_captions
from models.parts.placed import placed
from models.parts.prompt import hide_words
from models.parts.text import PromptEncoder
from models.prompted_gan.discriminator import DEEPEST, MatchingDiscriminator, mismatch, own, penalty, unlikeness
from models.prompted_gan.network import PromptedGenerator
from models.prompted_gan.sample import PromptedGANSampler, requests
from models.prompted_gan.spec import FAMILY, PromptedGANTraining, problem
from models.training import parallel
from models.training.contrastive import fit_caption_reader, same_captions
from models.training.ema import EMA
from models.training.fit import Metrics, backward, fit
from models.training.held_out import HeldOutDistance
from models.training.prompted import write_prompted
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, pin_autoencoder, start_checkpoint
from models.training.state import Part

FITTED = 1024  # pictures whose latents say the mean and the scale of all
PENALTY_EVERY = 4  # steps; each weighs that many times more
MEASURED = 500  # held-out captions, and as many pictures of 64 px


@dataclass
class Step:
    """What a step looks at, and all of its randomness, for the whole batch of B."""

    real: Tensor  # (B, 3, H, W) in [-1, 1]
    latents: Tensor  # (B, latent)
    tokens: Tensor  # (B, T) of the captions
    heard: Tensor  # (B, T) as the generator hears them: without words, here and there
    sentences: Tensor  # (B, 512)
    alike: Tensor  # (B, B): which others have the same caption
    augmentations: Tensor  # (4, B, KINDS, 3): of real ones and of fakes when the discriminator learns, then again

    def prompts(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """What the generator is given."""
        return self.latents[rows], self.heard[rows], self.sentences[rows]


def step_of(
    params: PromptedGANTraining, data: Collection, captions: Captions, chosen: Indices, run: Run, k: int
) -> Step:
    random, count = step_generator(run.seed, k), len(chosen)
    latents = torch.randn(count, params.network.latent, generator=random)
    augmentations = augment.draw(4 * count, random).view(4, count, augment.KINDS, 3)
    tokens, sentences = captions.of(chosen, torch.rand(count, generator=random, dtype=torch.float64).numpy())
    heard = hide_words(tokens, torch.rand(count, generator=random) < params.word_drop)
    real = mirrored(to_unit(data.pictures(chosen, run.device)), random, data.mirrorable[chosen], shift=0)
    there = partial(sent, device=run.device)
    return Step(
        real.contiguous(memory_format=torch.channels_last),
        there(latents),
        there(tokens),
        there(heard),
        there(sentences),
        there(same_captions(tokens, sentences, torch.from_numpy(chosen))),
        augmentations,
    )


def train(params: PromptedGANTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises Unsuitable where there are no captions, or all are the same, and CheckpointError when the autoencoder or the
    checkpoint to start from is missing, broken or of another shape.
    """
    torch.manual_seed(run.seed)
    said = {caption.strip() for i in data.indices("train") for caption in data.items[i]["captions"]}
    if said <= {""}:
        raise Unsuitable("It learns words from captions, and none of these pictures has one.")
    if len(said) < 2:
        raise Unsuitable("the captions of all pictures are the same: there is nothing that words could choose")
    before = start_checkpoint(params.start_from, run)
    autoencoder: KLAutoencoder | None = None
    beneath: dict[str, Any] = {}
    with parallel.first_alone():
        if params.autoencoder:
            pinned, beneath = pin_autoencoder(params.autoencoder, run)
            if why := problem(params, {params.autoencoder: read_card(pinned)}.__getitem__):
                raise CheckpointError(why)
            autoencoder, _ = load_latents(params.autoencoder, run.device, beside=pinned.parent)
            placed(autoencoder.requires_grad_(False), run.device)
        prompts = prompt_encoder(params.network, data, run.path / "tokenizer.json", before)
        captions = Captions(data, prompts, run.path / "cache", lambda done: run.is_at_work("preparing", read=done))
    generator = placed(PromptedGenerator(params.network), run.device)
    if autoencoder:
        pictures = to_unit(data.pictures(spread(data.indices("train"), FITTED)))
        generator.fit_scale(torch.cat([autoencoder.posterior(part.to(run.device))[0] for part in pictures.split(64)]))
    fit_caption_reader(generator, data, captions, run, before)
    load_start_weights(generator, before)
    discriminator = placed(MatchingDiscriminator(), run.device)
    learnable = [weight for weight in discriminator.parameters() if weight.requires_grad]
    taught = [weight for weight in generator.parameters() if weight.requires_grad]
    optimizer_d, optimizer_g = (
        torch.optim.Adam(weights, lr=params.learning_rate, betas=(0.0, 0.99), fused=True)
        for weights in (learnable, taught)
    )
    ema = EMA(generator, params.ema_decay)
    rest = rest_of(run.budget.steps if before else 0)
    parts: dict[str, Part] = {
        "generator": generator,
        "discriminator": discriminator,
        "ema": ema.average,
        "optimizer_d": optimizer_d,
        "optimizer_g": optimizer_g,
    }
    rules = OBJECTIVES[params.objective]
    penalties: dict[str, float] = {}  # as last taken
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    watched = Watched(params, data, prompts, autoencoder, run)

    def pictures_of(batch: Step, rows: slice) -> Tensor:
        drawn: Tensor = generator(*batch.prompts(rows))
        return autoencoder.decoder(drawn) if autoencoder else drawn

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            batch = step_of(params, data, captions, order.at(k), run, k)
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate([optimizer_d], factor)
        set_learning_rate([optimizer_g], run.rate * warmup_stable_decay(max(0, k - int(rest)), run.progress(k)))

        def seen(pictures: Tensor, rows: slice, kinds: tuple[int, ...]) -> list[Tensor]:
            return discriminator.maps(augment.of_rows(batch.augmentations, kinds, rows, params.strength)(pictures))

        @torch.no_grad()
        def real_side() -> tuple[list[Tensor], Tensor]:
            """What drawings are compared with, of the whole batch, seen piece by piece: (maps, own scores)."""
            found, scores = [], []
            for start in range(0, len(batch.real), watched.distance.piece):
                rows = slice(start, min(start + watched.distance.piece, len(batch.real)))
                with mixed_precision(run.device):
                    maps = seen(batch.real[rows], rows, (2,))
                    scores.append(own(judged(maps), rows))
                found.append(maps[-DEEPEST:])
            return [torch.cat(each) for each in zip(*found, strict=True)], torch.cat(scores)

        def judged(maps: list[Tensor]) -> Tensor:
            """By the captions of the whole batch, however small a piece of it is worked on."""
            return discriminator.by_each(maps, read)

        assert generator.captions is not None
        read = generator.captions(batch.tokens, batch.sentences)
        penalised = params.gamma > 0 and k % PENALTY_EVERY == 0
        fake = torch.empty(0)

        def discriminate(rows: slice) -> tuple[Tensor, Tensor]:
            nonlocal fake
            with mixed_precision(run.device):
                with torch.set_grad_enabled(run.pieces == 1):
                    fake = pictures_of(batch, rows)
                with torch.no_grad():
                    maps = seen(torch.cat([batch.real[rows], fake]), rows, (0, 1))
                maps = [each.requires_grad_(penalised) for each in maps]
                scores = judged(maps)
                by_own = torch.cat([own(part, rows) for part in scores.chunk(2)])
                real, made = by_own.chunk(2)
                adversarial = rules.discriminator(real, made).mean()
                matching = mismatch(scores[: len(real)], rows, batch.alike)
            steepness = 2 * penalty(maps, by_own).mean() if penalised else adversarial.new_zeros(())
            loss = adversarial + params.matching_weight * matching + params.gamma / 2 * PENALTY_EVERY * steepness
            signs = torch.sign(real - (made if rules.paired else 0)).mean()
            return loss, torch.stack([adversarial, real.mean(), made.mean(), signs, matching, steepness])

        def generate(rows: slice) -> tuple[Tensor, Tensor]:
            """The same pictures as the discriminator's. Those of many pieces are drawn again: one piece is held."""
            with mixed_precision(run.device):
                maps = seen(pictures_of(batch, rows) if run.pieces > 1 else fake, rows, (3,))
                scores = judged(maps)
                adversarial = rules.generator(real_scores[rows], own(scores, rows)).mean()
                matching = mismatch(scores, rows, batch.alike)
                likeness = unlikeness(maps, real_maps, rows, batch.alike)
            loss = adversarial + params.matching_weight * matching + params.likeness_weight * likeness
            return loss, torch.stack([adversarial, matching, likeness])

        discriminator.advance()
        learn(learnable, True)
        told = backward(run, discriminator, [optimizer_d], len(batch.real), discriminate, 6)
        run.watch(k + 1, told.sum())
        optimizer_d.step()
        learn(learnable, False)
        real_maps, real_scores = real_side()
        drawn = backward(run, generator, [optimizer_g], len(batch.real), generate, 3)
        run.watch(k + 1, drawn.sum())
        if k >= rest:
            optimizer_g.step()
            ema.update(generator, k)
        if penalised:
            penalties["penalty"] = float(told[5])

        def metrics() -> dict[str, float]:
            loss, real, made, signs, mismatched, _ = told.tolist()
            adversarial, off, unlike = drawn.tolist()
            return {
                "loss_discriminator": loss,
                "loss_generator": adversarial,
                "sign_real": signs,
                "margin": real - made,
                "mismatch_real": mismatched,
                "mismatch_fake": off,
                "unlikeness": unlike,
                **penalties,
                "learning_rate": factor * params.learning_rate,
            }

        return len(batch.real), metrics

    def measure(done: int) -> None:
        if done > rest or run.budget.is_over(done):
            watched.measure(done, ema.average)

    done = fit(run, step, parts, measure, numbers={"rest": rest})
    result = run.result(done, ema.average)
    run.finish()
    write_prompted(FAMILY, ema.average, prompts, params, data, run, result, before, beneath)


class Watched:
    """Drawings of the averaged generator: a sheet, and how far those of held-out captions are from their pictures."""

    def __init__(
        self,
        params: PromptedGANTraining,
        data: Collection,
        prompts: PromptEncoder,
        autoencoder: KLAutoencoder | None,
        run: Run,
    ) -> None:
        self.run, self.prompts, self.autoencoder = run, prompts, autoencoder
        self.asked = params.watched or watched_captions(data)
        if run.is_first:
            run.folder.watch(self.asked)
        held_out = [i for i in measured(data, MEASURED) if data.items[i]["captions"][0].strip()]
        self.captions = [data.items[i]["captions"][0] for i in held_out]
        self.distance = HeldOutDistance(run, params.batch_size, data, np.array(held_out))

    def measure(self, done: int, network: PromptedGenerator) -> None:
        sampler = PromptedGANSampler(network, self.autoencoder, self.prompts)
        if self.run.is_first:
            self.run.folder.keep_samples(done, watched_sheet(sampler, requests, self.asked))
        if self.distance.real is not None:
            self.distance.report(done, to_unit(draw(sampler, requests, self.captions)))
