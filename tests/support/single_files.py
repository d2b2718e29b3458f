"""Pipelines as one file, under the names that Stable Diffusion's own code has for its tensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.pretrained.load import open_pipeline

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
RESNET |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
UNET = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
UNET |= {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
UNET |= {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
VAE_ATTENTION = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "group_norm": "norm"}


def single_file(pipeline: Path, folder: Path) -> Path:
    """A companion folder of configurations and tokenizers, with one file of weights under the names of old."""
    made, _ = open_pipeline(pipeline, torch.device("cpu"), torch.float32)
    companions(pipeline, folder)
    tensors = {f"model.diffusion_model.{of_unet(name)}": each for name, each in made.unet.state_dict().items()}
    tensors |= {
        f"first_stage_model.{of_vae(name)}": with_sides(name, each) for name, each in made.vae.state_dict().items()
    }
    is_double = hasattr(made, "text_encoder_2")
    place = "conditioner.embedders.0" if is_double else "cond_stage_model"
    for name, each in made.text_encoder.state_dict().items():
        tensors[f"{place}.transformer.text_model.{name.removeprefix('text_model.')}"] = each
    if is_double:
        found = of_open_clip(made.text_encoder_2)
        tensors |= {f"conditioner.embedders.1.model.{name}": each for name, each in found.items()}
    save_file({name: each.contiguous() for name, each in tensors.items()}, folder / "old-model.safetensors")
    return folder


def denoiser_alone(pipeline: Path, folder: Path, part: str, dtype: torch.dtype) -> Path:
    """A folder with the weights of all other parts, and one file with those of what draws."""
    made, _ = open_pipeline(pipeline, torch.device("cpu"), torch.float32)
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns("card.json"))
    for path in (folder / part).glob("*.safetensors"):
        path.unlink()
    tensors = {name: each.to(dtype) for name, each in getattr(made, part).state_dict().items()}
    save_file(tensors, folder / "only-this.safetensors")
    return folder


def companions(pipeline: Path, folder: Path) -> None:
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns("*.safetensors", "card.json"))


def of_unet(name: str) -> str:
    """With one residual block a level, as the tiny U-Net has them."""
    for theirs, old in UNET.items():
        if name.startswith(f"{theirs}."):
            return old + name.removeprefix(theirs)
    side, _, rest = name.partition("_block")
    parts = rest.lstrip("s.").split(".")
    if side == "mid":
        kind, number, *inner = parts
        place = f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}"
    else:
        level, kind, number, *inner = parts
        first = {"down": 2 * int(level) + 1, "up": 2 * int(level)}[side] + int(number)
        if kind == "downsamplers":
            place, inner = f"input_blocks.{2 * int(level) + 2}.0", ["op", *inner[1:]]
        elif kind == "upsamplers":
            place = f"output_blocks.{2 * int(level) + 1}.{2 if level == '0' else 1}"
        else:
            blocks = {"down": "input_blocks", "up": "output_blocks"}[side]
            place = f"{blocks}.{first}.{1 if kind == 'attentions' else 0}"
    within = ".".join(inner)
    if "resnets" in parts:
        part, _, end = within.partition(".")
        within = f"{RESNET[part]}.{end}"
    return f"{place}.{within}"


def of_vae(name: str) -> str:
    for theirs, old in {"mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2"}.items():
        name = name.replace(theirs, old)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_norm_out", "norm_out")
    name = name.replace("conv_shortcut", "nin_shortcut").replace("downsamplers.0", "downsample")
    name = name.replace("upsamplers.0", "upsample").replace("down_blocks", "down").replace("resnets", "block")
    if name.startswith("decoder.up_blocks."):
        level, _, rest = name.removeprefix("decoder.up_blocks.").partition(".")
        name = f"decoder.up.{3 - int(level)}.{rest}"
    if "attn_1" in name:
        for theirs, old in VAE_ATTENTION.items():
            name = name.replace(f"attn_1.{theirs}.", f"attn_1.{old}.")
    return name


def with_sides(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Attention had convolutions of one pixel."""
    return tensor[:, :, None, None] if "attentions" in name and tensor.ndim == 2 else tensor


CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "fc1": "c_fc", "fc2": "c_proj", "self_attn": "attn"}
CLIP |= {"encoder.layers.": "transformer.resblocks.", "final_layer_norm": "ln_final"}
CLIP |= {
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
}


def of_open_clip(encoder: Any) -> dict[str, torch.Tensor]:
    """Queries, keys and values are one matrix there, and the projection is the other way round."""
    made, apart = {}, dict[str, dict[str, torch.Tensor]]()
    for name, tensor in encoder.state_dict().items():
        if name == "text_projection.weight":
            made["text_projection"] = tensor.T
            continue
        name = name.removeprefix("text_model.")
        for theirs, old in CLIP.items():
            name = name.replace(theirs, old)
        layer, _, kind = name.rpartition(".")
        if layer.endswith(("q_proj", "k_proj", "v_proj")):
            apart.setdefault(f"{layer[:-7]}.in_proj_{kind}", {})[layer[-6]] = tensor
        else:
            made[name] = tensor
    return made | {name: torch.cat([parts[each] for each in "qkv"]) for name, parts in apart.items()}
