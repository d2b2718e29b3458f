"""The transformer's parts beside a plain reference: loops and softmax in float64, as the papers write them."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.parts.attention import Attention, FeedForward, Norm, axial_rotary, rotate
from models.parts.transformer import DecoderLayer, EncoderLayer, KeyValueCache

WIDTH, HEADS, HIDDEN, GRID, MEMORY = 32, 4, 48, 3, 5
LENGTH = GRID**2
CLOSE = {"atol": 2e-6, "rtol": 1e-5}


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """No weight stays zero or one: every one of them has to matter."""
    random = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.3 if parameter.ndim == 1 else 0.0, std=0.3, generator=random)
    return module


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- the reference ---------------------------------------------------------------------------------------------------


def plain_norm(x: Tensor, norm: Norm) -> Tensor:
    x = x.double()
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight.double()


def plain_rotation(x: Tensor, position: int) -> Tensor:
    """One head's query or key (head width,) at a cell of the grid: pairs of numbers turned by complex angles."""
    half = len(x) // 2
    quarter = half // 2
    angles = [axis / 100 ** (i / quarter) for axis in (position // GRID, position % GRID) for i in range(quarter)]
    turned = torch.complex(x[:half], x[half:]) * torch.tensor([complex(math.cos(a), math.sin(a)) for a in angles])
    return torch.cat([turned.real, turned.imag])


def plain_attention(attention: Attention, x: Tensor, memory: Tensor, sees: Tensor, rotates: bool) -> Tensor:
    """x (N, D) attends to memory (M, D) where `sees` (N, M)."""
    x, memory = x.double(), memory.double()
    query, out = x @ attention.query.weight.double().T, torch.zeros_like(x)
    key, value = (memory @ attention.key_value.weight.double().T).chunk(2, dim=-1)
    size = WIDTH // HEADS
    for head in range(HEADS):
        at = slice(head * size, (head + 1) * size)
        q, k = plain_norm(query[:, at], attention.query_norm), plain_norm(key[:, at], attention.key_norm)
        if rotates:
            q = torch.stack([plain_rotation(row, i) for i, row in enumerate(q)])
            k = torch.stack([plain_rotation(row, i) for i, row in enumerate(k)])
        for i in range(len(x)):
            seen = [j for j in range(len(memory)) if sees[i, j]]
            scores = torch.stack([q[i] @ k[j] / math.sqrt(size) for j in seen])
            for share, j in zip(scores.exp() / scores.exp().sum(), seen, strict=True):
                out[i, at] += share * value[j, at]
    return out @ attention.out.weight.double().T


def plain_feed_forward(layer: FeedForward, x: Tensor) -> Tensor:
    return (x @ layer.up.weight.double().T).clamp(min=0) ** 2 @ layer.down.weight.double().T


def plain_encoder(layer: EncoderLayer, x: Tensor, sees: Tensor) -> Tensor:
    y = plain_norm(x, layer.norm1)
    x = x.double() + plain_attention(layer.attention, y, y, sees, rotates=False)
    return x + plain_feed_forward(layer.feed_forward, plain_norm(x, layer.norm2))


def plain_decoder(layer: DecoderLayer, x: Tensor, memory: Tensor, sees: Tensor) -> Tensor:
    past = torch.ones(len(x), len(x)).tril().bool()
    y = plain_norm(x, layer.norm1)
    x = x.double() + plain_attention(layer.self_attention, y, y, past, rotates=True)
    y = plain_norm(x, layer.norm2)
    x = x + plain_attention(layer.cross_attention, y, memory, sees, rotates=False)
    return x + plain_feed_forward(layer.feed_forward, plain_norm(x, layer.norm3))


# --- what is the same ------------------------------------------------------------------------------------------------


def decoder() -> tuple[DecoderLayer, tuple[Tensor, Tensor]]:
    layer = randomised(DecoderLayer(WIDTH, HEADS, HIDDEN))
    assert isinstance(layer, DecoderLayer)
    return layer, axial_rotary(GRID, WIDTH // HEADS)


def memory_mask(*lengths: int) -> Tensor:
    """(B, 1, 1, M): prompts of these lengths, padded."""
    return (torch.arange(MEMORY) < torch.tensor(lengths)[:, None])[:, None, None]


def test_an_encoder_layer_is_the_papers() -> None:
    layer = randomised(EncoderLayer(WIDTH, HEADS, HIDDEN))
    x, mask = numbers(2, MEMORY, WIDTH), memory_mask(3, MEMORY)
    found = layer(x, mask)
    for row in range(2):
        sees = mask[row, 0].expand(MEMORY, -1)
        torch.testing.assert_close(found[row], plain_encoder(layer, x[row], sees).float(), **CLOSE)


def test_a_decoder_layer_is_the_papers() -> None:
    layer, rotary = decoder()
    x, memory, mask = numbers(2, LENGTH, WIDTH), numbers(2, MEMORY, WIDTH, seed=2), memory_mask(2, MEMORY)
    found = layer(x, rotary, layer.cross_attention.keys_and_values(memory), mask)
    for row in range(2):
        sees = mask[row, 0].expand(LENGTH, -1)
        torch.testing.assert_close(found[row], plain_decoder(layer, x[row], memory[row], sees).float(), **CLOSE)


@pytest.mark.parametrize("first", [1, 4, LENGTH])
def test_a_cache_changes_nothing(first: int) -> None:
    """The first tokens at once, as a prompt is read, the others one by one."""
    layer, (cosine, sine) = decoder()
    x, mask = numbers(2, LENGTH, WIDTH), memory_mask(2, MEMORY)
    memory = layer.cross_attention.keys_and_values(numbers(2, MEMORY, WIDTH, seed=2))
    whole = layer(x, (cosine, sine), memory, mask)
    cache = KeyValueCache(x, 2, HEADS, LENGTH, WIDTH // HEADS)
    cache.keys.fill_(1e4)  # what is not written yet must not be read
    cache.values.fill_(1e4)
    pieces, done = [], 0
    for size in [first] + [1] * (LENGTH - first):
        at = slice(done, done + size)
        pieces.append(layer(x[:, at], (cosine[at], sine[at]), memory, mask, cache, done))
        done += size
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, **CLOSE)


def test_no_gradient_flows_from_a_token_to_those_before_it() -> None:
    layer, rotary = decoder()
    x, mask = numbers(1, LENGTH, WIDTH).requires_grad_(), memory_mask(MEMORY)
    found = layer(x, rotary, layer.cross_attention.keys_and_values(numbers(1, MEMORY, WIDTH, seed=2)), mask)
    for i in range(LENGTH):
        (gradient,) = torch.autograd.grad(found[0, i].sum(), x, retain_graph=True)
        reaches = gradient[0].abs().sum(-1) > 0
        assert reaches.tolist() == [j <= i for j in range(LENGTH)]


def test_no_gradient_flows_from_the_padding_of_a_prompt() -> None:
    encoder, (layer, rotary) = randomised(EncoderLayer(WIDTH, HEADS, HIDDEN)), decoder()
    words, mask = numbers(1, MEMORY, WIDTH, seed=2).requires_grad_(), memory_mask(3)
    memory = layer.cross_attention.keys_and_values(encoder(words, mask))
    found = layer(numbers(1, LENGTH, WIDTH), rotary, memory, mask)
    (gradient,) = torch.autograd.grad(found.sum(), words)
    assert (gradient[0].abs().sum(-1) > 0).tolist() == [True, True, True, False, False]


def test_attention_knows_how_far_apart_cells_are_and_not_where() -> None:
    """The product of a rotated query and key depends on the difference of their rows and of their columns alone."""
    rotary = axial_rotary(GRID, WIDTH // HEADS)
    q, k = (
        rotate(numbers(WIDTH // HEADS, seed=seed).expand(1, 1, LENGTH, -1), *rotary)[0, 0].double() for seed in (1, 2)
    )
    products: dict[tuple[int, int], list[float]] = {}
    for i in range(LENGTH):
        for j in range(LENGTH):
            apart = (i // GRID - j // GRID, i % GRID - j % GRID)
            products.setdefault(apart, []).append(float(q[i] @ k[j]))
    assert all(max(same) - min(same) < 1e-5 for same in products.values())
    assert len({round(same[0], 4) for same in products.values()}) == len(products)
