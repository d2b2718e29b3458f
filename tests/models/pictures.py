"""Pictures as a request is given them."""

from __future__ import annotations

from typing import Any

from models.contract.sampling import Inputs, as_pictures
from models.contract.tasks import IMAGE


def from_pictures(*images: Any) -> Inputs:
    """(H, W, 3) uint8 each."""
    return {IMAGE: as_pictures(list(images))}
