"""What jobs are given to work from: looked up, held against what the task takes, and kept with their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from app.artworks import service as artworks
from app.artworks.tables import Artwork
from app.errors import Invalid, NotFound
from app.generations.schemas import InputIn
from app.media import MEDIA, of_type
from app.security import Principal
from app.uploads import service as uploads
from app.uploads.tables import Upload
from models.contract.message import Message
from models.contract.tasks import IMAGE, SamplingParams, Sizes, Task

Given = dict[str, list[InputIn]]
KeptInputs = dict[str, list[dict[str, Any]]]  # by role: artwork or upload, sha256, media_type


def checked(session: Session, user: Principal, task: Task, given: Given) -> tuple[KeptInputs, Sizes]:
    """(as the job keeps them, what is known of their sizes). Raises Invalid, by the fields."""
    kept: KeptInputs = {}
    sizes: dict[str, list[dict[str, Any]]] = {}
    for role, wanted in given.items():
        taken = task.input(role)
        assert taken is not None, "the number of each was checked"
        for number, each in enumerate(wanted):
            place = ["body", "inputs", role, number]
            try:
                found = source(session, user, each)
            except NotFound as error:
                raise Invalid(error.message, errors=[{"loc": place, "msg": error.message}]) from error
            if of_type(found.media_type).name != taken.medium:
                why = MEDIA[taken.medium].words.has_to_be
                raise Invalid(why, errors=[{"loc": place, "msg": why}])
            named = each.model_dump(exclude_none=True)
            kept.setdefault(role, []).append({**named, "sha256": found.sha256, "media_type": found.media_type})
            sizes.setdefault(role, []).append({**found.facts, "width": found.width, "height": found.height})
    return kept, sizes


def check_counts(task: Task, params: SamplingParams, counts: Mapping[str, int]) -> None:
    """Raises Invalid where the task takes another number in some role, or weights are not as many."""
    for role in counts.keys() - {given.role for given in task.inputs}:
        if not task.inputs:
            refuse(role, Message("This task takes no pictures"))
        refuse(role, Message("This task takes no input called {role}", role=role))
    for given in task.inputs:
        if not given.least <= counts.get(given.role, 0) <= given.most:
            wanted = Message("{least} to {most}", least=given.least, most=given.most)
            if given.least == given.most:
                wanted = Message(str(given.least))
            if given.role == IMAGE and given.least == given.most == 1:
                refuse(given.role, Message("This task takes one picture"))
            if given.role == IMAGE:
                refuse(given.role, Message("This task takes {number} pictures", number=wanted))
            refuse(given.role, Message("This task takes {number} inputs called {role}", number=wanted, role=given.role))
    for name, declared in params.in_part("adapters").items():
        if "follows" in declared and len(getattr(params, name)) != counts.get(declared["follows"], 0):
            why = Message("There must be one picture for each of them")
            raise Invalid(why, errors=[{"loc": ["body", "params", name], "msg": why}])
    for name, declared in params.in_part("weights").items():
        if (weights := getattr(params, name)) is not None and len(weights) != counts.get(declared["of"], 0):
            why = Message("There must be one weight for each picture")
            raise Invalid(why, errors=[{"loc": ["body", "params", name], "msg": why}])


def refuse(role: str, why: Message) -> NoReturn:
    raise Invalid(why, errors=[{"loc": ["body", "inputs", role], "msg": why}])


def source(session: Session, user: Principal, given: InputIn) -> Artwork | Upload:
    """What to work from. Raises NotFound."""
    if given.artwork:
        return artworks.get(session, user, given.artwork)
    return uploads.get(session, user, given.upload or "")


def named(kept: Mapping[str, Sequence[Mapping[str, Any]]]) -> Given:
    """As the request had them."""
    return {
        role: [InputIn(artwork=each.get("artwork"), upload=each.get("upload")) for each in found]
        for role, found in kept.items()
    }


def subject(session: Session, kept: KeptInputs) -> str:
    """What the first of the given works is of, without the model that made it so."""
    works = (session.get(Artwork, each["artwork"]) for found in kept.values() for each in found if each.get("artwork"))
    return next((work.subject.partition(" · ")[0] for work in works if work and work.subject), "")


def every(kept: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> set[str]:
    """The ids of all works, or of all uploads."""
    return {each[key] for found in kept.values() for each in found if key in each}
