"""How a checkpoint becomes a model that artists see, and stops being one: on every machine, for jobs that wait for it,
and for the run that it came from.
"""

from __future__ import annotations

from typing import Any

from app.checkpoints import distribution, importing
from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.generations.waiting import end_waiting
from app.training_runs import service as training_runs
from app.training_runs.schemas import PublicationIn, TrainingRunOut


def add(name: str, files: importing.Files, replace: bool, words: dict[str, str] | None = None) -> dict[str, Any]:
    """From files of a stranger; returns the card, with these `words`. Raises Conflict, Invalid."""
    importing.add(name, files, replace, words)
    distribution.announce(name)
    return replaced(name)


def publish(run: TrainingRunOut, given: PublicationIn) -> dict[str, Any]:
    """From what a run has trained; returns the card. Raises Conflict."""
    training_runs.publish(run, given)
    distribution.announce(given.name)
    with session_scope() as session:
        training_runs.name_model(session, given.name, run.id)
    return replaced(given.name)


def unpublish(name: str) -> None:
    """Artists no longer see it; what it drew stays. Raises NotFound, Conflict."""
    checkpoints.delete(name)
    distribution.withdraw(name)
    with session_scope() as session:
        training_runs.name_model(session, name, None)
    end_waiting(name, checkpoints.cards().get(name))


def replaced(name: str) -> dict[str, Any]:
    card = checkpoints.card_of(name)
    end_waiting(name, card)
    return card
