"""What a training reads again and again, computed once by the parts of a pipeline that are not trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.contract.pipelines import Architecture
from models.data.pictures import Collection, to_unit
from models.parts.sentences import cached
from models.pretrained.lora.objective import Texts
from models.pretrained.words import Words

LONGEST = 256  # tokens that T5 reads
OnProgress = Callable[[int], None]


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

    def latents(self, data: Collection) -> npt.NDArray[np.float16]:
        """(items, 2, C, h, w): of each picture, and of its mirror image."""

        def compute() -> npt.NDArray[np.float16]:
            rows = []
            for i in range(len(data.items)):
                x = to_unit(data.pictures(np.array([i]), self.device))
                rows.append(self.encode(torch.cat([x, x.flip(-1)])))
                self.on_progress(i)
            return np.stack(rows)

        return cached(self.folder / "latents.npy", compute)

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
