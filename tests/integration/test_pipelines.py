"""A pretrained pipeline in the studio: imported over the API, drawn with, cancelled, exported."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from safetensors.torch import save

from models.adopt import adopt
from models.contract.pipelines import make_card
from tests.integration.test_latents import pixels, upload
from tests.integration.test_training_runs import collect, rested
from tests.studio import Studio, finished, wait_until
from tests.support import pipelines

pytestmark = pytest.mark.filterwarnings("ignore")
NAME = "tiny-diffusion"


def packed(folder: Path) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                zipped.write(path, f"weights/{path.relative_to(folder).as_posix()}")
    return made.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.build("sd", tmp_path_factory.mktemp("pipelines") / "sd")


@pytest.fixture(scope="module", autouse=True)
def model(studio: Studio, admin: httpx.Client, folder: Path) -> Iterator[None]:
    answer = imported(admin, NAME, packed(folder))
    assert answer.status_code == 201, answer.text
    yield
    shutil.rmtree(studio.folder / "data" / "checkpoints" / NAME)


def imported(admin: httpx.Client, name: str, content: bytes) -> httpx.Response:
    files = [("files", ("pipeline.zip", content))]
    return admin.post("/checkpoints", data={"name": name}, files=files, timeout=300)


def asked(client: httpx.Client, task: str, images: dict[str, Any] | None = None, **params: Any) -> httpx.Response:
    given = {"model": NAME, "task": task, "params": {"steps": 3, "seed": 5, **params}, "inputs": images or {}}
    return client.post("/generations", json=given)


def drawn(client: httpx.Client, task: str, images: dict[str, Any] | None = None, **params: Any) -> list[dict[str, Any]]:
    answer = asked(client, task, images, **params)
    assert answer.status_code == 202, answer.text
    job = finished(client, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return list(job["artworks"])


def test_it_draws_and_a_work_can_be_asked_for_again(artist: httpx.Client) -> None:
    said = artist.get(f"/models/{NAME}").json()
    assert [task["name"] for task in said["tasks"]][:2] == ["text-to-image", "image-to-image"]
    works = drawn(artist, "text-to-image", prompt="a red fox", width=96, height=64, count=2, scheduler="Euler a")
    first, second = (pixels(artist, work) for work in works)
    assert first.shape == (64, 96, 3) and not np.array_equal(first, second)
    params = artist.get(f"/artworks/{works[1]['id']}").json()["provenance"]["params"]
    again = drawn(artist, "text-to-image", **{**params, "count": 1, "seed": 6})[0]
    assert (
        np.abs(pixels(artist, again).astype(float) - second).mean() <= 1 < np.abs(first - second.astype(float)).mean()
    )


def test_a_picture_is_drawn_again_and_goes_on_beyond_its_edges(artist: httpx.Client) -> None:
    image = upload(artist, 3)
    given = pixels(artist, drawn(artist, "image-to-image", {"image": [image]}, prompt="a red fox", strength=0.4)[0])
    wide = drawn(artist, "outpainting", {"image": [image]}, prompt="a red fox", right=64)[0]
    assert pixels(artist, wide).shape[1] >= given.shape[1]


def test_what_does_not_fit_is_said(artist: httpx.Client) -> None:
    for params, word in (({"width": 70}, "multiple"), ({"steps": 0}, "1"), ({"scheduler": "Dice"}, "DDIM")):
        answer = asked(artist, "text-to-image", prompt="a fox", **params)
        assert answer.status_code == 422 and word in answer.text, answer.text


def test_a_walk_is_cancelled_between_its_steps(artist: httpx.Client) -> None:
    job = asked(artist, "text-to-image", prompt="a fox", steps=150, width=512, height=512).json()["id"]
    wait_until("it to be drawn", lambda: artist.get(f"/generations/{job}").json()["progress"]["step"] > 0)
    artist.post(f"/generations/{job}/cancellation")
    assert finished(artist, job)["status"] == "cancelled"
    assert drawn(artist, "text-to-image", prompt="a fox")


def test_it_is_exported_and_imported_again(admin: httpx.Client, studio: Studio) -> None:
    content = admin.get(f"/checkpoints/{NAME}/file").content
    with zipfile.ZipFile(BytesIO(content)) as zipped:
        assert {"card.json", "model_index.json", "unet/config.json"} <= set(zipped.namelist())
    assert imported(admin, NAME, content).status_code == 409
    assert imported(admin, "another", content).status_code == 201
    assert admin.delete("/checkpoints/another").status_code == 204


def test_a_pickle_within_is_refused_and_nothing_is_kept(
    admin: httpx.Client, studio: Studio, folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    torch.save({"a": torch.zeros(2)}, broken / "vae" / "notes.txt")
    answer = imported(admin, "broken", packed(broken))
    assert answer.status_code == 422 and "vae/notes.txt may hold code" in answer.text
    assert not (studio.folder / "data" / "checkpoints" / "broken").exists()


def test_an_adapter_is_imported_and_named_in_what_was_drawn(admin: httpx.Client, artist: httpx.Client) -> None:
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    torch.manual_seed(1)
    tensors = {f"{layer}.lora_A.weight": torch.randn(4, 32), f"{layer}.lora_B.weight": torch.randn(32, 4)}
    files = [("files", ("墨 ink (v1.2).safetensors", save(tensors)))]
    words = {"name": "ink-lora", "title": "Ink", "license": "CC0-1.0"}
    answer = admin.post("/checkpoints", data=words, files=files, timeout=300)
    assert answer.status_code == 201, answer.text
    card = answer.json()
    assert card["family"] == "lora"
    assert (card["card"]["title"], card["card"]["license"]) == ("Ink", "CC0-1.0")
    assert artist.get(f"/models/{NAME}").json()["adapters"] == ["ink-lora"]
    plain = drawn(artist, "text-to-image", prompt="a fox")[0]
    inked = drawn(artist, "text-to-image", prompt="a fox", adapters=[{"name": "ink-lora", "weight": 2.0}])[0]
    assert not np.array_equal(pixels(artist, plain), pixels(artist, inked))
    (said,) = artist.get(f"/artworks/{inked['id']}").json()["provenance"]["params"]["adapters"]
    assert said == {"name": "ink-lora", "weight": 2.0, "sha256": card["sha256"]}
    for given, word in (
        ([{"name": "nobody"}], "nobody is no adapter"),
        ([{"name": NAME}], "no adapter"),
        ([{"name": "ink-lora"}] * 2, "named twice"),
        ([{"name": "ink-lora", "weight": 9}], "2"),
        ([{"name": "ink-lora", "sha256": "0" * 64}], "other weights"),
    ):
        refused = asked(artist, "text-to-image", prompt="a fox", adapters=given)
        assert refused.status_code == 422 and word in refused.text, refused.text
    assert admin.delete("/checkpoints/ink-lora").status_code == 204
    assert np.array_equal(pixels(artist, drawn(artist, "text-to-image", prompt="a fox")[0]), pixels(artist, plain))


@pytest.fixture
def loras(studio: Studio) -> Iterator[list[str]]:
    """Two that are far from each other."""
    names = ["first-lora", "second-lora"]
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        place = studio.folder / "data" / "checkpoints" / name
        place.mkdir()
        tensors = {f"{layer}.lora_A.weight": torch.randn(4, 32), f"{layer}.lora_B.weight": torch.randn(32, 4)}
        (place / "x.safetensors").write_bytes(save(tensors))
        adopt(place)
    yield names
    for name in names:
        shutil.rmtree(studio.folder / "data" / "checkpoints" / name)


def test_adapters_of_two_artists_do_not_meet(studio: Studio, artist: httpx.Client, loras: list[str]) -> None:
    other = studio.client("other-artist")
    alone = [
        pixels(artist, drawn(artist, "text-to-image", prompt="a fox", adapters=[{"name": name}])[0]) for name in loras
    ]
    plain = pixels(artist, drawn(artist, "text-to-image", prompt="a fox")[0])
    jobs = []
    for _ in range(4):
        for client, name in ((artist, loras[0]), (other, loras[1]), (artist, None)):
            adapters = [{"name": name}] if name else []
            jobs.append((client, name, asked(client, "text-to-image", prompt="a fox", adapters=adapters).json()["id"]))
    for client, name, job in jobs:
        (work,) = finished(client, job)["artworks"]
        wanted = alone[loras.index(name)] if name else plain
        assert np.abs(pixels(client, work).astype(float) - wanted).mean() <= 1, name
    assert np.abs(alone[0].astype(float) - alone[1]).mean() > 1 < np.abs(alone[0].astype(float) - plain).mean()


def test_a_worker_that_is_killed_in_the_middle_of_a_walk(studio: Studio, artist: httpx.Client) -> None:
    job = asked(artist, "text-to-image", prompt="a fox", steps=60, width=256, height=256).json()["id"]
    wait_until("it to be drawn", lambda: artist.get(f"/generations/{job}").json()["progress"]["step"] > 2)
    studio.kill("worker")
    studio.start("worker")
    done = finished(artist, job, 240)
    assert done["status"] == "succeeded" and len(done["artworks"]) == 1


def test_a_learnt_word_and_a_control_net_are_imported_and_drawn_with(
    admin: httpx.Client, artist: httpx.Client, folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    files = [("files", ("my-style.safetensors", save({"emb_params": torch.randn(2, 32)})))]
    answer = admin.post("/checkpoints", data={"name": "my-style"}, files=files, timeout=300)
    assert answer.status_code == 201 and answer.json()["family"] == "textual-inversion", answer.text
    pipelines.control_net(folder_with_card(folder, tmp_path), tmp_path / "lines")
    answer = imported(admin, "lines", packed(tmp_path / "lines"))
    assert answer.status_code == 201 and answer.json()["family"] == "controlnet", answer.text
    assert artist.get(f"/models/{NAME}").json()["adapters"] == ["lines", "my-style"]
    plain = drawn(artist, "text-to-image", prompt="a fox")[0]
    named = drawn(artist, "text-to-image", prompt="a fox, my-style")[0]
    (said,) = artist.get(f"/artworks/{named['id']}").json()["provenance"]["params"]["adapters"]
    assert said["name"] == "my-style" and len(said["sha256"]) == 64, "a word that is named is kept with what it meant"
    picture = upload(artist, 3)
    led = drawn(artist, "text-to-image", {"control": [picture]}, prompt="a fox", controls=[{"name": "lines"}])[0]
    pictures = [pixels(artist, each).tobytes() for each in (plain, named, led)]
    assert len(set(pictures)) == 3
    for given, controls, word in (
        ([picture], [], "one picture for each"),
        ([], [{"name": "lines"}], "one picture for each"),
        ([picture], [{"name": "my-style"}], "no adapter"),
        ([picture], [{"name": "lines", "end": 2}], "1"),
        ([picture], [{"name": "lines", "start": 0.5, "end": 0.5}], "before end"),
    ):
        refused = asked(artist, "text-to-image", {"control": given}, prompt="a fox", controls=controls)
        assert refused.status_code == 422 and word in refused.text, refused.text
    for name in ("lines", "my-style"):
        assert admin.delete(f"/checkpoints/{name}").status_code == 204
    gone = asked(artist, "text-to-image", {"control": [picture]}, prompt="a fox", controls=[{"name": "lines"}])
    assert gone.status_code == 422 and "no adapter" in gone.text


def folder_with_card(folder: Path, tmp_path: Path) -> Path:
    """The fixture's folder has none: it is imported as it came."""
    made = Path(shutil.copytree(folder, tmp_path / "known"))
    make_card(made)
    return made


