"""What a training reads again and again, computed once by the parts of a pipeline that are not trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.contract.pipelines import Architecture
from models.data.pictures import Collection, Indices, sent, to_unit
from models.parts.sentences import cached
from models.pretrained.lora.objective import Texts
from models.pretrained.words import Words

LONGEST = 256  # tokens that T5 reads
OnProgress = Callable[[int], None]


@dataclass
class Latents:
    """`rows` (items, 2, C, h, w): of pictures and of their mirror images. Each of `sizes` fills the beginning of its
    row; for a square that is the whole.
    """

    rows: npt.NDArray[np.float16]
    sizes: list[tuple[int, int]]

    def of(self, chosen: Indices, mirrored: npt.NDArray[np.int64]) -> Tensor:
        """(B, C, h, w) of pictures of one size."""
        (height, width), channels = self.sizes[chosen[0]], self.rows.shape[2]
        flat = self.rows[chosen, mirrored].reshape(len(chosen), -1)[:, : channels * height * width]
        return torch.from_numpy(flat.astype(np.float32)).reshape(-1, channels, height, width)


class Prepared:
    """Latents of pictures and of their mirror images, and the texts that they are trained with, in `folder`."""

    def __init__(
        self, pipeline: Any, architecture: Architecture, folder: Path, texts: Sequence[str], on_progress: OnProgress
    ) -> None:
        self.pipeline, self.architecture, self.folder, self.on_progress = pipeline, architecture, folder, on_progress
        self.device = pipeline.device
        self.texts = list(dict.fromkeys(texts))
        self.number = {text: i for i, text in enumerate(self.texts)}
        both = cache(self.read)
        self.words = cached(folder / "words.npy", lambda: both()[0])
        self.whole = cached(folder / "whole.npy", lambda: both()[1]) if hasattr(pipeline, "text_encoder_2") else None

    def latents(self, data: Collection) -> Latents:
        """Of each picture, and of its mirror image."""
        scale = int(self.pipeline.vae_scale_factor)
        side = data.images.shape[1] // scale

        def compute() -> npt.NDArray[np.float16]:
            rows = []
            for i in range(len(data.items)):
                picture = torch.from_numpy(data.picture(i).copy()).permute(2, 0, 1)[None]
                x = to_unit(sent(picture, self.device))
                found = self.encode(torch.cat([x, x.flip(-1)]))
                rows.append(np.zeros((2, found.shape[1], side, side), np.float16))
                rows[-1].reshape(2, -1)[:, : found[0].size] = found.reshape(2, -1)
                self.on_progress(i)
            return np.stack(rows)

        sizes = [data.size(i) for i in range(len(data.items))]
        cells = [(height // scale, width // scale) for height, width in sizes]
        return Latents(cached(self.folder / "latents.npy", compute), cells)

    def encode(self, pictures: Tensor) -> npt.NDArray[np.float16]:
        """(B, 3, H, W) in [-1, 1] -> latents, as the denoiser takes them."""
        vae = self.pipeline.vae
        with torch.no_grad():
            found = vae.encode(pictures.to(vae.dtype)).latent_dist.mode().float()
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        return ((found - shift) * vae.config.scaling_factor).cpu().numpy().astype(np.float16)

    @torch.no_grad()
    def read(self) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
        """Of every text the words, and what they say as a whole."""
        rows = []
        for i, text in enumerate(self.texts):
            rows.append([part.float().cpu().numpy()[0] for part in read(self.pipeline, self.architecture, text)])
            self.on_progress(i)
        words, whole = (np.stack(part).astype(np.float16) for part in zip(*rows, strict=True))
        return words, whole

    def of(self, texts: Sequence[str], dtype: torch.dtype) -> Texts:
        chosen = [self.number[text] for text in texts]
        words, whole = (
            None if each is None else torch.from_numpy(each[chosen].astype(np.float32)).to(self.device, dtype)
            for each in (self.words, self.whole)
        )
        assert words is not None
        return Texts(words, whole)


def read(pipeline: Any, architecture: Architecture, text: str) -> tuple[Tensor, Tensor]:
    """(words (1, L, D), as a whole (1, D))."""
    if not architecture.flows:
        words, whole = Words(pipeline).read([text], 1, 0)
        return words, words if whole is None else whole
    if architecture.negates:
        words, _, whole, _ = pipeline.encode_prompt(text, None, None, do_classifier_free_guidance=False)
    else:
        longest = min(LONGEST, pipeline.tokenizer_2.model_max_length)
        words, whole, _ = pipeline.encode_prompt(text, None, max_sequence_length=longest)
    return words, whole
