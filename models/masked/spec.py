"""Parameters and tasks of the masked transformer; torch-free."""

from __future__ import annotations

from pydantic import Field

from models.contract.family import Family, Preset, TrainingCost
from models.contract.tasks import TEXT_TO_IMAGE, PromptedParams, Task
from models.contract.training_spec import PromptedTraining
from models.parts.trunk_spec import TrunkShape

IMAGES_PER_SECOND = 46.0  # that of the flow transformer, which has the same trunk


class MaskedParams(PromptedParams):
    """A prompt, and how tokens are chosen."""

    guidance_scale: float = Field(
        3.0,
        ge=1,
        le=15,
        title="Guidance",
        description="How closely the picture follows the prompt",
        allow_inf_nan=False,
    )
    temperature: float = Field(
        0.7, ge=0.1, le=2, title="Temperature", description="Lower is calmer, higher is wilder", allow_inf_nan=False
    )
    steps: int = Field(16, ge=2, le=64, title="Steps", description="How many times tokens are chosen", strict=True)


class MaskedConfig(TrunkShape):
    """Shape of the network: a trunk over tokens."""

    grid: int = Field(8, ge=1, le=64, description="Tokens along one side of a picture")
    image_vocabulary: int = Field(1000, ge=2, le=65536, description="Codebook size of the autoencoder")


class MaskedTraining(PromptedTraining):
    """How it is trained."""

    network: MaskedConfig = MaskedConfig()
    autoencoder: str = "emoji-fsq"


def cost(params: MaskedTraining) -> TrainingCost:
    n, usual = params.network, MaskedConfig()
    encoder, layers = n.weights
    tables = n.width * (n.text_vocabulary + n.sentence_width + n.image_vocabulary + 9 * n.width)
    return TrainingCost(
        fixed_bytes=520 * 2**20 + 24 * (encoder + layers + tables),
        item_bytes=4 * n.grid**2 * (n.layers * (12 * n.width + 6 * n.hidden) + 4 * n.image_vocabulary),
        items_per_second=IMAGES_PER_SECOND * usual.grid**2 * usual.weights[1] / (n.grid**2 * layers),
    )


FAMILIES = [
    Family(
        "masked-transformer",
        "Masked transformer",
        "The watched prompts",
        tasks=(Task(TEXT_TO_IMAGE, "Text to image", MaskedParams),),
        sampler="models.masked.sample",
        training=MaskedTraining,
        trainer="models.masked.train",
        presets=(
            Preset("quick", "Quick look", 300, {"batch_size": 32}),
            Preset("good", "Good", 5000),
            Preset("best", "Best", 30000),
        ),
        picture_size=lambda params, card_of: int(card_of(params.autoencoder)["config"].get("size", 64)),
        cost=cost,
    )
]
