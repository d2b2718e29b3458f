"""The catalogue of checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from app.checkpoints import service
from app.errors import Conflict, NotFound


def test_what_another_builds_on_is_not_unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, dict[str, Any]] = {"tokens": {}, "writer": {"autoencoder": {"name": "tokens"}}, "plain": {}}
    monkeypatch.setattr(service, "cards", lambda: known)
    with pytest.raises(Conflict, match="writer builds on it"):
        service.delete("tokens")


def test_what_draws_nothing_is_known_but_not_drawn_with() -> None:
    assert service.checkpoint_of("emoji-fsq").card["family"] == "fsq-autoencoder"
    with pytest.raises(NotFound, match="emoji-fsq draws nothing by itself"):
        service.get("emoji-fsq")
    with pytest.raises(NotFound, match="There is no model emoji-zzz"):
        service.get("emoji-zzz")
