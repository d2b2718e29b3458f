"""Parameters and tasks of the masked transformer; torch-free."""

from __future__ import annotations

from pydantic import Field

from models.contract.family import Family, Preset
from models.contract.tasks import TEXT_TO_IMAGE, PromptedParams, Task
from models.contract.training_spec import PromptedTraining
from models.diffusion.spec import FlowConfig, cost_of


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


class MaskedConfig(FlowConfig):
    """Shape of the network: a trunk over tokens."""

    size: int = 8
    patch: int = 1
    image_vocabulary: int = Field(1000, ge=2, le=65536)


class MaskedTraining(PromptedTraining):
    """How it is trained."""

    network: MaskedConfig = MaskedConfig()
    autoencoder: str = "emoji-fsq"


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
        cost=lambda params: cost_of(params.network),
    )
]
