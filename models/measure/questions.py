"""Questions to a text-to-image model that were fixed before it was trained: `python -m models.measure.questions NAME`.

`questions.json` names what is asked: concepts that are trained on, concepts and (concept, style) pairs that never are,
three styles, four seeds. Every figure is on features that no training used, and has a 95 % interval over concepts.
The answers are looked for among real drawings of all concepts in the other styles, so the very drawing that a model may
have learnt by heart is never among them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from models.checkpoint import ZOO, CheckpointError, find, read_card
from models.contract.files import write_atomically
from models.contract.registry import families
from models.contract.sampling import Sampler, requests_of
from models.contract.tasks import TEXT_TO_IMAGE
from models.data.pictures import Collection, contact_sheet, open_collection, spread
from models.measure.likeness import blurred, near, noise, rounded, thousandths
from models.measure.metrics import FEATURES, IndependentFeatures, coverage
from models.measure.open_nsfw import SHA256
from models.measure.prompted import sampled
from models.parts.sentences import cached

ASKED = json.loads(Path(__file__).with_name("questions.json").read_text("utf-8"))
STYLES: list[str] = ASKED["styles"]
CONCEPTS = ("seen", "held_out", "held_out_since")  # the last were trained on by models of the `emoji` collection
RESAMPLED = 1000
MOST = 1500  # real pictures that a set is compared with
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """A prompt with a seed, and the concept and the style that it asks for."""

    group: str
    concept: str
    style: str
    prompt: str
    seed: int


def questions(labels: dict[str, str], seeds: Sequence[int]) -> list[Question]:
    """All of them; `labels` are of concepts."""
    asked = [
        Question(group, concept, style, f"{labels[concept]}, {style} style", seed)
        for group in CONCEPTS
        for concept in ASKED[group]
        for style in STYLES
        for seed in seeds
    ]
    pairs = [
        Question("pairs", concept, style, f"{labels[concept]}, {style} style", seed)
        for concept, style in ASKED["pairs"]
        for seed in seeds
    ]
    return asked + pairs


def open_sampler(name: str, checkpoints: Path = ZOO) -> tuple[Sampler, Callable[..., Any]]:
    """(sampler on the CPU, its parameters of `text-to-image`); `name` of a checkpoint, or a folder.

    Raises CheckpointError where it draws nothing from a prompt.
    """
    folder = Path(name) if (Path(name) / "card.json").exists() else find(name, checkpoints)
    family = families()[read_card(folder)["family"]]
    task = family.task(TEXT_TO_IMAGE)
    if task is None or family.sampler is None:
        raise CheckpointError("{name} draws nothing from a prompt", name=folder.name)
    return importlib.import_module(family.sampler).load(folder, torch.device("cpu"), checkpoints), task.params


def ask(sampler: Sampler, params_of: Callable[..., Any], prompts: Sequence[tuple[str, int]]) -> Tensor:
    """(N, 3, H, W) uint8 of (prompt, seed) pairs, by the model's own defaults."""
    return sampled(sampler, [request for prompt, seed in prompts for request in requests_of(params_of, [prompt], seed)])


# --- figures --------------------------------------------------------------------------------------------------------


