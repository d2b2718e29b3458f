"""Reads the numbers of an ONNX graph by their names; nothing of the graph itself runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.contract.card import CheckpointError


def read_onnx(path: Path) -> dict[str, Tensor]:
    """The tensors that the file itself holds. Raises CheckpointError."""
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from onnx import numpy_helper
    except ImportError as error:
        raise CheckpointError("{name} needs the package {package}", name=path.name, package="onnx") from error
    try:
        graph = onnx.load_model(path, load_external_data=False).graph
        if any(each.data_location == onnx.TensorProto.EXTERNAL for each in graph.initializer):
            raise CheckpointError("{name} keeps its numbers in other files", name=path.name)
        return {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    except (DecodeError, ValueError, TypeError, OSError, RuntimeError) as error:
        raise CheckpointError("{name} cannot be read ({reason})", name=path.name, reason=error) from error
