"""A studio under load: what one kind of work costs another, always beside the same call on an idle server."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sqlite3
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import psutil
from PIL import Image
from rich.table import Table
from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.orm import Session

from app.database import new_id, open_database
from app.generations.tables import Generation
from benchmarks.works import add_works
from tests.studio import MODEL, Studio, request

STREAMS = int(os.environ.get("STREAMS", "2000"))
JOBS = int(os.environ.get("JOBS", "2000"))
QUEUED = (1_000, 100_000)
CLIENTS, SECONDS = 50, 8.0


def load(studio: Studio, client: httpx.Client, table: Table) -> None:
    for part in (health, lists, doorbell, streams, claims, memory):
        part(studio, client, table)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# --- health beside other work ---------------------------------------------------------------------------------------


def health(studio: Studio, client: httpx.Client, table: Table) -> None:
    """The slowest of many calls of /healthz while writers wait, and while one artist uploads sixty pictures."""
    with httpx.Client() as probe:

        def slowest(seconds: float = 5.0) -> tuple[float, float]:
            times = []
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                began = time.perf_counter()
                probe.get(f"{studio.url}/healthz", timeout=60).raise_for_status()
                times.append(1000 * (time.perf_counter() - began))
                time.sleep(0.01)
            return statistics.median(times), percentile(times, 0.99)

        idle = slowest()
        table.add_row("/healthz idle: median, p99", f"{idle[0]:.1f}, {idle[1]:.1f} ms", "")
        for name, busy in (("the database is locked", locked), ("60 uploads decode", uploading)):
            with busy(studio, client):
                time.sleep(0.5)
                now = slowest()
            table.add_row(
                f"/healthz while {name}: median, p99",
                f"{now[0]:.1f}, {now[1]:.1f} ms; {now[1] / idle[1]:.1f} times the idle p99",
                "at most 10 times",
            )


@contextmanager
def locked(studio: Studio, client: httpx.Client) -> Iterator[None]:
    lock = sqlite3.connect(studio.folder / "data" / "danqing.sqlite", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(60) as pool:
        for _ in range(60):
            pool.submit(client.post, "/generations", json=request())
        try:
            yield
        finally:
            lock.execute("ROLLBACK")
            lock.close()
    for job in client.get("/generations", params={"limit": 100, "status": "queued"}).json()["items"]:
        client.post(f"/generations/{job['id']}/cancellation")


@contextmanager
def uploading(studio: Studio, client: httpx.Client) -> Iterator[None]:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).resize((4000, 3000)).save(content, "JPEG")
    with ThreadPoolExecutor(60) as pool:
        for _ in range(60):
            pool.submit(client.post, "/uploads", files={"file": ("a.jpg", content.getvalue())}, timeout=300)
        yield


# --- lists ----------------------------------------------------------------------------------------------------------


def lists(studio: Studio, client: httpx.Client, table: Table) -> None:
    """The list of 50 works, by 50 clients that each ask again at once."""
    fill(studio, client.get("/users/me").json()["id"], 500)
    key = client.headers["Authorization"]
    for encoding in ("identity", "gzip"):
        head = f"GET /api/v1/artworks?limit=50 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {key}\r\n"
        times, size = asyncio.run(hammer(studio.port, f"{head}Accept-Encoding: {encoding}\r\n\r\n".encode()))
        table.add_row(
            f"list of 50, {CLIENTS} clients, {encoding}: requests/s, p99, bytes",
            f"{len(times) / SECONDS:.0f}/s, {1000 * percentile(times, 0.99):.0f} ms, {size:,}",
            "at least 234/s",
        )


async def hammer(port: int, head: bytes) -> tuple[list[float], int]:
    """(seconds of every answer, size of the last)."""
    times: list[float] = []
    size, until = 0, time.monotonic() + SECONDS

    async def one() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            began = time.perf_counter()
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            size = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(size)
            times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return times, size


def engine_of(studio: Studio) -> Engine:
    return create_engine(f"sqlite:///{studio.folder / 'data' / 'danqing.sqlite'}")


def fill(studio: Studio, user: str, number: int) -> None:
    made = {
        "model": MODEL, "checkpoint_sha256": "0" * 64, "version": "0.1.0", "torch": "2.13.0", "device": "cpu",
        "params": {"prompt": "an animal", "guidance_scale": 3.0, "temperature": 1.0, "count": 4, "seed": 1},
        "metadata": {"batch": 16, "tokens": list(range(64))},
    }  # fmt: skip
    engine = engine_of(studio)
    work = {"user_id": user, "model": MODEL, "task": "text-to-image", "provenance": made}
    add_works(engine, [{**work, "id": new_id(), "subject": f"animal {n}"} for n in range(number)])
    engine.dispose()


# --- Valkey ---------------------------------------------------------------------------------------------------------


def doorbell(studio: Studio, client: httpx.Client, table: Table) -> None:
    """POST of a job, with Valkey as it should be and while it hangs."""

    def post() -> float:
        began = time.perf_counter()
        client.post("/generations", json=request()).raise_for_status()
        return time.perf_counter() - began

    idle = statistics.median(post() for _ in range(10))
    studio.kill("valkey", signal.SIGSTOP)
    try:
        hanging = [post() for _ in range(20)]
    finally:
        studio.kill("valkey", signal.SIGCONT)
    table.add_row(
        "POST of a job: idle; while Valkey hangs, median and longest",
        f"{1000 * idle:.0f} ms; {1000 * statistics.median(hanging):.0f} ms, {1000 * max(hanging):.0f} ms",
        "at most 2 s",
    )


# --- streams --------------------------------------------------------------------------------------------------------


def streams(studio: Studio, client: httpx.Client, table: Table) -> None:
    """Idle event streams: their share of a core, and the descriptors of the web process."""
    web = psutil.Process(studio.processes["web"].pid)
    before, memory = web.num_fds(), web.memory_info().rss
    quiet = cpu_share(web)
    head = (
        f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {client.headers['Authorization']}\r\n\r\n"
    ).encode()

    async def hold() -> tuple[float, int, int]:
        connections = []
        for start in range(0, STREAMS, 100):
            opened = await asyncio.gather(
                *(asyncio.open_connection("127.0.0.1", studio.port) for _ in range(min(100, STREAMS - start)))
            )
            for _, writer in opened:
                writer.write(head)
            for reader, _ in opened:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            connections += opened
        await asyncio.sleep(5)
        share = await asyncio.to_thread(cpu_share, web, 20.0)
        held = web.num_fds(), web.memory_info().rss
        for _, writer in connections:
            writer.close()
        return share, *held

    share, descriptors, grown = asyncio.run(hold())
    table.add_row(f"{STREAMS:,} idle event streams: share of a core (none: {quiet:.3f})", f"{share:.3f}", "under 0.1")
    table.add_row(
        "their descriptors; memory", f"{descriptors - before:,}; {(grown - memory) / STREAMS / 1e3:.0f} KB each", ""
    )


def cpu_share(process: psutil.Process, seconds: float = 5.0) -> float:
    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds


# --- the queue ------------------------------------------------------------------------------------------------------


def claims(studio: Studio, client: httpx.Client, table: Table) -> None:
    """One claim of a batch, with few and with many queued jobs, in this process."""
    from workers import lease

    engine = open_database(f"sqlite:///{studio.folder / 'data' / 'danqing.sqlite'}").execution_options(writing=True)
    user = client.get("/users/me").json()["id"]
    row = {"user_id": user, "model": "none", "task": "t", "checkpoint_sha256": "c", "params": {}, "count": 1}
    found = []
    for number in QUEUED:
        with engine.begin() as connection:
            connection.execute(Generation.__table__.delete())
            rows = [{**row, "id": new_id(), "queue": "bench", "request_hash": "h"} for _ in range(number)]
            connection.execute(insert(Generation), rows)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            with Session(engine) as session:
                assert len(lease.claim(session, "bench", "bench", 16)) == 16
                times.append(time.perf_counter() - began)
                session.rollback()
        found.append(1000 * statistics.median(times))
    with engine.begin() as connection:
        connection.execute(Generation.__table__.delete())
    engine.dispose()
    table.add_row(
        f"a claim with {QUEUED[0]:,} and {QUEUED[1]:,} queued jobs", f"{found[0]:.1f} and {found[1]:.1f} ms", "the same"
    )


# --- memory ---------------------------------------------------------------------------------------------------------


def memory(studio: Studio, client: httpx.Client, table: Table) -> None:
    """The web process over many jobs, each waited for, looked at and listed."""
    web = psutil.Process(studio.processes["web"].pid)
    asked = {"model": "pixel-faces", "task": "unconditional-image-generation", "params": {}}
    seen: list[float] = []

    def one(number: int) -> None:
        job = client.post("/generations", json=asked, headers={"Prefer": "wait=60"}, timeout=120).json()
        for work in job["artworks"]:
            client.get(f"/artworks/{work['id']}/file").raise_for_status()
            client.get(f"/artworks/{work['id']}/preview").raise_for_status()
        client.get("/artworks", params={"limit": 50}).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            list(pool.map(one, range(JOBS // 4)))
            seen.append(web.memory_info().rss / 1e6)
    table.add_row(
        f"web process after each quarter of {JOBS:,} jobs", ", ".join(f"{each:.0f}" for each in seen) + " MB", "flat"
    )
