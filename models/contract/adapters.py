"""Low-rank adapters upon pretrained pipelines (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021):
what they are built on, as the names and shapes of their tensors say. Torch-free.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.contract.card import LONGEST_NAME, NAME, WEIGHTS, CheckpointError, write_card
from models.contract.files import sha256_of
from models.contract.safetensors_header import check_header, count_numbers, read_header

FAMILY = "lora"
MOST = 8  # in one request
# As diffusers, peft and the scripts of kohya call the first of the two matrices: (rank, inputs).
DOWN = re.compile(r"\.(lora_down|lora_A|lora\.down|lora_linear_layer\.down)(\.default)?\.weight$")
UNKNOWN = re.compile(r"\.(hada_w1_a|lokr_w1|lokr_w1_a|oft_blocks)")
TRANSFORMER = re.compile(r"double_blocks|single_blocks|single_transformer_blocks|joint_blocks|^transformer\.")
# Layers whose inputs are as wide as the embedded words, of a U-Net, or as its own stream, of a transformer.
OF_WORDS = re.compile(r"attn2[._]to_[kv]\.")
OF_STREAM = re.compile(r"(attn[._](to_[qkv]|qkv)|img_attn_qkv|linear1)\.")


class Adapter(BaseModel):
    """One that a request draws with; its weights are named when the request is taken."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME, description="Of the adapter's checkpoint")
    weight: float = Field(1.0, ge=-2, le=2, allow_inf_nan=False, description="How much of it; below 0 leads away")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Empty: as it is now")


def is_adapter(tensors: dict[str, Any]) -> bool:
    """By the names in a file's header."""
    return any(DOWN.search(name) for name in tensors)


def make_card(folder: Path, weights: Path) -> dict[str, Any]:
    """Make a checkpoint of an adapter's file, which keeps its own names. Raises CheckpointError."""
    check_header(weights)
    tensors, _ = read_header(weights)
    config = config_of(tensors)
    if weights.name != WEIGHTS:
        weights.rename(folder / WEIGHTS)
    said = {"family": FAMILY, "config": config, "parameters": count_numbers(folder / WEIGHTS)}
    return write_card(folder, said, {WEIGHTS: sha256_of(folder / WEIGHTS)})


def config_of(tensors: dict[str, Any]) -> dict[str, Any]:
    """`denoiser` and `width` that it is built on, None where its layers do not say it, and its `rank`. Raises
    CheckpointError.
    """
    if any(UNKNOWN.search(name) for name in tensors):
        raise CheckpointError("this kind of adapter is not known here: give a LoRA")
    down = {name: entry["shape"] for name, entry in tensors.items() if DOWN.search(name)}
    is_transformer = any(TRANSFORMER.search(name) for name in down)
    telling = OF_STREAM if is_transformer else OF_WORDS
    widths = {int(shape[1]) for name, shape in down.items() if len(shape) >= 2 and telling.search(name)}
    return {
        "denoiser": "transformer" if is_transformer else "unet",
        "width": min(widths) if widths else None,
        "rank": max((int(shape[0]) for shape in down.values() if shape), default=0),
    }


def fits(adapter: dict[str, Any], pipeline: dict[str, Any]) -> bool:
    """Whether an adapter's card is for a pipeline's."""
    own, wanted = adapter["config"], pipeline["config"]
    return own.get("denoiser") == wanted.get("denoiser") and own.get("width") in (None, wanted.get("width"))
