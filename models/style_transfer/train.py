"""Trains style transfer: each picture of a collection in the style of another, and now and then in its own."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.autoencoders.critic import Critic
from models.checkpoint import write_model
from models.data.pictures import Collection, EpochOrder, Indices, contact_sheet, spread, to_pixels, to_unit
from models.parts.crops import crops
from models.parts.placed import placed
from models.style_transfer.network import StyleTransferNetwork
from models.style_transfer.objective import StyleTransferLoss
from models.style_transfer.spec import STYLE, STYLE_TRANSFER, StyleTransferTraining
from models.training.card import training_card
from models.training.ema import EMA
from models.training.examples import one_of_each_style
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.training.state import Part

MEASURED, SHOWN, MOST_LOOKED_AT = 16, 5, 1000  # held-out pictures
SHEET_SIDE = 128  # pixels of a picture on it
OWN, BEYOND = 0.25, 10.0  # share of pictures in their own style; weight of colours that there are not


def train(params: StyleTransferTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    network = placed(StyleTransferNetwork(params.network), run.device)
    before = start_checkpoint(params.start_from, run)
    load_start_weights(network, before)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=0)
    ema = EMA(network, params.ema_decay)
    loss = placed(StyleTransferLoss(), run.device)
    critic = Critic(params, run)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "optimizer": optimizer, **critic.parts}
    every = data.indices("train")
    order = EpochOrder(every, params.batch_size, run.seed)
    places = shown(data)
    apart = to_unit(data.pictures(places))

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            chosen = order.at(k)
            others = every[torch.randint(len(every), (len(chosen),), generator=random).numpy()]
            contents, styles = (
                crops(to_unit(data.pictures(found)), params.crop, random).to(run.device) for found in (chosen, others)
            )
            own = torch.rand(len(chosen), generator=random).to(run.device) < OWN
            styles[own] = contents[own]
        factor = params.lr_factor(run.progress(k)) * warmup_stable_decay(k, run.progress(k), warmup=200) * run.rate
        set_learning_rate([optimizer], factor)
        weight, drawn = critic.weight(run.progress(k)), list[Tensor]()
        directions = int(torch.randint(2**31, (), generator=random))

        def losses(rows: slice) -> tuple[Tensor, Tensor]:
            content, style = (x[rows].contiguous(memory_format=torch.channels_last) for x in (contents, styles))
            with mixed_precision(run.device):
                made = network(content, network.style(style))
                distances = loss(made, content, style, directions).mean(1)
                sharp = critic.adversarial_loss(style, made) if weight else made.new_zeros(())
            identity = ((made.float() - content).abs().mean((1, 2, 3)) * own[rows] / OWN).mean()
            beyond = F.relu(made.float().abs() - 1).mean()
            found = torch.stack([*distances, identity, beyond, sharp.float()])
            if weight:
                drawn.append(made.detach())
            return total(found, params, weight), found

        figures = backward(run, network, [optimizer], len(contents), losses, 5)
        descend(run, k, total(figures, params, weight), network.parameters(), [optimizer])
        ema.update(network, k)
        margin = critic.learn(styles, drawn, k) if weight else None

        def metrics() -> dict[str, float]:
            content, style, identity, beyond, adversarial = figures.tolist()
            named = {"content_distance": content, "style_distance": style, "identity": identity, "beyond": beyond}
            named |= {} if margin is None else {"adversarial": adversarial, "margin": margin}
            return {**named, "learning_rate": factor * params.learning_rate}

        return len(contents), metrics

    @torch.no_grad()
    def measure(done: int) -> None:
        pictures = apart.to(run.device)
        others = pictures[partners(data, places)]
        made = transferred(ema.average, pictures, others)
        content, style = loss(made, pictures, others, 0).mean(1).tolist()
        run.log.write(done, held_out_content_distance=content, held_out_style_distance=style)
        if not params.is_sharpened:
            run.report_metric(done, content + params.style_weight * style)
        if run.is_first:
            run.folder.keep_samples(done, Image.fromarray(sheet(ema.average, *of_sheet(pictures))))

    done = fit(run, step, parts, measure if len(apart) > 1 else None, log_every=50)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card(STYLE_TRANSFER, params, data.card, run, result, before)
        examples, files = one_of_each_style(data, STYLE)
        write_model(run.folder.model, ema.average, {**card, "examples": examples}, files)


def shown(data: Collection) -> Indices:
    """Held-out pictures, or where there are none some that were trained on: of as many styles as there are."""
    found = data.indices(*data.held_out, recoloured=False) if data.held_out else data.indices("train")
    of_style: dict[str, list[int]] = {}
    for i in spread(found, MOST_LOOKED_AT).tolist():
        of_style.setdefault(str(data.items[i].get("style", "")), []).append(i)
    first = np.asarray([places[0] for places in of_style.values()])
    styles = spread(first, SHOWN).tolist()  # those of the sheet
    in_turns = [i for turn in zip_longest(*of_style.values()) for i in turn if i is not None and i not in styles]
    return np.asarray([*styles, *in_turns][:MEASURED])


def partners(data: Collection, indices: Indices) -> list[int]:
    """For each of these the place of the next that has another style; of the next, where all have one."""
    styles, count = [data.items[i].get("style", "") for i in indices], len(indices)
    turns = ([(place + step) % count for step in range(1, count)] for place in range(count))
    return [next((j for j in turn if styles[j] != styles[i]), turn[0] if turn else i) for i, turn in enumerate(turns)]


def total(losses: Tensor, params: StyleTransferTraining, adversarial_weight: float) -> Tensor:
    """The loss of (content, style, identity, beyond the range of colours, adversarial)."""
    content, style, identity, beyond, adversarial = losses
    kept = content + params.identity_weight * identity + BEYOND * beyond
    return kept + params.style_weight * style + adversarial_weight * adversarial


@torch.no_grad()
def transferred(network: StyleTransferNetwork, contents: Tensor, styles: Tensor) -> Tensor:
    """(B, 3, H, W) each, in pairs."""
    pairs = zip(contents.split(4), styles.split(4), strict=True)
    return torch.cat([network(content, network.style(style)).clamp(-1, 1).float() for content, style in pairs])


def of_sheet(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """(styles, contents) of pictures as `shown` orders them."""
    styles, contents = pictures[:SHOWN], pictures[SHOWN::2][:SHOWN]
    return styles, contents if len(contents) else styles


def sheet(network: StyleTransferNetwork, styles: Tensor, contents: Tensor) -> np.ndarray:
    """Styles above, contents on the left, and each content in each style."""
    rows = [torch.cat([torch.ones_like(styles[:1]), styles])]
    for content in contents:
        one = content[None]
        rows.append(torch.cat([one, transferred(network, one.expand(len(styles), -1, -1, -1), styles)]))
    small = F.interpolate(torch.cat(rows), (SHEET_SIDE, SHEET_SIDE), mode="area")
    return contact_sheet(to_pixels(small).cpu(), len(styles) + 1)
