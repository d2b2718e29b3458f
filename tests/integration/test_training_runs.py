"""Training runs over HTTP, with real workers and real training processes: the whole way, wishes, deaths."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from models.contract.run_folder import curves
from tests.app.test_datasets import drawing
from tests.integration.test_datasets import make, send
from tests.studio import Studio, finished, wait_until

AT_REST = ("paused", "succeeded", "failed", "cancelled")
TINY = {
    "network": {
        "width": 32,
        "heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_hidden": 32,
        "decoder_hidden": 32,
        "text_vocabulary": 320,
    },
    "batch_size": 4,
    "views": 1,
    "watched": ["a red kite"],
}
FOREVER = 5_000_000
LONG = 250  # steps that take some seconds on any machine


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio that can train. Its lease is short, its checkpoints are those of the held-out figure."""
    made = Studio(tmp_path_factory.mktemp("training"))
    made.start("valkey", "web", "worker", "training")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def boss(training: Studio) -> httpx.Client:
    return training.client("boss", "admin")


@pytest.fixture(scope="module")
def kites(boss: httpx.Client) -> str:
    return collect(boss)


def collect(client: httpx.Client, name: str = "Kites") -> str:
    dataset = make(client, name)
    assert send(client, dataset, *((f"a red kite {i}.png", drawing(i)) for i in range(8))).json()["accepted"] == 8
    return dataset


def launch(client: httpx.Client, dataset: str, **values: Any) -> str:
    given = {
        "name": "Kites",
        "family": "text-to-image-transformer",
        "dataset": dataset,
        "steps": 20,
        "evaluate": False,
        **values,
        "params": {**TINY, **values.get("params", {})},
    }
    answer = client.post("/training-runs", json=given)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(answer.json()["id"])
    return str(answer.json()["id"])


def run_of(client: httpx.Client, run: str) -> dict[str, Any]:
    return dict(client.get(f"/training-runs/{run}").json())


def rested(client: httpx.Client, run: str, seconds: float = 180) -> dict[str, Any]:
    def ready() -> dict[str, Any] | None:
        found = run_of(client, run)
        return found if found["status"] in AT_REST else None

    return dict(wait_until(f"run {run} to rest", ready, seconds))


def under_way(client: httpx.Client, run: str, saved: int = 1) -> dict[str, Any]:
    """The run once it trains and has saved such a step."""

    def ready() -> dict[str, Any] | None:
        found = run_of(client, run)
        assert found["status"] not in AT_REST, found
        return found if found["phase"] == "training" and found["saved_step"] >= saved else None

    return dict(wait_until(f"a checkpoint of run {run}", ready, 180))


def processes(run: str) -> list[psutil.Process]:
    lines = ((process, " ".join(process.info["cmdline"] or [])) for process in psutil.process_iter(["cmdline"]))
    return [process for process, line in lines if "models.training.process" in line and run in line]


def weights(client: httpx.Client, run: str) -> str:
    """SHA-256 of what a run has trained."""
    name = f"kites-{run[-12:]}"
    answer = client.post(f"/training-runs/{run}/publication", json={"name": name, "replace": True})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["sha256"])


@pytest.fixture(scope="module")
def untroubled(boss: httpx.Client, kites: str) -> str:
    """SHA-256 of the weights of a run that nothing interrupted."""
    run = launch(boss, kites, steps=LONG)
    assert rested(boss, run)["status"] == "succeeded"
    return weights(boss, run)


# --- the whole way --------------------------------------------------------------------------------------------------


def events(client: httpx.Client, run: str, after: str | None = None) -> list[tuple[str, Any, str]]:
    """(type, data, id) of a run's stream, to its end."""
    found, headers = [], {"Last-Event-ID": after} if after else {}
    with client.stream("GET", f"/training-runs/{run}/events", headers=headers, timeout=180) as stream:
        event: dict[str, str] = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name in ("event", "data", "id"):
                event[name] = value
            if not line and "data" in event:
                found.append((event["event"], json.loads(event["data"]), event.get("id", "")))
                event = {}
    return found


