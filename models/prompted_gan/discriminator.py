"""The discriminator: whether a picture is real, and whether it is of what its caption says.

Reed et al., "Generative Adversarial Text to Image Synthesis", 2016 (matching-aware: a real picture with another's
caption is wrong too); Zhang et al., "Cross-Modal Contrastive Learning for Text-to-Image Generation" (XMC-GAN), 2021
(among the captions, and the pictures, of a whole batch).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adversarial.projected import ProjectedDiscriminator
from models.parts.caption_reader import WIDTH

SCALE = 4.0  # of captions, so that heads of norm 1 can tell one from another
DEEPEST, TEMPERATURE = 2, 0.1  # maps by which drawings are compared with real pictures, and how sharply


class MatchingDiscriminator(ProjectedDiscriminator):
    """A projected discriminator that is told captions, as they were read."""

    def __init__(self) -> None:
        super().__init__(lambda width: nn.Linear(WIDTH, width, bias=False))

    def by_each(self, maps: list[Tensor], read: Tensor) -> Tensor:
        """Scores (B, 4, N) of pictures of which `maps` were seen, by each of the captions (N, WIDTH)."""
        return self.scores(maps, SCALE * read, by_each=True)


def own(scores: Tensor, rows: slice) -> Tensor:
    """(B, 4, N) scores of the pictures of `rows` by all captions -> (B, 4) by their own."""
    at = torch.arange(rows.start, rows.stop, device=scores.device)
    return scores[torch.arange(len(scores), device=scores.device), :, at]


def penalty(maps: list[Tensor], scores: Tensor) -> Tensor:
    """(B,) squared norm of the gradient of scores (B, 4) by what is seen of their own pictures: R1 + R2 of half real
    and half drawn ones, in the space that the heads judge.
    """
    gradients = torch.autograd.grad(scores.sum(), maps, create_graph=True)
    return sum((gradient.float().square().flatten(1).sum(1) for gradient in gradients), start=scores.new_zeros(()))


def unlikeness(drawn: list[Tensor], real: list[Tensor], rows: slice, alike: Tensor) -> Tensor:
    """Mean cross-entropy of finding, by what is seen of them, the real picture (N, C, h, w) of the caption that each of
    the drawings of `rows` (B, C, h, w) was made after.
    """
    found = []
    for ours, theirs in zip(drawn[-DEEPEST:], real[-DEEPEST:], strict=True):
        cosine = F.normalize(ours.float().flatten(1), dim=1) @ F.normalize(theirs.float().flatten(1), dim=1).T
        found.append(cosine / TEMPERATURE)
    return mismatch(torch.stack(found, 1), rows, alike)


def mismatch(scores: Tensor, rows: slice, alike: Tensor) -> Tensor:
    """Mean cross-entropy of finding the own caption of each picture of `rows` among all, for every head, by scores
    (B, heads, N). Those that are `alike` (N, N) are not held against it, see `same_captions`.
    """
    at = torch.arange(rows.start, rows.stop, device=scores.device)
    logits = scores.masked_fill(alike[at][:, None], -torch.inf).flatten(0, 1)
    return F.cross_entropy(logits, at.repeat_interleave(scores.size(1)))
