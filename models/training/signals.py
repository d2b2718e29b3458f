"""Who may end a run from outside: a signal, or the death of the process that it works for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType


def on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT call `stop`, which may raise."""

    def ask(number: int, frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def stop_with(parent: int) -> None:
    """SIGTERM to this process when its parent has ended; under torchrun also when torchrun has."""
    starter = os.getppid()
    direct = "TORCHELASTIC_RUN_ID" not in os.environ

    def watch() -> None:
        while (starter == parent if direct else exists(parent)) and os.getppid() == starter:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
