"""Parameters and task of unpaired translation between two styles; torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.autoencoders.shared_spec import Width
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.tasks import DeterministicParams, Task, images
from models.contract.training_spec import MORE, OF_COLLECTION, BatchSize, EMADecay
from models.parts.convolutions_spec import work_of

FAMILY, IMAGE_TRANSLATION = "unpaired-translation", "image-translation"
ITEMS_PER_SECOND = 12.0  # pairs of 64 px by the default networks on two cores


class TranslationConfig(BaseModel):
    """Shape of each of the two generators."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(
        64, ge=32, le=512, multiple_of=8, description="Side of a picture", json_schema_extra={"unit": "px"}
    )
    widths: tuple[Width, Width, Width] = Field((32, 64, 128), description="Channels at the whole size, 1/2 and 1/4")
    blocks: int = Field(5, ge=2, le=16, description="Residual blocks, at a quarter of the size")


class TranslationTraining(BaseModel):
    """How two styles are learnt from pictures of each, which need not be of the same things."""

    model_config = ConfigDict(extra="forbid")

    network: TranslationConfig = TranslationConfig()
    start_from: str | None = start_field(FAMILY)
    first: str = Field(
        "",
        max_length=80,
        title="First style",
        description="As the dataset's folders or labels call it; empty where it has two",
        json_schema_extra=OF_COLLECTION,
    )
    second: str = Field(
        "",
        max_length=80,
        title="Second style",
        description="As the dataset's folders or labels call it; empty where it has two",
        json_schema_extra=OF_COLLECTION,
    )
    batch_size: BatchSize = 8
    learning_rate: float = Field(2e-4, gt=0, le=1, title="Learning rate", description="Rate of Adam")
    contrastive_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Contrastive weight",
        description="Of keeping each place what it was: more changes less",
    )
    identity_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Identity weight",
        description="Of leaving alone what has the style already",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999

    @model_validator(mode="after")
    def two(self) -> TranslationTraining:
        if self.first and self.first == self.second:
            raise ValueError("the two styles must differ")
        return self


class TranslationParams(DeterministicParams):
    """A picture in one of the two styles."""

    style: str | None = Field(
        None,
        max_length=80,
        title="Style",
        description="Which of the two; empty: the second",
        json_schema_extra={"choices_from": "labels"},
    )


def cost(params: TranslationTraining) -> TrainingCost:
    """Of both generators, and of features by which a discriminator judges."""
    usual, own = TranslationConfig(), params.network
    share = (own.size / usual.size) ** 2
    work = work_of(own.widths, own.blocks) / work_of(usual.widths, usual.blocks)
    return TrainingCost(
        fixed_bytes=550 << 20,
        item_bytes=round(own.size**2 * (4000 + 120 * sum(own.widths))),
        items_per_second=ITEMS_PER_SECOND / share / (0.4 + 0.6 * work),
    )


FAMILIES = [
    Family(
        FAMILY,
        "Unpaired translation",
        "Held-out pictures of each style, each beside its translation",
        tasks=(Task(IMAGE_TRANSLATION, "Translate into a style", TranslationParams, inputs=images(1, 1), live=True),),
        sampler="models.translation.sample",
        training=TranslationTraining,
        trainer="models.translation.train",
        evaluator="models.translation.evaluate",
        presets=(
            Preset("quick", "Quick look", 1000),
            Preset("good", "Good", 6000),
            Preset("best", "Best", 30_000),
        ),
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
        supports_early_stopping=lambda params: False,
    )
]


def styles_of(card: dict[str, Any]) -> list[str]:
    return [str(name) for name in card.get("labels", [])]
