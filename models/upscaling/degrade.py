"""Makes pictures small as the world does: by several filters, and some of them blurred, noisy or compressed; and as
models draw them, through the autoencoder that decodes what they make.

Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from models.data.pictures import to_pixels, to_unit
from models.upscaling.spec import FACTOR

FILTERS = ("bicubic", "bilinear", "area")
BLUR = (0.3, 1.6)  # pixels of the large picture
NOISE = 0.08  # of the range from -1 to 1, at most
QUALITY = (40, 95)  # of JPEG
SOFT = (0.5, 0.9)  # sides that a small picture goes through: what models draw is soft like that
SHARE = 0.6  # of the damaged ones, that have each kind
REBUILT = 0.25  # of small pictures, that pass through an autoencoder where there is one
KNOWN_MSE = 4 * 10**-1.8  # 18 dB: what an autoencoder rebuilds worse, a model over it does not draw


def made_small(pictures: Tensor, damage: float, random: torch.Generator) -> Tensor:
    """(B, 3, 4 H, 4 W) in [-1, 1] -> (B, 3, H, W), on the CPU; `damage` is the part that suffers more than that."""
    small = []
    for picture in pictures.cpu().split(1):
        suffers = chance(random) < damage
        if suffers and chance(random) < SHARE:
            picture = blurred(picture, between(BLUR, random))
        small.append(damaged(resized(picture, random), random) if suffers else resized(picture, random))
    return torch.cat(small)


@torch.no_grad()
def rebuilt(small: Tensor, autoencoder: nn.Module) -> Tensor:
    """(B, 3, H, W), sides that are multiples of 8, as the autoencoder has them, or as they are where it cannot."""
    device = next(autoencoder.parameters()).device
    again = torch.cat([autoencoder(part.to(device)).float().cpu().clamp(-1, 1) for part in small.split(8)])
    known = (again - small).square().mean((1, 2, 3), keepdim=True) < KNOWN_MSE
    return torch.where(known, again, small)


def resized(picture: Tensor, random: torch.Generator) -> Tensor:
    size = [side // FACTOR for side in picture.shape[-2:]]
    mode = FILTERS[int(3 * chance(random))]
    smooth = {} if mode == "area" else {"antialias": True, "align_corners": False}
    return F.interpolate(picture, size, mode=mode, **smooth).clamp(-1, 1)


def damaged(picture: Tensor, random: torch.Generator) -> Tensor:
    """(1, 3, H, W): softer, noisier, compressed, each by chance."""
    size = picture.shape[-2:]
    if chance(random) < SHARE:
        inner = [max(4, round(between(SOFT, random) * side)) for side in size]
        picture = F.interpolate(picture, inner, mode="bilinear", antialias=True, align_corners=False)
        picture = F.interpolate(picture, size, mode="bicubic", align_corners=False)
    if chance(random) < SHARE / 2:
        picture = picture + chance(random) * NOISE * torch.randn(picture.shape, generator=random)
    if chance(random) < SHARE:
        picture = compressed(picture, round(between(QUALITY, random)))
    return picture.clamp(-1, 1)


def blurred(picture: Tensor, sigma: float) -> Tensor:
    """By a Gaussian of so many pixels."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    padded = F.pad(picture, [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def compressed(picture: Tensor, quality: int) -> Tensor:
    """(1, 3, H, W) as a JPEG of that quality has it."""
    file = io.BytesIO()
    Image.fromarray(to_pixels(picture)[0].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return to_unit(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None])


def chance(random: torch.Generator) -> float:
    return float(torch.rand((), generator=random))


def between(bounds: tuple[float, float], random: torch.Generator) -> float:
    low, high = bounds
    return low + (high - low) * chance(random)
