"""The guides for developers and for scripts, followed to the letter, in a copy of the code."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.studio import ROOT, Studio, finished

GUIDES = ROOT / "docs" / "guides"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COPIED = ("app", "workers", "models", "recipes", "templates", "tests", "pyproject.toml")
SHARED = ("static", "docs")
ROUND_TRIP = """
from app.media import MEDIA, decoded, encoded, signed
from models.contract.values import Palette
kept = encoded(Palette([(1, 2, 3)]))
file = MEDIA["palettes"].sign(kept.content, {"seed": 7})
print(signed(file), decoded(file, kept.media_type).colours, sep="\\n")
"""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """On a copy of the code."""
    code = tmp_path / "code"
    code.mkdir()
    for name in COPIED:
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__", "zoo")
        (shutil.copytree(source, code / name, ignore=ignored) if source.is_dir() else shutil.copy(source, code / name))
    for name in (*SHARED, "models/zoo"):
        (code / name).symlink_to(ROOT / name)
    environment = {"DANQING_DATA": str(code / "data"), "HOME": str(tmp_path / "home")}
    made = Studio(tmp_path / "studio", environment, code=code)
    yield made
    made.stop()


def follow(guide: str, code: Path) -> list[str]:
    """Write what a guide says to write; its commands."""
    commands, place, append = list[str](), Path(), False
    text = (GUIDES / guide).read_text("utf-8")
    for line in re.split(r"(```\w+\n.*?```|\n)", text, flags=re.DOTALL):
        if named := re.fullmatch(r"(At the end of )?`([\w./-]+)`", line):
            append, place = bool(named[1]), code / named[2]
        elif block := BLOCK.fullmatch(line):
            language, content = block.groups()
            if language == "sh":
                commands += content.splitlines()
            elif language == "diff":
                changed(place, content)
            else:
                place.parent.mkdir(exist_ok=True)
                content = content.lstrip("\n")
                if append:
                    between = "\n" * (3 if language == "python" else 2)
                    content = place.read_text("utf-8").rstrip("\n") + between + content
                place.write_text(content, "utf-8")
    return commands


def changed(place: Path, diff: str) -> None:
    before, after = (
        "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] in signs) for signs in (" -", " +")
    )
    text = place.read_text("utf-8")
    assert text.count(before) == 1, f"the guide is behind the code: {before}"
    place.write_text(text.replace(before, after), "utf-8")


def run(studio: Studio, command: str) -> str:
    """A line of a shell, as the guide has it."""
    command = re.sub(r"^danqing", f"{sys.executable} -m app.terminal.cli", command)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=studio.code,
        env={**os.environ, **studio.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def is_in_order(studio: Studio, *paths: str) -> None:
    """What `make check` says of it, but for the types."""
    run(studio, f"{sys.executable} -m ruff check {' '.join(paths)}")
    run(studio, f"{sys.executable} -m ruff format --check {' '.join(paths)}")


def test_a_new_family(studio: Studio, tmp_path: Path) -> None:
    commands = follow("new-family.md", studio.code)
    kites = tmp_path / "home" / "pictures" / "kites"
    kites.mkdir(parents=True)
    for number in range(60):
        Image.new("RGB", (40, 40), (4 * number, 250 - 4 * number, 90)).save(kites / f"kite {number}.png")
    for command in commands:
        run(studio, command)
    drawn = sorted((studio.code / "drawn").glob("*.png"))
    assert len(drawn) == 4 and len({path.read_bytes() for path in drawn}) == 4
    reds, greens, _ = (band.getextrema() for band in Image.open(drawn[0]).split())
    assert sum(reds) / 2 + sum(greens) / 2 == pytest.approx(250, abs=30), "as kites are"
    is_in_order(studio, "models/components")
    studio.start("valkey", "web", "worker")
    admin = studio.client("admin", "admin")
    request = {"model": "kites", "task": "unconditional-image-generation", "params": {"variety": 0.5, "seed": 3}}
    assert finished(admin, admin.post("/generations", json=request).json()["id"])["status"] == "succeeded"
    browser = studio.signed_in("admin")
    assert "Less gives safer" in browser.get("/create", params={"model": "kites"}).text.replace("less", "Less")
    assert "Latent dimensions of a picture" in browser.get("/train/new", params={"family": "components"}).text


def test_a_new_medium(studio: Studio, tmp_path: Path) -> None:
    commands = follow("new-medium.md", studio.code)
    palettes = tmp_path / "home" / "palettes"
    palettes.mkdir(parents=True)
    (palettes / "dusk.gpl").write_text("GIMP Palette\nName: Dusk\n# made by hand\n 20  30 60\tnight\n255 120 60 sun\n")
    (palettes / "torn.gpl").write_text("GIMP Palette\n 20 30 999\n")
    for command in commands:
        run(studio, command)
    is_in_order(studio, "app/media/palettes.py", "models/contract/values.py")
    run(studio, f"{sys.executable} -m tests.check_catalogue")
    assert run(studio, f"{sys.executable} -c '{ROUND_TRIP}'").split("\n")[:2] == ["{'seed': 7}", "[(1, 2, 3)]"]
    studio.start("web")
    admin = studio.client("admin", "admin")
    (dataset,) = admin.get("/datasets").json()["items"]
    assert (dataset["kind"], dataset["accepted"], dataset["refused"]) == ("palettes", 1, 1)
    browser = studio.signed_in("admin")
    page = browser.get(f"/datasets/{dataset['id']}").text
    assert "2 colours" in page and "Drop palettes (.gpl), a folder or a zip here" in page
    (item,) = admin.get(f"/datasets/{dataset['id']}/items").json()["items"]
    preview = admin.get(f"/datasets/{dataset['id']}/items/{item['id']}/preview").content
    assert Image.open(io.BytesIO(preview)).convert("RGB").getpixel((10, 10)) == pytest.approx((20, 30, 60), abs=6)
    answer = admin.post("/uploads", files={"file": ("dusk.gpl", (palettes / "dusk.gpl").read_bytes())})
    assert answer.status_code == 201 and answer.json()["media_type"] == "application/x-gimp-palette"


def test_the_api(fresh_studio: object, tmp_path: Path) -> None:
    studio: Studio = fresh_studio()  # type: ignore[operator]
    studio.start("valkey", "web", "worker")
    admin = studio.client("admin", "admin")
    Image.new("RGB", (32, 32), (200, 80, 20)).save(tmp_path / "fox.png")
    variables = {
        "DANQING": f"{studio.url}/api/v1",
        "KEY": str(admin.headers["authorization"]).removeprefix("Bearer "),
        "DATASET": admin.post("/datasets", json={"name": "Kites"}).json()["id"],
    }
    text = (GUIDES / "api.md").read_text("utf-8")
    commands = re.findall(r"^curl .*(?:\n .*)*", "".join(re.findall(r"```\n(.*?)```", text, re.DOTALL)), re.MULTILINE)
    said = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", f"{command.partition('   #')[0]} -s"],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        said.append(json.loads(done.stdout))
        variables["UPLOAD"] = said[-1].get("id", "")
    models, drawn, upload, varied, run = said
    assert "drawings-transformer" in {model["name"] for model in models["items"]}
    assert drawn["status"] == "succeeded" and len(drawn["artworks"]) == 2
    assert upload["media_type"] == "image/png"
    assert finished(admin, varied["id"])["status"] == "succeeded"
    assert run["errors"][0]["loc"] == ["body", "dataset"], "it needs pictures first"
    work = drawn["artworks"][0]["id"]
    for path in (f"/artworks/{work}/file", f"/artworks/{work}/preview?size=256", f"/artworks/{work}"):
        assert admin.get(path).is_success
    cancelled: httpx.Response = admin.post(f"/generations/{varied['id']}/cancellation")
    assert cancelled.status_code == 409, "it has ended"


def test_what_the_reading_guide_names_is_there() -> None:
    """Each `path: name` is a function, class or constant of that file, each other `path` a file."""
    text = (GUIDES / "reading-the-gan.md").read_text("utf-8")
    named = re.findall(r"`((?:models|recipes)/[\w./-]+)(?:: (\w+))?`", text)
    assert len(named) > 15
    for path, name in named:
        source = (ROOT / path).read_text("utf-8")
        assert not name or re.search(rf"^(def |class )?{name}\b", source, re.MULTILINE), f"{path} has no {name}"
