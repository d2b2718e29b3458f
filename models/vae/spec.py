"""Parameters of the autoencoders; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.autoencoders.shared_spec import BoundTraining, LikelihoodName, Width
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.latent_spec import LatentConfig, LatentTraining, label_field
from models.contract.tasks import INTERPOLATION, TEXT_TO_IMAGE, VARIATION, PromptedParams, SamplingParams, Task
from models.contract.training_spec import MORE, OF_COLLECTION
from models.vae.mixing.spec import MIXING

IMAGES_PER_SECOND = 127.0
BYTES_A_CHANNEL = 60


class VAEConfig(LatentConfig):
    """Shape of a VAE with a global latent; encoder and decoder mirror each other."""

    latent: int = Field(128, ge=2, le=1024, multiple_of=2, description="Latent dimensions of a picture")
    width: Width = Field(64, description="Channels of the finest grid")
    max_width: Width = Field(192, description="Channels of the coarsest grid, at most")
    likelihood: LikelihoodName = Field("discretised-logistic", description=("Of a pixel around the decoder's output"))
    prior_width: int = Field(128, ge=16, le=2048, multiple_of=4, description="Hidden width of the prior's flow")
    prior_layers: int = Field(6, ge=2, le=32, description="Coupling layers of the flow")
    directions: int = Field(
        0,
        ge=0,
        le=100,
        description="Attributes that a picture may have more or less of",
        json_schema_extra=OF_COLLECTION,
    )
    text: Literal[0, 512] = Field(
        0, description="Numbers of the sentence that the prior is given; 0 for none", json_schema_extra={"fixed": True}
    )


class VAETraining(BoundTraining, LatentTraining):
    """How a VAE is trained."""

    network: VAEConfig = VAEConfig()
    start_from: str | None = start_field("vae")
    scale: float | None = Field(
        None,
        gt=0,
        le=10,
        title="Fixed scale",
        description="Spread of a pixel around the decoder's output, in [-1, 1]; empty learns it",
        json_schema_extra=MORE,
    )


class DrawnFromPrior(SamplingParams):
    """A picture from the fitted prior."""

    temperature: float = Field(
        0.8,
        ge=0,
        le=1.5,
        title="Variety",
        description="Spread of the latents: less gives safer pictures",
    )
    label: str | None = label_field()


class PromptedFromPrior(PromptedParams):
    """A picture from the prior that was fitted to pictures together with their captions."""

    temperature: float = Field(
        0.7,
        ge=0,
        le=1.5,
        title="Variety",
        description="Spread of the latents: less gives safer pictures",
    )
    label: str | None = label_field()


class PromptedVAEConfig(VAEConfig):
    """Shape of a VAE whose prior hears words."""

    text: Literal[512] = Field(
        512, description="Numbers of the sentence that the prior is given", json_schema_extra={"fixed": True}
    )


class PromptedVAETraining(VAETraining):
    """How it is trained."""

    network: PromptedVAEConfig = PromptedVAEConfig()
    start_from: str | None = start_field("prompted-vae")


def cost(params: VAETraining) -> TrainingCost:
    """Activations of encoder and decoder."""
    network = params.network
    return TrainingCost(
        fixed_bytes=480 * 2**20,
        item_bytes=round(network.cells * network.blocks * BYTES_A_CHANNEL),
        items_per_second=IMAGES_PER_SECOND * VAEConfig().work / network.work,
    )


PRESETS = (
    Preset("quick", "Quick look", 1000),
    Preset("good", "Good", 8000),
    Preset("best", "Best", 30_000),
)
RUN_SHEET = "Held-out originals beside their reconstructions; below, random pictures"
CHANCE = Task("unconditional-image-generation", "Random pictures", DrawnFromPrior, live=True)

FAMILIES = [
    MIXING,
    Family(
        "vae",
        "VAE",
        RUN_SHEET,
        tasks=(CHANCE, VARIATION, INTERPOLATION),
        sampler="models.vae.sample",
        training=VAETraining,
        trainer="models.vae.train",
        evaluator="models.vae.evaluate",
        presets=PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
    ),
    Family(
        "prompted-vae",
        "VAE with prompts",
        RUN_SHEET,
        tasks=(Task(TEXT_TO_IMAGE, "Text to image", PromptedFromPrior, live=True), CHANCE, VARIATION, INTERPOLATION),
        sampler="models.vae.sample",
        training=PromptedVAETraining,
        trainer="models.vae.train",
        evaluator="models.vae.evaluate",
        presets=PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
    ),
]
