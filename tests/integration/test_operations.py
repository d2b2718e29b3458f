"""The way without containers, followed to the letter."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from tests.studio import PASSWORD, ROOT, free_port, wait_until


def commands() -> list[str]:
    text = (ROOT / "docs" / "guides" / "operations.md").read_text("utf-8")
    block = text.partition("## Without containers")[2].partition("```\n")[2].partition("```")[0]
    return [line.partition("#")[0].strip() for line in block.splitlines()]


@contextmanager
def started(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield
        except AssertionError as error:
            error.add_note(f"{shlex.join(command)} said:\n{log.read_text('utf-8', 'replace')[-4000:]}")
            raise
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_studio_without_containers(postgres: str, redis_url: str, bucket: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    here = {
        "postgresql://USER:PASSWORD@HOST/DATABASE": postgres,
        "redis://HOST:6379/0": redis_url,
        "s3://BUCKET/works": "s3://danqing/readme",
        "http://HOST:9000": bucket,
    }
    port = free_port()
    environment = {**os.environ, "DANQING_PORT": str(port)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    lines = commands()
    exports = [line for line in lines if line.startswith("export ")]
    assert len(exports) == 4
    for line in exports:
        for name, value in (pair.split("=", 1) for pair in shlex.split(line)[1:]):
            environment[name] = here.get(value, value)
    once = [shlex.split(line) for line in lines if re.match(r"danqing (migrate|user)", line)]
    assert [command[1] for command in once] == ["migrate", "user"]
    machine = 0

    def of_another_machine() -> dict[str, str]:
        nonlocal machine
        machine += 1
        return {**environment, "DANQING_DATA": str(tmp_path / f"machine {machine}")}

    for command in once:
        options = {"cwd": ROOT, "env": of_another_machine(), "input": f"{PASSWORD}\n", "timeout": 120}
        done = subprocess.run(command, text=True, capture_output=True, check=False, **options)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
    running = [shlex.split(line) for line in lines if re.match(r"danqing (web|worker)", line)]
    assert [command[1:] for command in running] == [["web"], ["worker"], ["worker", "--queue", "training"]]
    web, worker, trainer = (
        started(command, tmp_path / f"{number}.log", of_another_machine()) for number, command in enumerate(running)
    )
    with web, worker, trainer, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as browser:
        wait_until("the web process", lambda: browser.get("/healthz").is_success)
        answer = browser.post("/api/v1/sessions", json={"name": "NAME", "password": PASSWORD})
        assert answer.status_code == 201 and answer.json()["role"] == "admin"
        asked = {"model": "pixel-faces", "task": "unconditional-image-generation", "params": {"count": 2}}
        job = browser.post("/api/v1/generations", json=asked, headers={"Prefer": "wait=60"}).json()
        assert job["status"] == "succeeded" and len(job["artworks"]) == 2
        picture = browser.get(f"/api/v1/artworks/{job['artworks'][0]['id']}/file")
        assert picture.content.startswith(b"\x89PNG")
        wait_until(
            "both workers to report",
            lambda: (
                {worker["queue"] for worker in browser.get("/api/v1/workers").json()["items"]}
                == {"generation", "training"}
            ),
        )
        for queue in ("generation", "training"):  # as the health check of a container asks
            check = ["danqing", "worker", "--queue", queue, "--check"]
            assert subprocess.run(check, cwd=ROOT, env=of_another_machine(), timeout=60, check=False).returncode == 0
        ready = browser.get("/readyz").json()
        assert ready["status"] == "ready" and set(ready["parts"].values()) == {"ok"}, ready