def test_pictures_become_a_model_that_artists_use(training: Studio, boss: httpx.Client, kites: str) -> None:
    run = launch(boss, kites, steps=30, evaluate=True)
    seen = events(boss, run)
    done = run_of(boss, run)
    assert done["status"] == "succeeded" and done["progress"] == {"step": 30, "total": 30, "share": 1.0}, done
    assert done["version"] == boss.get(f"/datasets/{kites}/statistics").json()["version"]
    assert seen[-1][:2] == ("run", done)

    lines = [line for kind, data, _ in seen if kind == "metrics" for line in data]
    found = boss.get(f"/training-runs/{run}/metrics").json()["curves"]
    assert {name: [list(p) for p in points] for name, points in curves(lines).items()} == found
    assert len(found["loss"]) == 30 and {"learning_rate", "images_per_second", "memory_mib"} <= found.keys()
    half = next(i for kind, _, i in seen if kind == "metrics")
    again = [line for kind, data, _ in events(boss, run, after=half) if kind == "metrics" for line in data]
    assert again == lines[len(lines) - len(again) :] and len(again) < len(lines)

    sheets = boss.get(f"/training-runs/{run}/samples").json()["items"]
    assert sheets[-1]["step"] == 30 and len(sheets) >= 5
    sheet = boss.get(sheets[-1]["url"].removeprefix("/api/v1"))
    assert sheet.headers["content-type"] == "image/png" and Image.open(io.BytesIO(sheet.content)).width > 64
    assert "loss" in boss.get(f"/training-runs/{run}/log").text

    artist = training.client("artist")
    answer = boss.post(f"/training-runs/{run}/publication", json={"name": "kites", "title": "Kites of ours"})
    assert answer.status_code == 201 and answer.json()["card"]["trained_on"] == "Kites", answer.text
    card = answer.json()["card"]
    assert "held_out_loss_held_out" in card["figures"] and "too few pictures" in card["not_measured"]
    assert artist.get("/models/kites").json()["title"] == "Kites of ours"
    assert boss.post(f"/training-runs/{run}/publication", json={"name": "kites"}).status_code == 409
    assert draws(artist, "kites") == "succeeded"

    pages = [training.signed_in(name).get("/models/kites").text for name in ("boss", "artist")]
    for link in (f'href="/train/{run}"', f'href="/datasets/{kites}"'):
        assert [link in page for page in pages] == [True, False], "only who trains is led there"

    archive = boss.get("/checkpoints/kites/file").content
    assert artist.get("/checkpoints/kites/file").status_code == 403
    assert boss.get(f"/training-runs/{run}").json()["model"] == "kites"
    assert boss.delete("/checkpoints/kites").status_code == 204
    assert boss.get(f"/training-runs/{run}").json()["model"] is None
    assert artist.get("/models/kites").status_code == 404
    files = [("files", ("kites.zip", archive))]
    answer = boss.post("/checkpoints", data={"name": "kites-again"}, files=files)
    assert answer.status_code == 201, answer.text
    assert draws(artist, "kites-again") == "succeeded"
    assert boss.delete("/checkpoints/drawings-transformer").status_code == 409


def draws(client: httpx.Client, model: str) -> str:
    given = {"model": model, "task": "text-to-image", "params": {"prompt": "a red kite", "seed": 1}}
    answer = client.post("/generations", json=given)
    assert answer.status_code == 202, answer.text
    return str(finished(client, answer.json()["id"])["status"])


def test_one_run_fine_tunes_what_another_has_trained(boss: httpx.Client, kites: str) -> None:
    first = launch(boss, kites, steps=4)
    assert rested(boss, first)["status"] == "succeeded"
    sha256 = weights(boss, first)
    second = launch(boss, kites, steps=4, base_checkpoint=f"kites-{first[-12:]}")
    assert rested(boss, second)["status"] == "succeeded"
    weights(boss, second)
    card = boss.get(f"/checkpoints/kites-{second[-12:]}").json()["card"]
    assert card["started_from"]["sha256"] == sha256


