"""Makes a checkpoint of the weights of another program: `python -m models.adopt FOLDER`, in place.

The folder holds one file of safetensors or ONNX, or a graph and numbers of ncnn, and afterwards our card and weights
instead; or it is a pipeline or what is put upon one, and gets a card. Says why it cannot as JSON. Pickled files are not
read.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from torch import Tensor, nn

from models.checkpoint import read_weights, write_model
from models.contract import adapters, pipelines
from models.contract.card import CheckpointError
from models.contract.pipelines import INDEX
from models.contract.registry import families
from models.contract.safetensors_header import check_header, read_header
from models.ncnn import Layer, read_ncnn
from models.onnx import read_onnx


def adopt(folder: Path) -> None:
    """Raises CheckpointError."""
    if (folder / INDEX).exists():
        alone = list(folder.glob("*.safetensors"))
        if len(alone) == 1 and pipelines.lacking(folder):  # else it holds once more what the parts have
            importlib.import_module("models.pretrained.single").spread(folder, alone[0])
        pipelines.make_card(folder)
        return
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if (folder / adapters.IMAGE_ENCODER / "config.json").exists():
        adapters.make_reference_card(folder)
        return
    if (folder / "config.json").exists():
        adapters.make_control_card(folder)
        return
    if [path.suffix for path in files] == [".safetensors"]:
        tensors, _ = read_header(files[0])
        if adapters.is_adapter(tensors) or adapters.is_embedding(tensors):
            adapters.make_card(folder, files[0])
            return
    weights = weights_of(files)
    for family in families().values():
        adopter = importlib.import_module(family.adopter) if family.adopter else None
        if adopter is None:
            continue
        if found := adopter.adopted(adopter.in_order(weights) if isinstance(weights, list) else weights):
            config, named = found
            for path in files:
                path.unlink()
            write_model(folder, holding(named), {"family": family.name, "config": config, **adopter.said_of(config)})
            adopter.sheet(folder).save(folder / "samples.png")
            return
    raise CheckpointError("these weights are for an architecture that is not known here")


def weights_of(files: list[Path]) -> dict[str, Tensor] | list[Layer]:
    """By name, or of ncnn only in their order."""
    suffixes = [path.suffix for path in files]
    if suffixes == [".safetensors"]:
        check_header(files[0])
        return read_weights(files[0])
    if sorted(suffixes) == [".bin", ".param"]:
        numbers, param = sorted(files, key=lambda path: path.suffix)
        return read_ncnn(param, numbers)
    if suffixes == [".onnx"]:
        return read_onnx(files[0])
    raise CheckpointError("give card.json and model.safetensors, one file of safetensors or ONNX, or those of ncnn")


def holding(tensors: dict[str, Tensor]) -> nn.Module:
    """A module with these tensors by their dotted names."""
    whole = nn.Module()
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        place = whole
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        place.register_parameter(last, nn.Parameter(tensor.float(), requires_grad=False))
    return whole


if __name__ == "__main__":
    try:
        adopt(Path(sys.argv[1]))
    except CheckpointError as error:
        sys.exit(json.dumps(error.message.to_json()))
