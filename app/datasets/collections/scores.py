"""Packages of music that collections and starter datasets are made of."""

from __future__ import annotations

from app.packages.pypi import PyPIPackage

MUSIC21 = PyPIPackage(
    "music21",
    "10.5.1",
    "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
    "the encoders' permission; some not for commercial use",
    "The music21 corpus, by its encoders",
)
BACH, FIDDLE = "music21/corpus/bach/*.mxl", "music21/corpus/[or]*s[1M]*/*.abc"
