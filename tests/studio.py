"""A real studio for tests: Valkey, web and workers as processes of their own, on a folder of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
MODEL = "drawings-transformer"
PASSWORD = "correct horse"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, ready: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer of `ready`; fails saying what it waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if answer := ready():
                return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


@dataclass
class Studio:
    """Start parts with `start("valkey", "web", "worker")`; every part logs into `folder`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)
    code: Path = ROOT

    def __post_init__(self) -> None:
        self.environment = {
            "DANQING_DATA": str(self.folder / "data"),
            "DANQING_PORT": str(self.port),
            "DANQING_LEASE_SECONDS": "2",
            "DANQING_SWEEP_SECONDS": "0.5",
            "DANQING_LOG_FORMAT": "json",
            "PIP_NO_INDEX": "1",  # a studio under test fetches nothing
            "npm_config_offline": "true",
            **self.environment,
        }
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self.run("migrate")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, name: str) -> list[str]:
        if name == "valkey":
            from app.settings import Settings
            from app.terminal.supervisor import valkey_child

            return valkey_child(Settings(data=self.folder / "data")).command
        if name == "web":
            return [sys.executable, "-m", "app.terminal.cli", "web"]
        queue = "training" if name.startswith("training") else "generation"
        return [sys.executable, "-m", "app.terminal.cli", "worker", "--queue", queue]

    def start(self, *names: str, **environment: str) -> None:
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.command(name),
                    cwd=self.code,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, **self.environment, **environment},
                )
        if "web" in names:
            wait_until("the web process", lambda: httpx.get(f"{self.url}/healthz").is_success)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a part and all of its children; waits for the end of what was killed."""
        process = self.processes[name]
        os.killpg(process.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(30)

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        for name, process in self.processes.items():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGCONT)
                    self.kill(name, signal.SIGKILL)

    def run(self, *arguments: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `danqing` command on this studio."""
        return subprocess.run(
            [sys.executable, "-m", "app.terminal.cli", *arguments],
            cwd=self.code,
            input=text,
            text=True,
            capture_output=True,
            check=check,
            timeout=120,
            env={**os.environ, **self.environment},
        )

    def client(self, name: str, role: str = "artist") -> httpx.Client:
        """A client with an API key of a new user."""
        self.run("user", "add", name, "--role", role, text=f"{PASSWORD}\n")
        key = self.run("key", "add", name).stdout.strip()
        made = httpx.Client(base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self.clients.append(made)
        return made

    def browserlike(self) -> httpx.Client:
        """A client without a key, which keeps cookies."""
        return httpx.Client(base_url=self.url, timeout=60)

    def signed_in(self, name: str) -> httpx.Client:
        """As a browser of a user that `client` has made: by a session, which opens the pages too."""
        made = self.browserlike()
        self.clients.append(made)
        answer = made.post("/api/v1/sessions", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return made

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")


def request(prompt: str = "a fox", **params: Any) -> dict[str, Any]:
    return {"model": MODEL, "task": "text-to-image", "params": {"prompt": prompt, **params}}


def submit(client: httpx.Client, prompt: str = "a fox", **params: Any) -> dict[str, Any]:
    answer = client.post("/generations", json=request(prompt, **params))
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def provenance(client: httpx.Client, work: dict[str, Any]) -> dict[str, Any]:
    """How a work was made; lists and jobs leave it out."""
    return dict(client.get(f"/artworks/{work['id']}").json()["provenance"])


def finished(client: httpx.Client, job: str, seconds: float = 90) -> dict[str, Any]:
    """The job once it has ended."""

    def look() -> dict[str, Any] | None:
        answer = client.get(f"/generations/{job}")
        found = answer.json() if answer.status_code == 200 else {}
        return found if found.get("status") in ("succeeded", "failed", "cancelled") else None

    return dict(wait_until(f"the end of job {job}", look, seconds))
