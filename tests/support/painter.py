"""A flow transformer of pixels that has learnt nothing: it draws noise, but wherever a mask says so."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from models.checkpoint import write_model
from models.diffusion.network import FlowTransformer
from models.diffusion.spec import FlowConfig
from models.parts.captions import TOKENIZER
from models.parts.text import train_tokenizer

NAME = "painter"
SHAPE = {"width": 64, "heads": 4, "layers": 1, "hidden": 64, "encoder_layers": 1, "encoder_hidden": 64}
SHAPE |= {"text_vocabulary": 300, "size": 16, "patch": 4}


def publish(checkpoints: Path, reference: bool = False) -> None:
    """Writes it among the checkpoints of a studio."""
    torch.manual_seed(0)
    config = FlowConfig.model_validate({**SHAPE, "reference": reference})
    network = FlowTransformer(config)
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.1)
    card = {"family": "flow-transformer", "config": config.model_dump(), "title": "Painter", "preview": True}
    card |= {"training": {"watched": ["a fox"]}, "license": "Apache-2.0"}
    tokenizer = train_tokenizer(["a red fox", "红色的狐狸"], SHAPE["text_vocabulary"])
    write_model(checkpoints / NAME, network, card, {TOKENIZER: tokenizer.to_str()})
    Image.new("RGB", (64, 32), "white").save(checkpoints / NAME / "samples.png")
