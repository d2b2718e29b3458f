"""Trains the text-to-image transformer by teacher forcing on image tokens that are computed once."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.load import load_autoencoder
from models.autoencoders.tokens import Examples
from models.checkpoint import CheckpointError, read_card
from models.data.pictures import Collection, Indices
from models.painting.reference import seen_of_all, some_references
from models.parts.captions import prompt_encoder
from models.parts.prompt import drop_prompts, hide_words
from models.parts.sentences import cached
from models.training import parallel
from models.training.contrastive import fit_caption_reader
from models.training.prompted import train_prompted, write_prompted
from models.training.run import Run
from models.training.schedule import mixed_precision, step_generator
from models.training.start import load_start_weights, pin_autoencoder, start_checkpoint
from models.transformer.network import TextToImageTransformer
from models.transformer.order import draw_gaps, order_of
from models.transformer.sample import TransformerSampler, requests
from models.transformer.spec import TransformerTraining, problem

MEASURED = 512  # items of each held-out split, while a run trains


def train(params: TransformerTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises CheckpointError when the autoencoder or the checkpoint to start from is missing, broken or of another shape.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    with parallel.first_alone():
        own, beneath = pin_autoencoder(params.autoencoder, run)
        autoencoder, _ = load_autoencoder(params.autoencoder, run.device, beside=own.parent)
        cards = {params.autoencoder: read_card(own)} | ({params.start_from: read_card(before)} if before else {})
        if why := problem(params, cards.__getitem__):
            raise CheckpointError(why)
        prompts = prompt_encoder(params.network, data, run.path / "tokenizer.json", before)
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
        references = None
        if params.network.reference:
            references = cached(
                run.path / "cache" / "references.npy",
                lambda: seen_of_all(data, run.device, lambda done: run.is_at_work("preparing", read=done)),
            )
    network = TextToImageTransformer(params.network).to(run.device)
    if references is not None:
        network.fit_reference_scale(torch.from_numpy(references[data.indices("train")]).float())
    fit_caption_reader(network, data, examples.captions, run, before)
    load_start_weights(network, before)

    def batch(chosen: Indices, random: torch.Generator) -> tuple[Tensor | None, ...]:
        images, tokens, sentences = examples.batch(chosen, random)
        dropped = torch.rand(len(images), generator=random) < params.prompt_drop
        noisy = with_noise(images, params, random)
        if params.word_drop:
            tokens = hide_words(tokens, torch.rand(len(images), generator=random) < params.word_drop)
        reference = order = None
        if references is not None:
            reference, alone = some_references(references[chosen], params.reference_share, random)
            dropped |= alone
        if params.network.any_order:
            order = order_of(draw_gaps(len(images), params.network.grid, params.gap_share, random))
            images, noisy = images.gather(1, order), noisy.gather(1, order)
        return images, noisy, *drop_prompts(tokens, sentences, dropped), reference, order

    def loss(images: Tensor, noisy: Tensor, *given: Tensor | None) -> Tensor:
        return F.cross_entropy(network(noisy, *given).float().flatten(0, 1), images.flatten())

    piece = max(1, params.batch_size // run.pieces)
    average, result = train_prompted(
        params,
        data,
        run,
        network,
        layers="decoder.",
        decay=0.4,
        batch=batch,
        loss=loss,
        held_out=(MEASURED, lambda network, indices: evaluate(network, examples, indices, piece)),
        sampler=lambda network: TransformerSampler(network, autoencoder, prompts),
        requests=requests,
    )
    write_prompted("text-to-image-transformer", average, prompts, params, data, run, result, before, beneath)


def with_noise(images: Tensor, params: TransformerTraining, generator: torch.Generator) -> Tensor:
    """Image tokens (B, N) with some replaced at random.

    Each picture's share of noise is its own: a network that may not trust what is drawn so far reads the prompt.
    """
    share = torch.rand(len(images), 1, generator=generator) * params.token_noise
    noise = torch.rand(images.shape, generator=generator) < share
    others = torch.randint(params.network.image_vocabulary, images.shape, generator=generator)
    return torch.where(noise, others, images)


@torch.no_grad()
def evaluate(network: nn.Module, examples: Examples, indices: Indices, batch: int = 128) -> float:
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
