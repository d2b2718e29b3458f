"""What several tests of models share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The tiny pipelines of `tests.support.pipelines` by name, each built once."""
    place = tmp_path_factory.mktemp("pipelines")

    @cache
    def folder(name: str) -> Path:
        from models.contract.pipelines import make_card
        from tests.support import pipelines

        made = pipelines.build(name, place / name)
        make_card(made)
        return made

    return folder
