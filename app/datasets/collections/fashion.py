"""Fashion-MNIST: 70,000 grey pictures of clothes in ten kinds, a standard to measure by.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.datasets.collections.parts import source
from app.datasets.prepared import Item, write_prepared
from app.packages.debian import DebianPackage, fetch_debian

PACKAGE = DebianPackage(
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    "MIT",
    "Fashion-MNIST, Copyright Zalando SE",
)
KINDS = [
    ("t-shirt", "T恤"),
    ("trouser", "裤子"),
    ("pullover", "套头衫"),
    ("dress", "连衣裙"),
    ("coat", "外套"),
    ("sandal", "凉鞋"),
    ("shirt", "衬衫"),
    ("sneaker", "运动鞋"),
    ("bag", "包"),
    ("ankle boot", "短靴"),
]
MARGIN = 2  # black pixels around 28 x 28
PICTURES_HEADER, LABELS_HEADER = 16, 8  # bytes of an IDX file


def read(folder: Path, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """(N, 28, 28) and (N,) of `train` or `t10k`."""
    names = (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
    pictures, labels = (gzip.decompress((folder / name).read_bytes()) for name in names)
    return (
        np.frombuffer(pictures, np.uint8, offset=PICTURES_HEADER).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=LABELS_HEADER),
    )


def items(folder: Path, check_cancelled: Callable[[], None]) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """The training pictures, then those of the test, which are held out. A kind is a style: a model may draw by it.

    None may be mirrored: all shoes point to the left.
    """
    for part, split in (("train", "train"), ("t10k", "held_out")):
        for number, (picture, label) in enumerate(zip(*read(folder, part), strict=True)):
            if number % 1000 == 0:
                check_cancelled()
            name, name_zh = KINDS[label]
            key = f"{part}/{number}"
            pixels = np.pad(picture, MARGIN)[:, :, None].repeat(3, axis=2)
            captions = [f"a {name}", name_zh]
            yield Item(key, key, key, name, split, name, name_zh, captions), pixels


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    files = fetch_debian(PACKAGE, cache, check_cancelled) / "usr/share/datasets/fashion-mnist"
    return write_prepared(
        folder, items(files, check_cancelled), {"name": name, "title": "Fashion-MNIST", "sources": [source(PACKAGE)]}
    )
