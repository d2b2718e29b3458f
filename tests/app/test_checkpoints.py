"""The catalogue of checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from app.checkpoints import service
from app.errors import Conflict


def test_what_another_builds_on_is_not_unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, dict[str, Any]] = {"tokens": {}, "writer": {"autoencoder": {"name": "tokens"}}, "plain": {}}
    monkeypatch.setattr(service, "cards", lambda: known)
    with pytest.raises(Conflict, match="writer builds on it"):
        service.delete("tokens")
