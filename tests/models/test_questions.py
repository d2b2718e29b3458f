"""Questions to text-to-image models: what is asked was never trained on, and the figures mean what they say."""

import numpy as np
import pytest

from app.datasets.collections.emojibase import group_of
from app.datasets.collections.parts import fraction
from models.measure.questions import ASKED, CONCEPTS, Gallery, Question, questions, spread_between, with_interval

RNG = np.random.default_rng(0)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def gallery() -> Gallery:
    """Six concepts in two styles; the last two are one cluster, the first is held out. Features are of the concept."""
    of_concept = unit(RNG.standard_normal((6, 32)))
    items, rows = [], []
    for concept in range(6):
        for style in ("noto", "twemoji"):
            split = "train" if concept else "concept"
            items.append({"concept": str(concept), "group": str(min(concept, 4)), "style": style, "split": split})
            rows.append(of_concept[concept] + 0.05 * RNG.standard_normal(32))
    return Gallery(items, unit(np.stack(rows)))


def asked(concept: int, style: str = "noto") -> Question:
    return Question("seen", str(concept), style, "", 0)


def test_a_drawing_like_the_concept_in_another_style_ranks_first(gallery: Gallery) -> None:
    own = gallery.features[[gallery.row_of[str(c), "noto"] for c in range(6)]]
    assert gallery.ranks(own, [asked(c) for c in range(6)]).tolist() == [0] * 6
    assert gallery.ranks(own[[1, 1]], [asked(2), asked(3)]).min() > 0


def test_a_look_alike_of_the_same_cluster_is_right(gallery: Gallery) -> None:
    five = gallery.features[[gallery.row_of["5", "noto"]]]
    assert gallery.ranks(five, [asked(4)]).tolist() == [0]


def test_the_very_drawing_is_never_looked_for(gallery: Gallery) -> None:
    """Whoever has learnt a drawing by heart gains nothing where the other style looks like another thing."""
    features = gallery.features.copy()
    features[gallery.row_of["2", "twemoji"]] = -features[gallery.row_of["2", "noto"]]
    ranks = Gallery(gallery.items, features).ranks(features[[gallery.row_of["2", "noto"]]], [asked(2)])
    assert ranks[0] > 0


def test_the_nearest_training_drawing_is_neither_held_out_nor_the_one_asked_for(gallery: Gallery) -> None:
    two, zero = (gallery.features[[gallery.row_of[c, "noto"]]] for c in ("2", "0"))
    assert gallery.nearest_training(two)[0] == pytest.approx(0, abs=1e-6)
    other = 1 - float(two[0] @ gallery.features[gallery.row_of["2", "twemoji"]])
    assert gallery.nearest_training(two, [asked(2)])[0] == pytest.approx(other, abs=1e-6)
    trained = gallery.features[gallery.split == "train"]
    assert gallery.nearest_training(zero)[0] == pytest.approx(1 - float((trained @ zero[0]).max()), abs=1e-6)


def test_intervals_are_over_concepts_not_over_drawings() -> None:
    """Ten drawings of each of ten concepts, right or wrong by concept: the interval is that of ten answers."""
    right = np.repeat([1, 0, 1, 0, 1, 0, 1, 0, 1, 0], 10)
    names = [str(i // 10) for i in range(100)]
    mean, low, high = with_interval(right, names)
    assert mean == 0.5
    assert 0.15 < low < 0.3
    assert 0.7 < high < 0.85
    by_drawing = with_interval(right, [str(i) for i in range(100)])
    assert by_drawing[2] - by_drawing[1] < (high - low) / 2


def test_variety_is_the_mean_distance_of_the_pairs_of_a_prompt() -> None:
    same, across = np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 1]])
    assert spread_between(np.concatenate([same, across]).astype(np.float32), 2).tolist() == [0, 1]


def test_what_is_asked_is_fixed_and_on_its_side_of_the_split() -> None:
    def is_held_out(concept: str) -> bool:
        return fraction("danqing-emoji-1", group_of(concept)) < 0.05

    assert all(is_held_out(concept) for concept in ASKED["held_out"])
    assert not any(is_held_out(concept) for concept in (*ASKED["seen"], *ASKED["variety"]))
    for concept, style in ASKED["pairs"]:
        assert fraction("danqing-emoji-1", group_of(concept), style) < 0.03
    every = [concept for group in (*CONCEPTS, "variety") for concept in ASKED[group]]
    assert len(set(every)) == len(every)
    labels = dict.fromkeys(every, "thing") | {concept: "thing" for concept, _ in ASKED["pairs"]}
    count = sum(len(ASKED[group]) for group in CONCEPTS) * 3 + len(ASKED["pairs"])
    assert len(questions(labels, ASKED["seeds"])) == 4 * count
