"""Trains the text-to-image transformer by teacher forcing on image tokens that are computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.load import load_autoencoder
from models.checkpoint import CheckpointError, read_card, write_model
from models.contract.card import AUTOENCODER
from models.data.pictures import Collection, EpochOrder, augment, to_unit
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
from models.transformer.network import TextToImageTransformer
from models.transformer.sample import TransformerSampler, requests
from models.transformer.spec import TransformerTraining, problem

MEASURED = 512  # items of each held-out split, while a run trains


class Examples:
    """Image tokens of every view and both forms of every caption, computed once.

    They are kept in the run's folder; the sentences, which depend on the captions alone and take longest, beside the
    collection, where the next run finds them.
    """

    def __init__(
        self,
        data: Collection,
        autoencoder: FSQAutoencoder,
        prompts: PromptEncoder,
        views: int,
        folder: Path,
        device: torch.device,
        plain_share: float = 0.0,
        on_progress: OnProgress = lambda done: None,
    ) -> None:
        self.plain_share = plain_share
        self.images = cached(folder / "images.npy", lambda: encode_views(data, autoencoder, views, device, on_progress))
        self.captions = Captions(data, prompts, folder, on_progress)

    def batch(self, indices: npt.NDArray[np.int64], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens (B, N), prompt tokens (B, T) and sentences (B, 512): a view and a caption of each, at random."""
        draws = torch.rand(3, len(indices), generator=generator, dtype=torch.float64).numpy()
        view = np.where(draws[2] < self.plain_share, 0, draws[0] * self.images.shape[1]).astype(np.int64)
        tokens, sentences = self.captions.of(indices, draws[1])
        return torch.from_numpy(self.images[indices, view].astype(np.int64)), tokens, sentences


def encode_views(
    data: Collection,
    autoencoder: FSQAutoencoder,
    views: int,
    device: torch.device,
    on_progress: OnProgress = lambda done: None,
) -> npt.NDArray[np.uint16]:
    """(items, views, tokens): the first view is the picture itself, the others are shifted and some mirrored."""
    rows = []
    for view in range(views):
        for start in range(0, len(data.items), 256):
            chosen = np.arange(start, min(start + 256, len(data.items)))
            pictures = to_unit(data.pictures(chosen, device))
            if view:
                pictures = augment(pictures, step_generator(view, start), data.mirrorable[chosen])
            with mixed_precision(device):
                rows.append(autoencoder.encode(pictures).flatten(1).cpu().numpy().astype(np.uint16))
            on_progress(view * len(data.items) + start)
    return np.concatenate(rows).reshape(views, len(data.items), -1).transpose(1, 0, 2)


def train(params: TransformerTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises CheckpointError when the autoencoder or the checkpoint to start from is missing, broken or of another shape.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    with parallel.first_alone():
        own = pin_checkpoint(params.autoencoder, run, Path("autoencoder") / params.autoencoder)
        autoencoder, autoencoder_folder = load_autoencoder(params.autoencoder, run.device, beside=own.parent)
        copies = {
            params.autoencoder: read_card(autoencoder_folder),
            **({params.start_from: read_card(before)} if before else {}),
        }
        if why := problem(params, copies.__getitem__):
            raise CheckpointError(why)
        tokenizer = (
            tokenizer_of(before)
            if before
            else tokenizer_for(data, params.network.text_vocabulary, run.path / "tokenizer.json")
        )
        prompts = PromptEncoder(tokenizer, params.network.prompt_length)
        examples = Examples(
            data,
            autoencoder,
            prompts,
            params.views,
            run.path / "cache",
            run.device,
            params.plain_share,
            on_progress=lambda done: run.is_at_work("preparing", read=done),
        )
    network = TextToImageTransformer(params.network).to(run.device)
    load_start_weights(network, before)
    optimizers = muon_and_adamw(
        *split_parameters(network, "encoder.", "decoder."),
        muon_lr=params.muon_learning_rate,
        adamw_lr=params.adamw_learning_rate,
        weight_decay=params.weight_decay,
    )
    ema = EMA(network, params.ema_decay)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "muon": optimizers[0], "adamw": optimizers[1]}
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    watched = params.watched or watched_captions(data)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            generator = step_generator(run.seed, k)
            images, tokens, sentences = examples.batch(order.at(k), generator)
            dropped = torch.rand(len(images), generator=generator) < params.prompt_drop
            tokens, sentences = drop_prompts(tokens, sentences, dropped)
            seen = with_noise(images, params, generator)
        factor = run.rate * warmup_stable_decay(k, run.progress(k), decay=0.4)
        set_learning_rate(optimizers, factor)

        def loss(rows: slice) -> Tensor:
            given, text, meaning, wanted = (x[rows].to(run.device) for x in (seen, tokens, sentences, images))
            with mixed_precision(run.device):
                logits = network(given, text, meaning)
            return F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten())

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss)

    def measure(done: int) -> None:
        sampler = TransformerSampler(ema.average, autoencoder, prompts)
        piece = max(1, params.batch_size // run.pieces)
        measure_splits(
            run,
            data,
            done,
            MEASURED,
            lambda indices: evaluate(ema.average, examples, indices, piece),
            lambda: watched_sheet(sampler, requests, watched),
        )

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card("text-to-image-transformer", params, data.card, run, result, before)
        sha256 = read_card(autoencoder_folder)["sha256"]
        beneath = {"builds_on": [{"role": AUTOENCODER, "name": params.autoencoder, "sha256": sha256}]}
        write_model(run.folder.model, ema.average, {**card, **beneath}, {"tokenizer.json": prompts.tokenizer.to_str()})


def with_noise(images: Tensor, params: TransformerTraining, generator: torch.Generator) -> Tensor:
    """Image tokens (B, N) with some replaced at random.

    Each picture's share of noise is its own: a network that may not trust what is drawn so far reads the prompt.
    """
    share = torch.rand(len(images), 1, generator=generator) * params.token_noise
    noise = torch.rand(images.shape, generator=generator) < share
    others = torch.randint(params.network.image_vocabulary, images.shape, generator=generator)
    return torch.where(noise, others, images)


@torch.no_grad()
def evaluate(network: nn.Module, examples: Examples, indices: npt.NDArray[np.int64], batch: int = 128) -> float:
    """Mean cross-entropy in nats a token, first views, a fixed caption each."""
    total = 0.0
    for start in range(0, len(indices), batch):
        chosen = indices[start : start + batch]
        _, tokens, sentences = examples.batch(chosen, step_generator(0, start))
        images = torch.from_numpy(examples.images[chosen, 0].astype(np.int64))
        device = next(network.parameters()).device
        images, tokens, sentences = images.to(device), tokens.to(device), sentences.to(device)
        with mixed_precision(device):
            logits = network(images, tokens, sentences)
        total += F.cross_entropy(logits.float().flatten(0, 1), images.flatten()).item() * len(chosen)
    return total / len(indices)
