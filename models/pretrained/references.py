"""Pictures to go by, through IP-adapters: a network sees a picture, and the denoiser attends to what it saw.

Ye et al., "IP-Adapter: Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models", 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from models.contract.adapters import IMAGE_ENCODER, MOST_REFERENCES, REFERENCE, REFERENCE_WEIGHTS, Adapter
from models.contract.card import WEIGHTS
from models.contract.sampling import Unfit
from models.contract.values import Pixels
from models.pretrained.adapters import Joined, find_adapter
from models.pretrained.economy import keep_beside_too
from models.pretrained.load import open_image_encoder
from models.training.recovery import is_out_of_memory

MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP


class References:
    """Those of one pipeline, looked for in `checkpoints`: in effect for one batch, and taken off after it."""

    def __init__(self, pipeline: Any, checkpoints: Path) -> None:
        self.pipeline, self.checkpoints = pipeline, checkpoints
        self.joined = Joined(pipeline, MOST_REFERENCES, open_image_encoder)

    @contextmanager
    def on(self, asked: list[Adapter], pictures: list[Pixels], is_guided: bool) -> Iterator[dict[str, Any]]:
        """What the pipeline is given besides for one work; `pictures` are one for each adapter. Raises Unfit."""
        if not asked:
            yield {}
            return
        found = [self.load(adapter) for adapter in asked]
        seen = [
            self.seen(encoder, picture, is_fine(tensors), is_guided)
            for (encoder, tensors), picture in zip(found, pictures, strict=True)
        ]
        self.put_on([tensors for _, tensors in found], asked)
        try:
            yield {"ip_adapter_image_embeds": seen}
        finally:
            self.take_off()

    def put_on(self, tensors: list[dict[str, dict[str, Tensor]]], asked: list[Adapter]) -> None:
        """Raises Unfit, and leaves nothing behind then."""
        nothing = [""] * len(asked)
        try:
            self.pipeline.load_ip_adapter(tensors, subfolder=nothing, weight_name=nothing, image_encoder_folder=None)
            self.pipeline.set_ip_adapter_scale([adapter.weight for adapter in asked])
            keep_beside_too(self.pipeline.unet)
        except (ValueError, RuntimeError, KeyError) as error:
            self.take_off()
            if is_out_of_memory(error):
                raise
            raise Unfit("The adapter {name} is not built on this model", name=asked[0].name) from error

    def take_off(self) -> None:
        if self.pipeline.unet.encoder_hid_proj is not None:
            self.pipeline.unload_ip_adapter()
            keep_beside_too(self.pipeline.unet)

    def load(self, adapter: Adapter) -> tuple[Any, dict[str, dict[str, Tensor]]]:
        """(what sees, the adapter's tensors by part). Raises Unfit."""
        folder, card = find_adapter(adapter, self.checkpoints)
        if card["family"] != REFERENCE:
            raise Unfit("There is no adapter {name}", name=adapter.name)
        encoder = self.joined.get(card["files"][f"{IMAGE_ENCODER}/{WEIGHTS}"], adapter.name, folder)
        parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for name, tensor in load_file(folder / REFERENCE_WEIGHTS).items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor.to(self.pipeline.dtype)
        return encoder, parts

    @torch.no_grad()
    def seen(self, encoder: Any, picture: Pixels, is_fine: bool, is_guided: bool) -> Tensor:
        """(1 or 2, 1, ...): of nothing, which guidance leads away from, then of the picture."""
        x = prepared(picture, encoder.config.image_size).to(encoder.device, encoder.dtype)

        def look(given: Tensor) -> Tensor:
            found = encoder(given, output_hidden_states=is_fine)
            seen: Tensor = found.hidden_states[-2] if is_fine else found.image_embeds
            return seen

        made = look(x)
        if is_guided:
            nothing = look(torch.zeros_like(x)) if is_fine else torch.zeros_like(made)
            made = torch.cat([nothing, made])
        return made.unsqueeze(1)


def is_fine(tensors: dict[str, dict[str, Tensor]]) -> bool:
    """Whether an adapter reads all that was seen of a picture, not only what it is of."""
    return "latents" in tensors["image_proj"]


def prepared(picture: Pixels, side: int) -> Tensor:
    """(H, W, 3) -> (1, 3, side, side), its middle, as CLIP was trained."""
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    scale = side / min(x.shape[-2:])
    height, width = (max(side, round(length * scale)) for length in x.shape[-2:])
    x = F.interpolate(x, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (height - side) // 2, (width - side) // 2
    x = x[..., top : top + side, left : left + side]
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(SPREAD).view(1, 3, 1, 1)
