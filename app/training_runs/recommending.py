"""What to train for what is wanted, by what a dataset holds: family, preset, size and checkpoint to start from."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.checkpoints.service import cards
from app.datasets import service as datasets
from app.datasets.collections import COLLECTIONS
from app.datasets.tables import DatasetItem
from app.errors import NotFound
from app.training_runs import planning
from app.training_runs.schemas import Estimate
from models.contract.adapters import LORA
from models.contract.fine_tuning import START
from models.contract.message import Message
from models.contract.pipelines import FAMILY
from models.contract.values import MUSIC, PICTURES, TEXTS

FEW, SOME, MANY = 10, 300, 1000  # pictures
SMALL, LARGE = 32, 64  # sides that GANs draw
PAIRED = ("drawings", "emoji", "emoji-nine")  # starter collections that have things in several styles


@dataclass(frozen=True)
class Holding:
    """What a dataset holds: `captioned` of `count` works have a caption, the longer side is `side` pixels."""

    medium: str
    count: int
    captioned: int
    side: int
    paired: bool


@dataclass
class Recommendation:
    """`problem`: why it cannot be made of these pictures; `reasons` for what is chosen."""

    title: Message
    description: Message
    family: str = ""
    preset: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    reasons: list[Message] = field(default_factory=list)
    problem: Message | None = None
    expected: Estimate | None = None

    @property
    def start(self) -> str | None:
        return self.params.get(START)

    def address(self, dataset: str) -> str:
        """The query of the form that it fills in."""
        return urlencode({"family": self.family, "preset": self.preset, "dataset": dataset, **self.params})


def holding(session: Session, dataset: str) -> Holding:
    """Of a dataset by its id, or of a starter collection by its name, which may not be here yet. Raises NotFound."""
    if dataset in COLLECTIONS:
        known = COLLECTIONS[dataset]
        return Holding(known.medium, MANY, MANY, known.size, dataset in PAIRED)
    try:
        found = datasets.get(session, str(uuid.UUID(dataset)))
    except ValueError as error:
        raise NotFound("There is no such dataset") from error
    if found.kind != PICTURES:
        return Holding(found.kind, datasets.described(session, found).accepted, 0, 0, False)
    columns = select(DatasetItem.width, DatasetItem.height, DatasetItem.caption)
    rows = session.execute(datasets.accepted(columns, found.id)).all()
    sides = [max(row.width or 0, row.height or 0) for row in rows]
    captioned = sum(bool(row.caption) for row in rows)
    side = round(median(sides)) if sides else 0
    return Holding(found.kind, len(rows), captioned, side, datasets.has_pairs(session, found.id))


def recommendations(session: Session, dataset: str) -> list[Recommendation]:
    """One for each goal. Raises NotFound."""
    has = holding(session, dataset)
    made = [each for goal in GOALS.get(has.medium, []) if (each := goal(has)) is not None]
    trainable = planning.trainable()
    found = [each for each in made if each.family in trainable]
    for each in found:
        if each.problem is None:
            each.expected = planning.expected(session, trainable[each.family], each.preset, each.params)
    return found


def from_words(has: Holding) -> Recommendation:
    made = Recommendation(
        Message("Pictures from words"),
        Message("Write a prompt, and it is drawn."),
        family="text-to-image-transformer",
        preset="quick" if has.count < SOME else "good",
    )
    if has.captioned == 0:
        made.problem = Message("It learns words from captions, and none of these pictures has one.")
    elif 2 * has.captioned < has.count:
        made.reasons.append(
            Message("{captioned} of {count} pictures have a caption.", captioned=has.captioned, count=has.count)
        )
    start_from(made)
    return made


def from_chance(has: Holding) -> Recommendation:
    size = SMALL if has.side < (SMALL + LARGE) // 2 else LARGE
    made = Recommendation(
        Message("Pictures like these, from chance"),
        Message("New ones of the same kind; they can be varied, mixed and changed by sliders."),
        family="gan",
        preset="few" if has.count < SOME else "good",
        params={"size": size},
        reasons=[Message("Pictures of {size} px, after the size of yours.", size=size)],
    )
    if has.count < FEW:
        made.problem = too_few(has)
    elif has.count < SOME:
        made.reasons.append(Message("With few pictures, each is shown in many variations."))
        start_from(made, size=size)
    return made


def in_a_style(has: Holding) -> Recommendation:
    made = Recommendation(
        Message("The content of one picture in the style of another"),
        Message("Learns what stays the same when a thing is drawn in another style."),
        family="mixing-vae",
        preset="good",
    )
    if not has.paired:
        made.problem = planning.NO_PAIRS
    return made


def upon_a_pipeline(has: Holding) -> Recommendation | None:
    """None where no pipeline was imported."""
    known = planning.usable(FAMILY)
    if not known:
        return None
    made = Recommendation(
        Message("A LoRA upon a pretrained model"),
        Message("“{name}” learns a subject or a style from a few dozen pictures.", name=known[0]),
        family=LORA,
        preset="quick" if has.count < FEW else "good",
        params={"pipeline": known[0], "size": cards()[known[0]]["config"]["size"]},
    )
    if has.captioned < has.count:
        made.reasons.append(Message("Give it a trigger word: not every picture has a caption."))
    return made


def a_part(has: Holding) -> Recommendation:
    made = Recommendation(
        Message("A part for other models"),
        Message("An autoencoder: models from words draw in its small latents, and are as sharp as it is."),
        family="kl-autoencoder",
        preset="good",
    )
    if has.count < FEW:
        made.problem = too_few(has)
    elif has.count < MANY:
        made.reasons.append(
            Message("It is the better, the more different pictures it sees; a thousand is a beginning.")
        )
    return made


def verse(has: Holding) -> Recommendation:
    made = Recommendation(
        Message("Chinese verse"),
        Message("Writes poems in the forms that yours have, with length and rhyme as they are due."),
        family="verse-transformer",
        preset="quick" if has.count < SOME else "good",
    )
    if has.count < MANY:
        made.reasons.append(Message("Of few poems it learns few words: begin with a model that has read many."))
    start_from(made)
    return made


def more_of_it(has: Holding) -> Recommendation:
    made = Recommendation(
        Message("More text like this"),
        Message("Goes on from any beginning, in the manner of yours; of plays it writes scenes."),
        family="language-model",
        preset="quick" if has.count < FEW else "good",
    )
    start_from(made)
    return made


def music(has: Holding) -> Recommendation:
    made = Recommendation(
        Message("Music in voices"),
        Message("Composes in the manner of yours, goes on from an opening, harmonises a melody, writes bars anew."),
        family="music-transformer",
        preset="quick" if has.count < FEW else "good",
    )
    made.reasons.append(
        Message("It learns from the pieces that have as many parts as most; of chords it takes the top.")
    )
    return made


Goal = Callable[[Holding], Recommendation | None]
GOALS: dict[str, list[Goal]] = {
    PICTURES: [from_words, from_chance, in_a_style, upon_a_pipeline, a_part],
    TEXTS: [verse, more_of_it],
    MUSIC: [music],
}


def too_few(has: Holding) -> Message:
    return Message("It needs {fewest} pictures at least; there are {count}.", fewest=FEW, count=has.count)


def start_from(made: Recommendation, size: int | None = None) -> None:
    """The first checkpoint of its family, of the size that is wanted."""
    finished_first = sorted(cards().items(), key=lambda found: bool(found[1].get("preview")))
    for name, card in finished_first:
        if card["family"] == made.family and size in (None, card.get("config", {}).get("size")):
            made.params[START] = name
            made.reasons.append(Message("It begins with what “{name}” knows, which saves most of the time.", name=name))
            return
