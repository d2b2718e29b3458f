"""What passes between whoever asks and a sampler: requests, outputs, previews. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:  # the web process declares models, it does not compute
    import numpy as np
    import numpy.typing as npt
from models.contract.tasks import LONGEST_PROMPT, TEXT_TO_IMAGE

BATCHES = (1, 2, 4, 8, 16)  # a batch is padded to one of these, so that few shapes occur


class Cancelled(Exception):
    """Raised by `on_step` to leave a sampler: the request is no longer wanted."""


@dataclass
class Request:
    """One picture to sample: its own seed, its task's parameters, and the pictures that it is given.

    `images` are (H, W, 3) uint8 of any size. It is the `index`-th of its job's pictures.
    """

    task: str
    params: Any
    seed: int
    images: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    index: int = 0


def requests_of(params_of: Callable[..., Any], prompts: list[str], seed: int, **params: float) -> list[Request]:
    """One request a prompt, all with the same seed; for contact sheets and evaluation. Captions may be longer than
    prompts: their beginning is taken.
    """
    return [Request(TEXT_TO_IMAGE, params_of(prompt=prompt[:LONGEST_PROMPT], **params), seed) for prompt in prompts]


@dataclass
class Output:
    """One sampled work. For pictures `pixels` is (H, W, 3) uint8."""

    pixels: npt.NDArray[np.uint8]
    metadata: dict[str, Any] = field(default_factory=dict)


T = TypeVar("T")
Previews: TypeAlias = "list[npt.NDArray[np.uint8]]"  # one unfinished picture a request
OnStep: TypeAlias = "Callable[[int, int, Callable[[], Previews]], None]"


def padded(batch: list[T]) -> list[T]:
    """With its last entry repeated, up to the next of BATCHES."""
    return [*batch, *[batch[-1]] * (next(size for size in BATCHES if size >= len(batch)) - len(batch))]


class Sampler(Protocol):
    """A loaded checkpoint. `batch_size` is how many requests it takes at once."""

    batch_size: int
    memory_bytes: int

    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """Sample a batch. `on_step(step, total, previews)` is called as it goes; `previews()` draws only if called."""
        ...
