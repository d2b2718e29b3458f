"""Opens a pipeline of the package diffusers from its folder; nothing is fetched from anywhere."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import not_finite
from models.contract.adapters import IMAGE_ENCODER
from models.contract.card import CheckpointError, read_card, weights_of
from models.contract.economy import USUAL, Economy
from models.contract.pipelines import ARCHITECTURES, INDEX, UNUSED, networks_of, parts_of, read_json
from models.contract.safetensors_header import read_header
from models.pretrained.economy import place, quantize
from models.training.recovery import is_out_of_memory
from models.training.schedule import has_fast_bfloat16

MISSING = "pretrained pipelines need more packages here: make pretrained"
TYPES = {"F16": torch.float16, **dict.fromkeys(("BF16", "F8_E4M3", "F8_E5M2"), torch.bfloat16)}
BROKEN = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)  # what the packages raise


def packages() -> dict[str, Any]:
    """By name. Raises CheckpointError where they are not installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when they are imported
    for name in ("torchao", "torch.utils._pytree", "diffusers"):  # they warn of what is not on this machine
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise CheckpointError(MISSING) from error
    found = {"diffusers": diffusers, "transformers": transformers}
    for package in found.values():
        package.utils.logging.set_verbosity_error()
        package.utils.logging.disable_progress_bar()
    return found


def reason_of(error: Exception) -> str:
    """What the packages say, in one line that is not too long."""
    return " ".join(str(error).split())[:300]


def open_pipeline(
    folder: Path, device: torch.device, dtype: torch.dtype | None = None, economy: Economy = USUAL
) -> tuple[Any, dict[str, Any]]:
    """(pipeline, card). Where no `dtype` is said, in half precision if the device is fast at it. Raises
    CheckpointError.
    """
    card, known = read_card(folder), packages()
    architecture = ARCHITECTURES[card["config"]["architecture"]]
    if dtype is None and device.type == "cuda":
        # Matrices of 8 bits are scaled after they are multiplied: float16 could not hold that.
        is_wide = architecture.flows or economy.weights == "8-bit"
        dtype = torch.bfloat16 if is_wide else torch.float16
    dtype = dtype or (torch.bfloat16 if has_fast_bfloat16(device) else torch.float32)
    kind, index = getattr(known["diffusers"], card["config"]["architecture"]), read_json(folder, INDEX)
    absent = {part for part, named in index.items() if named == [None, None]} | UNUSED
    parts: dict[str, Any] = {part: None for part in absent if part in kind._optional_components or part in index}
    networks = networks_of(parts_of(index))
    try:
        for part, library in parts_of(index).items():
            if part in networks:
                parts[part] = network(folder, part, getattr(known[library], index[part][1]), card, dtype)
                if economy.weights == "8-bit" and part != "vae":  # which is small, and of no matrices
                    quantize(parts[part])
        pipeline = kind.from_pretrained(str(folder), local_files_only=True, **parts)
    except BROKEN as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError("the pipeline cannot be opened ({reason})", reason=reason_of(error)) from error
    pipeline.set_progress_bar_config(disable=True)
    place(pipeline, device, economy.offload)
    return pipeline, card


def open_control(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """A ControlNet. Raises CheckpointError."""
    return open_network(folder, "", "diffusers", read_card(folder)["config"]["architecture"], device, dtype)


def open_image_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """What sees pictures for an IP-adapter. Raises CheckpointError."""
    return open_network(folder, IMAGE_ENCODER, "transformers", "CLIPVisionModelWithProjection", device, dtype)


def open_network(folder: Path, part: str, library: str, kind: str, device: torch.device, dtype: torch.dtype) -> Any:
    """One that joins a pipeline. Raises CheckpointError."""
    try:
        return network(folder, part, getattr(packages()[library], kind), read_card(folder), dtype).to(device)
    except BROKEN as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError("the network cannot be opened ({reason})", reason=reason_of(error)) from error


def network(folder: Path, part: str, kind: Any, card: dict[str, Any], dtype: torch.dtype) -> Any:
    """One part, with all of its weights: the packages fill in by chance what a file lacks. Raises CheckpointError."""
    made, told = kind.from_pretrained(
        str(folder / part),
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        variant=variant_of(card, part),
        output_loading_info=True,
    )
    lacking = [*told["missing_keys"], *(key for key, *_ in told.get("mismatched_keys", ()))]
    if lacking:
        raise CheckpointError("{name} is missing", name=f"{part}/{lacking[0]}".lstrip("/"))
    if not_finite(made.state_dict()):
        raise CheckpointError("the weights of {part} hold NaN or infinite numbers", part=part)
    return made.requires_grad_(False).eval()


def variant_of(card: dict[str, Any], part: str) -> str | None:
    """The word in the names of a part's weights, where there are no others, as in `model.fp16.safetensors`."""
    prefix = f"{part}/" if part else ""
    names = [name.removeprefix(prefix) for name in weights_of(card) if name.startswith(prefix)]
    words = {name.removesuffix(".safetensors").partition(".")[2].partition("-")[0] for name in names}
    return words.pop() or None if len(words) == 1 else None


def stored_type(folder: Path, card: dict[str, Any]) -> torch.dtype:
    """That of the numbers of the part that draws: so they are mapped from the disk, and take no memory."""
    known = ARCHITECTURES.get(card["config"].get("architecture"))
    first = next(name for name in weights_of(card) if known is None or name.startswith(f"{known.denoiser}/"))
    tensors, _ = read_header(folder / first)
    return TYPES.get(next(iter(tensors.values()))["dtype"], torch.float32)


def prove(folder: Path) -> None:
    """Raises CheckpointError where it could not be drawn with."""
    open_pipeline(folder, torch.device("cpu"), stored_type(folder, read_card(folder)))
