"""What a run does when its loss is no number any more, or when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from models.contract.message import MessageError
from models.training import parallel
from models.training.run import Diverged, Run


class TooLarge(MessageError):
    """There is not enough memory, even with the smallest pieces of a batch."""


def train_with_rollback(train: Callable[[Any, Any, Run], None], params: Any, data: Any, run: Run) -> None:
    """Train; go back to the last checkpoint once with half the learning rate after a divergence, and with smaller
    pieces of a batch each time that memory runs out. Raises Diverged, TooLarge.
    """
    diverged = False
    while True:
        try:
            return train(params, data, run)
        except Diverged as error:
            if diverged:
                raise
            diverged, run.rate = True, run.rate / 2
            run.log.say(f"{error}; back to the last checkpoint, with {run.rate:g} of the learning rate")
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if parallel.world() > 1:  # the others wait for this one in the middle of a step: all must start anew
                raise
            if run.pieces >= params.batch_size:
                raise TooLarge("there is not enough memory, not even for one picture at a time") from error
            run.pieces *= 2
            run.log.say(f"out of memory; back to the last checkpoint, with batches in {run.pieces} pieces")
        if run.device.type == "cuda":  # only here is the traceback, which holds the step's tensors, gone
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Torch's CPU allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
