"""Picks the next token among the likeliest (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.contract.writing import WritingParams


def nucleus(logits: Tensor, params: Sequence[WritingParams], noise: Tensor) -> Tensor:
    """(B,) tokens of logits (B, V): the argmax of those that are together as probable as each row's `top_p`, divided by
    its temperature, plus Gumbel noise (B, N). Only the N likeliest are looked at.
    """
    temperature = torch.tensor([each.temperature for each in params], device=logits.device)[:, None]
    top_p = torch.tensor([each.top_p for each in params], device=logits.device)[:, None]
    likeliest, tokens = (logits / temperature).topk(min(noise.size(1), logits.size(1)), dim=1)
    shares = likeliest.softmax(1)
    beyond = shares.cumsum(1) - shares > top_p  # the first is always left
    picked = (likeliest.masked_fill(beyond, -torch.inf) + noise[:, : likeliest.size(1)]).argmax(1, keepdim=True)
    return tokens.gather(1, picked)[:, 0]
