"""Parameters of training a LoRA upon a pretrained pipeline; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.contract.adapters import LORA
from models.contract.family import Family, Preset, TrainingCost
from models.contract.message import Message
from models.contract.pipelines import FAMILY
from models.contract.preparation import PicturePreparation
from models.contract.tasks import LONGEST_PROMPT
from models.contract.training_spec import MORE, BatchSize, Watched

OF_PRIOR: Any = {**MORE, "needs": "prior_prompt"}
USUAL_WEIGHTS, WORK = 1_066_000_000, 1 << 30  # of Stable Diffusion 1 with its encoders; bytes besides
ITEMS_PER_SECOND = 0.02  # estimated from sampling: Stable Diffusion 1 at 512 px on two CPU cores with bfloat16


class LoraConfig(BaseModel):
    """Shape of what is trained."""

    model_config = ConfigDict(extra="forbid")

    rank: int = Field(16, ge=1, le=256, description="Of the two matrices beside each layer; more learns more")
    alpha: int = Field(16, ge=1, le=1024, description="Over the rank, what the product of the two is scaled by")
    layers: Literal["attention", "attention and feed-forward"] = Field(
        "attention", description="Which layers of the part that draws are adapted"
    )


class LoraTraining(BaseModel):
    """How it is trained."""

    model_config = ConfigDict(extra="forbid")

    network: LoraConfig = LoraConfig()
    pipeline: str = Field(
        "",
        title="Pipeline",
        description="What it is built on",
        json_schema_extra={"checkpoint": FAMILY, "sets_speed": True},
    )
    size: int = Field(
        512,
        ge=64,
        le=2048,
        multiple_of=16,
        title="Size",
        description="Side of a square picture; others have about as many pixels",
        json_schema_extra={"unit": "px", "sets_speed": True},
    )
    batch_size: BatchSize = 1
    learning_rate: float = Field(1e-4, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    word: str = Field(
        "",
        max_length=80,
        title="Trigger word",
        description="Stands before every caption: a rare word that calls up what is learnt",
    )
    prior_prompt: str = Field(
        "",
        max_length=LONGEST_PROMPT,
        title="Prior prompt",
        description="What the pictures are of, such as: a dog. What the pipeline draws of it keeps it from forgetting",
        json_schema_extra=MORE,
    )
    prior_pictures: int = Field(
        50, ge=1, le=1000, title="Prior pictures", description="Drawn before the training", json_schema_extra=OF_PRIOR
    )
    prior_weight: float = Field(
        1.0, ge=0, le=10, title="Prior weight", description="Of the loss on prior pictures", json_schema_extra=OF_PRIOR
    )
    caption_drop: float = Field(
        0.05, ge=0, le=1, title="Caption dropout", description="Share trained without a caption", json_schema_extra=MORE
    )
    snr_gamma: float = Field(
        5.0,
        gt=0,
        le=1000,
        title="SNR gamma",
        description="Most that a timestep's signal-to-noise ratio weighs; for models that remove noise",
        json_schema_extra=MORE,
    )
    less_memory: bool = Field(
        False,
        strict=True,
        title="Less memory",
        description="Activations are computed again in the backward pass: a third slower",
        json_schema_extra={**MORE, "sets_speed": True},
    )
    watched: Watched = []


def problem(params: LoraTraining, card_of: Callable[[str], dict[str, Any]]) -> Message | None:
    """There must be a pipeline, and sides on its grid."""
    if not params.pipeline:
        return Message("Choose a pipeline that it is built on; import one first where there is none")
    card = card_of(params.pipeline)
    if card["family"] != FAMILY:
        return Message("{name} is no pipeline", name=params.pipeline)
    if params.size % (grid := int(card["config"]["grid"])):
        return Message("Width and height must be multiples of {grid}", grid=grid)
    return None


def cost(params: LoraTraining) -> TrainingCost:
    """Upon Stable Diffusion 1, whose weights are in half precision."""
    share = (params.size / 512) ** 2
    return TrainingCost(
        fixed_bytes=2 * USUAL_WEIGHTS + WORK,
        item_bytes=round((1 if params.less_memory else 3) * share * 2**30),
        items_per_second=ITEMS_PER_SECOND / share,
    )


def cost_upon(usual: TrainingCost, params: LoraTraining, card_of: Callable[[str], dict[str, Any]]) -> TrainingCost:
    """By the weights of the pipeline: what is computed grows with them, what is kept of it with their root."""
    if not params.pipeline:
        return usual
    times = card_of(params.pipeline)["parameters"] / USUAL_WEIGHTS
    return TrainingCost(
        fixed_bytes=round(2 * USUAL_WEIGHTS * times) + WORK,
        item_bytes=round(usual.item_bytes * times**0.5),
        items_per_second=usual.items_per_second / times,
    )


LORA_FAMILY = Family(
    LORA,
    "LoRA",
    "The watched prompts",
    loader="models.pretrained.adapters",
    training=LoraTraining,
    trainer="models.pretrained.lora.train",
    preparation=PicturePreparation,
    presets=(
        Preset("quick", "Quick look", 100),
        Preset("good", "Good", 1000),
        Preset("best", "Best", 3000, {"network": {"rank": 32, "alpha": 32}}),
    ),
    picture_size=lambda params, card_of: params.size,
    cost=cost,
    cost_upon=cost_upon,
    problem=problem,
    number_bytes=None,
)
