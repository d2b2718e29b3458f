"""Trains translation between two styles: both directions at once, one discriminator that knows both styles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from models.adversarial.game import Game, diagnostics, learn
from models.adversarial.projected import ProjectedDiscriminator, embedded_classes
from models.checkpoint import read_card, write_model
from models.contract.message import Message
from models.data.pictures import (
    Collection,
    EpochOrder,
    Indices,
    Unsuitable,
    contact_sheet,
    spread,
    to_pixels,
    to_unit,
)
from models.data.pictures import augment as mirrored
from models.parts.placed import placed
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, backward, fit
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part
from models.translation.network import Heads, TranslationNetwork
from models.translation.spec import FAMILY, TranslationTraining

SHOWN = 16  # held-out pictures a style
GENERATOR_FIGURES = ("contrastive", "identity")


def train(params: TranslationTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items of both styles until the run is over; writes its `model`. Resumes by
    itself. Raises Unsuitable where the collection does not have the two styles.
    """
    torch.manual_seed(run.seed)
    styles = styles_in(data, params)
    network = placed(TranslationNetwork(params.network), run.device)
    before = start_checkpoint(params.start_from, run)
    load_start_weights(network, before)
    if before and read_card(before).get("labels") == styles[::-1]:
        network.exchange()
    heads = [Heads(params.network).to(run.device) for _ in styles]
    learners = torch.nn.ModuleList([network, *heads])
    discriminator = placed(ProjectedDiscriminator(embedded_classes(len(styles))), run.device)
    learnable = [weight for weight in discriminator.parameters() if weight.requires_grad]
    optimizer_d = torch.optim.Adam(learnable, lr=params.learning_rate, betas=(0.0, 0.99), fused=True)
    optimizer_g = torch.optim.Adam(learners.parameters(), lr=params.learning_rate, betas=(0.5, 0.99), fused=True)
    ema = EMA(network, params.ema_decay)
    parts: dict[str, Part] = {
        "network": network,
        "heads": torch.nn.ModuleList(heads),
        "discriminator": discriminator,
        "ema": ema.average,
        "optimizer_d": optimizer_d,
        "optimizer_g": optimizer_g,
    }
    game = Game(discriminator, "hinge")
    orders = [
        EpochOrder(of_style(data, name, "train"), params.batch_size, run.seed + i) for i, name in enumerate(styles)
    ]
    apart = [shown(data, name) for name in styles]

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            # (2, B, 3, H, W): pictures of the first style, and of the second.
            real = torch.stack([drawn(data, order.at(k), random, run) for order in orders])
            places = int(torch.randint(2**31, (), generator=random))
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate([optimizer_d, optimizer_g], factor)
        count = real.size(1)

        def discriminate(rows: slice) -> tuple[Tensor, Tensor]:
            with torch.no_grad(), mixed_precision(run.device):
                made = torch.cat([network(real[1 - style, rows], style) for style in range(2)])
            with mixed_precision(run.device):
                return game.discriminator_losses(real[:, rows].flatten(0, 1), made, (labels(rows),), k)

        def generate(rows: slice) -> tuple[Tensor, Tensor]:
            fakes, contrastive, identity = [], list[Tensor](), list[Tensor]()
            with mixed_precision(run.device):
                for style, head in enumerate(heads):
                    generator = network.generator(style)
                    chance = torch.Generator().manual_seed(places + style)
                    made, given = generator.with_maps(real[1 - style, rows])
                    fakes.append(made)
                    contrastive.append(head(generator.maps(made), given, chance))
                    again, own = generator.with_maps(real[style, rows])
                    identity.append(head(generator.maps(again), own, chance))
                adversarial = game.generator_loss(real[:, rows].flatten(0, 1), torch.cat(fakes), (labels(rows),))
            kept, left = torch.stack(contrastive).mean(), torch.stack(identity).mean()
            loss = adversarial + params.contrastive_weight * kept + params.identity_weight * left
            return loss, torch.stack([adversarial, kept, left]).detach()

        def labels(rows: slice) -> Tensor:
            return torch.arange(2, device=run.device).repeat_interleave(rows.stop - rows.start)

        learn(learnable, True)
        discriminator.advance()
        told = backward(run, discriminator, [optimizer_d], count, discriminate, 6)
        run.watch(k + 1, told[0])
        optimizer_d.step()
        learn(learnable, False)
        figures = backward(run, learners, [optimizer_g], count, generate, 3)
        run.watch(k + 1, figures.sum())
        optimizer_g.step()
        ema.update(network, k)

        def metrics() -> dict[str, float]:
            adversarial, *others = figures.tolist()
            named = dict(zip(GENERATOR_FIGURES, others, strict=True))
            return {
                **diagnostics(game, told.tolist(), adversarial),
                **named,
                "learning_rate": factor * params.learning_rate,
            }

        return count, metrics

    def measure(done: int) -> None:
        if run.is_first:
            run.folder.keep_samples(done, Image.fromarray(sheet(ema.average, [x.to(run.device) for x in apart])))

    done = fit(run, step, parts, measure, log_every=50)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card(FAMILY, params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, "labels": styles})


def styles_in(data: Collection, params: TranslationTraining) -> list[str]:
    """The two that are to be learnt. Raises Unsuitable."""
    there = sorted({data.items[i]["style"] for i in data.indices("train")} - {""})
    wanted = [name for name in (params.first, params.second) if name] or there
    if len(wanted) != 2 or not set(wanted) <= set(there):
        raise Unsuitable(
            Message("choose two of the styles that the dataset has: {styles}", styles=", ".join(there) or "–")
        )
    return wanted


def of_style(data: Collection, style: str, *splits: str) -> Indices:
    every = data.indices(*splits, recoloured=False)
    found: Indices = every[[data.items[i]["style"] == style for i in every]]
    return found


def shown(data: Collection, style: str) -> Tensor:
    """(N, 3, H, W) held-out pictures, or where there are none some that were trained on."""
    found = of_style(data, style, *data.held_out)
    return to_unit(data.pictures(spread(found if len(found) else of_style(data, style, "train"), SHOWN)))


def drawn(data: Collection, chosen: Indices, random: torch.Generator, run: Run) -> Tensor:
    pictures = mirrored(to_unit(data.pictures(chosen, run.device)), random, data.mirrorable[chosen])
    return pictures.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def translated(network: TranslationNetwork, pictures: Tensor, style: int) -> Tensor:
    """(N, 3, H, W)."""
    return torch.cat([network(part, style).float() for part in pictures.split(16)])


def sheet(network: TranslationNetwork, apart: list[Tensor]) -> npt.NDArray[np.uint8]:
    """Pictures of the first style above their translations, then those of the second."""
    rows = []
    for style, pictures in enumerate(apart):
        few = pictures[: min(len(each) for each in apart)]
        rows += [few, translated(network, few, 1 - style)]
    return contact_sheet(to_pixels(torch.cat(rows)).cpu(), len(rows[0]))
