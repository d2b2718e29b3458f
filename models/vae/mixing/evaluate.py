"""Figures of content and style: concepts that training never saw, drawn in the style of another picture.

Two judges that no training used say whether the drawing shows the concept and whether it is in the style: the nearest
concept among real drawings, and a linear classifier of styles. Whoever only copies pleases one of them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.likelihood import standard_normal_log_prob
from models.data.pictures import Collection, Indices, contact_sheet, label_names, labels_of, spread, to_pixels, to_unit
from models.measure.effort import FEWEST, Effort, held_out
from models.measure.likeness import rounded
from models.measure.metrics import FEATURES, IndependentFeatures, psnr
from models.vae.bounds import weighted_bounds
from models.vae.mixing.network import MixingVAE
from models.vae.mixing.pairs import Pairs
from models.vae.mixing.sample import load_mixing
from models.vae.mixing.train import translations

MEASURED, LEARNT_FROM, BATCH = 500, 2400, 32
LOOKED_AT = 12  # pictures for each that is measured: candidates, drawings of its concept, those the judge learns from
SHOWN, FEW = 12, 10
RIDGE = 1e-2
Rows = npt.NDArray[np.float32]


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, held-out concepts across, each in all styles down). Figures need a held-out concept in two styles."""
    network, _ = load_mixing(folder, torch.device("cpu"))
    train = data.indices("train", recoloured=False)
    pairs = Pairs(data, train)
    shown = sheet(network, data, pairs, train)
    rows = translations(data, pairs)[:MEASURED]
    if not effort.is_worth_it or len(rows) < FEWEST:
        return {}, shown
    features = IndependentFeatures()
    most = effort.part(0.5).most(len(rows), lambda n: features(data.pictures(np.zeros(LOOKED_AT * n, dtype=np.int64))))
    apart = spread(held_out(data), MEASURED)
    whole = Whole(network)
    pictures = to_unit(data.pictures(apart))
    bounds = weighted_bounds(whole, pictures, effort.part(0.5), whole.prior) if len(apart) else {}
    return {**figures(network, data, train, rows[:most], features), **bounds}, shown


