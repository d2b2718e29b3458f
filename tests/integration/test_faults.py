"""Real processes that die at every step of a job. Afterwards: every 202 ends, with exactly its pictures, none twice."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.datasets.prepared import Item, write_prepared
from tests.app.test_datasets import drawing
from tests.studio import ROOT, Studio, finished, request, submit, wait_until

Fresh = Callable[..., Studio]
STEPS = ["claimed", "step:3", "sampled", "stored", "stored:2", "before_commit", "committed"]


def assert_whole(client: httpx.Client, job: str, count: int) -> None:
    """The job succeeded with exactly its pictures, and their files are what their hashes say."""
    done = finished(client, job)
    assert done["status"] == "succeeded", done
    assert [work["position"] for work in done["artworks"]] == list(range(count))
    for work in done["artworks"]:
        content = client.get(f"/artworks/{work['id']}/file").content
        assert hashlib.sha256(content).hexdigest() == work["sha256"]


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Studio(tmp_path_factory.mktemp("crashing"))
    made.start("valkey", "web")
    yield made
    made.stop()


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_dies_at_any_step_loses_nothing(crashing: Studio, step: str, tmp_path: Path) -> None:
    client = crashing.client(f"artist-{step.replace(':', '-')}")
    job = submit(client, "a fox", count=3)["id"]
    once = tmp_path / "crashed"
    crashing.start("worker", DANQING_CRASH_AT=step, DANQING_CRASH_ONCE=str(once))
    try:
        assert_whole(client, job, 3)
        assert once.exists(), "the worker did reach that step and died"
        assert client.get("/artworks").json()["next_cursor"] is None
        assert len(client.get("/artworks").json()["items"]) == 3
    finally:
        crashing.kill("worker", signal.SIGKILL)


def test_kill_9_of_the_worker_in_the_middle_of_a_picture(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    job = submit(client, "a fox", count=16)["id"]
    with client.stream("GET", f"/generations/{job}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: progress"):
                break
    studio.kill("worker")
    studio.start("worker")
    assert_whole(client, job, 16)


def test_a_worker_that_always_dies_ends_the_job_with_a_reason(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    client = studio.client("artist")
    job = submit(client)["id"]
    studio.start("worker", DANQING_CRASH_AT="sampled")
    done = finished(client, job, seconds=120)
    assert done["status"] == "failed" and "three times" in done["error"]


def test_redis_wiped_with_jobs_queued(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    client = studio.client("artist")
    jobs = [submit(client, f"animal {i}")["id"] for i in range(3)]
    studio.kill("valkey")
    for path in (studio.folder / "data" / "valkey").rglob("*"):
        if path.is_file():
            path.unlink()
    studio.start("valkey", "worker")
    for job in jobs:
        assert_whole(client, job, 1)


def test_jobs_are_taken_while_redis_is_away_and_run_when_it_is_back(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("web")
    client = studio.client("artist")
    began = time.monotonic()
    job = submit(client)["id"]
    assert time.monotonic() - began < 15
    assert httpx.get(f"{studio.url}/readyz").json()["parts"]["redis"] != "ok"
    studio.start("valkey", "worker")
    assert_whole(client, job, 1)


def test_the_end_of_a_job_is_seen_although_redis_went_away(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    submit(client)
    job = submit(client, count=16)["id"]
    with client.stream("GET", f"/generations/{job}/events") as stream:
        lines = stream.iter_lines()
        assert any('"running"' in line for line in lines), "it is drawn: a job that waits would wait for Redis too"
        studio.kill("valkey")
        rest = "\n".join(lines)
    assert '"status":"succeeded"' in rest.replace(": ", ":") or finished(client, job)["status"] == "succeeded"


def test_web_restarted_in_the_middle_of_a_job(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    job = submit(client, count=16)["id"]
    studio.kill("web")
    studio.start("web")
    assert_whole(client, job, 16)


def test_a_worker_that_hangs_loses_its_job_to_another(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    finished(client, submit(client)["id"])
    job = submit(client, count=16)["id"]
    wait_until("the job to run", lambda: client.get(f"/generations/{job}").json()["status"] == "running")
    studio.kill("worker", signal.SIGSTOP)
    studio.start("worker2")
    assert_whole(client, job, 16)
    studio.kill("worker", signal.SIGCONT)
    time.sleep(3)
    assert_whole(client, job, 16)


def test_a_worker_that_is_asked_to_stop_finishes_or_gives_back(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    jobs = [submit(client, count=16)["id"] for _ in range(2)]
    wait_until("a job to run", lambda: client.get(f"/generations/{jobs[0]}").json()["status"] != "queued")
    studio.kill("worker", signal.SIGTERM)
    assert client.get(f"/generations/{jobs[0]}").json()["status"] in ("succeeded", "queued")
    studio.start("worker")
    for job in jobs:
        assert_whole(client, job, 16)


@pytest.mark.parametrize("where", ["step:2", "stored"])
def test_a_worker_that_hangs_is_gone_soon_after_it_is_asked_to_stop(fresh_studio: Fresh, where: str) -> None:
    """Nothing that it does ends by itself: the lease is given back all the same, at no cost to the job."""
    studio = fresh_studio(DANQING_LEASE_SECONDS="600")
    studio.start("valkey", "web")
    studio.start("worker", DANQING_HANG_AT=where)
    client = studio.client("artist")
    job = submit(client, count=2)["id"]
    wait_until("the job to run", lambda: client.get(f"/generations/{job}").json()["status"] == "running")
    time.sleep(2)  # and to hang
    studio.processes["worker"].send_signal(signal.SIGTERM)
    studio.processes["worker"].wait(25)  # 18 s by its own clock, and what it takes to end
    assert client.get(f"/generations/{job}").json()["status"] == "queued"
    studio.start("worker")
    assert_whole(client, job, 2)
    with sqlite3.connect(studio.folder / "data" / "danqing.sqlite") as database:
        assert database.execute("SELECT attempt FROM generations").fetchall() == [(1,)]


def test_a_worker_whose_broker_hangs_is_gone_soon_after_it_is_asked_to_stop(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    finished(client, submit(client)["id"])
    studio.kill("valkey", signal.SIGSTOP)
    try:
        job = submit(client, count=16)["id"]
        wait_until("the job to run", lambda: client.get(f"/generations/{job}").json()["status"] != "queued")
        studio.processes["worker"].send_signal(signal.SIGTERM)
        studio.processes["worker"].wait(25)
        assert client.get(f"/generations/{job}").json()["status"] in ("succeeded", "queued")
    finally:
        studio.kill("valkey", signal.SIGCONT)


def test_an_import_that_a_stop_cuts_short_is_sent_again_and_is_whole(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    admin = studio.client("boss", "admin")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(600):
            archive.writestr(f"{number}.png", drawing(number, size=64))
    dataset = admin.post("/datasets", json={"name": "many"}).json()["id"]

    def send() -> httpx.Response:
        return admin.post(f"/datasets/{dataset}/items", files={"files": ("many.zip", content.getvalue())}, timeout=120)

    def kept() -> int:
        with sqlite3.connect(studio.folder / "data" / "danqing.sqlite") as database:
            return int(database.execute("SELECT count(*) FROM dataset_items").fetchone()[0])

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send)
        wait_until("some of them to be there", kept)
        studio.kill("web", signal.SIGTERM)
        assert first.exception() is not None or first.result().status_code in (200, 500, 503)
    some = kept()
    files = {path.name for path in (studio.folder / "data" / "files").glob("??/??/*")}
    with sqlite3.connect(studio.folder / "data" / "danqing.sqlite") as database:
        rows = {row[0] for row in database.execute("SELECT sha256 FROM dataset_items")}
    assert rows <= files, "no row is without its file"
    studio.start("web")
    answer = send().json()
    assert (answer["accepted"], answer["repeated"]) == (600 - some, some)
    assert kept() == 600


def test_a_checkpoint_that_changed_fails_its_jobs_and_the_worker_lives_on(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    copy = studio.folder / "data" / "checkpoints" / "copy"
    shutil.copytree(ROOT / "models" / "zoo" / "drawings-transformer", copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    bad = client.post("/generations", json=request() | {"model": "copy"}).json()
    done = finished(client, bad["id"])
    assert done["status"] == "failed" and "changed" in done["error"]
    assert_whole(client, submit(client)["id"], 1)


def test_a_locked_database_answers_503_and_saves_nothing(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    client = studio.client("artist")
    lock = sqlite3.connect(studio.folder / "data" / "danqing.sqlite", isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        answer = client.post("/generations", json=request())
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        lock.execute("ROLLBACK")
    finally:
        lock.close()
    assert client.get("/generations").json()["items"] == []


def test_generating_goes_on_while_a_run_trains(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    finished(client, submit(client)["id"])
    random = np.random.default_rng(0)
    write_prepared(
        studio.folder / "data" / "datasets" / "drawings",
        [
            (
                Item(str(i), str(i), str(i), "noto", "concept" if i % 4 == 0 else "train", "a", "甲", ["thing"]),
                random.integers(0, 255, (64, 64, 3), dtype=np.uint8),
            )
            for i in range(64)
        ],
        {"name": "drawings"},
    )
    folder = studio.folder / "run"
    with subprocess.Popen(
        [sys.executable, "-m", "app.terminal.cli", "train", "recipes/drawings-fsq.toml", "--folder", str(folder)],
        cwd=ROOT,
        env={**os.environ, **studio.environment},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        wait_until("the first checkpoint folder", (folder / "checkpoints").is_dir)
        time.sleep(8)
        assert run.poll() is None, "the run is training"
        for _ in range(3):
            assert_whole(client, submit(client)["id"], 1)
        assert run.poll() is None
        os.killpg(run.pid, signal.SIGTERM)
        run.wait(60)
    assert list((folder / "checkpoints").glob("step-*")), "a run that is asked to stop saves its state"


def test_up_starts_everything_says_so_and_stops_cleanly(fresh_studio: Fresh) -> None:
    studio = fresh_studio()
    environment = {**os.environ, **studio.environment}
    command = [sys.executable, "-m", "app.terminal.cli", "up"]
    with (
        (studio.folder / "up.log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True) as up,
    ):
        wait_until("the first admin's link", lambda: "/link/" in studio.log("up"), 90)
        text = studio.log("up")
        link = next(word for word in text.split() if "/link/" in word)
        second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1 and "running already" in second.stderr
        with studio.browserlike() as browser:
            assert browser.post(link, data={"name": "Li"}).status_code == 303
            job = browser.post("/api/v1/generations", json=request(), headers={"Prefer": "wait=60"})
            assert job.status_code == 201 and len(job.json()["artworks"]) == 1
            queues = wait_until(
                "both workers to report",
                lambda: (
                    len(found := {w["queue"] for w in browser.get("/api/v1/workers").json()["items"]}) == 2 and found
                ),
            )
            assert queues == {"generation", "training"}
        up.send_signal(signal.SIGINT)
        assert up.wait(40) == 0
    assert "danqing: stopped" in studio.log("up")
    assert not (studio.folder / "data" / "valkey" / "valkey.sock").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{studio.url}/healthz")