@pytest.mark.parametrize(("family", "start"), [("gan", "pixel-faces"), ("vae", "pixel-faces-vae")])
def test_a_shipped_model_is_trained_on_and_draws_varies_and_mixes(
    boss: httpx.Client, kites: str, family: str, start: str
) -> None:
    given = {"name": "Kites", "family": family, "dataset": kites, "steps": 3, "params": {"batch_size": 2}}
    answer = boss.post("/training-runs", json={**given, "base_checkpoint": start, "evaluate": False})
    assert answer.status_code == 202, answer.text
    run = answer.json()["id"]
    assert rested(boss, run)["status"] == "succeeded"
    sha256, model = weights(boss, run), f"kites-{run[-12:]}"
    before, card = (boss.get(f"/checkpoints/{name}").json()["card"] for name in (start, model))
    assert card["sha256"] == sha256 and card["started_from"]["sha256"] == before["sha256"]
    assert {**card["config"], "directions": 0} == {**before["config"], "directions": 0}
    works: list[dict[str, str]] = []
    for task in ("unconditional-image-generation", "image-variation", "image-interpolation"):
        images = works[: {"image-variation": 1, "image-interpolation": 2}.get(task, 0)]
        job = boss.post("/generations", json={"model": model, "task": task, "inputs": {"images": images}, "params": {}})
        assert job.status_code == 202, job.text
        done = finished(boss, job.json()["id"])
        assert done["status"] == "succeeded", done
        works.append({"artwork": done["artworks"][0]["id"]})


# --- wishes ---------------------------------------------------------------------------------------------------------


def test_a_run_is_paused_resumed_extended_and_cancelled(boss: httpx.Client, kites: str) -> None:
    run = launch(boss, kites, steps=FOREVER)
    wait_until("training", lambda: run_of(boss, run)["progress"]["step"] > 3, 120)
    assert boss.post(f"/training-runs/{run}/pause").status_code == 200
    paused = rested(boss, run)
    assert paused["status"] == "paused" and paused["saved_step"] == paused["progress"]["step"] > 3
    assert not processes(run)
    assert boss.post(f"/training-runs/{run}/pause").status_code == 200, "twice is once"

    assert boss.post(f"/training-runs/{run}/resumption").json()["status"] == "queued"
    wait_until("more steps", lambda: run_of(boss, run)["progress"]["step"] > paused["saved_step"] + 3, 120)
    before = processes(run)[0].pid
    assert boss.post(f"/training-runs/{run}/extension", json={"steps": FOREVER - 1}).json()["steps"] == FOREVER - 1
    wait_until("a new process", lambda: (found := processes(run)) and found[0].pid != before, 120)
    under_way(boss, run)
    assert boss.post(f"/training-runs/{run}/extension", json={"steps": 1}).status_code == 422
    assert boss.delete(f"/training-runs/{run}").status_code == 409, "not while it runs"

    assert boss.post(f"/training-runs/{run}/cancellation").status_code == 200
    assert rested(boss, run, 20)["status"] == "cancelled"
    assert not processes(run)
    steps = [step for step, _ in boss.get(f"/training-runs/{run}/metrics").json()["curves"].get("loss", [])]
    assert steps == sorted(set(steps))
    assert boss.delete(f"/training-runs/{run}").status_code == 204
    assert boss.get(f"/training-runs/{run}").status_code == 404


def test_a_paused_run_ends_with_what_it_has_saved(boss: httpx.Client, kites: str) -> None:
    run = launch(boss, kites, steps=FOREVER)
    under_way(boss, run)
    assert boss.post(f"/training-runs/{run}/conclusion").status_code == 409, "not while it runs"
    boss.post(f"/training-runs/{run}/pause")
    saved = rested(boss, run)["saved_step"]
    assert boss.post(f"/training-runs/{run}/conclusion").json()["steps"] == saved
    done = rested(boss, run)
    assert (done["status"], done["progress"]["step"], done["publishable"]) == ("succeeded", saved, True)
    weights(boss, run)
    waiting = launch(boss, kites, steps=4)
    boss.post(f"/training-runs/{waiting}/cancellation")
    if rested(boss, waiting)["saved_step"] == 0:
        assert boss.post(f"/training-runs/{waiting}/conclusion").status_code == 409


