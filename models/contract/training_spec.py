"""Parameters that several families train with, each said once. Torch-free."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from models.contract.tasks import LONGEST_PROMPT, PlainText

MORE: Any = {"more": True}  # shown under "more" in a form
OF_COLLECTION: Any = {"of_collection": True}

BatchSize = Annotated[int, Field(ge=1, le=4096, title="Batch size", description="Pictures per step")]
MuonRate = Annotated[
    float,
    Field(gt=0, le=1, title="Muon learning rate", description="Peak, for hidden matrices", json_schema_extra=MORE),
]
AdamWRate = Annotated[
    float,
    Field(gt=0, le=1, title="AdamW learning rate", description="Peak, for all other weights", json_schema_extra=MORE),
]
WeightDecay = Annotated[
    float, Field(ge=0, le=1, title="Weight decay", description="For hidden matrices", json_schema_extra=MORE)
]
PromptDrop = Annotated[
    float,
    Field(ge=0, le=1, title="Prompt dropout", description="Share trained without a prompt", json_schema_extra=MORE),
]
WordDrop = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        title="Word dropout",
        description="Share of prompts that are told by their meaning alone, without their words",
        json_schema_extra=MORE,
    ),
]
ReferenceShare = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        title="Reference share",
        description="Share trained with a picture to go by, half of it without a prompt",
        json_schema_extra=MORE,
    ),
]
Views = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        title="Views",
        description="The picture itself plus shifted, mirrored versions",
        json_schema_extra=MORE,
    ),
]
Watched = Annotated[
    list[Annotated[PlainText, Field(max_length=LONGEST_PROMPT)]],
    Field(
        max_length=48,
        title="Watched prompts",
        description="Drawn during training, one per line; empty: some of the captions",
        json_schema_extra=OF_COLLECTION,
    ),
]
PerceptualWeight = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        title="Perceptual weight",
        description="Weight of the feature loss",
        json_schema_extra=MORE,
    ),
]
EMADecay = Annotated[
    float, Field(ge=0, lt=1, title="EMA decay", description="For the weights that are saved", json_schema_extra=MORE)
]


PenaltyEvery = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        title="Penalty every",
        description="Steps between penalties; each weighs that many times more",
        json_schema_extra=MORE,
    ),
]


class PromptedTraining(BaseModel):
    """How a network that a prompt conditions is trained, by Muon and AdamW."""

    model_config = ConfigDict(extra="forbid")

    batch_size: BatchSize = 64
    muon_learning_rate: MuonRate = 0.02
    adamw_learning_rate: AdamWRate = 2e-3
    weight_decay: WeightDecay = 0.01
    prompt_drop: PromptDrop = 0.1
    word_drop: WordDrop = 0.0
    views: Views = 8
    watched: Watched = []
    ema_decay: EMADecay = 0.999
