"""Adapters that are put upon a pipeline for one batch, and taken off after it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import CheckpointError, find, opened, read_card
from models.contract.adapters import CONTROL, EMBEDDING, LORA, MOST, REFERENCE, Adapter
from models.contract.card import WEIGHTS
from models.contract.sampling import Unfit
from models.pretrained.economy import device_of
from models.pretrained.load import open_control, open_image_encoder, stored_type
from models.training.recovery import is_out_of_memory

KEPT = 4  # adapters that stay loaded beside the pipeline


class Adapters:
    """Those of one pipeline, looked for in `checkpoints`: what a batch did not ask for is never in effect."""

    def __init__(self, pipeline: Any, checkpoints: Path) -> None:
        self.pipeline, self.checkpoints = pipeline, checkpoints
        self.loaded: OrderedDict[str, None] = OrderedDict()  # by hash, the one that was used last at the end

    @contextmanager
    def on(self, asked: list[Adapter]) -> Iterator[None]:
        """With those that change the networks. Raises Unfit for one that is gone, replaced, or built on another
        pipeline.
        """
        weights = {}
        for adapter in asked:
            folder, card = find_adapter(adapter, self.checkpoints)
            if card["family"] == LORA:
                weights[self.load(adapter, folder, card)] = adapter.weight
        if not weights:
            yield
            return
        self.pipeline.enable_lora()
        self.pipeline.set_adapters(list(weights), list(weights.values()))
        try:
            yield
        finally:
            self.pipeline.disable_lora()

    def learnt(self, asked: list[Adapter]) -> dict[str, tuple[list[torch.Tensor], float]]:
        """Words among what is asked for, with their vectors for each encoder. Raises Unfit."""
        made = {}
        for adapter in asked:
            folder, card = find_adapter(adapter, self.checkpoints)
            if card["family"] == EMBEDDING:
                made[adapter.name] = vectors_in(folder), adapter.weight
        return made

    def load(self, adapter: Adapter, folder: Path, card: dict[str, Any]) -> str:
        """What the pipeline calls it."""
        key = f"lora_{card['sha256'][:16]}"
        if key not in self.loaded:
            self.make_room()
            try:
                self.pipeline.load_lora_weights(str(folder), weight_name=WEIGHTS, adapter_name=key)
            except (ValueError, RuntimeError, KeyError, OSError) as error:
                if is_out_of_memory(error):
                    raise
                if key in self.held():  # what of it was put on before it turned out not to fit
                    self.pipeline.delete_adapters(key)
                raise Unfit("The adapter {name} is not built on this model", name=adapter.name) from error
            if key not in self.held():
                raise Unfit("The adapter {name} is not built on this model", name=adapter.name)
        self.loaded[key] = None
        self.loaded.move_to_end(key)
        return key

    def make_room(self) -> None:
        while len(self.loaded) >= KEPT + MOST:
            key, _ = self.loaded.popitem(last=False)
            self.pipeline.delete_adapters(key)

    def held(self) -> set[str]:
        """What the pipeline has of adapters, by its names for them."""
        return {name for names in self.pipeline.get_list_adapters().values() for name in names}


class Joined:
    """Networks that have joined a pipeline, by the hash of their weights; the `most` that were used last stay."""

    def __init__(self, pipeline: Any, most: int, opens: Callable[[Path, torch.device, torch.dtype], Any]) -> None:
        self.pipeline, self.most, self.opens = pipeline, most, opens
        self.networks: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, name: str, folder: Path) -> Any:
        """That of the adapter `name`. Raises Unfit where it is broken."""
        if key not in self.networks:
            while len(self.networks) >= self.most:
                self.networks.popitem(last=False)
            try:
                self.networks[key] = self.opens(folder, device_of(self.pipeline), self.pipeline.dtype)
            except CheckpointError as error:
                raise Unfit("{name} cannot be used: {reason}", name=name, reason=error.message) from error
        self.networks.move_to_end(key)
        return self.networks[key]


def find_adapter(adapter: Adapter, checkpoints: Path) -> tuple[Path, dict[str, Any]]:
    """(folder, card). Raises Unfit for one that is gone or replaced."""
    try:
        folder = find(adapter.name, checkpoints)
        card = read_card(folder)
    except CheckpointError as error:
        raise Unfit("There is no adapter {name}", name=adapter.name) from error
    if card["family"] not in (LORA, EMBEDDING, CONTROL, REFERENCE):
        raise Unfit("There is no adapter {name}", name=adapter.name)
    if adapter.sha256 not in (None, card["sha256"]):
        raise Unfit("The adapter {name} has been replaced since this was requested", name=adapter.name)
    return folder, card


def vectors_in(folder: Path) -> list[torch.Tensor]:
    """(n, D) for the first encoder, and for the second where there is one."""
    _, tensors = opened(folder)
    names = sorted(tensors, reverse="clip_l" in tensors)  # clip_l, clip_g; but text_encoders_0, text_encoders_1
    return [tensors[name].reshape(-1, tensors[name].shape[-1]) for name in names]


def load(folder: Path, device: torch.device, published: Path | None = None) -> Any:
    """The tensors of an adapter, or a ControlNet. Raises CheckpointError when it is broken."""
    if (card := read_card(folder))["family"] == CONTROL:
        return open_control(folder, device, stored_type(folder, card))
    _, tensors = opened(folder)
    if card["family"] == REFERENCE:
        open_image_encoder(folder, device, stored_type(folder, card))
    return tensors
