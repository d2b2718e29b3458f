"""What jobs and live frames are made from, and what is said when they cannot be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import Damaged, StorageFull
from app.media import decoded
from app.storage import get_storage
from models.contract.message import Message
from models.contract.sampling import Inputs, Unfit
from models.contract.values import Value
from models.training.recovery import is_out_of_memory


class InputMissing(Exception):
    """The file of something that a job works from is gone."""


def read_inputs(kept: Mapping[str, Sequence[Mapping[str, Any]]]) -> Inputs:
    """By role. Raises InputMissing."""
    return {role: [read_input(each["sha256"], each["media_type"]) for each in found] for role, found in kept.items()}


def read_input(digest: str, media_type: str) -> Value:
    """Raises InputMissing."""
    try:
        content = get_storage().get(digest)
    except FileNotFoundError as error:
        raise InputMissing from error
    return decoded(content, media_type)


def reason(error: Exception) -> Message:
    """In words for an artist."""
    if isinstance(error, Damaged | Unfit):
        return error.message
    if isinstance(error, InputMissing):
        return Message("One of the pictures to work from is no longer there.")
    if isinstance(error, StorageFull):
        return Message("The disk of the studio is full; ask an admin to make room, then try again.")
    if is_out_of_memory(error):
        return Message("There was not enough memory for this, not even for one work at a time; try a smaller one.")
    return Message("The model failed while it drew this. The log has the details under this job's id.")
