"""Figures of any model that draws from prompts: retrieval among real pictures, distance to those of the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from models.contract.sampling import Request, Sampler
from models.data.pictures import Collection, contact_sheet, spread
from models.measure.effort import FEWEST, Effort, held_out
from models.measure.likeness import near
from models.measure.metrics import FEATURES, IndependentFeatures, nearest, retrieval

Requests = Callable[..., list[Request]]  # (prompts, seed=...): one a prompt, with the family's own defaults
STYLE, OTHER_STYLE = "noto", "twemoji"  # queries are drawn in the one; the other gives the ceiling
QUERIES = 240  # of a kind, at most
MOST_SHOWN = 5000  # pictures that drawings are compared with
COLUMNS = 8
SPLITS = {
    "train": "seen",
    "concept": "held_out_concepts",
    "pair": "held_out_pairs",
    "held_out": "held_out",
}
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


def draw(sampler: Sampler, requests: Requests, prompts: list[str], seed: int = 0) -> Tensor:
    """(N, 3, H, W) uint8, the shipped defaults, one seed for all."""
    return sampled(sampler, requests(prompts, seed=seed))


def sampled(sampler: Sampler, requests: list[Request]) -> Tensor:
    """(N, 3, H, W) uint8, one a request, in batches as large as the sampler takes."""
    outputs = []
    for start in range(0, len(requests), sampler.batch_size):
        outputs += sampler.sample(requests[start : start + sampler.batch_size], lambda step, total, previews: None)
    return torch.from_numpy(np.stack([output.pixels for output in outputs])).permute(0, 3, 1, 2)


def watched_sheet(sampler: Sampler, requests: Requests, watched: list[str]) -> Image.Image:
    """What a run shows as it goes: its watched prompts, six a row, twice their size."""
    sheet = contact_sheet(draw(sampler, requests, watched), 6)
    return Image.fromarray(sheet).resize((sheet.shape[1] * 2, sheet.shape[0] * 2), Image.Resampling.BICUBIC)


@dataclass
class Questions:
    """Prompts to draw for, each with the picture that it asks for. `gallery` are indices of distinct pictures."""

    gallery: list[int]
    groups: dict[str, list[tuple[str, int]]]  # (prompt, row of the gallery) of seen and of held-out ones
    elsewhere: dict[int, int]  # row of the gallery -> a real picture of the same in another style


def emoji_questions(data: Collection) -> Questions:
    """Labels of concepts in one style, among the drawings of all concepts in it."""
    drawings = {
        style: {item["concept"]: i for i, item in enumerate(data.items) if item["style"] == style and plain(item)}
        for style in (STYLE, OTHER_STYLE)
    }
    concepts = sorted(set(drawings[STYLE]) & set(drawings[OTHER_STYLE]))
    gallery = [drawings[STYLE][concept] for concept in concepts]
    return Questions(
        gallery,
        grouped(data, gallery, lambda item: f"{item['label']}, {STYLE} style"),
        {row: drawings[OTHER_STYLE][concept] for row, concept in enumerate(concepts)},
    )


def caption_questions(data: Collection) -> Questions:
    """First captions, among the pictures of a collection that say different things."""
    first = {item["captions"][0]: i for i, item in reversed(list(enumerate(data.items))) if plain(item)}
    gallery = sorted(i for caption, i in first.items() if caption)
    held_out = [i for i in gallery if data.items[i]["split"] != "train"]
    seen = [i for i in gallery if data.items[i]["split"] == "train"]
    gallery = [*thinned(held_out, QUERIES), *thinned(seen, MOST_SHOWN)]
    return Questions(gallery, grouped(data, gallery, lambda item: item["captions"][0]), {})


def plain(item: dict[str, Any]) -> bool:
    return not item["recoloured"]


def thinned(indices: list[int], most: int) -> list[int]:
    return indices[:: max(1, len(indices) // most)][:most]


def grouped(
    data: Collection, gallery: list[int], prompt_of: Callable[[dict[str, Any]], str]
) -> dict[str, list[tuple[str, int]]]:
    """Questions by split, not too many of each."""
    groups = {}
    for split, name in SPLITS.items():
        rows = [row for row, i in enumerate(gallery) if data.items[i]["split"] == split]
        if rows:
            groups[name] = [(prompt_of(data.items[gallery[row]]), row) for row in thinned(rows, QUERIES)]
    return groups


def measure(
    sampler: Sampler, requests: Requests, data: Collection, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet). Retrieval: is a drawing nearest to the picture that its prompt asks for?"""
    has_styles = {STYLE, OTHER_STYLE} <= {item["style"] for item in data.items}
    questions = emoji_questions(data) if has_styles else caption_questions(data)
    figures = retrievals(sampler, requests, data, questions, effort) if effort.is_worth_it else {}
    if has_styles:
        prompts = [concept + style[i] for style in SHEET_STYLES for i, line in enumerate(SHEET) for concept in line]
    else:
        prompts = [prompt for asked in questions.groups.values() for prompt, _ in asked[: 4 * COLUMNS]] or [""]
    sheet = contact_sheet(draw(sampler, requests, prompts, seed=1), COLUMNS)
    return figures, np.kron(sheet, np.ones((2, 2, 1), dtype=np.uint8))


