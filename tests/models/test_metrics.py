"""Figures of sets of features, on sets where they are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.data.pictures import spread
from models.measure.likeness import blurred
from models.measure.metrics import coverage, kernel_distance, nearest, psnr


def around(direction: int, count: int, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    """Unit vectors near an axis."""
    rows = spread * np.random.default_rng(seed).standard_normal((count, 8)) + np.eye(8)[direction]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_kernel_distance_is_about_nothing_between_sets_of_one_kind_and_grows_with_their_difference() -> None:
    real = around(0, 400)
    same, near, far = around(0, 400, seed=1), around(0, 400, 0.3, seed=2), around(1, 400, seed=3)
    distances = [kernel_distance(other, real) for other in (same, near, far)]
    assert abs(distances[0]) < 0.01 < distances[1] < distances[2]
    halves = [kernel_distance(around(0, 50, seed=i), around(0, 50, seed=100 + i)) for i in range(40)]
    assert min(halves) < 0 < max(halves)  # unbiased
    with pytest.raises(ValueError, match="two of each"):
        kernel_distance(real[:1], real)


def test_precision_and_recall_tell_a_dropped_mode_from_a_wrong_one() -> None:
    both = np.concatenate([around(0, 200), around(1, 200, seed=1)])
    one = around(0, 400, seed=2)
    dropped = coverage(one, both)
    assert dropped["precision"] > 0.9 and 0.4 < dropped["recall"] < 0.6 and 0.4 < dropped["coverage"] < 0.6
    wrong = coverage(np.concatenate([both, around(2, 400, seed=3)]), both)
    assert 0.4 < wrong["precision"] < 0.6 and wrong["recall"] > 0.9 and wrong["coverage"] > 0.9
    same = coverage(np.concatenate([around(0, 200, seed=5), around(1, 200, seed=6)]), both)
    assert same["density"] == pytest.approx(1, abs=0.2)


def test_a_copy_has_no_distance_to_what_it_copies() -> None:
    real = around(0, 50)
    assert np.allclose(nearest(real[:5], real), 0, atol=1e-6) and nearest(around(1, 5), real).min() > 0.5


def test_psnr_is_in_decibels_of_the_whole_range() -> None:
    pictures = torch.zeros(2, 3, 8, 8)
    assert psnr(pictures + 0.2, pictures) == pytest.approx(20, abs=1e-3)
    assert psnr(pictures + 9, pictures) == pytest.approx(10 * np.log10(4), abs=1e-3)  # clamped to the range


def test_items_are_spread_evenly_and_blurring_keeps_the_mean() -> None:
    assert spread(np.arange(10), 3).tolist() == [0, 4, 9] and spread(np.arange(2), 5).tolist() == [0, 1]
    assert len(spread(np.arange(0), 5)) == 0
    picture = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    soft = blurred(picture)
    assert soft.float().std() < picture.float().std() and abs(float(soft.float().mean() - picture.float().mean())) < 8
