"""Whether this worker is shutting down: set in its main process, read in the child that works."""

from __future__ import annotations

import multiprocessing

begun = multiprocessing.get_context("fork").Event()
