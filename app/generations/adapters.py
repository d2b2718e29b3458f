"""Adapters that a request draws with: whether they are there and fit, and which weights of theirs are meant."""

from __future__ import annotations

from pydantic import BaseModel

from app.checkpoints.service import Checkpoint, adapters_for
from app.errors import Invalid
from models.contract.adapters import EMBEDDING, MOST, Adapter, named_in
from models.contract.message import Message
from models.contract.tasks import SamplingParams, Task


def choices(task: Task, checkpoint: Checkpoint) -> dict[str, dict[str, str]]:
    """Titles of those that may be named in each of a task's parameters, by name."""
    return {
        field: {
            name: str(card.get("title") or name) for name, card in adapters_for(checkpoint, declared["kinds"]).items()
        }
        for field, declared in task.params.in_part("adapters").items()
    }


def resolve(params: SamplingParams, checkpoint: Checkpoint) -> None:
    """Put the hashes of their weights into parameters that name adapters, and words that were learnt into those where a
    prompt names them. Raises Invalid with the field.
    """
    for field, declared in params.in_part("adapters").items():
        given: list[Adapter] = list(getattr(params, field))
        known = adapters_for(checkpoint, declared["kinds"])
        names = [adapter.name for adapter in given]
        for i, adapter in enumerate(given):
            if adapter.name not in known:
                refuse(field, i, Message("{name} is no adapter for this model", name=adapter.name))
            if names.index(adapter.name) != i:
                refuse(field, i, Message("{name} is named twice", name=adapter.name))
            if adapter.sha256 not in (None, known[adapter.name]["sha256"]):
                refuse(field, i, Message("{name} has other weights now", name=adapter.name))
        texts = [str(getattr(params, name, "")) for name in ("prompt", "negative_prompt")]
        given += [
            Adapter(name=name)
            for name, card in known.items()
            if card["family"] == EMBEDDING and name not in names and any(named_in(name, text) for text in texts)
        ]
        if len(given) > MOST:
            refuse(field, MOST, Message("At most {count} adapters, with the words that the prompt names", count=MOST))
        made: list[BaseModel] = [each.model_copy(update={"sha256": known[each.name]["sha256"]}) for each in given]
        setattr(params, field, made)


def refuse(field: str, place: int, why: Message) -> None:
    raise Invalid("The parameters do not fit the task", errors=[{"loc": ["body", "params", field, place], "msg": why}])
