"""Worker processes: configuration and signals. Start with `danqing worker`."""

from __future__ import annotations

import os
import socket
import threading
import warnings

import structlog
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutdown, worker_shutting_down
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

import app.tables  # noqa: F401
from app.admin.tables import Worker
from app.database import engine, now, session_scope
from app.logs import configure_logging
from app.queue import celery_app
from app.settings import get_settings
from app.sweeper import sweep_forever
from workers import gauging, shutdown
from workers.gauging import gauge_when_idle

REPORT_SECONDS = 10.0
log = structlog.get_logger()
celery_app.conf.update(worker_proc_alive_timeout=180.0, imports=["workers.tasks"], worker_max_tasks_per_child=None)


def worker_name() -> str:
    """The same in the worker's main process and in its child: the child inherits the variable."""
    return os.environ.setdefault("DANQING_WORKER", f"{socket.gethostname()}-{os.getpid()}")


@worker_process_init.connect
def start_child(**_: object) -> None:
    """Torch, models and database connections live in the child alone: none of them survives a fork."""
    configure_logging(get_settings().log_format)
    engine().dispose(close=False)
    stop = threading.Event()
    queue = os.environ.get("DANQING_QUEUE", "generation")
    if queue == "generation":
        limit_threads()
        warm()
    targets = [sweep_forever, report_forever, explore_forever if queue == "generation" else gauge_when_idle]
    for target in targets:
        threading.Thread(target=target, args=(stop,), daemon=True, name=target.__name__).start()
    worker_process_shutdown.connect(lambda **_: stop.set(), weak=False)


def limit_threads() -> None:
    """Half of the cores draw; the rest is for the web process and for training.

    OpenMP threads that wait for a core which a training run holds spin, and a picture of 0.4 s then takes 20 s.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))


def warm() -> None:
    """Load the first model of the catalogue, so that the first picture is quick. A broken one must not stop us."""
    from app.checkpoints import service as checkpoints
    from workers import model_cache

    for found in list(checkpoints.catalogue().values())[:1]:
        try:
            model_cache.sampler(found.name, found.sha256)
        except Exception as error:
            log.error("model_not_loaded", model=found.name, error=str(error))


def explore_forever(stop: threading.Event) -> None:
    """Live frames, with this thread's own share of the cores."""
    from workers.explore import explore_forever as run

    limit_threads()
    run(stop)


def report_forever(stop: threading.Event) -> None:
    while True:
        try:
            report()
        except Exception as error:
            log.warning("report_failed", error=str(error))
        if stop.wait(REPORT_SECONDS):
            return


def report() -> None:
    """Tell the database that this worker lives, on what device and with how much memory."""
    from workers import model_cache

    total, used = model_cache.memory()
    with session_scope() as session:
        row = session.get(Worker, worker_name())
        if row is None:
            row = Worker(name=worker_name(), queue=os.environ.get("DANQING_QUEUE", "generation"))
            forget_dead(session, row)
            session.add(row)
        row.device, row.memory_total, row.memory_used = model_cache.device_name(), total, used
        row.models, row.speed, row.seen_at = model_cache.loaded(), gauging.speed, now()


def forget_dead(session: Session, beside: Worker) -> None:
    """Workers of this machine that were killed: they would count as alive for a minute, and as sharing its memory."""
    import psutil

    for row in session.scalars(select(Worker).where(Worker.queue == beside.queue)):
        process = row.name.rpartition("-")[2]
        if row.machine == beside.machine and process.isdigit() and not psutil.pid_exists(int(process)):
            session.delete(row)


@worker_shutting_down.connect
def announce_shutdown(**_: object) -> None:
    """A training run saves its state and goes back to the queue."""
    shutdown.begun.set()


@worker_shutdown.connect
def leave(**_: object) -> None:
    """The child is gone by now: what it held goes back to the queue, at no cost to the jobs."""
    from workers.lease import give_back_all

    try:
        given_back = give_back_all(worker_name())
        with session_scope() as session:
            session.execute(delete(Worker).where(Worker.name == worker_name()))
        log.info("worker_stopped", given_back=given_back)
    except Exception as error:
        log.warning("leaving_failed", error=str(error))


def main(queue: str) -> None:
    """Run a worker of one queue until SIGTERM or SIGINT; a second signal, or the timeout, ends it at once."""
    os.environ["DANQING_QUEUE"] = queue
    worker_name()
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
