"""What passes between whoever asks and a sampler: requests, outputs, previews. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from models.contract.message import Message, MessageError
from models.contract.tasks import IMAGE, LONGEST_PROMPT, TEXT_TO_IMAGE
from models.contract.values import Picture, Pixels, Value

BATCHES = (1, 2, 4, 8, 16)  # a batch is padded to one of these, so that few shapes occur
Inputs: TypeAlias = "dict[str, list[Value]]"  # by role


class Cancelled(Exception):
    """Raised by `on_step` to leave a sampler: the request is no longer wanted."""


class Unfit(MessageError):
    """Raised by a sampler for a request that it cannot draw, however often it is tried; the message says why."""


@dataclass
class Request:
    """One work to sample: its own seed, its task's parameters, and what it is given, by role.

    It is the `index`-th of its job's works.
    """

    task: str
    params: Any
    seed: int
    inputs: Inputs = field(default_factory=dict)
    index: int = 0

    @property
    def images(self) -> list[Pixels]:
        """(H, W, 3) uint8 each, of the role `image`."""
        return self.pictures(IMAGE)

    def pictures(self, role: str) -> list[Pixels]:
        """(H, W, 3) uint8 each."""
        return [given.pixels for given in self.inputs.get(role, []) if isinstance(given, Picture)]


def requests_of(params_of: Callable[..., Any], prompts: list[str], seed: int, **params: float) -> list[Request]:
    """One request a prompt, all with the same seed; for contact sheets and evaluation. Captions may be longer than
    prompts: their beginning is taken.
    """
    return [Request(TEXT_TO_IMAGE, params_of(prompt=prompt[:LONGEST_PROMPT], **params), seed) for prompt in prompts]


@dataclass
class Output:
    """One sampled work, and what is to be said of it. `alone` are parameters that give this very one when it is asked
    for by itself, where they differ from the request's; `remark` says what of the request was not used.
    """

    value: Value
    facts: dict[str, Any] = field(default_factory=dict)
    alone: dict[str, Any] = field(default_factory=dict)
    remark: Message | None = None

    @property
    def pixels(self) -> Pixels:
        """(H, W, 3) uint8 of a picture."""
        assert isinstance(self.value, Picture)
        return self.value.pixels


T = TypeVar("T")
Previews: TypeAlias = "list[Value]"  # one unfinished work a request
OnStep: TypeAlias = "Callable[[int, int, Callable[[], Previews]], None]"


def as_pictures(images: list[Pixels]) -> list[Value]:
    """(H, W, 3) uint8 each."""
    return [Picture(pixels) for pixels in images]


def padded(batch: list[T]) -> list[T]:
    """With its last entry repeated, up to the next of BATCHES."""
    return [*batch, *[batch[-1]] * (next(size for size in BATCHES if size >= len(batch)) - len(batch))]


@runtime_checkable
class SavesMemory(Protocol):
    """A sampler that can do with less memory, if slower."""

    def save_memory(self) -> bool:
        """From now on; False where nothing more can be saved."""
        ...


class Sampler(Protocol):
    """A loaded checkpoint. `batch_size` is how many requests it takes at once, `memory_bytes` what its weights hold."""

    batch_size: int

    @property
    def memory_bytes(self) -> int: ...

    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """Sample a batch. `on_step(step, total, previews)` is called as it goes; `previews()` draws only if called."""
        ...
