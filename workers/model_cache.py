"""Loaded checkpoints of this process: the least recently used goes when memory is short."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import structlog
import torch

from app.checkpoints import distribution
from app.checkpoints import service as checkpoints
from app.checkpoints.service import Checkpoint
from app.database import session_scope
from app.errors import NotFound
from app.machines.liveness import alive
from app.settings import get_settings
from models.checkpoint import CheckpointError
from models.contract.card import weights_of
from models.contract.economy import Economy
from models.contract.message import Message
from models.contract.safetensors_header import bytes_loaded
from models.contract.sampling import Sampler

log = structlog.get_logger()
_lock = threading.Lock()
# Of a container, by the second version of control groups and by the first.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
LOADED_PER_SECOND = 500e6  # bytes of weights, from a local disk
WORTH_WAITING = 0.5  # seconds
LACKING_SECONDS = 20.0  # until a worker looks again whether it has a checkpoint now
Key = tuple[str, str, tuple[str, ...]]  # name, SHA-256, those of what it is built on
_lacking: dict[tuple[str, str], float] = {}
_loading: dict[Key, threading.Lock] = {}
_loaded: OrderedDict[Key, Sampler] = OrderedDict()


def device() -> torch.device:
    wanted = get_settings().device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def economy() -> Economy:
    """As the operator says how large models are run."""
    said = get_settings()
    return Economy(said.pipeline_weights, said.pipeline_offload, said.pipeline_compile, said.pipeline_first_block)


def limit_threads() -> None:
    """Half of the cores draw, by each thread that calls this; the rest is for the web process and for training.

    OpenMP threads that wait for a core which a training run holds spin, and a picture of 0.4 s then takes 20 s.
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))


def warm() -> None:
    """Load the first model of the catalogue, so that the first picture is quick. A broken one must not stop us."""
    for found in list(checkpoints.catalogue().values())[:1]:
        try:
            sampler(found.name, found.sha256)
        except Exception as error:
            log.error("model_not_loaded", model=found.name, error=str(error))


def checkpoint(name: str) -> Checkpoint:
    """Raises CheckpointError when it is gone since the job was taken."""
    try:
        return checkpoints.get(name)
    except NotFound as error:
        raise CheckpointError("the model {name} is no longer there", name=name) from error


def missing(name: str, sha256: str) -> Message | None:
    """Why this worker leaves a job of that checkpoint to another, in words for who waits; None where it need not.

    One that is here with other weights, and cannot be had with these, has been replaced: to load it says so, and ends
    the job.
    """
    held = checkpoints.cards().get(name)
    if held is not None and held["sha256"] == sha256:
        return None
    if distribution.fetch(name, sha256) or held is not None:  # the web process may know of another sooner than this one
        return None
    _lacking[name, sha256] = time.monotonic() + LACKING_SECONDS
    return Message("No running worker has the model {name} yet; this waits for one that does", name=name)


def lacking() -> set[tuple[str, str]]:
    """Checkpoints that were missing here a moment ago."""
    now = time.monotonic()
    for key in [key for key, until in _lacking.items() if until < now]:
        del _lacking[key]
    return set(_lacking)


def sampler(name: str, sha256: str) -> Sampler:
    """The checkpoint `name` with these very weights. Raises CheckpointError when it is gone, broken or another one.

    Jobs and live frames may want the same at once: it is loaded once. Another one is not waited for.
    """
    key = (name, sha256, built_on(name))
    with _lock:
        if key in _loaded:
            _loaded.move_to_end(key)
            return _loaded[key]
        loading = _loading.setdefault(key, threading.Lock())
    with loading:
        with _lock:
            if key in _loaded:  # meanwhile, by the other
                return _loaded[key]
        made = load(name, sha256)
        with _lock:
            _loaded[key] = made
            _loading.pop(key, None)
        return made


def load(name: str, sha256: str) -> Sampler:
    found = checkpoint(name)
    if found.sha256 != sha256:
        raise CheckpointError("the model {name} has been replaced since this was requested", name=name)
    if found.family.sampler is None:
        raise CheckpointError("the model {name} cannot draw", name=name)
    began = time.perf_counter()
    make_room(footprint(found))
    more = {"economy": economy()} if found.family.economizes else {}
    made: Sampler = importlib.import_module(found.family.sampler).load(found.folder, device(), **more)
    beside = {"beside_the_gpu": True} if getattr(made, "is_beside", False) else {}
    log.info("model_loaded", model=name, seconds=round(time.perf_counter() - began, 2), device=str(device()), **beside)
    return made


def footprint(found: Checkpoint) -> int:
    """Bytes that its weights will hold, with those that it draws with, as the headers of the files say."""
    known = checkpoints.checkpoints()
    parts = [found, *(known[part["name"]] for part in found.card.get("builds_on", []) if part["name"] in known)]
    return sum(
        bytes_loaded(part.folder / name, part.family.number_bytes) for part in parts for name in weights_of(part.card)
    )


def make_room(wanted: int) -> None:
    """Before so much is loaded, those go that were used longest ago; what a job still draws with stays until it is
    done.
    """
    budget = get_settings().model_cache_mib << 20
    with _lock:
        while _loaded and wanted + sum(each.memory_bytes for each in _loaded.values()) > budget:
            (old, *_), _ = _loaded.popitem(last=False)
            log.info("model_unloaded", model=old)
    give_memory_back()


def make_room_beside(name: str) -> bool:
    """Unload all other models; whether there were any."""
    with _lock:
        others = [key for key in _loaded if key[0] != name]
        for key in others:
            del _loaded[key]
    give_memory_back()
    return bool(others)


def give_memory_back() -> None:
    """Not inside of `except`: until it is left, a traceback holds the tensors of what was tried."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def built_on(name: str) -> tuple[str, ...]:
    """SHA-256 of what a model draws with, as it is now: it may have been replaced under its name."""
    known = checkpoints.cards()
    parts = known.get(name, {}).get("builds_on", [])
    return tuple(str(known.get(part["name"], {}).get("sha256")) for part in parts)


def loaded() -> list[str]:
    return list(dict.fromkeys(name for name, *_ in _loaded))


def loaded_elsewhere(queue: str, worker: str) -> dict[str, float]:
    """Models that other workers have loaded and this one has not, each with the seconds that loading it here would
    take: for so long a new job of it is better left to them.
    """
    with session_scope(writing=False) as session:
        others = {name for other in alive(session, queue) if other.name != worker for name in other.models}
    known, found = checkpoints.catalogue() if others else {}, {}
    for name in others - {*loaded()} & known.keys():
        with contextlib.suppress(OSError, CheckpointError):  # it is being replaced, or broken: to load it says so
            seconds = footprint_of(name, known[name].sha256) / LOADED_PER_SECOND
            if seconds >= WORTH_WAITING:
                found[name] = seconds
    return found


@lru_cache(maxsize=64)
def footprint_of(name: str, sha256: str) -> int:
    return footprint(checkpoint(name))


def memory() -> tuple[int, int]:
    """(total, used) bytes: of the GPU, else of this machine and this process."""
    import psutil

    where = device()
    if where.type == "cuda":
        free, total = torch.cuda.mem_get_info(where)
        return total, total - free
    total = psutil.virtual_memory().total
    for limit in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max", or a very large number, where there is none
            total = min(total, int(limit.read_text("ascii")))
    return total, psutil.Process(os.getpid()).memory_info().rss


def device_name() -> str:
    where = device()
    return torch.cuda.get_device_name(where) if where.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