def test_a_run_that_is_done_goes_on_when_it_is_extended(boss: httpx.Client, kites: str) -> None:
    run = launch(boss, kites, steps=4)
    assert rested(boss, run)["status"] == "succeeded"
    assert boss.post(f"/training-runs/{run}/resumption").status_code == 409
    assert boss.post(f"/training-runs/{run}/cancellation").status_code == 409
    assert boss.post(f"/training-runs/{run}/extension", json={"steps": 8}).json()["status"] == "queued"
    done = rested(boss, run)
    assert done["status"] == "succeeded" and done["progress"]["step"] == 8
    assert [step for step, _ in boss.get(f"/training-runs/{run}/metrics").json()["curves"]["loss"]] == list(range(1, 9))


def test_a_run_ends_by_its_minutes(boss: httpx.Client, kites: str) -> None:
    run = launch(boss, kites, steps=FOREVER, minutes=0.05)
    done = rested(boss, run)
    assert done["status"] == "succeeded" and 3 <= done["seconds"] < 60 and done["progress"]["share"] == 1.0
    assert done["publishable"] and 0 < done["progress"]["step"] < FOREVER
    answer = boss.post(f"/training-runs/{run}/extension", json={"steps": FOREVER - 1})
    assert answer.status_code == 422 and "give it more" in answer.text, "its minutes are spent"


def test_a_waiting_run_is_cancelled_at_once(boss: httpx.Client, kites: str) -> None:
    first = launch(boss, kites, steps=FOREVER)
    wait_until("the first to run", lambda: run_of(boss, first)["status"] == "running", 60)
    waiting = launch(boss, kites)
    assert boss.post(f"/training-runs/{waiting}/cancellation").json()["status"] == "cancelled"
    assert boss.post(f"/training-runs/{first}/cancellation").status_code == 200
    assert rested(boss, first, 20)["status"] == "cancelled"


# --- deaths ---------------------------------------------------------------------------------------------------------


def test_kill_9_of_the_training_process_changes_nothing(boss: httpx.Client, kites: str, untroubled: str) -> None:
    run = launch(boss, kites, steps=LONG)
    under_way(boss, run)
    killed = processes(run)
    for process in killed:
        process.kill()
    done = rested(boss, run)
    assert done["status"] == "succeeded" and killed
    again = [line for line in boss.get(f"/training-runs/{run}/log").text.splitlines() if line.startswith("step ")]
    assert len(again) > LONG, "some steps were done twice"
    assert weights(boss, run) == untroubled


def test_kill_9_of_the_worker_changes_nothing(
    training: Studio, boss: httpx.Client, kites: str, untroubled: str
) -> None:
    run = launch(boss, kites, steps=LONG)
    under_way(boss, run)
    training.kill("training")
    wait_until("the orphan to save and end", lambda: not processes(run), 60)
    training.start("training")
    assert rested(boss, run)["status"] == "succeeded"
    assert weights(boss, run) == untroubled


def test_a_worker_that_is_stopped_saves_the_run_and_gives_it_back(
    training: Studio, boss: httpx.Client, kites: str, untroubled: str
) -> None:
    run = launch(boss, kites, steps=LONG)
    under_way(boss, run)
    worker = training.processes["training"]
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait(40)
    waiting = run_of(boss, run)
    assert waiting["status"] == "queued" and not processes(run) and waiting["saved_step"] == waiting["progress"]["step"]
    training.start("training")
    assert rested(boss, run)["status"] == "succeeded"
    assert weights(boss, run) == untroubled


@pytest.mark.parametrize("step", ["claimed", "prepared", "started", "before_settling"])
def test_a_training_worker_that_dies_at_any_step_loses_nothing(
    training: Studio, boss: httpx.Client, step: str, tmp_path: Path
) -> None:
    dataset = collect(boss, f"Kites {step}")
    once = tmp_path / "crashed"
    training.kill("training")
    training.start("training", DANQING_CRASH_AT=step, DANQING_CRASH_ONCE=str(once))
    run = launch(boss, dataset, steps=4)
    done = rested(boss, run)
    assert done["status"] == "succeeded" and once.exists(), done
    training.kill("training")
    training.start("training")


