"""Worker processes: configuration and signals. Start with `danqing worker`.

Celery's main process hears doorbells; its one child holds torch and the models, and works in a thread of its own
(`workers.loop`), which no state of the broker can stop.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module

import psutil
import structlog
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutdown, worker_shutting_down
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

import app.tables  # noqa: F401
from app.database import engine, now, session_scope
from app.jobs import pauses
from app.jobs.queue import bell, celery_app
from app.jobs.registry import queues
from app.logs import configure_logging
from app.machines.tables import Worker
from app.outages import in_words
from app.settings import get_settings
from app.upkeep.sweeping import sweep_forever
from workers import gauging, loop, shutdown

REPORT_SECONDS = 5.0
log = structlog.get_logger()
celery_app.conf.update(
    worker_proc_alive_timeout=180.0,
    imports=["workers.tasks"],
    worker_max_tasks_per_child=None,
    task_queues=[bell(name) for name in queues()],
)


def worker_name() -> str:
    """The same in the worker's main process, which sets the variable, and in its child, which inherits it."""
    return os.environ["DANQING_WORKER"]


def machine_name() -> str:
    """Of the machine whose processes this one sees: two containers may have one host name, and both a process 1."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    return socket.gethostname()


def is_paused() -> bool:
    with session_scope(writing=False) as session:
        return pauses.is_paused(session, queue_name())


def queue_name() -> str:
    return os.environ["DANQING_QUEUE"]


@worker_process_init.connect
def start_child(**_: object) -> None:
    """Torch, models and database connections live in the child alone: none of them survives a fork."""
    configure_logging(get_settings().log_format)
    engine().dispose(close=False)
    stop = threading.Event()
    beside(stop, sweep_forever, report_forever)
    worker = threading.Thread(target=work_forever, args=(stop,), daemon=True, name="work")
    worker.start()
    worker_process_shutdown.connect(partial(end_child, stop, worker), weak=False)


def beside(stop: threading.Event, *targets: Callable[[threading.Event], None]) -> None:
    for target in targets:
        threading.Thread(target=target, args=(stop,), daemon=True, name=target.__name__).start()


def end_child(stop: threading.Event, worker: threading.Thread, **_: object) -> None:
    """The process ends when this returns: what the worker has begun ends, or goes back to the queue, before."""
    shutdown.begin()
    stop.set()
    loop.wake()
    worker.join(shutdown.LONGEST_SECONDS)


def work_forever(stop: threading.Event) -> None:
    work = import_module(queues()[queue_name()].work)
    beside(stop, *work.BESIDE)
    work.prepare()
    loop.work_forever(stop, lambda: not is_paused() and work.work_once(queue_name(), worker_name()))


def report_forever(stop: threading.Event) -> None:
    while True:
        try:
            report()
        except Exception as error:
            log.warning("report_failed", error=in_words(error))
        if stop.wait(REPORT_SECONDS):
            return


def report() -> None:
    """Tell the database that this worker lives, on what device and with how much memory."""
    from workers import model_cache

    total, used = model_cache.memory()
    with session_scope() as session:
        row = session.get(Worker, worker_name())
        if row is None:
            row = Worker(name=worker_name(), queue=queue_name(), machine=machine_name(), process=os.getppid())
            forget_dead(session, row)
            session.add(row)
        row.device, row.memory_total, row.memory_used = model_cache.device_name(), total, used
        row.models, row.speed = model_cache.loaded(), gauging.speed
        row.seen_at, row.claimed_at = now(), loop.claimed_at


def forget_dead(session: Session, beside: Worker) -> None:
    """Workers of this machine that were killed: they would count as alive for a minute, and as sharing its memory."""
    for row in session.scalars(select(Worker).where(Worker.machine == beside.machine)):
        if not psutil.pid_exists(row.process):
            session.delete(row)


@worker_shutting_down.connect
def announce_shutdown(**_: object) -> None:
    """What is in hand ends soon or goes back to the queue; a training run saves its state. Whatever hangs is ended."""
    if not shutdown.begun.is_set():
        shutdown.begin()
        threading.Thread(target=end_at_last, daemon=True, name="last").start()


def end_at_last() -> None:
    time.sleep(shutdown.LONGEST_SECONDS)
    log.warning("worker_ended", seconds=shutdown.LONGEST_SECONDS)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    threading.Thread(target=leave, daemon=True).start()  # the database may hang as well
    time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


@worker_shutdown.connect
def leave(**_: object) -> None:
    """The child is gone by now: what it held goes back to the queue, at no cost to the jobs."""
    from workers.lease import release_all

    try:
        given_back = release_all(worker_name())
        with session_scope() as session:
            session.execute(delete(Worker).where(Worker.name == worker_name()))
        log.info("worker_stopped", given_back=given_back)
    except Exception as error:
        log.warning("leaving_failed", error=in_words(error))


def main(queue: str) -> None:
    """Run a worker of one queue until SIGTERM or SIGINT; a second signal, or the timeout, ends it at once."""
    os.environ["DANQING_QUEUE"] = queue
    os.environ["DANQING_WORKER"] = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    configure_logging(get_settings().log_format)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # JSON only: root is no worse here than elsewhere
    celery_app.worker_main(
        [
            "--quiet",
            "worker",
            "--queues",
            queue,
            "--hostname",
            f"{queue}-{os.getpid()}@%h",
            "--loglevel",
            "WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
