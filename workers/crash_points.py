"""Named steps of a job at which a test lets the process die: DANQING_CRASH_AT=step:N, N-th time it is reached."""

from __future__ import annotations

import os
from pathlib import Path


def reach(name: str) -> None:
    """Ends the process without any clean-up when this is the step asked for.

    DANQING_CRASH_ONCE names a file: with it the process dies once in all, not once a process.
    """
    wanted, _, number = os.environ.get("DANQING_CRASH_AT", "").partition(":")
    if wanted != name:
        return
    _counts[name] = _counts.get(name, 0) + 1
    if _counts[name] != int(number or 1):
        return
    once = os.environ.get("DANQING_CRASH_ONCE")
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return
    os._exit(137)


_counts: dict[str, int] = {}