@dataclass
class Gallery:
    """Real drawings of emoji with their features (N, D) of unit length; each has a concept, a cluster and a style."""

    items: list[dict[str, Any]]
    features: Features

    def __post_init__(self) -> None:
        clusters = sorted({item["group"] for item in self.items})
        number = {cluster: i for i, cluster in enumerate(clusters)}
        self.count = len(clusters)
        self.cluster = np.array([number[item["group"]] for item in self.items])
        self.style = np.array([item["style"] for item in self.items])
        self.split = np.array([item["split"] for item in self.items])
        self.cluster_of = {item["concept"]: number[item["group"]] for item in self.items}
        self.row_of = {(item["concept"], item["style"]): i for i, item in reversed(list(enumerate(self.items)))}

    def ranks(self, queries: Features, asked: Sequence[Question]) -> npt.NDArray[np.int64]:
        """(N,) how many clusters are nearer to each drawing than the one asked for, in the styles not asked for."""
        ranks = np.empty(len(asked), dtype=np.int64)
        for style in {question.style for question in asked}:
            rows = [i for i, question in enumerate(asked) if question.style == style]
            others = self.style != style
            similarity = queries[rows] @ self.features[others].T
            nearest = np.full((len(rows), self.count), -np.inf, dtype=np.float32)
            for column, cluster in enumerate(self.cluster[others]):
                np.maximum(nearest[:, cluster], similarity[:, column], out=nearest[:, cluster])
            own = [self.cluster_of[asked[i].concept] for i in rows]
            ranks[rows] = (nearest > nearest[np.arange(len(rows)), own][:, None]).sum(1)
        return ranks

    def nearest_training(self, queries: Features, asked: Sequence[Question] | None = None) -> Features:
        """(N,) cosine distance to the nearest drawing that is trained on, but for the very one that was asked for."""
        similarity = queries @ self.features.T
        similarity[:, self.split != "train"] = -np.inf
        for i, question in enumerate(asked or []):
            if (row := self.row_of.get((question.concept, question.style))) is not None:
                similarity[i, row] = -np.inf
        return np.asarray(1 - similarity.max(1), dtype=np.float32)


def with_interval(values: npt.NDArray[Any], concepts: Sequence[str]) -> list[float]:
    """[mean, low, high]: 95 % by resampling concepts, since drawings of one concept fail together."""
    names = sorted(set(concepts))
    number = {name: i for i, name in enumerate(names)}
    of = np.array([number[name] for name in concepts])
    sums, counts = np.bincount(of, values), np.bincount(of)
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLED, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return [round(float(v), 4) for v in (values.mean(), *np.quantile(means, (0.025, 0.975)))]


def spread_between(features: Features, together: int) -> npt.NDArray[np.float64]:
    """(N / together,) mean cosine distance of each `together` drawings that follow each other."""
    sets = features.reshape(-1, together, features.shape[1])
    similar = np.einsum("sid,sjd->sij", sets, sets)
    pairs = together * (together - 1)
    return np.asarray(1 - (similar.sum((1, 2)) - np.trace(similar, axis1=1, axis2=2)) / pairs)


def variety(
    sampler: Sampler,
    params_of: Callable[..., Any],
    gallery: Gallery,
    labels: dict[str, str],
    features: IndependentFeatures,
) -> dict[str, Any]:
    """How unlike four drawings of a prompt that names no style are, beside four real drawings of the concept."""
    seeds = ASKED["seeds"]
    prompts = [(labels[concept], seed) for concept in ASKED["variety"] for seed in seeds]
    ours = spread_between(features(ask(sampler, params_of, prompts)), len(seeds))
    rows = [gallery.row_of[concept, style] for concept in ASKED["variety"] for style in ASKED["variety_styles"]]
    real = spread_between(gallery.features[rows], len(ASKED["variety_styles"]))
    return {
        "drawn": with_interval(ours, ASKED["variety"]),
        "real": with_interval(real, ASKED["variety"]),
        "share": round(float(ours.mean() / real.mean()), 3),
    }


