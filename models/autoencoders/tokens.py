"""Image tokens of a collection, computed once before a training, with the captions of their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.fsq import FSQAutoencoder
from models.data.pictures import Collection, Indices
from models.parts.captions import Captions
from models.parts.sentences import OnProgress, cached
from models.parts.text import PromptEncoder
from models.training.views import encode_views


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

        def encode() -> npt.NDArray[np.uint16]:
            def tokens(pictures: Tensor) -> Tensor:
                return autoencoder.encode(pictures).flatten(1)

            return encode_views(data, tokens, views, device, np.uint16, on_progress)

        self.images = cached(folder / "images.npy", encode)
        self.captions = Captions(data, prompts, folder, on_progress)

    def batch(self, indices: Indices, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens (B, N), prompt tokens (B, T) and sentences (B, 512): a view and a caption of each, at random."""
        draws = torch.rand(3, len(indices), generator=generator, dtype=torch.float64).numpy()
        view = np.where(draws[2] < self.plain_share, 0, draws[0] * self.images.shape[1]).astype(np.int64)
        tokens, sentences = self.captions.of(indices, draws[1])
        return torch.from_numpy(self.images[indices, view].astype(np.int64)), tokens, sentences
