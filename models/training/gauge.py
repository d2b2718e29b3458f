"""How fast this machine trains, before it has trained anything: a little work like that of every family, timed.

Networks differ more in what they ask of a machine than one number can say; a studio's own runs say it better.
"""

from __future__ import annotations

import time
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.schedule import mixed_precision

# Steps a second of two common cores. Every family's pictures a second were measured on faster ones and divided by the
# speed that this module gave those (`make bench ARGS=estimating`).
REFERENCE = 20.0
BATCH, SIDE, CHANNELS, WIDTH, HEADS = 16, 32, 32, 256, 8
WARM_UP, SECONDS = 3, 1.0


class Sample(nn.Module):
    """A convolutional block over pictures and a transformer layer over their patches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.norm = nn.GroupNorm(8, CHANNELS)
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.patches = nn.Conv2d(CHANNELS, WIDTH, 4, stride=4)
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.Linear(WIDTH, 3 * WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H W / 16, width)."""
        x = self.stem(pictures)
        x = x + self.conv(F.silu(self.norm(x)))
        x = self.patches(x).flatten(2).mT
        parts = self.attention(self.before(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).float()
        x = x + F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return x + self.down(F.silu(self.up(self.between(x))))


def speed(device: torch.device) -> float:
    """Steps a second against those of the reference; takes about a second."""
    network = Sample().to(device)
    pictures = torch.randn(BATCH, 3, SIDE, SIDE, device=device)
    optimizer = torch.optim.AdamW(network.parameters())
    took, began = list[float](), time.perf_counter()
    while len(took) < 2 * WARM_UP or time.perf_counter() - began < SECONDS:
        at = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(device):
            loss = network(pictures).square().mean()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - at)
    return 1 / median(took[WARM_UP:]) / REFERENCE
