"""What an operator says of how large models are run: memory and time against each other. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Economy:
    """`weights` "half", or "8-bit" for matrices; `offload` "auto", "always" or "never" keeps weights beside a GPU and
    brings each layer there as it is used; `compiles` the blocks of what draws; `first_block` from 0 (off) to 1: how
    little its first block may change from one step to the next for the others to be left out.
    """

    weights: str = "half"
    offload: str = "auto"
    compiles: bool = False
    first_block: float = 0.0


USUAL = Economy()
