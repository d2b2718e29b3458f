"""Datasets over HTTP, and the whole way from a folder of pictures to a model that artists use."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.app.test_datasets import drawing, zipped
from tests.app.test_films import film
from tests.app.test_kinds import TUNE, midi
from tests.studio import Studio, finished

MP4 = b"\0\0\0 ftypisom" + bytes(100)


def make(admin: httpx.Client, name: str, kind: str = "pictures") -> str:
    answer = admin.post("/datasets", json={"name": name, "kind": kind})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def send(admin: httpx.Client, dataset: str, *files: tuple[str, bytes]) -> httpx.Response:
    return admin.post(f"/datasets/{dataset}/items", files=[("files", file) for file in files])


def test_a_dataset_is_filled_looked_at_captioned_exported_and_deleted(admin: httpx.Client) -> None:
    dataset = make(admin, "Kites")
    archive = zipped({f"red kite {i}.png": drawing(i) for i in range(12)} | {"x.png": b"<html>"}).getvalue()
    result = send(admin, dataset, ("all.zip", archive), ("blue kite.jpg", drawing(50, form="JPEG"))).json()
    assert (result["accepted"], result["refused"]) == (13, 1) and result["refusals"][0]["name"] == "x.png"

    first = admin.get(f"/datasets/{dataset}/items", params={"limit": 10}).json()
    rest = admin.get(f"/datasets/{dataset}/items", params={"limit": 10, "cursor": first["next_cursor"]}).json()
    items = first["items"] + rest["items"]
    assert len(items) == 13 == len({item["id"] for item in items}) and rest["next_cursor"] is None
    assert len(admin.get(f"/datasets/{dataset}/items", params={"q": "BLUE"}).json()["items"]) == 1

    at = f"/datasets/{dataset}/items/{items[0]['id']}"
    assert admin.patch(at, json={"caption": "  a kite over 潍坊 "}).json()["caption"] == "a kite over 潍坊"
    preview = admin.get(f"{at}/preview", params={"size": 64})
    assert preview.headers["content-type"] == "image/webp" and Image.open(io.BytesIO(preview.content)).size == (64, 64)
    before = admin.get(f"/datasets/{dataset}/statistics").json()
    assert admin.delete(at).status_code == 204 and admin.get(f"{at}/preview").status_code == 404
    after = admin.get(f"/datasets/{dataset}/statistics").json()
    assert (before["accepted"], after["accepted"]) == (13, 12) and before["version"] != after["version"]

    exported = admin.get(f"/datasets/{dataset}/export")
    assert exported.headers["content-disposition"].startswith('attachment; filename="Kites.zip"')
    with zipfile.ZipFile(io.BytesIO(exported.content)) as made:
        assert json.loads(made.read("dataset.json"))["version"] == after["version"]
        assert len(made.namelist()) == 14
    assert admin.delete(f"/datasets/{dataset}").status_code == 204
    assert admin.get(f"/datasets/{dataset}").status_code == 404


def test_a_shared_dataset_is_read_by_everyone_and_changed_by_none_of_them(
    admin: httpx.Client, artist: httpx.Client
) -> None:
    dataset = make(admin, "Herons")
    send(admin, dataset, ("heron.png", drawing(70)))
    (item,) = admin.get(f"/datasets/{dataset}/items").json()["items"]
    at, of_item = f"/datasets/{dataset}", f"/datasets/{dataset}/items/{item['id']}"
    reads = [at, f"{at}/items", f"{of_item}/file", f"{of_item}/preview"]
    assert [artist.get(path).status_code for path in reads] == [404] * 4
    assert dataset not in [each["id"] for each in artist.get("/datasets").json()["items"]]
    assert admin.patch(at, json={"visibility": "all"}).status_code == 422
    assert admin.patch(at, json={"visibility": "studio"}).json()["visibility"] == "studio"
    assert [artist.get(path).status_code for path in reads] == [200] * 4
    assert dataset in [each["id"] for each in artist.get("/datasets").json()["items"]]
    assert artist.get(f"{of_item}/file").content == admin.get(f"{of_item}/file").content
    refused = [
        artist.patch(at, json={"visibility": "private"}),
        artist.patch(of_item, json={"caption": "mine"}),
        artist.delete(of_item),
        artist.delete(at),
        artist.get(f"{at}/export"),
        send(artist, dataset, ("mine.png", drawing(71))),
    ]
    assert [answer.status_code for answer in refused] == [403] * 6
    admin.patch(at, json={"visibility": "private"})
    assert artist.get(at).status_code == 404


def test_music_is_kept_shown_as_a_piano_roll_given_back_and_no_picture_to_train_on(admin: httpx.Client) -> None:
    dataset = make(admin, "Jigs", "music")
    jig = midi(TUNE)
    assert send(admin, dataset, ("jig.mid", jig), ("kite.png", drawing(1))).json()["accepted"] == 1
    (item,) = admin.get(f"/datasets/{dataset}/items").json()["items"]
    assert item["media_type"] == "audio/midi" and item["facts"]["notes"] == 4
    at = f"/datasets/{dataset}/items/{item['id']}"
    assert Image.open(io.BytesIO(admin.get(f"{at}/preview").content)).width == 128
    file = admin.get(f"{at}/file")
    assert file.content == jig and file.headers["content-type"] == "audio/midi"
    assert file.headers["content-disposition"] == "attachment; filename=\"jig.mid\"; filename*=UTF-8''jig.mid"
    run = {"name": "Jigs", "family": "fsq-autoencoder", "dataset": dataset}
    refused = admin.post("/training-runs", json=run)
    assert refused.status_code == 422 and refused.json()["errors"][0]["loc"] == ["body", "dataset"]
    assert admin.post("/datasets", json={"name": "x", "kind": "smells"}).status_code == 422

    texts = make(admin, "Verse", "texts")
    assert send(admin, texts, ("a.txt", "静夜思".encode())).json()["accepted"] == 1
    (item,) = admin.get(f"/datasets/{texts}/items").json()["items"]
    assert item["facts"]["excerpt"] == "静夜思"
    assert admin.get(f"/datasets/{texts}/items/{item['id']}/preview").status_code == 404


def test_films_are_kept_shown_by_their_poster_given_back_and_exported(admin: httpx.Client) -> None:
    dataset = make(admin, "Balls", "films")
    ball = film([1, 2, 3], "GIF")
    answer = send(admin, dataset, ("red ball.gif", ball), ("still.png", drawing(1)), ("clip.mp4", MP4)).json()
    assert (answer["accepted"], answer["refused"]) == (1, 2)
    assert {refusal["name"] for refusal in answer["refusals"]} == {"still.png", "clip.mp4"}
    (item,) = admin.get(f"/datasets/{dataset}/items", params={"state": "accepted"}).json()["items"]
    assert (item["media_type"], item["facts"]["frames"], item["caption"]) == ("image/gif", 3, "red ball")
    at = f"/datasets/{dataset}/items/{item['id']}"
    assert Image.open(io.BytesIO(admin.get(f"{at}/preview").content)).format == "WEBP"
    file = admin.get(f"{at}/file")
    assert file.headers["content-type"] == "image/gif" and Image.open(io.BytesIO(file.content)).n_frames == 3
    assert admin.get(f"/datasets/{dataset}/statistics").json()["totals"]["seconds"] > 0
    with zipfile.ZipFile(io.BytesIO(admin.get(f"/datasets/{dataset}/export").content)) as made:
        assert sum(name.endswith(".gif") for name in made.namelist()) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"PK\x03\x04" + bytes(30), 422),
        (zipped({f"{i}.png": bytes(4 << 20) for i in range(8)}).getvalue(), 422),
        (b"", 200),
        (b"<html>", 200),
    ],
)
def test_uploads_that_cannot_be_used_leave_nothing_but_their_reason(
    admin: httpx.Client, content: bytes, status: int
) -> None:
    dataset = make(admin, f"Bad {status} {len(content)}")
    answer = send(admin, dataset, ("a.zip", content))
    assert answer.status_code == status, answer.text
    found = admin.get(f"/datasets/{dataset}").json()
    assert found["accepted"] == 0 and found["refused"] == (1 if status == 200 else 0)


def test_bad_requests_about_datasets_get_a_clear_answer(admin: httpx.Client, artist: httpx.Client) -> None:
    dataset = make(admin, "Taken")
    item = "00000000-0000-7000-8000-000000000000"
    answers: list[tuple[httpx.Response, int]] = [
        (admin.post("/datasets", json={"name": "taKEN"}), 409),
        (admin.post("/datasets", json={"name": "../../etc"}), 422),
        (admin.post("/datasets", json={"name": ""}), 422),
        (admin.post("/datasets", json={"name": "x", "more": 1}), 422),
        (admin.get("/datasets/nothing"), 422),
        (admin.post("/datasets/starters/nothing"), 422),
        (artist.post("/datasets/starters/bach"), 403),
        (admin.get(f"/datasets/{item}"), 404),
        (admin.patch(f"/datasets/{dataset}/items/{item}", json={"caption": "x"}), 404),
        (admin.patch(f"/datasets/{dataset}/items/{item}", json={"caption": "a\x00b"}), 422),
        (admin.get(f"/datasets/{dataset}/items", params={"state": "odd"}), 422),
        (admin.get(f"/datasets/{dataset}/items", params={"cursor": "odd"}), 422),
        (admin.post(f"/datasets/{dataset}/items", json={}), 415),
        (send(admin, item, ("a.png", drawing(1))), 404),
        (artist.get(f"/datasets/{dataset}"), 404),
        (send(artist, dataset, ("a.png", drawing(1))), 403),
    ]
    for answer, status in answers:
        assert answer.status_code == status, (answer.request.method, answer.request.url, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture
def recipes(tmp_path: Path) -> tuple[Path, Path]:
    """Tiny recipes of the two families: an autoencoder and a transformer over its tokens."""
    first, second = tmp_path / "autoencoder.toml", tmp_path / "transformer.toml"
    first.write_text(
        'family = "fsq-autoencoder"\ncollection = "emoji"\n[params]\nbatch_size = 4\n[params.network]\n'
        "widths = [32, 16, 16, 8]\nencoder_blocks = 1\ndecoder_blocks = 1\n[size.cpu]\nsteps = 3\n"
    )
    second.write_text(
        'family = "text-to-image-transformer"\ncollection = "emoji"\n[params]\nautoencoder = "own-autoencoder"\n'
        "batch_size = 4\nviews = 2\n[params.network]\nwidth = 64\nheads = 4\nencoder_layers = 1\ndecoder_layers = 1\n"
        "encoder_hidden = 64\ndecoder_hidden = 64\ntext_vocabulary = 320\n[size.cpu]\nsteps = 3\n"
    )
    return first, second


def test_a_folder_of_pictures_becomes_a_model_that_draws(
    studio: Studio, artist: httpx.Client, recipes: tuple[Path, Path], tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(24):
        (pictures / f"{i}.png").write_bytes(drawing(i, size=80))
        (pictures / f"{i}.txt").write_text(f"kite number {i}")
    imported = studio.run("dataset", "import", "My kites!", str(pictures))
    assert "24 added" in imported.stderr
    again = studio.run("dataset", "import", "my KITES!", str(pictures))
    assert again.stdout == imported.stdout and "24 already there" in again.stderr
    collection = studio.run("dataset", "prepare", "My kites!").stdout.strip()
    assert collection == "my-kites"

    for recipe, name in zip(recipes, ("own-autoencoder", "own-kites"), strict=True):
        folder = studio.run("train", str(recipe), "--collection", collection).stdout.strip()
        studio.run("checkpoint", "import", folder, name)
    refused = studio.run("checkpoint", "import", folder, "own-kites", check=False)
    assert refused.returncode == 1 and "already" in refused.stderr

    onward = ("train", str(recipe), "--collection", collection, "--folder")
    folder = studio.run(*onward, str(tmp_path / "on"), "--start-from", "own-kites").stdout.strip()
    card = json.loads((Path(folder) / "card.json").read_text("utf-8"))
    assert card["training"]["start_from"] == "own-kites" and card["started_from"]["steps"] == 3
    refused = studio.run(*onward, str(tmp_path / "off"), "--start-from", "no-kites", check=False)
    assert refused.returncode and "no-kites" in refused.stderr

    found = artist.get("/models/own-kites").json()
    assert found["title"] == "My kites!"
    figures = found["checkpoint"]["figures"]
    assert figures["retrieval_seen"]["queries"] == 22 and "nearest_training_picture_cosine_distance" in figures
    autoencoder = artist.get("/checkpoints/own-autoencoder")
    again = json.loads(studio.run("evaluate", "own-autoencoder").stdout)
    assert again["psnr_seen_db"] > 0 and "psnr_held_out_db" not in again and autoencoder.status_code == 403
    job: dict[str, Any] = artist.post(
        "/generations",
        json={"model": "own-kites", "task": "text-to-image", "params": {"prompt": "kite number 3"}},
    ).json()
    work = finished(artist, job["id"])["artworks"][0]
    assert Image.open(io.BytesIO(artist.get(f"/artworks/{work['id']}/file").content)).size == (64, 64)


def test_a_checkpoint_that_is_not_one_is_refused(studio: Studio, tmp_path: Path) -> None:
    zoo = Path(__file__).parents[2] / "models" / "zoo" / "drawings-transformer"
    card = json.loads((zoo / "card.json").read_text("utf-8"))
    bad: dict[str, tuple[dict[str, Any], bytes]] = {
        "pickle": (card, b"\x80\x04\x95pickled"),
        "changed": (card, (zoo / "model.safetensors").read_bytes()[:-4] + b"abcd"),
        "stranger": ({**card, "family": "unheard-of"}, b""),
        "wordless": ({**card, "description": None}, b""),
        "climber": ({**card, "files": {"../../up": "0"}}, b""),
    }
    for name, (words, weights) in bad.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "card.json").write_text(json.dumps(words))
        (folder / "model.safetensors").write_bytes(weights)
        for text in ("tokenizer.json", "words.txt"):
            (folder / text).write_bytes((zoo / text).read_bytes())
        done = studio.run("checkpoint", "import", str(folder), name, check=False)
        assert done.returncode == 1 and done.stderr.startswith("danqing: "), (name, done)
        assert "Traceback" not in done.stderr
    assert not {*bad} & {path.name for path in (studio.folder / "data" / "checkpoints").glob("*")}
