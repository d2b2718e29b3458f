"""Parameters of the mixing VAE; torch-free."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.autoencoders.shared_spec import BoundTraining, LikelihoodName, SharpenedTraining, Width, grid_work
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import as_called_now, start_field
from models.contract.latent_spec import label_field
from models.contract.tasks import IMAGE, INTERPOLATION, MOST_MIXED, VARIATION, SamplingParams, Task, Weights, seed_field
from models.contract.training_spec import MORE, OF_COLLECTION, BatchSize, EMADecay

IMAGES_PER_SECOND = 53.0
BYTES_A_PIXEL, BYTES_A_CHANNEL = 600, 90


class MixingConfig(BaseModel):
    """Shape of a VAE of content, a grid of an eighth of the picture's side, and style, a vector."""

    model_config = ConfigDict(extra="forbid")

    size: Literal[32, 64, 128, 256] = Field(64, description="Side of a picture", json_schema_extra={"unit": "px"})
    content: int = Field(32, ge=1, le=64, description="Channels of the content")
    style: int = Field(32, ge=2, le=512, description="Dimensions of the style")
    widths: tuple[Width, Width, Width] = Field((152, 96, 48), description="Channels at 1/8, 1/4 and 1/2 of the size")
    full: int = Field(24, ge=0, le=1024, description="Channels at full size; 0 stops at half size")
    encoder_blocks: int = Field(1, ge=1, le=8, description="Residual blocks of the content encoder, per grid")
    decoder_blocks: int = Field(2, ge=1, le=8, description="Residual blocks of the decoder, at 1/8 and at 1/4")
    likelihood: LikelihoodName = Field("laplace", description="Of a pixel around the decoder's output")
    classes: int = Field(0, ge=0, le=1000, description="Styles that have a name", json_schema_extra=OF_COLLECTION)

    @model_validator(mode="before")
    @classmethod
    def of_before(cls, given: Any) -> Any:
        """What was kept, and so names all else, before decoders went to the whole size ends at half of it."""
        if isinstance(given, dict) and cls.model_fields.keys() - given.keys() == {"full"}:
            return {"full": 0, **given}
        return given


class MixingTraining(BoundTraining, SharpenedTraining):
    """How content and style are learnt from drawings of the same things in several styles."""

    model_config = ConfigDict(extra="forbid")

    renamed: ClassVar[dict[str, str]] = {"manner_weight": "statistics_weight", "naming_weight": "classifier_weight"}

    network: MixingConfig = MixingConfig()
    start_from: str | None = start_field("mixing-vae")
    batch_size: BatchSize = 32
    statistics_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Statistics weight",
        description="Weight, late in training, of matching feature statistics regardless of position",
        json_schema_extra=MORE,
    )
    classifier_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Classifier weight",
        description="Weight, late in training, of a classifier recognising the drawing's style",
        json_schema_extra=MORE,
    )
    label_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Label weight",
        description="Weight of predicting the style's name from its latents",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999

    @model_validator(mode="before")
    @classmethod
    def as_called_now(cls, given: Any) -> Any:
        return as_called_now(given, cls) if isinstance(given, dict) else given


class MixParams(SamplingParams):
    """The contents of some pictures in the styles of some. With `path`, those of a job go from the first's style to
    the last's. Nothing is left to chance."""

    seed: int | None = seed_field(offered=False)
    weights: Weights | None = Field(
        None,
        max_length=MOST_MIXED,
        title="Content",
        description="How much of each picture's content; empty takes all of the first",
        json_schema_extra={"widget": "weights", "usual": "first", "part": "weights", "of": IMAGE},
    )
    style_weights: Weights | None = Field(
        None,
        max_length=MOST_MIXED,
        title="Style",
        description="How much of each picture's style; empty takes all of the last",
        json_schema_extra={"widget": "weights", "usual": "last", "part": "weights", "of": IMAGE},
    )
    path: bool = Field(
        False,
        strict=True,
        title="Interpolate",
        description="Spread the pictures from the first style to the last",
        json_schema_extra={"part": "path"},
    )

    @model_validator(mode="after")
    def something(self) -> MixParams:
        for weights in (self.weights, self.style_weights):
            if weights is not None and sum(weights) <= 0:
                raise ValueError("at least one weight must be more than 0")
        if self.count > 1 and not self.path:
            raise ValueError("pictures of one mixture are all the same: choose “Interpolate”")
        return self


class RestyleParams(SamplingParams):
    """A picture drawn again in another style, one that was learnt."""

    label: str | None = label_field()
    strength: float = Field(
        1.0, ge=0, le=1, title="Strength", description="How far from the picture's own style: 0 keeps it"
    )
    variety: float = Field(
        2.0,
        ge=0,
        le=4,
        title="Variety",
        description="How much drawings in this style differ from each other; much of it leaves the style",
    )

    @model_validator(mode="after")
    def something(self) -> RestyleParams:
        if self.count > 1 and (self.strength == 0 or (self.label and self.variety == 0)):
            raise ValueError("with strength 0, or variety 0 in one style, all pictures are the same: ask for one")
        return self


def cost(params: MixingTraining) -> TrainingCost:
    """Activations at the whole size, half, a quarter and an eighth of it, and the feature loss."""
    network = params.network
    eighth, quarter, half = network.widths
    channels = network.full + half / 4 + quarter / 16 + eighth / 64
    usual = grid_work(MixingConfig().size, (*MixingConfig().widths, MixingConfig().full))
    without = TrainingCost(
        fixed_bytes=480 * 2**20,
        item_bytes=round(network.size**2 * (BYTES_A_PIXEL + channels * BYTES_A_CHANNEL)),
        items_per_second=IMAGES_PER_SECOND * usual / grid_work(network.size, (*network.widths, network.full)),
    )
    return params.cost_of(network.size, without)


# As the recipe of emoji-mixing has them: with the losses of pixels alone, styles hardly show.
STYLED = {
    "perceptual_weight": 3.0,
    "beta": 0.2,
    "adversarial_weight": 2.0,
    "statistics_weight": 4.0,
    "classifier_weight": 2.0,
    "late_from": 0.4,
}

MIXING = Family(
    "mixing-vae",
    "Mixing VAE",
    "From the top: one picture's content, another's style, the two mixed, and the artist's own",
    tasks=(
        Task(INTERPOLATION.name, "Content and style", MixParams, inputs=INTERPOLATION.inputs, live=True),
        Task(VARIATION.name, "In another style", RestyleParams, inputs=VARIATION.inputs, live=True),
    ),
    sampler="models.vae.mixing.sample",
    training=MixingTraining,
    trainer="models.vae.mixing.train",
    evaluator="models.vae.mixing.evaluate",
    supports_early_stopping=lambda params: not params.is_sharpened,
    presets=(
        Preset("quick", "Quick look", 1000, STYLED),
        Preset("good", "Good", 6000, STYLED),
        Preset("best", "Best", 30_000, STYLED),
    ),
    picture_size=lambda params, card_of: int(params.network.size),
    cost=cost,
    pairs=True,
)