def retrievals(
    sampler: Sampler, requests: Requests, data: Collection, questions: Questions, effort: Effort
) -> dict[str, Any]:
    """Groups of fewer than FEWEST questions have no figure."""
    features = IndependentFeatures()
    figures: dict[str, Any] = {"features": FEATURES}
    drawn: dict[str, Tensor] = {}
    groups = {name: asked for name, asked in questions.groups.items() if len(asked) >= FEWEST}
    if groups:
        prompt = next(iter(groups.values()))[0][0]
        each = effort.part(0.5 / len(groups))
        queries = each.most(QUERIES, lambda count: draw(sampler, requests, [prompt] * count))
        one = np.array(questions.gallery[:1])
        shown = effort.part(0.5).most(MOST_SHOWN, lambda count: features(data.pictures(one.repeat(2 * count))))
        gallery = features(data.pictures(np.array(questions.gallery)))
        for name, every in groups.items():
            asked = [every[i] for i in spread(np.arange(len(every)), queries)]
            drawn[name] = draw(sampler, requests, [prompt for prompt, _ in asked])
            answers = np.array([row for _, row in asked])
            ours = retrieval(features(drawn[name]), gallery, answers)
            figures[f"retrieval_{name}"] = {"queries": len(asked), "R@1": round(ours[0], 3), "R@10": round(ours[1], 3)}
            if questions.elsewhere:
                real = data.pictures(np.array([questions.elsewhere[row] for row in answers]))
                best = retrieval(features(real), gallery, answers)
                figures[f"retrieval_{name}"] |= {"ceiling_R@1": round(best[0], 3), "ceiling_R@10": round(best[1], 3)}
        chance = 1 / len(questions.gallery)
        figures["retrieval_over"] = {
            "drawings": len(questions.gallery),
            "chance_R@1": round(chance, 4),
            "chance_R@10": round(min(1.0, 10 * chance), 4),
        }
        figures["nearest_training_picture_cosine_distance"] = distances(data, features, drawn, shown)
    return figures


def distances(data: Collection, features: IndependentFeatures, drawn: dict[str, Tensor], most: int) -> dict[str, float]:
    """Of drawings, and of real pictures that were held out, to the nearest of so many of the training."""
    training = features(data.pictures(spread(data.indices("train", recoloured=False), most)))
    found = {"among": float(len(training))}
    for name, pictures in drawn.items():
        found |= near(f"drawings_{name}", nearest(features(pictures), training))
    if len(apart := held_out(data)):
        found |= near("real_held_out", nearest(features(data.pictures(spread(apart, most))), training))
    return found