class Whole:
    """Content and style of one and the same picture as one vector, for the bound of what explains it."""

    def __init__(self, network: MixingVAE) -> None:
        self.network, self.likelihood = network, network.likelihood
        self.split = network.config.style
        self.content_shape = (network.config.content, network.config.size // 8, network.config.size // 8)

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = zip(self.network.content(x), self.network.style(x), strict=True)
        mean, log_variance = (torch.cat([content.flatten(1), style], 1) for content, style in parts)
        return mean, log_variance

    def decoder(self, z: Tensor) -> Tensor:
        content, style = z[:, : -self.split], z[:, -self.split :]
        return self.network.decoder(content.unflatten(1, self.content_shape), style)

    def prior(self, z: Tensor) -> Tensor:
        """A standard normal of the content; of the style the mixture of the labels' normals, each as likely."""
        content, style = z[:, : -self.split], z[:, -self.split :]
        apart = style[:, None] - self.network.priors
        styles = torch.logsumexp(standard_normal_log_prob(apart), 1) - math.log(apart.size(1))
        return standard_normal_log_prob(content) + styles


@torch.no_grad()
def mixed(network: MixingVAE, contents: Tensor, styles: Tensor) -> Tensor:
    """Two (N, 3, H, W) in [-1, 1] -> contents in the styles."""
    return torch.cat(
        [
            network.decoder(network.content(content)[0], network.style(style)[0]).clamp(-1, 1)
            for content, style in zip(contents.split(BATCH), styles.split(BATCH), strict=True)
        ]
    )


def figures(
    network: MixingVAE,
    data: Collection,
    train: Indices,
    rows: list[tuple[int, int, int]],
    features: IndependentFeatures,
) -> dict[str, Any]:
    """Beside the model's own: copies of either picture, their average, and the artist's own drawing as the ceiling."""
    contents, styles, wanted = (np.array(column) for column in zip(*rows, strict=True))
    content, style, truth = (to_unit(data.pictures(column)) for column in (contents, styles, wanted))
    candidates = {
        "mixed": mixed(network, content, style),
        "copied_content": content,
        "copied_style": style,
        "pixel_average": (content + style) / 2,
        "real_drawing": truth,
    }
    seen = {name: features(to_pixels(pictures)) for name, pictures in candidates.items()}
    concepts = ConceptJudge(features, data, sorted({*contents.tolist(), *wanted.tolist()}))
    by_style = StyleJudge(features, data, spread(train, LEARNT_FROM * len(rows) // MEASURED))
    found: dict[str, Any] = {"features": FEATURES, "pictures": len(rows), "concepts": len(concepts.names)}
    for name, rows_of in seen.items():
        rank = concepts.ranks(rows_of, wanted, contents)
        right = by_style(rows_of) == by_style.labels_of(wanted)
        judged = rank >= 0
        if judged.any():
            found[name] = {"concept_first": rounded(float((rank[judged] == 0).mean()))}
        if judged.any() and len(concepts.names) > 2 * FEW:
            shown = judged & (rank < FEW)
            found[name]["concept_in_ten"] = rounded(float(shown.sum() / judged.sum()))
            found[name]["both"] = rounded(float((shown & right).sum() / judged.sum()))
        found[name] = found.get(name, {}) | {
            "style": rounded(float(right.mean())),
            "distance_to_real": rounded(float((1 - (rows_of * seen["real_drawing"]).sum(1)).mean())),
            "psnr_to_real_db": rounded(psnr(candidates[name], truth)),
        }
    del found["real_drawing"]["distance_to_real"], found["real_drawing"]["psnr_to_real_db"]
    return found


class ConceptJudge:
    """The rank of a concept among all held-out ones, by the mean similarity to its real drawings."""

    def __init__(self, features: IndependentFeatures, data: Collection, items: list[int]) -> None:
        self.items = data.items
        self.names = sorted({data.items[i]["concept"] for i in items})
        self.rows = features(data.pictures(np.array(items)))
        self.concept = np.array([self.names.index(data.items[i]["concept"]) for i in items])
        self.style = np.array([data.items[i]["style"] for i in items])

    def ranks(self, queries: Rows, wanted: Indices, contents: Indices) -> Indices:
        """(N,) from 0. Compared with no drawing in either style: neither a copy nor a style is a hint.

        -1 where that leaves no other drawing of the concept to compare with, as always where there are two styles.
        """
        found = []
        for query, item, content in zip(queries, wanted, contents, strict=True):
            others = ~np.isin(self.style, [self.items[item]["style"], self.items[content]["style"]])
            own_concept = self.names.index(self.items[item]["concept"])
            if not (others & (self.concept == own_concept)).any():
                found.append(-1)
                continue
            similar = self.rows @ query
            scores = np.array(
                [
                    similar[rows].mean() if (rows := others & (self.concept == c)).any() else -1
                    for c in range(len(self.names))
                ]
            )
            found.append(int((scores > scores[own_concept]).sum()))
        return np.array(found)


class StyleJudge:
    """Ridge regression from features to styles, of real training drawings."""

    def __init__(self, features: IndependentFeatures, data: Collection, items: Indices) -> None:
        self.data, self.names = data, label_names(data)
        rows = self.with_one(features(data.pictures(items)))
        wanted = np.eye(len(self.names))[self.labels_of(items)]
        self.weights = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(rows.shape[1]), rows.T @ wanted)

    def labels_of(self, items: Indices) -> Indices:
        return labels_of(self.data, items, self.names).numpy()

    @staticmethod
    def with_one(rows: Rows) -> npt.NDArray[np.float64]:
        return np.concatenate([rows.astype(float), np.ones((len(rows), 1))], 1)

    def __call__(self, rows: Rows) -> Indices:
        return np.asarray((self.with_one(rows) @ self.weights).argmax(1))


def sheet(network: MixingVAE, data: Collection, pairs: Pairs, train: Indices) -> npt.NDArray[np.uint8]:
    """Pictures that nobody chose, above them in every style that one training picture a style has."""
    splits = data.held_out[:1] or ["train"]
    by_concept: dict[str, int] = {}
    for i in data.indices(*splits, recoloured=False):
        by_concept.setdefault(data.items[i]["concept"], int(i))
    shown = spread(np.array(list(by_concept.values())), SHOWN)
    contents = to_unit(data.pictures(shown))
    rows = [contents]
    for name in label_names(data):
        own = pairs.of_style[name]
        style = to_unit(data.pictures(np.array([own[len(own) // 2]])))
        rows.append(mixed(network, contents, style.expand_as(contents)))
    return contact_sheet(to_pixels(torch.cat(rows)), len(shown))
