"""The same code on PostgreSQL, Redis by URL and S3-compatible storage, as separate processes with separate folders."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from jsonschema import Draft7Validator

from app.packages.npm import NpmPackage, fetch_npm
from app.settings import Settings
from app.storage import S3Storage
from tests.studio import ROOT, Studio, finished, submit, wait_until
from tests.tcp_proxy import TcpProxy


def test_files_in_object_storage_come_back_and_go(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = S3Storage("s3://danqing/tests", bucket)
    digest = store.put(b"hello")
    assert store.put(b"hello") == digest and store.get(digest) == b"hello"
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
    assert {"web", "worker", "trainer", "worker-gpu", "trainer-gpu", "postgres", "redis", "storage"} == services.keys()
    for name, service in services.items():
        assert "healthcheck" in service, name
        assert service["read_only"] is True and "/tmp" in service["tmpfs"], name
        assert service["mem_limit"] and service["pids_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
    assert services["web"]["ports"] == ["127.0.0.1:${WEB_PORTS:-8000-8003}:8000"], "a second one finds a port"
    assert services["worker"]["build"]["args"] == {"TORCH_INDEX_OPTION": "${TORCH_INDEX_OPTION:-}"}
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    taken = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)(\S?\S?)", text)
    assert {name for name, _ in taken} == {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "STORAGE_SECRET"}
    assert all(operator == ":?" for _, operator in taken), "every secret must be given"


def test_every_setting_reaches_web_and_workers_through_compose() -> None:
    known = {f"DANQING_{name.upper()}" for name in Settings.model_fields}
    of_the_image = {"DANQING_DATA", "DANQING_HOST", "DANQING_PORT", "DANQING_DEVICE"}
    for name in ("web", "worker", "trainer", "worker-gpu", "trainer-gpu"):
        passed = {key for key in compose()["services"][name]["environment"] if key.startswith("DANQING_")}
        assert passed - of_the_image == known - of_the_image, name


def test_secrets_stay_out_of_the_repository() -> None:
    for name in (".env", ".env.production"):
        assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False).returncode == 0


def test_the_image_of_the_web_has_no_torch() -> None:
    stages = (ROOT / "Dockerfile").read_text("utf-8").split("\nFROM ")
    names = {stage.splitlines()[0].rsplit(" AS ", 1)[-1]: stage for stage in stages if " AS " in stage.splitlines()[0]}
    assert {"web", "worker"} <= names.keys()
    assert "torch" not in names["web"] and "torch" in names["worker"]
    assert all("USER 10001" in names[name] for name in ("web", "worker"))


# --- machines that share no folder ----------------------------------------------------------------------------------


@pytest.fixture
def apart(postgres: str, redis_url: str, bucket: str, tmp_path: Path) -> Iterator[Callable[[str], Studio]]:
    """Makes parts of one studio, each with a data folder of its own."""
    reset_database(postgres)
    shared = {
        "DANQING_DATABASE_URL": postgres,
        "DANQING_REDIS_URL": redis_url,
        "DANQING_STORAGE_URL": f"s3://danqing/{tmp_path.name}",
        "DANQING_STORAGE_ENDPOINT": bucket,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    made: list[Studio] = []

    def make(name: str) -> Studio:
        made.append(Studio(tmp_path / name, shared))
        return made[-1]

    yield make
    for part in made:
        part.stop()


def faces(model: str, **params: Any) -> dict[str, Any]:
    return {"model": model, "task": "unconditional-image-generation", "params": params}


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for file in ("card.json", "model.safetensors", "samples.png"):
            made.write(ROOT / "models" / "zoo" / name / file, file)
    return content.getvalue()


def publish(admin: httpx.Client, name: str, source: str, replace: bool = False) -> None:
    answer = admin.post(
        "/checkpoints",
        data={"name": name, "replace": str(replace).lower()},
        files={"files": (f"{name}.zip", zipped(source))},
        timeout=120,
    )
    assert answer.status_code == 201, answer.text


def test_a_published_model_reaches_machines_that_share_no_folder(apart: Callable[[str], Studio]) -> None:
    web, second, worker = apart("web"), apart("second"), apart("worker")
    web.start("web")
    second.start("web")
    worker.start("worker")
    admin, artist = web.client("admin", "admin"), second.client("artist")
    publish(admin, "faces", "pixel-faces")
    done = finished(artist, wait_for_model(artist, faces("faces", seed=1, count=2))["id"])
    assert done["status"] == "succeeded" and len(done["artworks"]) == 2
    assert (worker.folder / "data" / "checkpoints" / "faces" / "model.safetensors").is_file()
    fetched = worker.log("worker").count("checkpoint_fetched")
    assert finished(artist, artist.post("/generations", json=faces("faces")).json()["id"])["status"] == "succeeded"
    assert worker.log("worker").count("checkpoint_fetched") == fetched == 1, "it is fetched once"

    # Another under the same name: jobs of the old one end, the new one is drawn with everywhere.
    publish(admin, "faces", "pixel-faces-vae", replace=True)
    wait_until("the second web process to follow", lambda: family(artist, "faces") == "vae")
    assert finished(artist, artist.post("/generations", json=faces("faces")).json()["id"])["status"] == "succeeded"

    assert admin.delete("/checkpoints/faces").status_code == 204
    wait_until("the second web process to forget it", lambda: artist.get("/models/faces").status_code == 404)
    wait_until("the worker to drop it", lambda: not (worker.folder / "data" / "checkpoints" / "faces").exists())


def wait_for_model(client: httpx.Client, asked: dict[str, Any]) -> dict[str, Any]:
    """The job, once this web process knows the model."""

    def submitted() -> dict[str, Any] | None:
        answer = client.post("/generations", json=asked)
        return dict(answer.json()) if answer.status_code == 202 else None

    return dict(wait_until("the model to be known", submitted))


def family(client: httpx.Client, model: str) -> str:
    return str(client.get(f"/models/{model}").json().get("family"))


def test_a_worker_that_lacks_a_model_leaves_its_jobs_to_one_that_has_it(apart: Callable[[str], Studio]) -> None:
    web, without, having = apart("web"), apart("without"), apart("having")
    for part in (web, having):  # by hand, so that nothing travels
        shutil.copytree(ROOT / "models" / "zoo" / "pixel-faces", part.folder / "data" / "checkpoints" / "own")
    web.start("web")
    without.start("worker")
    artist = web.client("artist")
    finished(artist, artist.post("/generations", json=faces("pixel-faces")).json()["id"])
    job = artist.post("/generations", json=faces("own")).json()["id"]
    said = wait_until("the job to say why it waits", lambda: artist.get(f"/generations/{job}").json()["notice"])
    assert said == "No running worker has the model own yet; this waits for one that does"
    ready = httpx.get(f"{web.url}/readyz").json()
    assert ready["parts"]["queue"] == "ok", "nobody is idle who could draw it"
    others = [artist.post("/generations", json=faces("pixel-faces")).json()["id"] for _ in range(3)]
    assert all(finished(artist, other)["status"] == "succeeded" for other in others), "it holds up nobody"
    having.start("worker")
    done = finished(artist, job)
    assert done["status"] == "succeeded" and done["notice"] is None


def test_the_storage_away_costs_no_attempt(apart: Callable[[str], Studio], bucket: str) -> None:
    with TcpProxy(int(bucket.rpartition(":")[2])) as proxy:
        web, worker = apart("web"), apart("worker")
        for part in (web, worker):
            part.environment["DANQING_STORAGE_ENDPOINT"] = f"http://127.0.0.1:{proxy.port}"
        web.start("web")
        worker.start("worker")
        artist = web.client("artist")
        finished(artist, artist.post("/generations", json=faces("pixel-faces")).json()["id"])
        target, proxy.target = proxy.target, None
        proxy.cut()
        jobs = [artist.post("/generations", json=faces("pixel-faces", seed=n)).json()["id"] for n in range(3)]
        wait_until("the worker to meet it", lambda: "surroundings_failed" in worker.log("worker"))
        time.sleep(6)  # three attempts were gone within half a second once
        assert {artist.get(f"/generations/{job}").json()["status"] for job in jobs} <= {"running", "queued"}
        ready = httpx.get(f"{web.url}/readyz", timeout=60)
        assert ready.status_code == 503 and ready.json()["parts"]["storage"] != "ok"
        proxy.target = target
        for job in jobs:
            assert finished(artist, job)["status"] == "succeeded"
        assert worker.log("worker").count("model_loaded") <= 2, "nothing was drawn anew for it"


def test_a_restart_of_the_database_costs_no_job(redis_url: str, bucket: str, tmp_path: Path, postgres: str) -> None:
    with TcpProxy(socket_of(postgres)) as proxy:
        reset_database(postgres)
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        given = {"DANQING_DATABASE_URL": through, "DANQING_REDIS_URL": redis_url, "DANQING_LEASE_SECONDS": "20"}
        studio = Studio(tmp_path, given)
        try:
            studio.start("web", "worker")
            artist = studio.client("artist")
            finished(artist, submit(artist)["id"])
            jobs = [submit(artist, f"animal {n}", count=16)["id"] for n in range(2)]
            wait_until("a job to run", lambda: artist.get(f"/generations/{jobs[0]}").json()["status"] == "running")
            target, proxy.target = proxy.target, None
            proxy.cut()
            answer = artist.get("/generations")
            assert answer.status_code == 503 and "The database is unreachable" in answer.json()["detail"]
            time.sleep(3)
            proxy.target = target
            for job in jobs:
                assert finished(artist, job)["status"] == "succeeded"
            with psycopg.connect(postgres) as connection:
                attempts = connection.execute("SELECT max(attempt) FROM generations").fetchone()
            assert attempts == (1,), "no job was drawn twice"
        finally:
            studio.stop()


def socket_of(url: str) -> Path:
    with psycopg.connect(url) as connection:
        return Path(connection.info.host) / f".s.PGSQL.{connection.info.port}"
