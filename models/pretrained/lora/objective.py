"""What a pipeline's denoiser is asked in training, and what it should have said, for each kind of pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.contract.pipelines import Architecture

Losses = Callable[[Tensor, "Texts", Tensor, Tensor], Tensor]


@dataclass
class Texts:
    """Embedded words (B, L, D) and, where the architecture has it, what they say as a whole (B, D)."""

    words: Tensor
    whole: Tensor | None


def objective(pipeline: Any, architecture: Architecture, snr_gamma: float) -> Losses:
    """`losses(x, texts, noise, chance)`: mean squared errors (B,) of latents x (B, C, h, w) with noise of their shape,
    at times by `chance` (B,): uniform in [0, 1).
    """
    if not architecture.flows:
        return removing_noise(pipeline, snr_gamma)
    return matching_packed_flows(pipeline) if hasattr(pipeline, "_pack_latents") else matching_flows(pipeline)


def removing_noise(pipeline: Any, snr_gamma: float) -> Losses:
    """Ho et al., "Denoising Diffusion Probabilistic Models", 2020; weights of Hang et al., "Efficient Diffusion
    Training via Min-SNR Weighting Strategy", 2023.
    """
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    is_velocity = scheduler.config.prediction_type == "v_prediction"
    is_large = hasattr(pipeline, "text_encoder_2")

    def losses(x: Tensor, texts: Texts, noise: Tensor, chance: Tensor) -> Tensor:
        t = (chance * scheduler.config.num_train_timesteps).long()
        noisy = scheduler.add_noise(x, noise, t)
        target = scheduler.get_velocity(x, noise, t) if is_velocity else noise
        added = None
        if is_large:
            size = [8 * cells for cells in x.shape[-2:]]
            times = torch.tensor([*size, 0, 0, *size], device=x.device).repeat(len(x), 1)
            added = {"text_embeds": texts.whole, "time_ids": times}
        made = pipeline.unet(noisy, t, texts.words, added_cond_kwargs=added, return_dict=False)[0]
        signal = scheduler.alphas_cumprod.to(x.device)[t]
        ratio = signal / (1 - signal)
        weight = ratio.clamp(max=snr_gamma) / (ratio + 1 if is_velocity else ratio)
        return weight * errors(made, target)

    return losses


def matching_flows(pipeline: Any) -> Losses:
    """Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", 2024."""

    def losses(x: Tensor, texts: Texts, noise: Tensor, chance: Tensor) -> Tensor:
        noisy, time = on_the_way(x, noise, chance)
        made = pipeline.transformer(noisy, texts.words, texts.whole, 1000 * time, return_dict=False)[0]
        return errors(made, noise - x)

    return losses


def matching_packed_flows(pipeline: Any) -> Losses:
    """The same over patches of two by two cells in a row, as FLUX has it."""

    def losses(x: Tensor, texts: Texts, noise: Tensor, chance: Tensor) -> Tensor:
        noisy, time = on_the_way(x, noise, chance)

        def packed(cells: Tensor) -> Tensor:
            found: Tensor = pipeline._pack_latents(cells, *cells.shape)
            return found

        height, width = (side // 2 for side in x.shape[-2:])
        places = pipeline._prepare_latent_image_ids(len(x), height, width, x.device, x.dtype)
        guidance = torch.ones(len(x), device=x.device) if pipeline.transformer.config.guidance_embeds else None
        made = pipeline.transformer(
            hidden_states=packed(noisy),
            timestep=time,
            guidance=guidance,
            encoder_hidden_states=texts.words,
            pooled_projections=texts.whole,
            txt_ids=torch.zeros(texts.words.size(1), 3, device=x.device, dtype=x.dtype),
            img_ids=places,
            return_dict=False,
        )[0]
        return errors(made, packed(noise - x))

    return losses


def on_the_way(x: Tensor, noise: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """(between latents and noise, where: 1 is noise); times in the middle come most often."""
    time = torch.sigmoid(torch.special.ndtri(chance.clamp(1e-6, 1 - 1e-6)))
    share = time.view(-1, 1, 1, 1)
    return ((1 - share) * x + share * noise).to(x), time.to(x)


def errors(made: Tensor, target: Tensor) -> Tensor:
    return (made.float() - target.float()).square().flatten(1).mean(1)
