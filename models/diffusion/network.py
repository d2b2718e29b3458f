"""The flow transformer: from a noisy picture, a time and a prompt it says what the clean picture is.

Peebles and Xie, "Scalable Diffusion Models with Transformers" (DiT), 2023; Li and He, "Back to Basics: Let Denoising
Generative Models Denoise" (JiT), 2025. Knows nothing of how noise is mixed in, or of what its channels mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.diffusion.spec import FlowConfig
from models.diffusion.trunk import Prompts, Trunk
from models.parts.standardized import Standardized


class FlowTransformer(Trunk, Standardized):
    """(B, channels, size, size) noisy -> the clean picture of the same shape."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self.config = config
        width, patch = config.width, config.patch
        inner = config.channels * patch**2
        pressed = min(inner, config.bottleneck)
        self.enter = nn.Sequential(
            nn.PixelUnshuffle(patch), nn.Conv2d(inner, pressed, 1, bias=False), nn.Conv2d(pressed, width, 1)
        )
        self.out = nn.Conv2d(width, inner, 1)
        self.unfold = nn.PixelShuffle(patch)
        for part in self.out.parameters():  # foresees the mean at first
            nn.init.zeros_(part)
        self.keep_scale(config.channels)  # noise has mean 0 and variance 1, and so have data that it is mixed with

    def denoise(self, z: Tensor, t: Tensor, prompts: Prompts) -> Tensor:
        """Noisy z (B, C, H, W) at times t (B,), 0 for noise and 1 for the picture -> the picture."""
        condition = self.condition(t, prompts)
        x = self.transform(self.enter(z).flatten(2).mT, condition, prompts)
        x = x.mT.reshape(len(x), -1, self.grid, self.grid)
        clean: Tensor = self.unfold(self.out(x))
        return clean

    def forward(
        self, z: Tensor, t: Tensor, tokens: Tensor, sentence: Tensor, reference: Tensor | None = None
    ) -> Tensor:
        return self.denoise(z, t, self.encode(tokens, sentence, reference))
