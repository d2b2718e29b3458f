"""Figures of the text-to-image transformer: loss, retrieval against real drawings, distance to training pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data import Collection, contact_sheet
from models.metrics import FEATURES, IndependentFeatures, nearest, retrieval
from models.transformer.sample import TransformerSampler, load, requests
from models.transformer.train import Examples
from models.transformer.train import evaluate as loss_of

STYLE, OTHER_STYLE = "noto", "twemoji"  # queries are drawn in the one; the other gives the ceiling
QUERIES = 240  # of seen concepts and of held-out pairs; of held-out concepts there are fewer
SHEET = [  # seen concepts, one row a style
    ("a fox", "pizza", "a grinning face", "a rocket", "a sunflower", "a cat face", "a red heart", "an octopus"),
    ("狐狸", "汉堡", "笑脸", "汽车", "玫瑰", "熊猫", "蓝色的心", "草莓"),
]
SHEET_STYLES = [
    (", noto style", "，noto风格"),
    (", 3d style", "，立体风格"),
    (", flat style", "，扁平风格"),
    (", twemoji style", "，twemoji风格"),
]


def draw(sampler: TransformerSampler, prompts: list[str], seed: int = 0) -> Tensor:
    """(N, 3, H, W) uint8, the shipped defaults, one seed for all."""
    outputs = []
    for start in range(0, len(prompts), sampler.batch_size):
        batch = requests(prompts[start : start + sampler.batch_size], seed=seed)
        outputs += sampler.sample(batch, lambda step, total, previews: None)
    return torch.from_numpy(np.stack([output.pixels for output in outputs])).permute(0, 3, 1, 2)


def evaluate(folder: Path, data: Collection) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet of seen concepts)."""
    sampler = load(folder, torch.device("cpu"))
    features = IndependentFeatures()
    style = {
        item["concept"]: i for i, item in enumerate(data.items) if item["style"] == STYLE and not item["recoloured"]
    }
    other = {
        item["concept"]: i
        for i, item in enumerate(data.items)
        if item["style"] == OTHER_STYLE and not item["recoloured"]
    }
    concepts = sorted(set(style) & set(other))
    row = {concept: i for i, concept in enumerate(concepts)}
    gallery = features(data.pictures(np.array([style[concept] for concept in concepts])))
    figures: dict[str, Any] = {"features": FEATURES, "losses_nats_a_token": losses(sampler, data)}

    groups = {"seen": "train", "held_out_concepts": "concept", "held_out_pairs": "pair"}
    drawn: dict[str, Tensor] = {}
    for name, split in groups.items():
        chosen = [c for c in concepts if data.items[style[c]]["split"] == split]
        chosen = chosen[:: max(1, len(chosen) // QUERIES)][:QUERIES]
        label = [data.items[style[c]]["label"] for c in chosen]
        drawn[name] = draw(sampler, [f"{text}, {STYLE} style" for text in label])
        answers = np.array([row[c] for c in chosen])
        ours = retrieval(features(drawn[name]), gallery, answers)
        ceiling = retrieval(features(data.pictures(np.array([other[c] for c in chosen]))), gallery, answers)
        figures[f"retrieval_{name}"] = {
            "queries": len(chosen),
            "R@1": round(ours[0], 3),
            "R@10": round(ours[1], 3),
            "ceiling_R@1": round(ceiling[0], 3),
            "ceiling_R@10": round(ceiling[1], 3),
        }
    figures["retrieval_over"] = {
        "drawings": len(concepts),
        "chance_R@1": round(1 / len(concepts), 4),
        "chance_R@10": round(10 / len(concepts), 4),
    }

    training = features(data.pictures(data.indices("train", recoloured=False)[::2]))
    real = features(data.pictures(data.indices("concept", recoloured=False)))
    figures["nearest_training_picture_cosine_distance"] = {
        "drawings_seen": median(nearest(features(drawn["seen"]), training)),
        "drawings_held_out": median(nearest(features(drawn["held_out_concepts"]), training)),
        "real_held_out": median(nearest(real, training)),
    }
    prompts = [
        concept + style[language] for style in SHEET_STYLES for language, line in enumerate(SHEET) for concept in line
    ]
    sheet = contact_sheet(draw(sampler, prompts, seed=1), 8)
    return figures, np.kron(sheet, np.ones((2, 2, 1), dtype=np.uint8))


def median(values: npt.NDArray[np.float32]) -> float:
    return round(float(np.median(values)), 4)


def losses(sampler: TransformerSampler, data: Collection) -> dict[str, float]:
    """Teacher-forced cross-entropy; a fixed caption each, recoloured items left out."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = {
            "seen": data.indices("train", recoloured=False)[::20],
            "held_out_concepts": data.indices("concept", recoloured=False),
            "held_out_pairs": data.indices("pair", recoloured=False),
        }
        every = np.concatenate(list(chosen.values()))
        part = Collection(Path(folder), data.images[every], [data.items[i] for i in every], data.card)
        examples = Examples(part, sampler.autoencoder, sampler.prompts, 1, Path(folder), sampler.device)
        found, start = {}, 0
        for name, indices in chosen.items():
            found[name] = round(loss_of(sampler.network, examples, np.arange(start, start + len(indices))), 3)
            start += len(indices)
        return found
