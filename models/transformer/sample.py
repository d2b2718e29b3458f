"""Draws pictures from prompts with the text-to-image transformer: KV cache and classifier-free guidance."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.load import load_autoencoder
from models.checkpoint import loaded
from models.contract.card import AUTOENCODER, CheckpointError, beneath
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request, as_pictures, padded, requests_of
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels
from models.parts.captions import prompt_encoder_of
from models.parts.noise import gumbel
from models.parts.prompt import drop_prompts
from models.parts.text import PromptEncoder
from models.transformer.network import TextToImageTransformer
from models.transformer.spec import TextToImageParams, TransformerConfig


class TransformerSampler:
    """A transformer, the autoencoder that it writes for, and the prompt encoder that it was trained with."""

    batch_size = BATCHES[-1]

    def __init__(self, network: TextToImageTransformer, autoencoder: FSQAutoencoder, prompts: PromptEncoder) -> None:
        self.network, self.autoencoder, self.prompts = network, autoencoder, prompts
        self.device = network.start.device
        self.memory_bytes = sum(
            p.numel() * p.element_size() for p in [*network.parameters(), *autoencoder.parameters()]
        )

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request; see `sample_tokens`. `on_step` is called after every row of tokens."""
        tokens = sample_tokens(self.network, self.prompts, batch, partial(self._on_step, on_step))
        remarks = [self.prompts.remark(request.params.prompt) for request in batch]
        drawn = zip(self.draw(tokens), remarks, strict=True)
        return [Output(Picture(pixels), remark=remark) for pixels, remark in drawn]

    def draw(self, tokens: Tensor) -> list[Pixels]:
        """(B, N) tokens -> (H, W, 3) uint8 pictures."""
        grid = self.network.config.grid
        pictures = to_pixels(self.autoencoder.decode(tokens.view(-1, grid, grid)))
        return list(pictures.permute(0, 2, 3, 1).cpu().numpy())

    def _on_step(self, on_step: OnStep, tokens: Tensor, done: int, count: int) -> None:
        grid = self.network.config.grid
        if done % grid == 0:
            on_step(done, grid * grid, partial(self._unfinished, tokens[:count].clone(), done))

    @torch.inference_mode()
    def _unfinished(self, tokens: Tensor, done: int) -> Previews:
        """The picture so far: rows of tokens that are not yet written stay white."""
        drawn = self.draw(tokens)
        for pixels in drawn:
            pixels[done // self.network.config.grid * (len(pixels) // self.network.config.grid) :] = 255
        return as_pictures(drawn)


def sample_tokens(
    network: TextToImageTransformer,
    prompts: PromptEncoder,
    batch: list[Request],
    on_step: object = None,
    use_cache: bool = True,
) -> Tensor:
    """(B, N) image tokens, one row a request.

    Guided logits are `l0 + s (l - l0)` with `l0` those of the null prompt (Ho & Salimans, "Classifier-Free Diffusion
    Guidance", 2022), divided by the temperature, cut to the top k; a token is the argmax of logits plus Gumbel noise.
    The noise of a request comes from a CPU generator with its own seed: its picture depends on no other request.
    `use_cache=False` recomputes the whole sequence for every token: the slow reference that benchmarks compare with.
    """
    count, length = len(batch), network.config.grid**2
    filled = padded(batch)
    device = network.start.device
    params: list[TextToImageParams] = [request.params for request in filled]
    words, sentences = prompts.encode([p.prompt for p in params])
    tokens, sentence = torch.from_numpy(words).to(device), torch.from_numpy(sentences).to(device)
    size = len(filled)
    dropped = torch.arange(2 * size, device=device) >= size  # the second half is the null prompt
    tokens, sentence = drop_prompts(tokens.repeat(2, 1), sentence.repeat(2, 1), dropped)
    noise = torch.stack([gumbel(request.seed, length, network.config.image_vocabulary) for request in filled], 1)
    noise = noise.to(device)  # (N, B, vocabulary)
    column = partial(torch.tensor, device=device)
    scale = column([p.guidance_scale for p in params])[:, None]
    temperature = column([p.temperature for p in params])[:, None]
    rank = column([min(p.top_k, network.config.image_vocabulary) - 1 for p in params])[:, None]

    memory, mask = network.encode(tokens, sentence)
    cache = network.empty_cache(2 * size)
    drawn = torch.zeros(size, length, dtype=torch.long, device=device)
    for position in range(length):
        if use_cache:
            previous = drawn[:, position - 1].repeat(2) if position else None
            logits = network.next_logits(previous, position, memory, mask, cache)
        else:
            logits = network(drawn.repeat(2, 1), tokens, sentence)[:, position]
        prompted, free = logits.float().chunk(2)
        guided = (free + scale * (prompted - free)) / temperature
        floor = guided.sort(dim=-1, descending=True).values.gather(1, rank)
        guided = guided.masked_fill(guided < floor, -torch.inf)
        drawn[:, position] = (guided + noise[position]).argmax(-1)
        if callable(on_step):
            on_step(drawn, position + 1, count)
    return drawn[:count]


requests = partial(requests_of, TextToImageParams)


def load(folder: Path, device: torch.device, published: Path | None = None) -> TransformerSampler:
    """`published` is where the autoencoder is looked for first, without it beside the folder.

    Raises CheckpointError when the checkpoint, or the autoencoder that it names, is broken or another one.
    """
    network, card = loaded(folder, lambda config: TextToImageTransformer(TransformerConfig(**config)))
    named = beneath(card, AUTOENCODER)
    if named is None:
        raise CheckpointError("the card does not name the autoencoder that it draws with")
    autoencoder, _ = load_autoencoder(named["name"], device, named["sha256"], beside=published or folder.parent)
    prompts = prompt_encoder_of(folder, network.config.prompt_length)
    return TransformerSampler(network.to(device), autoencoder, prompts)
