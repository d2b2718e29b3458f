"""Named steps of a job at which a test lets the process die, or hang: DANQING_CRASH_AT=step:N, or DANQING_HANG_AT, the
N-th time it is reached.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def reach(name: str) -> None:
    """Ends the process without any clean-up when this is the step asked for, or never goes on from it.

    DANQING_CRASH_ONCE names a file: with it the process dies once in all, not once a process.
    """
    _counts[name] = _counts.get(name, 0) + 1
    if is_at("DANQING_HANG_AT", name):
        time.sleep(3600)
    if not is_at("DANQING_CRASH_AT", name):
        return
    once = os.environ.get("DANQING_CRASH_ONCE")
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return
    os._exit(137)


def is_at(variable: str, name: str) -> bool:
    wanted, _, number = os.environ.get(variable, "").partition(":")
    return wanted == name and _counts[name] == int(number or 1)


_counts: dict[str, int] = {}
