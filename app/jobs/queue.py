"""The Celery instance, its queues and the doorbell. Redis carries doorbells only: the database is the queue."""

from __future__ import annotations

import threading

import structlog
from celery import Celery
from kombu.entity import Exchange, Queue

from app.breaker import Breaker
from app.settings import get_settings

RING = "danqing.ring"  # the one task: "there is work on this queue"
log = structlog.get_logger()


def make_celery() -> Celery:
    """JSON only, no results, nothing to acknowledge: leases recover work, not the broker.

    A broker that stalls must cost nothing but doorbells. An acknowledgement that failed would keep its prefetch credit
    for ever, so queues have none (`no_ack`); a connection on which nothing comes back is made anew (the health check).
    """
    celery = Celery("danqing", broker=get_settings().broker)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_track_started=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="prefork",
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
        task_default_exchange="danqing",
        task_create_missing_queues=False,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=1.0,
        broker_connection_max_retries=None,
        timezone="UTC",
        broker_transport_options={
            "global_keyprefix": "danqing:",
            "socket_timeout": 1.0,
            "socket_keepalive": True,
            "socket_connect_timeout": 1.0,
            "health_check_interval": 5,
            "visibility_timeout": 3600,
            "max_retries": 0,
        },
    )
    return celery


def bell(queue: str) -> Queue:
    """Where the doorbells of a queue go."""
    return Queue(queue, Exchange("danqing"), routing_key=queue, no_ack=True)


celery_app = make_celery()
_silence = Breaker(5.0)  # after a doorbell that failed no other is tried for so long: workers look by themselves
_ringing = threading.BoundedSemaphore(4)  # more threads than this never hang on a broker that does not answer


def ring(queue: str, job: str = "") -> bool:
    """Tell the workers of a queue that there is work; a hint that may fail, within about a second.

    Never call it inside a transaction: a worker would look before the job is there.
    """
    if _silence.is_open or not _ringing.acquire(blocking=False):
        return False
    try:
        celery_app.send_task(RING, args=[queue, job], queue=bell(queue), retry=False)
    except Exception as error:
        _silence.trip()
        log.warning("doorbell_failed", queue=queue, job=job, error=str(error))
        return False
    finally:
        _ringing.release()
    return True
