"""Trains the flow transformer, on pixels or on an autoencoder's latents that are computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import load_latents
from models.checkpoint import CheckpointError, read_card, write_model
from models.contract.card import AUTOENCODER
from models.data.pictures import Collection, EpochOrder, augment, spread, to_unit
from models.diffusion.flow import draw_times, flow_loss, mixed
from models.diffusion.network import FlowTransformer
from models.diffusion.sample import FlowSampler, requests
from models.diffusion.spec import FlowTraining, problem
from models.measure.prompted import watched_sheet
from models.parts.captions import Captions, tokenizer_for, tokenizer_of, watched_captions
from models.parts.prompt import drop_prompts
from models.parts.sentences import OnProgress, cached
from models.parts.text import PromptEncoder
from models.training import parallel
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, fit, learn
from models.training.held_out import measure_splits
from models.training.optimizers import muon_and_adamw, split_parameters
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, pin_checkpoint, start_checkpoint
from models.training.state import Part

MEASURED = 384  # items of each held-out split, while a run trains
MEASURED_TIMES = (0.15, 0.4, 0.7)  # of the held-out loss: layout, shapes, edges


class Pixels:
    """Pictures as they are, shifted and mirrored anew at every step."""

    def __init__(self, data: Collection) -> None:
        self.data = data

    def batch(self, indices: npt.NDArray[np.int64], random: torch.Generator) -> Tensor:
        """(B, 3, H, W) in [-1, 1]."""
        return augment(self.plain(indices), random, self.data.mirrorable[indices])

    def plain(self, indices: npt.NDArray[np.int64]) -> Tensor:
        return to_unit(self.data.pictures(indices))


class Latents:
    """Means of an autoencoder's posterior of every view, computed once and kept in the run's folder."""

    def __init__(
        self,
        data: Collection,
        autoencoder: KLAutoencoder,
        views: int,
        folder: Path,
        device: torch.device,
        on_progress: OnProgress,
    ) -> None:
        def encode() -> npt.NDArray[np.float16]:
            rows = []
            for view in range(views):
                for start in range(0, len(data.items), 256):
                    chosen = np.arange(start, min(start + 256, len(data.items)))
                    pictures = to_unit(data.pictures(chosen, device))
                    if view:
                        pictures = augment(pictures, step_generator(view, start), data.mirrorable[chosen])
                    with torch.no_grad(), mixed_precision(device):
                        rows.append(autoencoder.posterior(pictures)[0].cpu().numpy().astype(np.float16))
                    on_progress(view * len(data.items) + start)
            whole = np.concatenate(rows)
            return whole.reshape(views, len(data.items), *whole.shape[1:]).swapaxes(0, 1)

        self.views = cached(folder / "latents.npy", encode)

    def batch(self, indices: npt.NDArray[np.int64], random: torch.Generator) -> Tensor:
        """(B, channels, h, w)."""
        view = torch.randint(self.views.shape[1], (len(indices),), generator=random).numpy()
        return torch.from_numpy(self.views[indices, view].astype(np.float32))

    def plain(self, indices: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.views[indices, 0].astype(np.float32))


def train(params: FlowTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises CheckpointError when the autoencoder or the checkpoint to start from is missing, broken or of another shape.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    autoencoder: KLAutoencoder | None = None
    beneath: dict[str, object] = {}
    with parallel.first_alone():
        if params.autoencoder:
            own = pin_checkpoint(params.autoencoder, run, Path("autoencoder") / params.autoencoder)
            autoencoder, _ = load_latents(params.autoencoder, run.device, beside=own.parent)
            card = read_card(own)
            beneath = {"builds_on": [{"role": AUTOENCODER, "name": params.autoencoder, "sha256": card["sha256"]}]}
            if why := problem(params, {params.autoencoder: card}.__getitem__):
                raise CheckpointError(why)
        vocabulary = params.network.text_vocabulary
        tokenizer = tokenizer_of(before) if before else tokenizer_for(data, vocabulary, run.path / "tokenizer.json")
        prompts = PromptEncoder(tokenizer, params.network.prompt_length)

        def say(done: int) -> None:
            run.is_at_work("preparing", read=done)

        captions = Captions(data, prompts, run.path / "cache", say)
        pictures = (
            Latents(data, autoencoder, params.views, run.path / "cache", run.device, say)
            if autoencoder
            else Pixels(data)
        )
    network = FlowTransformer(params.network).to(run.device)
    train_items = data.indices("train")
    if autoencoder:
        fit_scale(network, pictures.plain(spread(train_items, 4096)))
    load_start_weights(network, before)
    optimizers = muon_and_adamw(
        *split_parameters(network, "encoder.", "layers."),
        muon_lr=params.muon_learning_rate,
        adamw_lr=params.adamw_learning_rate,
        weight_decay=params.weight_decay,
    )
    ema = EMA(network, params.ema_decay)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "muon": optimizers[0], "adamw": optimizers[1]}
    order = EpochOrder(train_items, params.batch_size, run.seed)
    watched = params.watched or watched_captions(data)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            chosen = order.at(k)
            x = pictures.batch(chosen, random)
            tokens, sentences = captions.of(chosen, torch.rand(len(x), generator=random, dtype=torch.float64).numpy())
            dropped = torch.rand(len(x), generator=random) < params.prompt_drop
            tokens, sentences = drop_prompts(tokens, sentences, dropped)
            t = draw_times(len(x), params.time_mean, params.time_std, random)
            noise = torch.randn(x.shape, generator=random)
        factor = run.rate * warmup_stable_decay(k, run.progress(k), decay=0.3)
        set_learning_rate(optimizers, factor)

        def loss(rows: slice) -> Tensor:
            given = [part[rows].to(run.device) for part in (x, noise, t, tokens, sentences)]
            with mixed_precision(run.device):
                return flow_losses(network, *given).mean()

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss)

    def measure(done: int) -> None:
        sampler = FlowSampler(ema.average, autoencoder, prompts)
        measure_splits(
            run,
            data,
            done,
            MEASURED,
            lambda indices: evaluate(ema.average, pictures, captions, indices),
            lambda: watched_sheet(sampler, requests, watched),
        )

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card("flow-transformer", params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, **beneath}, {"tokenizer.json": tokenizer.to_str()})


def flow_losses(
    network: FlowTransformer, x: Tensor, noise: Tensor, t: Tensor, tokens: Tensor, sentences: Tensor
) -> Tensor:
    """(B,) flow losses of data x (B, C, H, W)."""
    x = network.normalized(x)
    return flow_loss(network(mixed(x, noise, t), t, tokens, sentences).float(), x, t)


@torch.no_grad()
def fit_scale(network: FlowTransformer, x: Tensor) -> None:
    """Give the network the mean and the spread of each channel of data (N, C, H, W)."""
    network.mean.copy_(x.mean((0, 2, 3)))
    network.scale.copy_(x.std((0, 2, 3)).clamp(min=1e-3))


@torch.no_grad()
def evaluate(
    network: FlowTransformer,
    pictures: Pixels | Latents,
    captions: Captions,
    indices: npt.NDArray[np.int64],
    batch: int = 128,
) -> float:
    """Mean squared error of the foreseen picture at MEASURED_TIMES, in variances of the data; the same noise and
    captions each time.
    """
    total = 0.0
    device = network.mean.device
    for start in range(0, len(indices), batch):
        chosen = indices[start : start + batch]
        random = step_generator(0, start)
        tokens, sentences = captions.of(chosen, torch.rand(len(chosen), generator=random, dtype=torch.float64).numpy())
        x = network.normalized(pictures.plain(chosen).to(device))
        noise = torch.randn(x.shape, generator=random).to(device)
        for time in MEASURED_TIMES:
            t = torch.full((len(x),), time, device=device)
            with mixed_precision(device):
                foreseen = network(mixed(x, noise, t), t, tokens.to(device), sentences.to(device))
            total += float((foreseen.float() - x).square().mean()) * len(chosen)
    return total / len(indices) / len(MEASURED_TIMES)
