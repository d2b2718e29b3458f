"""Large pipelines on small cards, and in less time: weights of 8 bits, weights beside the GPU, compiled blocks, and
blocks that are left out where little changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from models.parts.placed import bytes_of
from models.training.recovery import is_out_of_memory

FOR_WORK = 1.3  # times the weights: what is free on a GPU must hold them, and what is computed
BLOCKS = ("JointTransformerBlock",)  # that repeat, where the package does not say which


def quantize(network: nn.Module) -> None:
    """Its matrices in 8 bits, each row with a scale; they are computed with in the type of what comes in."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(network, Int8WeightOnlyConfig(set_inductor_config=False))


def place(pipeline: Any, device: torch.device, offload: str) -> None:
    """On the device, or beside it where it is too small and `offload` allows that. Raises OutOfMemoryError."""
    if device.type == "cuda" and (offload == "always" or (offload == "auto" and not has_room(pipeline, device))):
        keep_beside(pipeline, device)
        return
    try:
        pipeline.to(device)
        return
    except Exception as error:
        if offload == "never" or not is_out_of_memory(error):
            raise
    keep_beside(pipeline, device)  # out of `except`, whose traceback holds tensors


def has_room(pipeline: Any, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return FOR_WORK * bytes_of(*modules_of(pipeline)) < free


def keep_beside(pipeline: Any, device: torch.device) -> None:
    """Weights stay in ordinary memory, and each layer is brought to the device as it is used: several times slower."""
    aside = torch.device("cpu")
    for network in modules_of(pipeline):
        network.to(aside)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    for module in (each for network in modules_of(pipeline) for each in network.modules()):
        module._compiled_call_impl = None  # layers that come and go are called one by one
    pipeline.enable_group_offload(device, aside, "leaf_level")


def keep_beside_too(network: nn.Module) -> None:
    """What has joined a network, or left it, since its layers were told to come and go."""
    from diffusers.hooks.group_offloading import _maybe_remove_and_reapply_group_offloading

    _maybe_remove_and_reapply_group_offloading(network)


def is_beside(pipeline: Any) -> bool:
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    return any(_is_group_offload_enabled(network) for network in modules_of(pipeline))


def device_of(pipeline: Any) -> torch.device:
    """Where it computes, wherever its weights are."""
    found: torch.device = pipeline._execution_device
    return found


def compile_blocks(denoiser: nn.Module, **how: Any) -> None:
    """The blocks that repeat, and not the whole: they are compiled once for all. `how` is given to torch."""
    repeated = getattr(denoiser, "_repeated_blocks", None) or BLOCKS
    for module in denoiser.modules():
        if type(module).__name__ in repeated:
            module.compile(**how)


def leave_out_blocks(denoiser: Any, threshold: float) -> bool:
    """From now on all blocks but the first are left out of a step where that one changes less than `threshold`, as a
    share, and what they changed at the step before is taken; False for a network that does not know how.
    """
    from diffusers import FirstBlockCacheConfig

    if not hasattr(denoiser, "enable_cache"):
        return False
    denoiser.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    return True


@contextmanager
def whole(denoiser: Any, threshold: float) -> Iterator[None]:
    """While a network that leaves out blocks follows a ControlNet, which adds to every block, it leaves out none."""
    denoiser.disable_cache()
    try:
        yield
    finally:
        leave_out_blocks(denoiser, threshold)


@contextmanager
def by_itself(denoiser: Any) -> Iterator[None]:
    """While one picture is drawn by a network that leaves out blocks: the next one begins anew, however this ends."""
    with denoiser.cache_context("drawing"):
        try:
            yield
        finally:
            denoiser._reset_stateful_cache()


def modules_of(pipeline: Any) -> list[nn.Module]:
    return [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
