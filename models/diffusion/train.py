"""Trains the flow transformer, on pixels or on an autoencoder's latents that are computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import load_latents
from models.checkpoint import CheckpointError, read_card
from models.data.pictures import Collection, Indices, augment, spread, to_unit
from models.diffusion.flow import draw_times, flow_loss, mixed
from models.diffusion.network import FlowTransformer
from models.diffusion.sample import FlowSampler, requests
from models.diffusion.spec import FlowTraining, problem
from models.painting.reference import seen_of_all, some_references
from models.parts.captions import Captions, prompt_encoder
from models.parts.prompt import drop_prompts, hide_words
from models.parts.sentences import OnProgress, cached
from models.training import parallel
from models.training.contrastive import fit_caption_reader
from models.training.prompted import train_prompted, write_prompted
from models.training.run import Run
from models.training.schedule import mixed_precision, step_generator
from models.training.start import load_start_weights, pin_autoencoder, start_checkpoint
from models.training.views import encode_views

MEASURED = 384  # items of each held-out split, while a run trains
MEASURED_TIMES = (0.15, 0.4, 0.7)  # of the held-out loss: layout, shapes, edges


class Pixels:
    """Pictures as they are, shifted and mirrored anew at every step."""

    def __init__(self, data: Collection) -> None:
        self.data = data

    def batch(self, indices: Indices, random: torch.Generator) -> Tensor:
        """(B, 3, H, W) in [-1, 1]."""
        return augment(self.plain(indices), random, self.data.mirrorable[indices])

    def plain(self, indices: Indices) -> Tensor:
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
            def means(pictures: Tensor) -> Tensor:
                return autoencoder.posterior(pictures)[0]

            return encode_views(data, means, views, device, np.float16, on_progress)

        self.views = cached(folder / "latents.npy", encode)

    def batch(self, indices: Indices, random: torch.Generator) -> Tensor:
        """(B, channels, h, w)."""
        view = torch.randint(self.views.shape[1], (len(indices),), generator=random).numpy()
        return torch.from_numpy(self.views[indices, view].astype(np.float32))

    def plain(self, indices: Indices) -> Tensor:
        return torch.from_numpy(self.views[indices, 0].astype(np.float32))


def train(params: FlowTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises CheckpointError when the autoencoder or the checkpoint to start from is missing, broken or of another shape.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    autoencoder: KLAutoencoder | None = None
    beneath: dict[str, Any] = {}

    def say(done: int) -> None:
        run.is_at_work("preparing", read=done)

    with parallel.first_alone():
        if params.autoencoder:
            own, beneath = pin_autoencoder(params.autoencoder, run)
            autoencoder, _ = load_latents(params.autoencoder, run.device, beside=own.parent)
            if why := problem(params, {params.autoencoder: read_card(own)}.__getitem__):
                raise CheckpointError(why)
        prompts = prompt_encoder(params.network, data, run.path / "tokenizer.json", before)
        cache = run.path / "cache"
        captions = Captions(data, prompts, cache, say)
        pictures = Latents(data, autoencoder, params.views, cache, run.device, say) if autoencoder else Pixels(data)
        references = None
        if params.network.reference:
            references = cached(cache / "references.npy", lambda: seen_of_all(data, run.device, say))
    network = FlowTransformer(params.network).to(run.device)
    if references is not None:
        network.fit_reference_scale(torch.from_numpy(references[data.indices("train")]).float())
    if autoencoder:
        network.fit_scale(pictures.plain(spread(data.indices("train"), 4096)))
    fit_caption_reader(network, data, captions, run, before)
    load_start_weights(network, before)

    def batch(chosen: Indices, random: torch.Generator) -> tuple[Tensor, ...]:
        x = pictures.batch(chosen, random)
        tokens, sentences = captions.of(chosen, torch.rand(len(x), generator=random, dtype=torch.float64).numpy())
        dropped = torch.rand(len(x), generator=random) < params.prompt_drop
        t = draw_times(len(x), params.time_mean, params.time_std, random)
        noise = torch.randn(x.shape, generator=random)
        if params.word_drop:
            tokens = hide_words(tokens, torch.rand(len(x), generator=random) < params.word_drop)
        if references is None:
            return x, noise, t, *drop_prompts(tokens, sentences, dropped)
        reference, alone = some_references(references[chosen], params.reference_share, random)
        return x, noise, t, *drop_prompts(tokens, sentences, dropped | alone), reference

    average, result = train_prompted(
        params,
        data,
        run,
        network,
        layers="layers.",
        decay=0.3,
        batch=batch,
        loss=lambda *batch: flow_losses(network, *batch).mean(),
        held_out=(MEASURED, lambda network, indices: evaluate(network, pictures, captions, indices)),
        sampler=lambda network: FlowSampler(network, autoencoder, prompts),
        requests=requests,
    )
    write_prompted("flow-transformer", average, prompts, params, data, run, result, before, beneath)


def flow_losses(network: FlowTransformer, x: Tensor, noise: Tensor, t: Tensor, *given: Tensor) -> Tensor:
    """(B,) flow losses of data x (B, C, H, W); `given` are tokens, sentences and, where there are any, references."""
    x = network.normalized(x)
    return flow_loss(network(mixed(x, noise, t), t, *given).float(), x, t)


@torch.no_grad()
def evaluate(
    network: FlowTransformer,
    pictures: Pixels | Latents,
    captions: Captions,
    indices: Indices,
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
