"""What a stranger calls a model's drawings: `python -m benchmarks.eye draw NAME OUT`, then `... score OUT names.txt`.

Drawings of forty everyday prompts by the model's defaults, four seeds each, are shuffled with as many real drawings of
the same concepts. The judge sees numbered sheets only and names each picture in a word or two, a line each:
`17 green frog`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from models.data.pictures import open_collection
from models.measure.questions import ask, open_sampler

PROMPTS: dict[str, list[dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("prompts.toml").read_text("utf-8"))
SEEDS = range(4)
COLUMNS, ROWS, SIDE, LINE = 8, 5, 128, 18  # of a sheet, in pictures and pixels


def draw(name: str, out: Path, datasets: Path) -> None:
    """Writes sheet-1.png ... and key.json, which the judge is not to see."""
    sampler, params_of = open_sampler(name)
    asked = [(group, entry) for group, entries in PROMPTS.items() for entry in entries]
    drawn = ask(sampler, params_of, [(entry["prompt"], seed) for _, entry in asked for seed in SEEDS])
    shuffled = random.Random(0)
    collection = open_collection(datasets / "drawings")
    rows: list[int] = []
    for _, entry in asked:
        of_it = [i for i, item in enumerate(collection.items) if item["concept"] == entry["concept"]]
        rows += shuffled.sample([i for i in of_it if not collection.items[i]["recoloured"]], len(SEEDS))
    cells = [
        {"group": group, "drawn": by_model, **entry}
        for by_model in (True, False)
        for group, entry in asked
        for _ in SEEDS
    ]
    pictures = [*drawn, *collection.pictures(np.array(rows))]
    order = shuffled.sample(range(len(cells)), len(cells))
    out.mkdir(parents=True, exist_ok=True)
    per_sheet = COLUMNS * ROWS
    for start in range(0, len(order), per_sheet):
        part = order[start : start + per_sheet]
        sheet([pictures[i] for i in part], start + 1).save(out / f"sheet-{start // per_sheet + 1}.png")
    (out / "key.json").write_text(json.dumps([cells[i] for i in order], ensure_ascii=False, indent=0), "utf-8")
    sheet(list(drawn), 1).save(out / "drawn-in-order.png")


def sheet(pictures: list[Tensor], first: int) -> Image.Image:
    """(3, H, W) uint8 each, numbered from `first`."""
    rows = -(-len(pictures) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * (SIDE + 8), rows * (SIDE + LINE + 8)), "white")
    pen = ImageDraw.Draw(canvas)
    for i, picture in enumerate(pictures):
        x, y = i % COLUMNS * (SIDE + 8), i // COLUMNS * (SIDE + LINE + 8)
        pen.text((x + 4, y + 2), str(first + i), fill="black")
        canvas.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((SIDE, SIDE)), (x + 4, y + LINE))
    return canvas


def is_right(name: str, cell: dict[str, Any]) -> bool:
    """Whether an accepted name stands among its words, and the colour where one was asked for."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    accepted = {form for word in cell["accepted"] for form in (word, f"{word}s")}
    return bool(words & accepted) and ("colour" not in cell or bool(words & set(cell["colour"])))


def score(out: Path, names: Path) -> str:
    """A table of the right ones by group, the model's beside the real ones."""
    key = json.loads((out / "key.json").read_text("utf-8"))
    told = {}
    for line in names.read_text("utf-8").splitlines():
        if found := re.match(r"\s*(\d+)[.:)]?\s+(.*)", line):
            told[int(found[1])] = found[2]
    lines = ["| | drawn | real |", "|---|---|---|"]
    missed = [number for number in range(1, len(key) + 1) if number not in told]
    for group in (*PROMPTS, "all"):
        row = [group]
        for by_model in (True, False):
            right = [
                is_right(told.get(number, ""), cell)
                for number, cell in enumerate(key, 1)
                if cell["drawn"] is by_model and group in (cell["group"], "all")
            ]
            row.append(f"{sum(right)} of {len(right)} ({sum(right) / len(right):.0%})")
        lines.append(f"| {' | '.join(row)} |")
    if missed:
        lines.append(f"Not named: {len(missed)}, from number {missed[0]}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("name", help="of a checkpoint that ships or was published, or a folder")
    drawing.add_argument("out", type=Path)
    drawing.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    scoring = commands.add_parser("score")
    scoring.add_argument("out", type=Path)
    scoring.add_argument("names", type=Path, help="a line a picture: its number and what it was called")
    arguments = parser.parse_args()
    if arguments.command == "draw":
        torch.set_num_threads(2)
        draw(arguments.name, arguments.out, arguments.datasets)
    else:
        print(score(arguments.out, arguments.names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
