"""Folders in the layout of the package diffusers: what they must hold, and what they may not. Torch-free.

A pipeline is a folder with `model_index.json`, which names its parts, and a folder for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.contract.card import CheckpointError, write_card
from models.contract.files import is_relative, sha256_of
from models.contract.safetensors_header import check_header, count_numbers, read_header

INDEX, FAMILY = "model_index.json", "pipeline"
LIBRARIES = {"diffusers", "transformers"}
NEEDED = ("vae", "text_encoder", "tokenizer", "scheduler")
UNUSED = {"safety_checker", "feature_extractor", "image_encoder"}  # parts that are not loaded
KEPT = {".safetensors", ".json", ".txt", ".model"}  # endings of files that a pipeline is made of
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # how torch's own files begin
LARGEST_TEXT = 64 << 20  # bytes of a configuration, or a vocabulary
SCALED = ("scale_weight", "weight_scale", "scale_input", "scaled_fp8")  # what goes with some weights of 8 bits
SHARDS = ".safetensors.index.json"


@dataclass(frozen=True)
class Architecture:
    """`denoiser` is the part that draws, `size` the side that it was trained at where its configuration does not say
    it, `grid` what sides must be multiples of. `flows`: it matches flows, and has schedulers of its own. `negates`:
    it leads away from a negative prompt.
    """

    title: str
    denoiser: str
    size: int
    grid: int = 8
    guidance: float = 7.0
    flows: bool = False
    negates: bool = True


ARCHITECTURES = {
    "StableDiffusionPipeline": Architecture("Stable Diffusion", "unet", 512),
    "StableDiffusionXLPipeline": Architecture("Stable Diffusion XL", "unet", 1024, guidance=5.0),
    "StableDiffusion3Pipeline": Architecture("Stable Diffusion 3", "transformer", 1024, 16, 5.0, flows=True),
    "FluxPipeline": Architecture("FLUX", "transformer", 1024, 16, 3.5, flows=True, negates=False),
}
# By the names that artists know them by: class, and what is set.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DPM++ 2M Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "DDIM": ("DDIMScheduler", {}),
}
FLOW_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "Heun": ("FlowMatchHeunDiscreteScheduler", {}),
}


def schedulers_of(architecture: Architecture) -> dict[str, tuple[str, dict[str, Any]]]:
    return FLOW_SCHEDULERS if architecture.flows else SCHEDULERS


def make_card(folder: Path) -> dict[str, Any]:
    """Look a pipeline through, delete what it is not made of, and put a card beside it. Raises CheckpointError."""
    index = read_json(folder, INDEX)
    name = str(index.get("_class_name"))
    if (architecture := ARCHITECTURES.get(name)) is None:
        known = ", ".join(each.title for each in ARCHITECTURES.values())
        raise CheckpointError("{name} is not a pipeline that is known here: {known}", name=name[:80], known=known)
    parts = parts_of(index)
    if lacking := next((part for part in (architecture.denoiser, *NEEDED) if part not in parts), None):
        raise CheckpointError("{part} is missing in {index}", part=lacking, index=INDEX)
    found = files_of(folder)
    refuse_pickles(folder, found)
    for part, library in parts.items():
        check_part(folder, part, library)
    kept = [path for path in found if path == folder / INDEX or belongs(folder, path, set(parts))]
    for path in set(found) - set(kept):
        path.unlink()
    weights = [path for path in kept if path.suffix == ".safetensors"]
    for path in weights:
        check_weights(path)
    files = {path.relative_to(folder).as_posix(): sha256_of(path) for path in kept}
    shape = read_json(folder, f"{architecture.denoiser}/config.json")
    config = {"architecture": name, "grid": architecture.grid, "denoiser": architecture.denoiser}
    config |= {"size": side_of(shape.get("sample_size"), folder) or architecture.size, "width": width_of(shape)}
    said = {
        "family": FAMILY,
        "config": config,
        "schedulers": list(schedulers_of(architecture)),
        "parameters": sum(count_numbers(path) for path in weights),
    }
    return write_card(folder, said, files)


def check_weights(path: Path) -> None:
    """Raises CheckpointError."""
    check_header(path)
    tensors, _ = read_header(path)
    if scaled := next((name for name in tensors if name.endswith(SCALED)), None):
        raise CheckpointError("{name} scales weights in a way that is not known here", name=scaled[:200])


def parts_of(index: dict[str, Any]) -> dict[str, str]:
    """Parts that are loaded, each with the package that its class is of. Raises CheckpointError for foreign code."""
    found = {}
    for part, named in index.items():
        if part.startswith("_") or part in UNUSED or not isinstance(named, list) or len(named) != 2 or named[0] is None:
            continue
        if named[0] not in LIBRARIES or not is_relative(part):
            raise CheckpointError("{part} is of code that is not known here", part=part[:80])
        found[part] = str(named[0])
    return found


def networks_of(parts: Iterable[str]) -> list[str]:
    """Those of the parts that have weights."""
    return [part for part in parts if part != "scheduler" and not part.startswith("tokenizer")]


def lacking(folder: Path) -> list[str]:
    """Parts of a pipeline's folder that have no weights in it. Raises CheckpointError."""
    return [
        part
        for part in networks_of(parts_of(read_json(folder, INDEX)))
        if not any((folder / part).glob("*.safetensors"))
    ]