def figures_of(
    sampler: Sampler, params_of: Callable[..., Any], data: Collection, seeds: Sequence[int]
) -> tuple[dict[str, Any], list[Question], Tensor]:
    """(figures, what was asked, the drawings in the same order)."""
    features = IndependentFeatures()
    chosen = np.array([i for i, item in enumerate(data.items) if is_emoji(item, data)])
    real = data.pictures(chosen)
    known = cached(data.folder / f"features-{SHA256[:16]}.npy", lambda: features(real))  # they take minutes
    gallery = Gallery([data.items[i] for i in chosen], np.asarray(known))
    labels = {item["concept"]: item["label"] for item in gallery.items}
    asked = questions(labels, seeds)
    drawn = ask(sampler, params_of, [(question.prompt, question.seed) for question in asked])
    ours = features(drawn)
    figures: dict[str, Any] = {"features": FEATURES, "clusters": gallery.count, "seeds": list(seeds)}
    for group in (*CONCEPTS, "pairs"):
        rows = [i for i, question in enumerate(asked) if question.group == group]
        part = [asked[i] for i in rows]
        concepts = [question.concept for question in part]
        real_rows = [gallery.row_of[question.concept, question.style] for question in part]
        ranks = gallery.ranks(ours[rows], part)
        ceiling = gallery.ranks(gallery.features[real_rows], part)
        figures[group] = {
            "drawings": len(rows),
            "R@1": with_interval(ranks < 1, concepts),
            "R@10": with_interval(ranks < 10, concepts),
            "real_R@1": with_interval(ceiling < 1, concepts),
            "real_R@10": with_interval(ceiling < 10, concepts),
            "nearest_training": near("drawn", gallery.nearest_training(ours[rows], part))
            | near("real", gallery.nearest_training(gallery.features[real_rows], part)),
        }
    first = [i for i, question in enumerate(asked) if question.seed == seeds[0]]
    figures |= as_a_whole(ours[first], gallery, real, features)
    figures["variety"] = variety(sampler, params_of, gallery, labels, features)
    return figures, asked, drawn


def is_emoji(item: dict[str, Any], data: Collection) -> bool:
    return item["style"] in data.card["styles"] and not item["recoloured"]


def as_a_whole(ours: Features, gallery: Gallery, real: Tensor, features: IndependentFeatures) -> dict[str, Any]:
    """Kernel distance to real drawings in the same styles, with floors; precision and recall."""
    rows = spread(np.flatnonzero(np.isin(gallery.style, STYLES)), MOST)
    theirs, pictures = gallery.features[rows], real[rows]
    return {
        "kernel_distance_x1000": {
            "drawn": thousandths(ours, theirs),
            "real": thousandths(theirs[::2], theirs[1::2]),
            "blurred": thousandths(features(blurred(pictures[::2])), theirs[1::2]),
            "noise": thousandths(features(noise(pictures.shape)), theirs),
        },
        **{name: rounded(value) for name, value in coverage(ours, theirs).items()},
    }


def sheet_of(drawn: Tensor, asked: Sequence[Question], group: str, columns: int = 24) -> Image.Image:
    """The drawings of a group's first seed."""
    rows = [i for i, question in enumerate(asked) if question.group == group and question.seed == asked[0].seed]
    return Image.fromarray(contact_sheet(drawn[rows], columns))


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask a text-to-image model the questions; prints the figures.")
    parser.add_argument("name", help="of a checkpoint that ships or was published, or a folder")
    parser.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    parser.add_argument("--checkpoints", type=Path, default=ZOO)
    parser.add_argument("--seeds", type=int, default=len(ASKED["seeds"]), help="how many of them")
    parser.add_argument("--out", type=Path, help="folder for figures.json and sheets")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        sampler, params_of = open_sampler(arguments.name, arguments.checkpoints)
        data = open_collection(arguments.datasets / ASKED["collection"])
        if data.card["version"] != ASKED["version"]:
            print("The collection is of another version than the one that the questions were made of", file=sys.stderr)
        seeds = ASKED["seeds"][: arguments.seeds]
        figures, asked, drawn = figures_of(sampler, params_of, data, seeds)
    except (CheckpointError, FileNotFoundError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(figures, indent=1))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out / "figures.json", json.dumps(figures, indent=1).encode(), 0o644)
        for group in (*CONCEPTS, "pairs"):
            sheet_of(drawn, asked, group).save(arguments.out / f"{group}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
