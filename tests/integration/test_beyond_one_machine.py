"""The same code on PostgreSQL, Redis by URL and S3-compatible storage, as separate processes with separate folders."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from jsonschema import Draft7Validator

from app.datasets.packages import NpmPackage, fetch_npm
from app.settings import Settings
from app.storage import S3Storage
from app.supervisor import valkey_binary
from tests.studio import ROOT, Studio, finished, free_port, submit, wait_until


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of an S3-compatible server with a bucket `danqing`."""
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "s3.log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        wait_until("the S3 server", lambda: httpx.get(endpoint).status_code < 500)
        httpx.put(f"{endpoint}/danqing")
        yield endpoint
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    port = free_port()
    binary = valkey_binary()
    assert binary is not None
    process = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until("Redis", answers)
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


def test_files_in_object_storage_come_back_and_go(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = S3Storage("s3://danqing/tests", bucket)
    digest = store.put(b"hello")
    assert store.put(b"hello") == digest and store.get(digest) == b"hello"
    assert digest in list(store.untouched_for(-60)) and not list(store.untouched_for(3600))
    assert -60 < store.age(digest) < 60
    store.delete(digest)
    with pytest.raises(FileNotFoundError):
        store.get(digest)


def test_web_and_two_workers_share_postgresql_redis_and_object_storage(
    postgres: str, redis_url: str, bucket: str, tmp_path: Path
) -> None:
    shared = {
        "DANQING_DATABASE_URL": postgres,
        "DANQING_REDIS_URL": redis_url,
        "DANQING_STORAGE_URL": "s3://danqing/works",
        "DANQING_STORAGE_ENDPOINT": bucket,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    reset_database(postgres)
    web, one, two = (Studio(tmp_path / name, shared) for name in ("web", "one", "two"))
    try:
        web.start("web")
        one.start("worker")
        two.start("worker")
        client = web.client("artist")
        admin = web.client("admin", "admin")
        wait_until("two workers", lambda: len(admin.get("/workers").json()["items"]) == 2)
        jobs = [submit(client, f"animal {i}", count=16)["id"] for i in range(6)]
        done = [finished(client, job) for job in jobs]
        assert all(job["status"] == "succeeded" and len(job["artworks"]) == 16 for job in done)
        content = client.get(f"/artworks/{done[0]['artworks'][0]['id']}/file").content
        assert content.startswith(b"\x89PNG")
        assert not list((one.folder / "data").glob("files/??/??/*")), "nothing is kept on a worker's own disk"
        assert all("batch_done" in worker.log("worker") for worker in (one, two)), "both drew"
    finally:
        for part in (web, one, two):
            part.stop()


def reset_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


# --- containers -----------------------------------------------------------------------------------------------------


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8")))


DCLINT = NpmPackage(
    "dclint",
    "3.1.0",
    "73fc6079a0408c80c7ccea9e9e5c21c40551afaf15e8c1ee25a5ad6af1ec0414",
    "MIT",
    "dclint, Sergey Kupletsky (tests only: the Compose specification's schema)",
)


def test_the_compose_file_fits_its_schema() -> None:
    folder = fetch_npm(DCLINT, ROOT / ".cache" / "packages")
    schema = json.loads((folder / "schemas" / "compose.schema.json").read_text("utf-8"))
    Draft7Validator(schema).validate(compose())


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_compose_has_every_part_with_health_checks_and_no_default_secret() -> None:
    services = compose()["services"]
    assert {"web", "worker", "worker-gpu", "postgres", "redis", "storage"} <= services.keys()
    assert all("healthcheck" in services[name] for name in ("web", "postgres", "redis", "storage"))
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    taken = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)(\S?\S?)", text)
    assert {name for name, _ in taken} == {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "STORAGE_SECRET"}
    assert all(operator == ":?" for _, operator in taken), "every secret must be given"


def test_compose_sets_only_settings_that_exist() -> None:
    known = {f"DANQING_{name.upper()}" for name in Settings.model_fields}
    used = {
        name
        for service in compose()["services"].values()
        for name in service.get("environment", {})
        if name.startswith("DANQING_")
    }
    assert used and used <= known


def test_the_image_of_the_web_has_no_torch() -> None:
    stages = (ROOT / "Dockerfile").read_text("utf-8").split("\nFROM ")
    names = {stage.splitlines()[0].rsplit(" AS ", 1)[-1]: stage for stage in stages if " AS " in stage.splitlines()[0]}
    assert {"web", "worker"} <= names.keys()
    assert "torch" not in names["web"] and "torch" in names["worker"]
    assert all("USER 10001" in names[name] for name in ("web", "worker"))