@pytest.fixture
def trainer(studio: Studio) -> Iterator[None]:
    studio.start("training")
    yield
    studio.kill("training")


def test_an_admin_trains_a_lora_and_artists_draw_with_it(
    trainer: None, admin: httpx.Client, artist: httpx.Client
) -> None:
    dataset = collect(admin, "Foxes")
    params = {"pipeline": NAME, "size": 64, "word": "zxc", "network": {"rank": 2, "alpha": 2}, "watched": ["a fox"]}
    given = {"name": "fox-lora", "family": "lora", "dataset": dataset, "steps": 3, "evaluate": False}
    refused = admin.post("/training-runs", json={**given, "params": {**params, "pipeline": ""}})
    assert refused.status_code == 422 and "Choose a pipeline" in refused.text
    assert admin.post("/training-runs/estimates", json={**given, "params": params}).status_code == 200
    run = admin.post("/training-runs", json={**given, "params": params})
    assert run.status_code == 202, run.text
    ended = rested(admin, run.json()["id"], 300)
    assert ended["status"] == "succeeded", ended
    answer = admin.post(f"/training-runs/{ended['id']}/publication", json={"name": "fox-lora"})
    assert answer.status_code == 201, answer.text
    assert "fox-lora" in artist.get(f"/models/{NAME}").json()["adapters"]
    plain = drawn(artist, "text-to-image", prompt="zxc")[0]
    taught = drawn(artist, "text-to-image", prompt="zxc", adapters=[{"name": "fox-lora", "weight": 2.0}])[0]
    assert not np.array_equal(pixels(artist, plain), pixels(artist, taught))
    assert admin.delete(f"/checkpoints/{NAME}").status_code == 409, "the adapter builds on it"
    assert admin.delete("/checkpoints/fox-lora").status_code == 204
    assert admin.delete(f"/training-runs/{ended['id']}").status_code == 204
    assert admin.delete(f"/datasets/{dataset}").status_code == 204
