"""Draws pictures, or what is missing of them, with the transformer: KV cache, classifier-free guidance, candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.load import load_autoencoder
from models.checkpoint import loaded
from models.contract.card import AUTOENCODER, CheckpointError, beneath
from models.contract.sampling import Request, padded, requests_of
from models.contract.values import Pixels
from models.data.pictures import to_pixels
from models.painting.sampler import PaintingSampler, Work, conditions
from models.parts.captions import prompt_encoder_of
from models.parts.noise import gumbel
from models.parts.placed import bytes_of
from models.parts.text import PromptEncoder
from models.transformer.network import TextToImageTransformer
from models.transformer.order import order_of
from models.transformer.spec import TextToImageParams, TransformerConfig


@dataclass
class Known:
    """What is given of pictures: `tokens` (B, N) by place, of which those at the first `counts` (B,) places of `order`
    (B, N) are true.
    """

    tokens: Tensor
    order: Tensor
    counts: Tensor

    def repeated(self, times: int) -> Known:
        """Each row so many times."""
        return Known(*(part.repeat_interleave(times, 0) for part in (self.tokens, self.order, self.counts)))


class TransformerSampler(PaintingSampler):
    """A transformer, the autoencoder that it writes for, and the prompt encoder that it was trained with."""

    def __init__(self, network: TextToImageTransformer, autoencoder: FSQAutoencoder, prompts: PromptEncoder) -> None:
        self.network, self.autoencoder, self.prompts = network, autoencoder, prompts
        self.device = network.start.device
        self.memory_bytes = bytes_of(network, autoencoder)
        self.grid = network.config.grid
        self.side = autoencoder.config.size

    def steps(self, work: Work) -> int:
        return self.grid**2

    def draw(
        self, works: list[Work], turn: int, steps: int, on_step: Callable[[int, Callable[[], list[Pixels]]], None]
    ) -> list[Pixels]:
        """See `sample_tokens`. `on_step` is called after every row of tokens."""
        filled = padded(works)
        known = self.known(filled, turn)

        def told(tokens: Tensor, done: int) -> None:
            if done % self.grid == 0:
                left = torch.ones_like(tokens, dtype=torch.bool).scatter(1, known.order[:, :done], value=False)
                on_step(done, partial(self.unfinished, tokens[: len(works)].clone(), left[: len(works)]))

        takes_reference = self.network.config.reference
        conditioned = conditions(filled, self.prompts, takes_reference, self.device)
        drawn = sample_tokens(self.network, conditioned, [work.request for work in filled], known, told, turn=turn)
        return self.decode(drawn[: len(works)])

    def known(self, works: list[Work], turn: int) -> Known:
        """Tokens of what is to stay, and of what is there a share of those that are drawn over, at places by chance."""
        free = torch.stack([work.free(turn) for work in works]).to(self.device)
        gap = F.max_pool2d(free, self.side // self.grid).flatten(1) > 0  # what is drawn in part is drawn
        cells = self.grid**2
        chances = np.stack(
            [np.random.default_rng(work.request.seed).random((turn + 1) * cells)[-cells:] for work in works]
        )
        stays = torch.from_numpy(chances < np.array([[work.start] for work in works])).to(self.device)
        gap &= ~stays
        tokens = torch.zeros_like(gap, dtype=torch.long)
        if not gap.all():
            there = torch.stack([work.known(turn) for work in works]).to(self.device)
            tokens = self.autoencoder.encode(there).flatten(1)
        return Known(tokens, order_of(gap), (~gap).sum(1))

    def decode(self, tokens: Tensor) -> list[Pixels]:
        """(B, N) tokens -> (H, W, 3) uint8 pictures."""
        pictures = to_pixels(self.autoencoder.decode(tokens.view(-1, self.grid, self.grid)))
        return list(pictures.permute(0, 2, 3, 1).cpu().numpy())

    def unfinished(self, tokens: Tensor, left: Tensor) -> list[Pixels]:
        """The pictures so far: tokens that are `left` (B, N) to be drawn stay white."""
        cell = np.ones((self.side // self.grid,) * 2, bool)
        blank = left.view(-1, self.grid, self.grid).cpu().numpy()
        drawn = self.decode(tokens)
        for pixels, each in zip(drawn, blank, strict=True):
            pixels[np.kron(each, cell)] = 255
        return drawn


def sample_tokens(
    network: TextToImageTransformer,
    conditioned: tuple[Tensor, Tensor, Tensor | None],
    batch: list[Request],
    known: Known | None = None,
    on_step: Callable[[Tensor, int], None] = lambda tokens, done: None,
    use_cache: bool = True,
    turn: int = 0,
) -> Tensor:
    """(B, N) image tokens, one row a request; `conditioned` are the prompts of the batch and then of what guidance
    leads away from, see `models.painting.sampler.conditions`. Of what is `known` nothing is drawn.

    Guided logits are `l0 + s (l - l0)` with `l0` those of the null prompt (Ho & Salimans, "Classifier-Free Diffusion
    Guidance", 2022), divided by the temperature, cut to the top k; a token is the argmax of logits plus Gumbel noise.
    The noise of a request comes from a CPU generator with its own seed, another one in each `turn` and for each
    candidate: its picture depends on no other request. Of a request's candidates the one is taken to whose tokens the
    prompt gives the highest probability (Ramesh et al., "Zero-Shot Text-to-Image Generation", 2021, rank theirs by
    another network); `on_step` is told the best so far.
    `use_cache=False` recomputes the whole sequence for every token: the slow reference that benchmarks compare with.
    """
    size, length, device = len(batch), network.config.grid**2, network.start.device
    if known is None:
        order = network.reading_order.expand(size, -1)
        known = Known(torch.zeros_like(order), order, order.new_zeros(size))
    candidates = [request.params.candidates for request in batch]
    most = max(candidates)
    rows = [(request, candidate) for request in batch for candidate in range(most)]
    params: list[TextToImageParams] = [request.params for request, _ in rows]
    noise = torch.stack(
        [
            gumbel(request.seed, (turn + 1) * length, network.config.image_vocabulary, candidate)[-length:]
            for request, candidate in rows
        ]
    ).to(device)  # (rows, N, vocabulary)
    column = partial(torch.tensor, device=device)
    spare = torch.arange(most, device=device) >= column(candidates)[:, None]  # those that others of the batch have
    known = known.repeated(most)
    scale = column([p.guidance_scale for p in params])[:, None]
    temperature = column([p.temperature for p in params])[:, None]
    rank = column([min(p.top_k, network.config.image_vocabulary) - 1 for p in params])[:, None]

    words, sentences, reference = conditioned
    if reference is not None:
        reference = reference.repeat_interleave(most, 0)
    repeated = words.repeat_interleave(most, 0), sentences.repeat_interleave(most, 0), reference
    memory, mask = network.encode(*repeated)
    cache = network.empty_cache(2 * len(rows))
    twice = known.order.repeat(2, 1)
    drawn = known.tokens.gather(1, known.order)  # in the order of drawing
    likelihood = torch.zeros(len(rows), device=device)

    def best() -> Tensor:
        found = likelihood.view(size, most).masked_fill(spare, -torch.inf).argmax(1)
        tokens = by_place(drawn, known.order).view(size, most, length)
        return tokens[torch.arange(size, device=device), found]

    begin = int(known.counts.min())
    if begin and use_cache:
        network.decode(drawn[:, : begin - 1].repeat(2, 1), twice, memory, mask, cache)
    for k in range(begin, length):
        if use_cache:
            before = drawn[:, k - 1 : k] if k else drawn[:, :0]
            logits = network.decode(before.repeat(2, 1), twice, memory, mask, cache, k)[:, -1]
        else:
            logits = network(drawn.repeat(2, 1), *repeated, twice)[:, k]
        prompted, free = logits.float().chunk(2)
        guided = (free + scale * (prompted - free)) / temperature
        floor = guided.sort(dim=-1, descending=True).values.gather(1, rank)
        guided = guided.masked_fill(guided < floor, -torch.inf)
        places = known.order[:, k]
        chosen = (guided + noise[torch.arange(len(rows), device=device), places]).argmax(-1)
        drawn[:, k] = torch.where(k < known.counts, drawn[:, k], chosen)
        likelihood += prompted.log_softmax(-1).gather(1, drawn[:, k : k + 1])[:, 0]
        on_step(best(), k + 1)
    return best()


def by_place(drawn: Tensor, order: Tensor) -> Tensor:
    """Tokens (B, N) in an order of drawing -> in reading order."""
    return torch.zeros_like(drawn).scatter(1, order, drawn)


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
