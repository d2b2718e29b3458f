"""The Celery instance, its queues and the doorbell. Redis carries doorbells only: the database is the queue."""

from __future__ import annotations

import structlog
from celery import Celery
from kombu.entity import Exchange, Queue

from app.settings import get_settings

GENERATION, TRAINING = "generation", "training"
RING = "danqing.ring"  # the one task: "there is work on this queue"
log = structlog.get_logger()


def make_celery() -> Celery:
    """JSON only, no results, acknowledged early (leases recover work, not the broker), one message at a time."""
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
        worker_soft_shutdown_timeout=20.0,
        worker_enable_soft_shutdown_on_idle=False,
        task_queues=[Queue(name, Exchange("danqing"), routing_key=name) for name in (GENERATION, TRAINING)],
        task_default_queue=GENERATION,
        task_default_exchange="danqing",
        task_default_routing_key=GENERATION,
        task_create_missing_queues=False,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2.0,
        broker_connection_max_retries=None,
        timezone="UTC",
        broker_transport_options={
            "global_keyprefix": "danqing:",
            "socket_timeout": 5.0,
            "socket_keepalive": True,
            "socket_connect_timeout": 2.0,
            "health_check_interval": 15,
            "visibility_timeout": 3600,
            "max_retries": 1,
        },
    )
    return celery


celery_app = make_celery()


def ring(queue: str, job: str = "") -> bool:
    """Tell the workers of a queue that there is work. Takes 2 s at most; on failure the sweeper rings again.

    Never call it inside a transaction: a worker would look before the job is there.
    """
    try:
        celery_app.send_task(RING, args=[queue, job], queue=queue, retry=False)
    except Exception as error:
        log.warning("doorbell_failed", queue=queue, job=job, error=str(error))
        return False
    return True
