"""Enlarges pictures four times: convolutions at the size that is given, and one that says what is added at the end.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network", 2016; Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution" (EDSR), 2017: residual
blocks without normalisation, which would forget how loud the colours are. Two more are those of published checkpoints
(Wang et al., "ESRGAN", 2018; "Real-ESRGAN", 2021), with the names that their weights have.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.resizing import resized
from models.upscaling.spec import FACTOR, UpscalingConfig

SLOPE = 0.1
REACH = 5  # cells whose colours a bicubic filter mixes, in a row
STEEP, SHARE = 0.2, 0.2  # of published checkpoints: the slope below zero, and how much of what a block adds counts


class ResBlock(nn.Module):
    """Two convolutions; the second starts at zero, so the block starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.leaky_relu_(self.conv1(x), SLOPE)).add_(x)  # in place: memory is what is slow here


class Upscaler(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> (B, 3, 4 H, 4 W)."""

    def __init__(self, config: UpscalingConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class ResidualUpscaler(Upscaler):
    """What is added is added to a bicubic enlargement."""

    def __init__(self, config: UpscalingConfig) -> None:
        super().__init__(config)
        self.enter = nn.Conv2d(3, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResBlock(config.width) for _ in range(config.blocks)))
        self.out = nn.Conv2d(config.width, 3 * FACTOR**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        added = F.pixel_shuffle(self.out(F.leaky_relu_(self.blocks(self.enter(pictures)), SLOPE)), FACTOR)
        return bicubic(pictures).add_(added)


class CompactUpscaler(Upscaler):
    """Convolutions one after the other; what is added is added to the nearest pixels. Of colours from 0 to 1."""

    def __init__(self, config: UpscalingConfig) -> None:
        super().__init__(config)
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(config.blocks):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * FACTOR**2, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        x = (pictures + 1) / 2
        return 2 * (F.pixel_shuffle(self.body(x), FACTOR) + F.interpolate(x, scale_factor=FACTOR)) - 1


class DenseBlock(nn.Module):
    """Five convolutions, each of all that is there before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            out = growth if i < 5 else width
            self.add_module(f"conv{i}", nn.Conv2d(width + (i - 1) * growth, out, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for i in range(1, 5):
            found.append(F.leaky_relu(self.get_submodule(f"conv{i}")(torch.cat(found, 1)), STEEP))
        added: Tensor = self.get_submodule("conv5")(torch.cat(found, 1))
        return x + SHARE * added


class RRDB(nn.Module):
    """Residual in residual dense block."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + SHARE * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBUpscaler(Upscaler):
    """Dense blocks at the size that is given, then twice as large two times. Of colours from 0 to 1."""

    def __init__(self, config: UpscalingConfig) -> None:
        super().__init__(config)
        width = config.width

        def conv(given: int, made: int) -> nn.Conv2d:
            return nn.Conv2d(given, made, 3, padding=1)

        self.conv_first = conv(3, width)
        self.body = nn.Sequential(*(RRDB(width, config.growth) for _ in range(config.blocks)))
        self.conv_body, self.conv_up1, self.conv_up2 = conv(width, width), conv(width, width), conv(width, width)
        self.conv_hr, self.conv_last = conv(width, width), conv(width, 3)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.conv_first((pictures + 1) / 2)
        x = x + self.conv_body(self.body(x))
        for up in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2)), STEEP)
        made: Tensor = 2 * self.conv_last(F.leaky_relu(self.conv_hr(x), STEEP)) - 1
        return made


NETWORKS = {"residual": ResidualUpscaler, "compact": CompactUpscaler, "rrdb": RRDBUpscaler}


def upscaler(config: UpscalingConfig) -> Upscaler:
    return NETWORKS[config.architecture](config)


def bicubic(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 3, 4 H, 4 W), as `F.interpolate` does it, in a fourth of its time on CPUs: a convolution that
    tells the pixels of each cell apart.
    """
    size, radius = pictures.shape[-2:], REACH // 2
    channels = F.pad(pictures.float().flatten(0, 1).unsqueeze(1), (radius,) * 4, mode="replicate")
    with torch.autocast(pictures.device.type, enabled=False):
        cells = F.conv2d(channels, bicubic_kernel().to(pictures.device))
    return F.pixel_shuffle(cells, FACTOR).reshape(*pictures.shape[:2], *(FACTOR * side for side in size))


@cache
@torch.inference_mode(False)  # it serves training as well
def bicubic_kernel() -> Tensor:
    """(FACTOR^2, 1, REACH, REACH): what each pixel of a cell takes of the cells around, found by enlarging one dot."""
    dot = torch.zeros(1, 1, 2 * REACH - 1, 2 * REACH - 1)
    dot[..., REACH - 1, REACH - 1] = 1
    enlarged = F.interpolate(dot, scale_factor=FACTOR, mode="bicubic", align_corners=False)
    around = F.pixel_unshuffle(enlarged, FACTOR)[0, :, None]
    radius = REACH // 2
    middle = slice(REACH - 1 - radius, REACH + radius)
    return around[..., middle, middle].flip(2, 3)


def shrunk(pictures: Tensor, factor: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, H / factor, W / factor), without what small pixels cannot hold."""
    height, width = pictures.shape[-2:]
    return resized(pictures, (height // factor, width // factor))