def check_configuration(folder: Path, part: str) -> None:
    """Raises CheckpointError, naming what is missing."""
    if part.startswith("tokenizer"):
        names = ("tokenizer.json", "vocab.json", "spiece.model")
        if not any((folder / part / name).is_file() for name in names):
            raise CheckpointError("{name} is missing", name=f"{part}/{names[0]}")
    else:
        read_json(folder, f"{part}/{'scheduler_' if part == 'scheduler' else ''}config.json")


def check_part(folder: Path, part: str, library: str) -> None:
    """Raises CheckpointError, naming what is missing."""
    check_configuration(folder, part)
    place = folder / part
    if networks_of([part]):
        stem = "diffusion_pytorch_model" if library == "diffusers" else "model"
        if not any(place.glob(f"{stem}*.safetensors")):
            raise CheckpointError("{name} is missing", name=f"{part}/{stem}.safetensors")
        for shards in place.glob(f"{stem}*{SHARDS}"):
            weight_map = read_json(folder, f"{part}/{shards.name}").get("weight_map")
            for shard in sorted(set(weight_map.values()) if isinstance(weight_map, dict) else ()):
                if not is_relative(str(shard)) or not (place / str(shard)).is_file():
                    raise CheckpointError("{name} is missing", name=f"{part}/{str(shard)[:80]}")


def refuse_pickles(folder: Path, files: list[Path]) -> None:
    """Whatever they are called: what is in them could run as code. Raises CheckpointError."""
    for path in files:
        with path.open("rb") as file:
            begins = file.read(4)
        if path.suffix in (".bin", ".ckpt", ".pt", ".pth", ".pkl") or begins.startswith(PICKLES):
            name = path.relative_to(folder).as_posix()
            raise CheckpointError("{name} may hold code and is not read: give safetensors", name=name[:200])


def belongs(folder: Path, path: Path, parts: set[str]) -> bool:
    name = path.relative_to(folder).as_posix()
    return path.suffix in KEPT and is_relative(name) and name.split("/")[0] in parts and "/" in name


def files_of(folder: Path) -> list[Path]:
    """Raises CheckpointError for a link, which may lead anywhere."""
    found = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    if link := next((path for path in found if path.is_symlink() or not path.is_file()), None):
        raise CheckpointError("{name} is no plain file", name=link.relative_to(folder).as_posix()[:200])
    return found


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Raises CheckpointError."""
    try:
        if (folder / name).stat().st_size > LARGEST_TEXT:
            raise CheckpointError("{name} is too large", name=name)
        found = json.loads((folder / name).read_text("utf-8"))
    except OSError as error:
        raise CheckpointError("{name} is missing", name=name) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("{name} is not JSON", name=name) from error
    if not isinstance(found, dict):
        raise CheckpointError("{name} is not JSON", name=name)
    return found


def side_of(cells: object, folder: Path) -> int | None:
    """In pixels, of a denoiser's `sample_size` in cells of the autoencoder."""
    if not isinstance(cells, int) or not 1 <= cells <= 512:
        return None
    widths = read_json(folder, "vae/config.json").get("block_out_channels")
    return cells * 2 ** (len(widths) - 1) if isinstance(widths, list) and 1 <= len(widths) <= 8 else None


def width_of(shape: dict[str, Any]) -> int | None:
    """Of the embedded words that a U-Net reads, or of a transformer's own stream: what adapters are built on."""
    words, heads, each = (
        shape.get(key) for key in ("cross_attention_dim", "num_attention_heads", "attention_head_dim")
    )
    if isinstance(words, int):
        return words
    return heads * each if isinstance(heads, int) and isinstance(each, int) else None
