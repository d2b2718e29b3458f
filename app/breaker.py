"""After a server failed it is left alone for a moment: what it would only have hinted must not wait for it again."""

from __future__ import annotations

import time


class Breaker:
    """Open for so many seconds after each `trip`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._tripped = float("-inf")

    @property
    def is_open(self) -> bool:
        return time.monotonic() - self._tripped < self.seconds

    def trip(self) -> None:
        self._tripped = time.monotonic()
