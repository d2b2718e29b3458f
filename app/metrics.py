"""Prometheus metrics: of the web process, and of the jobs and workers that the database knows."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from app.machines.tables import Worker

registry = CollectorRegistry()
REQUEST_SECONDS = Histogram(
    "danqing_request_seconds",
    "Time to answer",
    ["method", "route", "status"],
    registry=registry,
    buckets=(0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60),
)
JOBS = Gauge("danqing_jobs", "Jobs by queue and status", ["queue", "status"], registry=registry)
OLDEST = Gauge(
    "danqing_oldest_queued_seconds", "How long the oldest queued job has waited", ["queue"], registry=registry
)
WORKERS = Gauge("danqing_workers", "Workers that reported in the last minute", ["queue"], registry=registry)
OF_WORKER = ["worker", "queue"]
MEMORY = Gauge("danqing_worker_memory_bytes", "Memory that a worker uses", OF_WORKER, registry=registry)
TOTAL = Gauge("danqing_worker_memory_total_bytes", "Memory of a worker's device", OF_WORKER, registry=registry)
SEEN = Gauge("danqing_worker_seen_timestamp_seconds", "When a worker reported last", OF_WORKER, registry=registry)
CLAIMED = Gauge(
    "danqing_worker_claimed_timestamp_seconds", "When a worker took its last job", OF_WORKER, registry=registry
)
FRESH = (JOBS, OLDEST, WORKERS, MEMORY, TOTAL, SEEN, CLAIMED)


def render(jobs: dict[tuple[str, str], int], workers: list[Worker], oldest: dict[str, float]) -> bytes:
    """Text exposition format."""
    for gauge in FRESH:
        gauge.clear()
    for (queue, status), number in jobs.items():
        JOBS.labels(queue, status).set(number)
    for queue, seconds in oldest.items():
        OLDEST.labels(queue).set(seconds)
    for queue, number in Counter(worker.queue for worker in workers).items():
        WORKERS.labels(queue).set(number)
    for worker in workers:
        labels = (worker.name, worker.queue)
        MEMORY.labels(*labels).set(worker.memory_used)
        TOTAL.labels(*labels).set(worker.memory_total)
        SEEN.labels(*labels).set(worker.seen_at.timestamp())
        if worker.claimed_at:
            CLAIMED.labels(*labels).set(worker.claimed_at.timestamp())
    return generate_latest(registry)
