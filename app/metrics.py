"""Prometheus metrics of the web process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

registry = CollectorRegistry()
REQUEST_SECONDS = Histogram(
    "danqing_request_seconds",
    "Time to answer",
    ["method", "route", "status"],
    registry=registry,
    buckets=(0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60),
)
JOBS = Gauge("danqing_jobs", "Jobs by queue and status", ["queue", "status"], registry=registry)
WORKERS = Gauge("danqing_workers", "Workers that reported in the last minute", ["queue"], registry=registry)


def render(jobs: dict[tuple[str, str], int], workers: dict[str, int]) -> bytes:
    """Text exposition format."""
    JOBS.clear()
    WORKERS.clear()
    for (queue, status), number in jobs.items():
        JOBS.labels(queue, status).set(number)
    for queue, number in workers.items():
        WORKERS.labels(queue).set(number)
    return generate_latest(registry)
