"""A made-up family that is nothing like a picture model: of a picture and an opening it writes verses, word by word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from models.checkpoint import write_model
from models.contract.family import Family
from models.contract.registry import families
from models.contract.sampling import OnStep, Output, Request
from models.contract.tasks import IMAGE, Input, SamplingParams, Sizes, Task
from models.contract.values import PICTURES, TEXTS, Picture, Text, Value

NAME, TASK, OPENING = "poet", "verse-writing", "opening"
COST = 8


class VerseParams(SamplingParams):
    """What a verse takes."""

    title: str = Field("", max_length=40, title="Title", json_schema_extra={"part": "subject"})
    meter: str = Field("iamb", max_length=10, title="Meter")


def batch_key(params: VerseParams, sizes: Sizes) -> str:
    return params.meter


def cost(params: VerseParams, sizes: Sizes) -> int:
    """Large pictures cost more: the sizes of what is given are known before it is read."""
    return COST * (2 if sizes[IMAGE][0]["width"] > 100 else 1)


FAMILY = Family(
    NAME,
    "Poet",
    tasks=(
        Task(
            TASK,
            "Verses",
            VerseParams,
            gives=TEXTS,
            inputs=(
                Input(IMAGE, "Picture to write of", PICTURES, 1, 2),
                Input(OPENING, "Opening lines", TEXTS, 0, 1),
            ),
            batch_key=batch_key,
            cost=cost,
        ),
    ),
    sampler=__name__,
)


class Poet:
    """`batches` are the sizes of those that were sampled; more than `room` works at once are too many."""

    batch_size, memory_bytes = 16, 4

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.room = self.batch_size

    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("there is none")
        self.batches.append(len(batch))
        verses = [verse(request) for request in batch]
        words = max(len(words.split(" ")) for words in verses)
        for step in range(1, words + 1):
            on_step(step, words, partial(so_far, verses, step))
        return [Output(Text(words), {"feet": 5}) for words in verses]


def so_far(verses: list[str], words: int) -> list[Value]:
    return [Text(" ".join(verse.split(" ")[:words])) for verse in verses]


def verse(request: Request) -> str:
    (picture, *others), opening = request.inputs[IMAGE], request.inputs.get(OPENING, [])
    assert isinstance(picture, Picture)
    first = opening[0].text if opening and isinstance(opening[0], Text) else "Once"
    shade = "light" if picture.pixels.mean() > 127 else "dark"
    last = f"of seed {request.seed} and {request.params.meter}."
    return f"{first}\nthere was a {shade} thing beside {len(others)} others,\n{last}"


POET = Poet()


def load(folder: Path, device: torch.device) -> Poet:
    return POET


@contextmanager
def published(checkpoints: Path) -> Iterator[Poet]:
    """The family is known and has a checkpoint of its own name."""
    POET.__init__()  # type: ignore[misc]
    write_model(checkpoints / NAME, torch.nn.Linear(1, 1), {"family": NAME, "title": "Poet", "config": {}})
    families()[NAME] = FAMILY
    try:
        yield POET
    finally:
        del families()[NAME]


def asked(image: str, opening: str | None = None, **params: Any) -> dict[str, Any]:
    """A request over the API; ids of uploads."""
    inputs = {IMAGE: [{"upload": image}], **({OPENING: [{"upload": opening}]} if opening else {})}
    return {"model": NAME, "task": TASK, "params": {"seed": 5, **params}, "inputs": inputs}
