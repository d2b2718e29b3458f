"""Valkey stalls, dies or is damaged, or a proxy before it swallows bytes: jobs go on, and doorbells come back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.terminal.supervisor import valkey_binary
from tests.studio import ROOT, Studio, finished, free_port, submit, wait_until
from tests.tcp_proxy import TcpProxy

Fresh = Callable[..., Studio]
DRAINED_SECONDS = 10  # after the broker's return, at the latest


def statuses(client: httpx.Client, jobs: list[str]) -> set[str]:
    return {client.get(f"/generations/{job}").json()["status"] for job in jobs}


def drained(client: httpx.Client, jobs: list[str], seconds: float) -> None:
    wait_until(f"{len(jobs)} jobs to be done", lambda: statuses(client, jobs) == {"succeeded"}, seconds)


def ready(studio: Studio) -> dict[str, Any]:
    return dict(httpx.get(f"{studio.url}/readyz", timeout=30).json())


@pytest.fixture(scope="module")
def stalling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(tmp_path_factory.mktemp("stalling"), {"DANQING_LEASE_SECONDS": "10"})
    made.start("valkey", "web", "worker")
    finished(made.client("first"), submit(made.clients[-1])["id"])
    yield made
    made.stop()


@pytest.mark.parametrize("seconds", [5, 20, 40, 90])
def test_jobs_go_on_while_valkey_stalls_and_doorbells_come_back(stalling: Studio, seconds: int) -> None:
    client = stalling.client(f"artist-{seconds}")
    busy = [submit(client, f"animal {number}", count=4)["id"] for number in range(8)]
    wait_until("a job to run", lambda: "running" in statuses(client, busy))
    stalling.kill("valkey", signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        busy.append(submit(client, "while it stalls")["id"])
        drained(client, busy, 60)
        time.sleep(max(0.0, seconds - (time.monotonic() - stopped)))
        idle = [submit(client, "after it has stalled for long")["id"]]
    finally:
        stalling.kill("valkey", signal.SIGCONT)
    drained(client, idle, DRAINED_SECONDS)
    heard_again(stalling, client)


def heard_again(studio: Studio, client: httpx.Client) -> None:
    """Doorbells reach the worker: a job starts sooner than the worker looks by itself."""

    def is_soon() -> bool:
        done = finished(client, submit(client, "soon")["id"])
        asked, taken = (datetime.fromisoformat(done[name]) for name in ("created_at", "started_at"))
        return taken - asked < timedelta(seconds=0.5)

    def three_in_a_row() -> bool:
        return all(is_soon() for _ in range(3))

    wait_until("three jobs in a row that are taken at once", three_in_a_row, 120)


def test_valkey_is_killed_and_started_anew(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    jobs = [submit(client, f"animal {number}", count=4)["id"] for number in range(4)]
    studio.kill("valkey")
    jobs.append(submit(client, "without it")["id"])
    drained(client, jobs, 60)
    studio.start("valkey")
    heard_again(studio, client)


@pytest.fixture
def valkey_port() -> Iterator[int]:
    binary, port = valkey_binary(), free_port()
    assert binary is not None
    command = [binary, "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield port
        process.kill()


def test_a_proxy_that_swallows_bytes_is_left_behind(fresh_studio: Fresh, valkey_port: int) -> None:
    with TcpProxy(valkey_port) as proxy:
        studio = fresh_studio(DANQING_REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        studio.start("web", "worker")
        client = studio.client("artist")
        finished(client, submit(client)["id"])
        heard_again(studio, client)
        proxy.swallows = True
        jobs = [submit(client, f"animal {number}")["id"] for number in range(3)]
        drained(client, jobs, 60)
        time.sleep(15)  # the connections that hang are old now, and never told
        proxy.swallows = False
        drained(client, [submit(client, "after it")["id"]], DRAINED_SECONDS)
        heard_again(studio, client)


def test_a_training_run_starts_while_valkey_stalls(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "training")
    admin = studio.client("boss", "admin")
    wait_until("the training worker", lambda: admin.get("/workers").json()["items"])
    studio.kill("valkey", signal.SIGSTOP)
    try:
        given = {"name": "x", "family": "gan", "dataset": "pixel-faces", "steps": 5}
        run = admin.post("/training-runs", json=given).json()["id"]
        # The collection is not here and may not be fetched: what counts is that a worker takes the run and ends it.
        ended = wait_until(
            "the run to be taken",
            lambda: (found := admin.get(f"/training-runs/{run}").json())["status"] in ("failed", "succeeded") and found,
            60,
        )
        assert ended["started_at"] is not None
    finally:
        studio.kill("valkey", signal.SIGCONT)


def test_readiness_turns_bad_when_jobs_wait_and_nobody_takes_them(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    finished(client, submit(client)["id"])
    assert ready(studio)["status"] == "ready"
    studio.kill("worker", signal.SIGSTOP)  # it holds nothing, and counts as alive for a while
    submit(client, "a job that waits")
    told = wait_until("readiness to say so", lambda: (found := ready(studio))["status"] != "ready" and found, 60)
    assert "has waited" in told["parts"]["queue"] and "nothing to do" in told["parts"]["queue"]
    studio.kill("worker", signal.SIGCONT)
    wait_until("readiness to be good again", lambda: ready(studio)["status"] == "ready", 60)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.95])
def test_damaged_persistence_of_an_earlier_version_is_set_aside(fresh_studio: Fresh, where: float) -> None:
    studio = fresh_studio()
    append_only_file(studio.folder / "data" / "valkey")
    (file,) = (studio.folder / "data" / "valkey" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(file.read_bytes())
    content[int(len(content) * where)] ^= 1
    file.write_bytes(bytes(content))
    with up(studio) as browser:
        link = next(word for word in studio.log("up").split() if "/link/" in word)
        assert browser.post(link, data={"name": "Li"}).status_code == 303
        asked = {"model": "pixel-faces", "task": "unconditional-image-generation", "params": {}}
        job = browser.post("/api/v1/generations", json=asked, headers={"Prefer": "wait=60"})
        assert job.status_code == 201 and job.json()["status"] == "succeeded"
        assert ready(studio)["parts"]["redis"] == "ok"
    assert "valkey_set_aside" in studio.log("up")
    assert "child_died" not in studio.log("up")


def append_only_file(folder: Path) -> None:
    """As Valkey kept it when it was still told to."""
    binary = valkey_binary()
    assert binary is not None
    folder.mkdir(parents=True)
    socket = folder / "old.sock"
    command = [binary, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--appendonly", "yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until("the socket", socket.exists)
        import redis

        with redis.Redis(unix_socket_path=str(socket)) as client:
            for number in range(200):
                client.rpush("danqing:generation", f"a doorbell {number}")
        process.terminate()
    assert list((folder / "appendonlydir").glob("*.incr.aof"))


@contextlib.contextmanager
def up(studio: Studio) -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "app.terminal.cli", "up"]
    environment = {**os.environ, **studio.environment}
    with (
        (studio.folder / "up.log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True) as process,
        studio.browserlike() as browser,
    ):
        try:
            wait_until("the first admin's link", lambda: "/link/" in studio.log("up"), 90)
            yield browser
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