def test_several_processes_train_one_run_which_is_paused_and_whose_worker_is_killed(
    training: Studio, boss: httpx.Client, kites: str
) -> None:
    training.kill("training")
    training.start("training", DANQING_TRAINING_PROCESSES="2")
    run = launch(boss, kites, steps=FOREVER)
    try:
        wait_until("training", lambda: run_of(boss, run)["progress"]["step"] > 3, 180)
        assert len(processes(run)) >= 3, "torchrun and two of ours"
        assert boss.post(f"/training-runs/{run}/pause").status_code == 200
        paused = rested(boss, run)
        assert paused["status"] == "paused" and paused["saved_step"] > 3 and not processes(run)
        assert boss.post(f"/training-runs/{run}/resumption").status_code == 200
        wait_until("more steps", lambda: run_of(boss, run)["progress"]["step"] > paused["saved_step"], 180)
        training.kill("training")
        wait_until("the orphans to end", lambda: not processes(run), 60)
    finally:
        training.start("training")
    wait_until("one process to go on", lambda: run_of(boss, run)["progress"]["step"] > paused["saved_step"] + 3, 180)
    assert boss.post(f"/training-runs/{run}/cancellation").status_code == 200
    assert rested(boss, run, 20)["status"] == "cancelled" and not processes(run)


def test_two_runs_train_beside_each_other_on_two_workers(training: Studio, boss: httpx.Client, kites: str) -> None:
    training.start("training-2")
    try:
        runs = [launch(boss, kites, steps=FOREVER), launch(boss, kites, steps=FOREVER, seed=1)]
        for run in runs:
            wait_until(f"run {run} to train", lambda run=run: run_of(boss, run)["progress"]["step"] > 2, 180)
        assert all(run_of(boss, run)["status"] == "running" for run in runs)
        for run in runs:
            boss.post(f"/training-runs/{run}/cancellation")
        assert [rested(boss, run, 20)["status"] for run in runs] == ["cancelled"] * 2
    finally:
        training.kill("training-2")


# --- bad inputs -----------------------------------------------------------------------------------------------------


def test_a_run_whose_base_is_broken_fails_with_the_reason(training: Studio, boss: httpx.Client, kites: str) -> None:
    run = launch(boss, kites, steps=4)
    assert rested(boss, run)["status"] == "succeeded"
    weights(boss, run)
    name = f"kites-{run[-12:]}"
    file = training.folder / "data" / "checkpoints" / name / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    failed = rested(boss, launch(boss, kites, steps=4, base_checkpoint=name))
    assert failed["status"] == "failed" and "changed since it was registered" in failed["error"], failed


