"""Folders as styles and names as concepts: what is a label, what is not, and that training and exports keep them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from app.database import session_scope
from app.datasets import prepare, service
from app.datasets.labels import labelled, place
from app.datasets.prepare import pictures
from app.datasets.prepare.snapshot import Row
from models.contract.preparation import SquarePreparation
from tests.app.test_datasets import add, drawing, drawn, make

ALIGNED = {f"{style}{i}": f"set/{style}/{i}.png" for style in ("ink", "oil") for i in range(3)}


def test_folders_are_styles_and_files_of_one_name_show_one_thing() -> None:
    styles, concepts = labelled(ALIGNED)
    assert styles["ink0"] == "ink" and styles["oil2"] == "oil"
    assert concepts["ink1"] == concepts["oil1"] == "1" and concepts["ink0"] != concepts["ink1"]


@pytest.mark.parametrize(
    "more",
    [
        {"loose": "cover.png"},  # not every file lies in a folder
        {f"x{i}": f"set/{i}/x.png" for i in range(200)},  # a folder a file
    ],
)
def test_an_order_of_files_is_no_label(more: dict[str, str]) -> None:
    styles, concepts = labelled({**ALIGNED, **more})
    assert set(styles.values()) == {""} and len(set(concepts.values())) == len(concepts)
    assert set(labelled({f"a{i}": f"one/{i}.png" for i in range(9)})[0].values()) == {""}


def test_a_name_that_is_twice_in_a_folder_aligns_nothing() -> None:
    _, concepts = labelled({**ALIGNED, "again": "other/ink/1.jpg"})
    assert concepts["ink1"] == "ink1" and concepts["ink2"] == concepts["oil2"] == "2"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\x\\..", "a/../..", "..", "", "a/.hidden"])
def test_no_name_leads_out_of_an_export(name: str) -> None:
    folder, stem = place(name)
    assert stem and not {"/", "\\", ":"} & {*folder, *stem} and ".." not in (folder, stem)


@pytest.mark.usefixtures("in_process")
def test_training_and_an_export_keep_the_labels(tmp_path: Path) -> None:
    dataset, again = make("kites in two styles"), make("the same again")
    numbers = {style: 30 * (style == "oil") for style in ("ink", "oil")}
    names = [(f"kites/{style}/{i}.png", drawing(i + shift)) for style, shift in numbers.items() for i in range(25)]
    add(dataset, *names, ("other/ink/3.png", drawing(99)))
    loose = make("kites in a heap")
    add(loose, *((f"{i}.png", drawing(i)) for i in range(4)))
    with session_scope(writing=False) as session:
        assert service.has_pairs(session, dataset) and not service.has_pairs(session, loose)
        content = b"".join(service.export(service.get(session, dataset)))
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        files = {name for name in made.namelist() if name.endswith(".png")}
    assert len(files) == 51 and {"ink/0.png", "oil/24.png"} <= files
    add(again, ("export.zip", io.BytesIO(content)))
    for each in (dataset, again):
        folder, card = prepare.prepare(each, tmp_path / each, 16)
        prepare.write(folder, prepare.snapshot(each), 16, SquarePreparation())
        items = [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").splitlines()]
        assert {item["style"] for item in items} == {"ink", "oil"} and card["count"] == 51
        splits = {concept: {i["split"] for i in items if i["concept"] == concept} for concept in map(str, range(25))}
        assert all(len(found) == 1 for found in splits.values() if found)  # a thing is held out in every style
        assert {"train"} in splits.values() and {i["split"] for i in items} == {"train", "held_out"}


@pytest.mark.usefixtures("in_process")
def test_copies_of_a_picture_are_on_one_side_of_the_split() -> None:
    dataset = make("each picture in two sizes")
    add(dataset, *((f"{number}-{size}.png", drawn(number, size)) for number in range(40) for size in (128, 64)))
    rows = prepare.snapshot(dataset).rows
    assert len(rows) == 80 and len({row.concept for row in rows}) == 40
    held_out = pictures.held_out(rows)
    assert len(held_out) == 2 and sum(row.concept in held_out for row in rows) == 4


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (2, 1), (9, 1), (10, 2), (39, 2), (40, 2), (100, 5)])
def test_enough_is_held_out_to_be_measured(count: int, kept: int) -> None:
    rows = [Row(str(i), "", "", str(i), "image/png") for i in range(count)]
    assert len(pictures.held_out(rows)) == kept
