"""Parameters and task of the verse transformer; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.preparation import TextPreparation
from models.contract.tasks import PlainText, Sizes, Task
from models.contract.training_spec import MORE
from models.contract.values import TEXTS
from models.contract.writing import TEXT_GENERATION, WritingParams
from models.parts.causal_spec import CausalShape, CausalTraining
from models.verse.forms import REGULATED

LONGEST_TITLE = 24  # characters that are read
POEMS_PER_SECOND = 120.0  # measured: the default network, over the speed of that machine by `models.training.gauge`

Verse = Annotated[PlainText, Field(max_length=500)]


class VerseParams(WritingParams):
    """A poem: its form, what it is of, and what is fixed of it before."""

    theme: Verse | None = Field(
        None,
        title="Title or theme",
        description="What the poem is of",
        json_schema_extra={"widget": "text", "part": "subject"},
    )
    form: str = Field(
        "七绝",
        title="Form",
        description="How many lines of how many characters",
        json_schema_extra={"choices_from": "forms"},
    )
    first_line: Verse | None = Field(
        None, title="First line", description="How it begins; the rest is written", json_schema_extra=MORE
    )
    acrostic: Verse | None = Field(
        None, title="Acrostic", description="The first characters of its lines, one a line", json_schema_extra=MORE
    )
    rhyme: str | None = Field(
        None,
        title="Rhyme",
        description="A group of the rhyme table 平水韵; empty: as the poem finds it",
        json_schema_extra={"choices_from": "rhymes", **MORE},
    )
    tones: bool = Field(
        False,
        strict=True,
        title="Tone pattern",
        description="Level and oblique tones alternate by the rules of regulated verse",
        json_schema_extra=MORE,
    )
    script: Literal["simplified", "traditional"] = Field(
        "simplified", title="Script", description="Characters that it is shown in", json_schema_extra=MORE
    )

    @model_validator(mode="after")
    def fits(self) -> VerseParams:
        """Of forms that are known to all; those that a checkpoint has learnt are looked at when it writes."""
        form = next((form for form in REGULATED.values() if form.title == self.form), None)
        if form is None:
            return self
        if self.first_line and len(characters(self.first_line)) != form.lines[0]:
            raise ValueError(f"the first line of {form.title} has {form.lines[0]} characters")
        if self.acrostic and len(characters(self.acrostic)) > len(form.lines):
            raise ValueError(f"{form.title} has {len(form.lines)} lines, the acrostic has more characters")
        if self.first_line and self.acrostic and characters(self.first_line)[0] != characters(self.acrostic)[0]:
            raise ValueError("the first line does not begin with the first character of the acrostic")
        return self


def characters(text: str) -> str:
    """Without spaces and punctuation."""
    return "".join(character for character in text if character.isalnum())


class VerseConfig(CausalShape):
    """Shape of the network."""

    layers: int = Field(5, ge=1, le=64, description="Of the decoder")
    vocabulary: int = Field(
        8000,
        ge=64,
        le=65536,
        description="Characters and signs at most",
        json_schema_extra={"of_collection": True},
    )
    length: int = Field(
        160,
        ge=64,
        le=1024,
        description="Characters of a poem with all that is said of it",
        json_schema_extra={"fixed": True},
    )


class VerseTraining(CausalTraining):
    """How the verse transformer is trained."""

    network: VerseConfig = VerseConfig()
    start_from: str | None = start_field("verse-transformer")
    rarest: int = Field(
        8,
        ge=1,
        le=1000,
        title="Rarest character",
        description="How often a character has to occur; poems with rarer ones are left out",
        json_schema_extra=MORE,
    )


def cost(params: VerseTraining) -> TrainingCost:
    """A poem has some 50 characters with its title."""
    n, usual = params.network, VerseConfig()
    table = n.width * n.vocabulary
    share = (n.weights + table) / (usual.weights + usual.width * usual.vocabulary)
    return TrainingCost(
        fixed_bytes=480 * 2**20 + 24 * (n.weights + table),
        item_bytes=4 * 60 * (n.layers * (10 * n.width + 3 * n.hidden) + 3 * n.vocabulary),
        items_per_second=POEMS_PER_SECOND / share,
    )


def writing_cost(params: VerseParams, sizes: Sizes) -> int:
    return 1


class VersePreparation(TextPreparation):
    """Poems are prepared with the table of tones and rhymes."""

    rhymes: Literal[True] = Field(True, json_schema_extra={"offered": False})


FAMILIES = [
    Family(
        "verse-transformer",
        "Verse transformer",
        "Poems of each form",
        tasks=(Task(TEXT_GENERATION, "Verse", VerseParams, gives=TEXTS, cost=writing_cost),),
        sampler="models.verse.sample",
        training=VerseTraining,
        trainer="models.verse.train",
        evaluator="models.verse.evaluate",
        presets=(
            Preset("quick", "Quick look", 300),
            Preset("good", "Good", 5000),
            Preset("best", "Best", 40_000),
        ),
        cost=cost,
        learns=TEXTS,
        preparation=VersePreparation,
    )
]