def test_a_run_whose_pictures_were_deleted_fails_with_the_reason(training: Studio, boss: httpx.Client) -> None:
    dataset = collect(boss, "Soon gone")
    training.kill("training")
    run = launch(boss, dataset)
    assert boss.delete(f"/datasets/{dataset}").status_code == 204
    training.start("training")
    failed = rested(boss, run)
    assert failed["status"] == "failed" and "no longer" in failed["error"], failed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"family": "no-such"}, "family"),
        ({"family": "../etc"}, "family"),
        ({"dataset": "no-such"}, "dataset"),
        ({"dataset": "01a20d63-62dc-7000-a6fc-aaedf62181b6"}, None),
        ({"steps": 0}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"minutes": -1}, "minutes"),
        ({"patience": 0}, "patience"),
        ({"seed": 2**64}, "seed"),
        ({"name": "<b>"}, "name"),
        ({"preset": "no-such"}, "preset"),
        ({"surprise": 1}, "surprise"),
        ({"params": {"batch_size": 0}}, "batch_size"),
        ({"params": {"surprise": 1}}, "surprise"),
        ({"params": {"autoencoder": "no-such"}}, "autoencoder"),
        ({"params": {"autoencoder": "../../etc/passwd"}}, "autoencoder"),
        ({"params": {"watched": ["a\0b"]}}, "watched"),
        ({"params": {"network": {"width": 33}}}, "network"),
        ({"params": {"network": {"grid": 4}}}, "network"),
        ({"params": {"network": {"width": 4096, "decoder_layers": 10**6}}}, "params"),
        ({"base_checkpoint": "drawings-fsq"}, "start_from"),
        ({"family": "fsq-autoencoder", "params": {}, "base_checkpoint": "pixel-faces"}, "start_from"),
        ({"family": "gan", "params": {"size": 64}, "base_checkpoint": "pixel-faces"}, "size"),
        ({"family": "gan", "params": {"network": {"width": 16}}, "base_checkpoint": "pixel-faces"}, "network"),
        ({"family": "fsq-autoencoder", "params": {"network": {"size": 32}}, "dataset": "emoji"}, "dataset"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_its_field(
    boss: httpx.Client, kites: str, change: dict[str, Any], field: str | None
) -> None:
    given = {"name": "Kites", "family": "text-to-image-transformer", "dataset": kites, **change}
    answer = boss.post("/training-runs", json=given)
    assert answer.status_code == (422 if field else 404), answer.text
    if field:
        assert any(field in error["loc"] for error in answer.json()["errors"]), answer.text


def test_a_dataset_of_one_picture_is_too_small(boss: httpx.Client) -> None:
    dataset = make(boss, "Alone")
    send(boss, dataset, ("a.png", drawing(1)))
    answer = boss.post("/training-runs", json={"name": "x", "family": "fsq-autoencoder", "dataset": dataset})
    assert answer.status_code == 422 and "1 works; training needs 2" in answer.text


def test_training_is_for_admins(training: Studio, boss: httpx.Client, kites: str) -> None:
    artist = training.client("curious")
    run = launch(boss, kites, steps=4)
    for method, path in [
        ("GET", "/training-runs"),
        ("POST", "/training-runs"),
        ("GET", "/training-families"),
        ("GET", f"/training-runs/{run}"),
        ("GET", f"/training-runs/{run}/events"),
        ("GET", f"/training-runs/{run}/samples/1"),
        ("POST", f"/training-runs/{run}/cancellation"),
        ("POST", f"/training-runs/{run}/conclusion"),
        ("POST", f"/training-runs/{run}/publication"),
        ("DELETE", f"/training-runs/{run}"),
        ("GET", "/checkpoints"),
        ("DELETE", "/checkpoints/kites"),
    ]:
        body = {"json": {"name": "x"}} if method == "POST" else {}
        assert artist.request(method, path, **body).status_code == 403, path
    rested(boss, run)


def test_an_estimate_says_what_a_run_would_take(boss: httpx.Client, kites: str) -> None:
    given = {"name": "Kites", "family": "text-to-image-transformer", "dataset": kites, "steps": 100}

    def is_gauged() -> bool:
        return all(w["speed"] for w in boss.get("/workers").json()["items"] if w["queue"] == "training")

    # A machine on which tests run is never idle: a worker waits for that twelve looks long, then measures all the same.
    wait_until("the speed of every training worker", is_gauged, 180)
    small = boss.post("/training-runs/estimates", json={**given, "params": {"batch_size": 8}}).json()
    large = boss.post("/training-runs/estimates", json={**given, "params": {"batch_size": 64}}).json()
    assert large["memory_bytes"] > small["memory_bytes"] > 0 and large["seconds"] == pytest.approx(8 * small["seconds"])
    huge = boss.post("/training-runs/estimates", json={**given, "params": {"batch_size": 4096}}).json()
    assert huge["pieces"] > 1, "a batch that does not fit is worked on in pieces"
    families = {family["name"]: family["presets"] for family in boss.get("/training-families").json()["items"]}
    assert {"gan", "vae", "kl-autoencoder", "fsq-autoencoder", "text-to-image-transformer"} <= families.keys()
    for presets in families.values():
        assert {"quick", "good", "best"} <= {preset["name"] for preset in presets}
        assert all(preset["estimate"]["seconds"] > 0 for preset in presets)
    assert {preset["estimate"]["measured"] for preset in families["prompted-vae"]} <= {"speed", "runs"}, (
        "no run like it was made"
    )


# --- weights files --------------------------------------------------------------------------------------------------


def safetensors(header: dict[str, Any] | bytes, tensors: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + tensors


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "weights_file",
    [
        b"",
        b"\x80\x04\x95pickle" * 10,
        safetensors({}, length=2**63),
        safetensors({}, length=2**40),
        safetensors(b"[" * 100_000),
        safetensors(b"not json"),
        safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        safetensors({"a": entry([2], 0, 8), "b": entry([1], 12, 16)}, bytes(16)),
        safetensors({"a": entry([2**40, 2**40], 0, 8)}, bytes(8)),
        safetensors({"a": entry([-2], 0, 8)}, bytes(8)),
        safetensors({"a": entry([2], 0, 8, "PICKLE")}, bytes(8)),
        safetensors({"a": entry([2], 0, 8)}, bytes(4)),
        safetensors({"a": entry([2], 0, 8)}, bytes(12)),
        safetensors({f"t{i}": entry([], 4 * i, 4 * i + 4) for i in range(100_000)}, bytes(400_000)),
    ],
    ids=range(14),
)
def test_weights_that_are_no_safetensors_are_refused(boss: httpx.Client, weights_file: bytes) -> None:
    import hashlib

    digest = hashlib.sha256(weights_file).hexdigest()
    card = {"format": 1, "family": "text-to-image-transformer", "sha256": digest, "parameters": 1}
    files = [
        ("files", ("card.json", json.dumps(card).encode())),
        ("files", ("model.safetensors", weights_file)),
    ]
    answer = boss.post("/checkpoints", data={"name": "foreign"}, files=files)
    assert answer.status_code == 422, answer.text
    assert "foreign" not in [found["name"] for found in boss.get("/checkpoints").json()["items"]]


def test_checkpoints_that_are_not_ours_are_refused(training: Studio, boss: httpx.Client) -> None:
    def attempt(*files: tuple[str, bytes], name: str = "foreign", **data: str) -> httpx.Response:
        return boss.post("/checkpoints", data={"name": name, **data}, files=[("files", file) for file in files])

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("../../card.json", "{}")
        zipped.writestr("model.safetensors", b"x")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as zipped:
        for i in range(30):
            zipped.writestr(f"{i}.json", bytes(1 << 20))
    shipped = Path(__file__).parents[2] / "models" / "zoo"
    foreign = shipped / "pixel-faces" / "card.json", shipped / "pixel-faces-vae" / "model.safetensors"
    card = {**json.loads(foreign[0].read_text("utf-8")), "sha256": hashlib.sha256(foreign[1].read_bytes()).hexdigest()}
    other = attempt(("card.json", json.dumps(card).encode()), ("model.safetensors", foreign[1].read_bytes()))
    assert other.status_code == 422 and "another architecture" in other.text
    assert attempt(("card.json", b"{}")).status_code == 422
    assert attempt(("model.safetensors", safetensors({"a": entry([1], 0, 4)}, bytes(4)))).status_code == 422
    assert attempt(("x.zip", archive.getvalue())).status_code == 422
    assert attempt(("x.zip", bomb.getvalue())).status_code == 422
    assert attempt(("x.zip", archive.getvalue()[:40])).status_code == 422
    good = boss.get("/checkpoints/drawings-fsq/file").content
    assert attempt(("x.zip", good), name="drawings-fsq").status_code == 422, "the name is taken"
    assert attempt(("x.zip", good), name="drawings-fsq", replace="true").status_code == 422, "cannot be deleted"
    assert attempt(("card.json", b"[" * 100_000), ("model.safetensors", b"x")).status_code == 422
    assert attempt(("card.json", b" " * (2 << 20)), ("model.safetensors", b"x")).status_code == 422
    assert attempt(("x.zip", good), name="../x").status_code == 422
    assert attempt(("x.zip", good), name="copy", replace="perhaps").status_code == 422
    assert attempt(("x.zip", good), name="copy").status_code == 201
    changed = bytearray(good)
    changed[len(good) // 2] ^= 1
    assert attempt(("x.zip", bytes(changed)), name="bent").status_code == 422
    left = [path.name for path in (training.folder / "data").iterdir() if path.name.startswith("tmp")]
    assert not left, "nothing lies about"
