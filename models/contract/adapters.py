"""What is put upon pretrained pipelines, and what it is built on, as its tensors and configurations say. Torch-free.

Low-rank adapters (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021), words that were learnt (Gal
et al., "An Image Is Worth One Word: Textual Inversion", 2022), networks that follow a picture (Zhang et al., "Adding
Conditional Control to Text-to-Image Diffusion Models" (ControlNet), 2023), and that go by one (IP-adapters).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.contract.card import LONGEST_NAME, NAME, WEIGHTS, CheckpointError, write_card
from models.contract.files import sha256_of
from models.contract.pipelines import files_of, read_json, refuse_pickles, width_of
from models.contract.safetensors_header import check_header, count_numbers, read_header

LORA, EMBEDDING, CONTROL, REFERENCE = "lora", "textual-inversion", "controlnet", "ip-adapter"
MOST, MOST_CONTROLS, MOST_REFERENCES = 8, 3, 3  # in one request
# As diffusers, peft and the scripts of kohya call the first of the two matrices: (rank, inputs).
DOWN = re.compile(r"\.(lora_down|lora_A|lora\.down|lora_linear_layer\.down)(\.default)?\.weight$")
UNKNOWN = re.compile(r"\.(hada_w1_a|lokr_w1|lokr_w1_a|oft_blocks)")
CONTROLS = {"ControlNetModel": "unet", "SD3ControlNetModel": "transformer", "FluxControlNetModel": "transformer"}
CONTROL_WEIGHTS = "diffusion_pytorch_model.safetensors"
REFERENCE_WEIGHTS, IMAGE_ENCODER = "model.safetensors", "image_encoder"
PROJECTED = ("image_proj.proj.weight", "image_proj.proj_in.weight")  # by what the network that sees has found
OF_REFERENCE = re.compile(r"^(image_proj|ip_adapter)\.")
# As AUTOMATIC1111 names them, for two encoders, and the scripts of kohya; diffusers has the word itself.
WORDS_OF = ({"emb_params"}, {"clip_l", "clip_g"}, {"text_encoders_0", "text_encoders_1"})
WORD = re.compile(r"<.+>")
MOST_ROWS = 75  # vectors of a word: what an encoder reads at once
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


class Control(Adapter):
    """A ControlNet, and the part of the way during which it guides."""

    weight: float = Field(1.0, ge=0, le=2, allow_inf_nan=False, description="How closely its picture is followed")
    start: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="Where on the way from noise it begins")
    end: float = Field(1.0, ge=0, le=1, allow_inf_nan=False, description="Where on the way from noise it ends")

    @model_validator(mode="after")
    def begins_first(self) -> Control:
        if self.start >= self.end:
            raise ValueError("start must lie before end")
        return self


def is_adapter(tensors: dict[str, Any]) -> bool:
    """By the names in a file's header."""
    return any(DOWN.search(name) for name in tensors)


def is_embedding(tensors: dict[str, Any]) -> bool:
    """Vectors of one word for one encoder or for two, by the names in a file's header."""
    shapes = [entry["shape"] for entry in tensors.values()]
    is_named = tensors.keys() in WORDS_OF or (len(tensors) == 1 and WORD.fullmatch(next(iter(tensors))) is not None)
    return is_named and all(rows_of(shape) <= MOST_ROWS and len(shape) <= 2 for shape in shapes)


def rows_of(shape: list[int]) -> int:
    return int(shape[0]) if len(shape) == 2 else 1


def make_card(folder: Path, weights: Path) -> dict[str, Any]:
    """Make a checkpoint of an adapter's file, which keeps its own names. Raises CheckpointError."""
    check_header(weights)
    tensors, _ = read_header(weights)
    if is_adapter(tensors):
        said: dict[str, Any] = {"family": LORA, "config": config_of(tensors)}
    else:
        shapes = [entry["shape"] for entry in tensors.values()]
        width = sum(int(shape[-1]) for shape in shapes if shape)
        config = {"denoiser": "unet", "width": width, "tokens": max(map(rows_of, shapes))}
        said = {"family": EMBEDDING, "config": config}
    if weights.name != WEIGHTS:
        weights.rename(folder / WEIGHTS)
    said["parameters"] = count_numbers(folder / WEIGHTS)
    return write_card(folder, said, {WEIGHTS: sha256_of(folder / WEIGHTS)})


def make_control_card(folder: Path) -> dict[str, Any]:
    """Make a checkpoint of a ControlNet's folder, as the package diffusers writes it. Raises CheckpointError."""
    shape = read_json(folder, "config.json")
    name = str(shape.get("_class_name"))
    if (denoiser := CONTROLS.get(name)) is None:
        raise CheckpointError("{name} is not known here: {known}", name=name[:80], known=", ".join(CONTROLS))
    found = files_of(folder)
    refuse_pickles(folder, found)
    weights = [path for path in found if path.suffix == ".safetensors"]
    if len(weights) != 1:
        raise CheckpointError("give config.json and one safetensors file")
    check_header(weights[0])
    for path in {*found} - {folder / "config.json", weights[0]}:
        path.unlink()
    target = weights[0].rename(folder / CONTROL_WEIGHTS)
    said = {
        "family": CONTROL,
        "config": {"denoiser": denoiser, "width": width_of(shape), "architecture": name},
        "parameters": count_numbers(target),
    }
    return write_card(folder, said, {path.name: sha256_of(path) for path in (folder / "config.json", target)})


def make_reference_card(folder: Path) -> dict[str, Any]:
    """Make a checkpoint of an IP-adapter: one safetensors file, and beside it the folder of the network that sees.
    Raises CheckpointError.
    """
    encoder = read_json(folder, f"{IMAGE_ENCODER}/config.json")
    found = files_of(folder)
    refuse_pickles(folder, found)
    own, seeing = (sorted(place.glob("*.safetensors")) for place in (folder, folder / IMAGE_ENCODER))
    if len(own) != 1 or len(seeing) != 1:
        raise CheckpointError("give one safetensors file, and image_encoder with config.json and another")
    for path in (*own, *seeing):
        check_header(path)
    tensors, _ = read_header(own[0])
    keys = [entry["shape"] for name, entry in tensors.items() if name.endswith("to_k_ip.weight")]
    if not keys or not all(OF_REFERENCE.match(name) for name in tensors):
        raise CheckpointError("these weights are for an architecture that is not known here")
    seen = next((tensors[name]["shape"][1] for name in PROJECTED if name in tensors), None)
    if seen is None:
        raise CheckpointError("this kind of IP-adapter is not known here")
    if seen not in (encoder.get("projection_dim"), encoder.get("hidden_size")):
        raise CheckpointError("image_encoder is not the one that this IP-adapter was trained with")
    kept = [own[0].rename(folder / REFERENCE_WEIGHTS), seeing[0].rename(folder / IMAGE_ENCODER / WEIGHTS)]
    kept.append(folder / IMAGE_ENCODER / "config.json")
    for path in {*found} - {*kept, *own, *seeing}:
        path.unlink()
    said = {
        "family": REFERENCE,
        "config": {"denoiser": "unet", "width": int(keys[0][1])},
        "parameters": sum(count_numbers(path) for path in kept[:2]),
    }
    return write_card(folder, said, {path.relative_to(folder).as_posix(): sha256_of(path) for path in kept})


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


def named_in(name: str, prompt: str) -> re.Match[str] | None:
    """Where a prompt names a word that was learnt."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", prompt, re.IGNORECASE)
