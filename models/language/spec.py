"""Parameters and tasks of the language model; torch-free."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.preparation import TextPreparation
from models.contract.tasks import PlainText, Sizes, Task
from models.contract.training_spec import MORE, BatchSize, WeightDecay
from models.contract.values import TEXTS
from models.contract.writing import TEXT_GENERATION, WritingParams
from models.parts.causal_spec import CausalShape, CausalTraining

LONGEST_OPENING = 4000  # characters
WINDOWS_PER_SECOND = 30.0  # measured: the default network, over the speed of that machine by `models.training.gauge`
TOKENS_A_UNIT = 64  # that cost as much as a picture of a small model

Opening = Annotated[PlainText, Field(max_length=LONGEST_OPENING)]
Name = Annotated[PlainText, Field(max_length=40)]


class ContinuationParams(WritingParams):
    """A text that goes on from its beginning."""

    opening: Opening | None = Field(
        None,
        title="Opening",
        description="How it begins; the model goes on from there",
        json_schema_extra={"widget": "passage", "part": "subject"},
    )
    tokens: int = Field(256, ge=8, le=1024, title="Length", description="In tokens, of some four letters each")


class DramaParams(WritingParams):
    """A scene: who speaks first, what is said, and who may answer."""

    speaker: Name = Field(
        "HAMLET", title="First speaker", description="The name of who begins", json_schema_extra={"part": "subject"}
    )
    opening: Opening | None = Field(
        None, title="Opening", description="The first words that are spoken", json_schema_extra={"widget": "passage"}
    )
    others: str = Field(
        "",
        max_length=200,
        title="Other speakers",
        description="Names of who may answer, separated by commas; empty: as the model likes",
        json_schema_extra=MORE,
    )
    speeches: int = Field(6, ge=1, le=24, title="Speeches", description="How many times somebody speaks")

    @property
    def answering(self) -> list[str]:
        return [name.strip() for name in self.others.replace("，", ",").split(",") if name.strip()]


class LanguageConfig(CausalShape):
    """Shape of the network."""

    vocabulary: int = Field(
        2048, ge=257, le=65536, description="Sub-word tokens at most", json_schema_extra={"of_collection": True}
    )
    length: int = Field(256, ge=32, le=4096, description="Tokens that it sees at once")


class LanguageTraining(CausalTraining):
    """How the language model is trained, on windows of its texts."""

    network: LanguageConfig = LanguageConfig()
    start_from: str | None = start_field("language-model")
    kind: Literal["plain", "drama"] = Field(
        "plain",
        title="Kind of text",
        description="plain: any text; drama: plays, whose speakers can then be chosen",
        json_schema_extra={"titles": {"plain": "any text", "drama": "plays"}},
    )
    batch_size: BatchSize = 16
    weight_decay: WeightDecay = 0.05
    dropout: float = Field(
        0.1, ge=0, lt=1, title="Dropout", description="Against learning few texts by heart", json_schema_extra=MORE
    )


def cost(params: LanguageTraining) -> TrainingCost:
    n, usual = params.network, LanguageConfig()
    table = n.width * n.vocabulary
    share = n.length * (n.weights + table) / (usual.length * (usual.weights + usual.width * usual.vocabulary))
    return TrainingCost(
        fixed_bytes=480 * 2**20 + 24 * (n.weights + table),
        item_bytes=4 * n.length * (n.layers * (10 * n.width + 3 * n.hidden) + 3 * n.vocabulary),
        items_per_second=WINDOWS_PER_SECOND / share,
    )


def continuing_cost(params: ContinuationParams, sizes: Sizes) -> int:
    return max(1, params.tokens // TOKENS_A_UNIT)


def drama_cost(params: DramaParams, sizes: Sizes) -> int:
    return max(1, params.speeches // 2)


CONTINUATION = Task(TEXT_GENERATION, "Continue a text", ContinuationParams, gives=TEXTS, cost=continuing_cost)
DRAMA = Task(TEXT_GENERATION, "Drama", DramaParams, gives=TEXTS, cost=drama_cost)


def tasks_of(card: dict[str, Any]) -> tuple[Task, ...]:
    """One that has learnt plays writes scenes."""
    return (DRAMA,) if card.get("kind") == "drama" else (CONTINUATION,)


FAMILIES = [
    Family(
        "language-model",
        "Language model",
        "Texts that it goes on with",
        tasks=(CONTINUATION, DRAMA),
        tasks_of=tasks_of,
        sampler="models.language.sample",
        training=LanguageTraining,
        trainer="models.language.train",
        evaluator="models.language.evaluate",
        presets=(
            Preset("quick", "Quick look", 300),
            Preset("good", "Good", 4000),
            Preset("best", "Best", 20_000),
        ),
        cost=cost,
        learns=TEXTS,
        preparation=TextPreparation,
    )
]
