"""What jobs and live frames are made from, and what is said when they cannot be made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from app.errors import Damaged, StorageFull
from app.media import pixels
from app.storage import get_storage


class InputMissing(Exception):
    """The file of a picture that a job works from is gone."""


def read_picture(digest: str) -> npt.NDArray[np.uint8]:
    """(H, W, 3) of a stored picture, transparency on white. Raises InputMissing."""
    try:
        content = get_storage().get(digest)
    except FileNotFoundError as error:
        raise InputMissing from error
    return np.asarray(pixels.on_white(content), dtype=np.uint8)


def reason(error: Exception) -> str:
    """In words for an artist."""
    if isinstance(error, Damaged):
        return error.detail
    if isinstance(error, InputMissing):
        return "A picture that this was to be made from is no longer there."
    if isinstance(error, StorageFull):
        return "The disk of the studio is full; ask an admin to make room, then try again."
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return "There was not enough memory for this; try fewer pictures at once."
    return "The model failed while it drew this. The log has the details under this job's id."
