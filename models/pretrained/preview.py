"""What latents will look like, without their autoencoder: the colours that a linear map finds in each cell."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.contract.values import Pixels
from models.pretrained.economy import device_of

CELLS, LEARNT = 16, 4  # side and number of latents that the map is fitted on


class Preview:
    """Fitted when it is first asked for, by what the autoencoder makes of a few latents from chance."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline, self.autoencoder = pipeline, pipeline.vae

    @cached_property
    def map(self) -> Tensor:
        """(C + 1, 3): colours in [-1, 1] of the channels of a cell and 1."""
        config = self.autoencoder.config
        weight = next(self.autoencoder.parameters())
        random = torch.Generator().manual_seed(0)
        coarse = torch.randn(LEARNT, config.latent_channels, CELLS // 4, CELLS // 4, generator=random)
        latents = F.interpolate(coarse, scale_factor=4).to(device_of(self.pipeline), weight.dtype)
        shift = getattr(config, "shift_factor", None) or 0.0
        pictures = self.autoencoder.decode(latents / config.scaling_factor + shift, return_dict=False)[0]
        colours = F.adaptive_avg_pool2d(pictures.float(), CELLS).permute(0, 2, 3, 1).reshape(-1, 3)
        cells = with_one(latents.float().permute(0, 2, 3, 1).reshape(len(colours), -1))
        return torch.linalg.lstsq(cells.cpu(), colours.cpu()).solution

    @torch.no_grad()
    def __call__(self, latents: Tensor, width: int, height: int) -> list[Pixels]:
        """(B, C, H, W), or as a pipeline packs them -> pictures of a pixel a cell."""
        if latents.ndim == 3:
            scale = self.pipeline.vae_scale_factor
            latents = self.pipeline._unpack_latents(latents, height, width, scale)
        cells = with_one(latents.float().cpu().permute(0, 2, 3, 1))
        pictures = ((cells @ self.map).clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)
        return list(pictures.numpy())


def with_one(cells: Tensor) -> Tensor:
    return torch.cat([cells, torch.ones_like(cells[..., :1])], -1)
