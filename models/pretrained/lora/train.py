"""Trains a LoRA upon a pretrained pipeline, whose own weights stay as they are.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021; with a prior prompt as in Ruiz et al.,
"DreamBooth", 2023.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.adopt import holding
from models.checkpoint import CheckpointError, find, read_card, write_model
from models.contract.adapters import config_of
from models.contract.economy import Economy
from models.contract.pipelines import ARCHITECTURES
from models.contract.sampling import Request
from models.contract.tasks import TEXT_TO_IMAGE
from models.data.pictures import Collection, Indices, SizedOrder, measured, to_unit
from models.measure.prompted import watched_sheet
from models.parts.captions import watched_captions
from models.parts.sentences import cached
from models.pretrained.load import open_pipeline
from models.pretrained.lora.objective import objective
from models.pretrained.lora.prepared import Prepared
from models.pretrained.lora_spec import LoraTraining, problem
from models.pretrained.sample import PipelineSampler
from models.pretrained.spec import TextToImageParams
from models.training import parallel
from models.training.card import training_card
from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Run
from models.training.schedule import has_fast_bfloat16, set_learning_rate, step_generator, warmup_stable_decay

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
FEED_FORWARD = ["ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"]
MEASURED = 32  # held-out pictures
STEPS_SHOWN, STEPS_OF_PRIOR = 12, 30
BUILT_ON = "pipeline"  # its role in a card


def train(params: LoraTraining, data: Collection, run: Run) -> None:
    """Train on the collection's `train` items until the run is over; writes its `model`. Resumes by itself.

    Raises CheckpointError when the pipeline is missing, broken, or another one than the run began with.
    """
    torch.manual_seed(run.seed)
    folder = find(params.pipeline, run.published)
    if why := problem(params, lambda name: read_card(folder)):
        raise CheckpointError(why)
    dtype = torch.bfloat16 if has_fast_bfloat16(run.device) else torch.float32
    pipeline, card = open_pipeline(folder, run.device, dtype, Economy(offload="never"))
    same_as_before(run, card)
    architecture = ARCHITECTURES[card["config"]["architecture"]]
    captions = [captioned(params, item["captions"]) for item in data.items]
    every = [text for texts in captions for text in texts]
    with parallel.first_alone():
        prepared = Prepared(
            pipeline,
            architecture,
            run.path / "cache",
            [*every, "", params.prior_prompt],
            lambda done: run.is_at_work("preparing", read=done),
        )
        latents = prepared.latents(data)
        sampler = PipelineSampler(pipeline, card, run.published)
        prior = prior_latents(params, sampler, prepared, run) if params.prior_prompt else None
    denoiser = getattr(pipeline, architecture.denoiser)
    network = adapted(denoiser, params)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    losses_of = objective(pipeline, architecture, params.snr_gamma)
    order = SizedOrder(data.indices("train"), params.batch_size, run.seed, data.size)
    apart = measured(data, MEASURED)

    def losses(x: Tensor, texts: list[str], noise: Tensor, chance: Tensor) -> Tensor:
        x, noise = x.to(run.device, dtype), noise.to(run.device, dtype)
        return losses_of(x, prepared.of(texts, dtype), noise, chance.to(run.device))

    def batch(chosen: Indices, random: torch.Generator) -> tuple[Tensor, list[str]]:
        draws = torch.rand(3, len(chosen), generator=random).numpy()
        mirrored = (draws[0] < 0.5) & data.mirrorable[chosen].numpy()
        texts = [captions[i][int(draw * len(captions[i]))] for i, draw in zip(chosen, draws[1], strict=True)]
        texts = ["" if drop < params.caption_drop else text for text, drop in zip(texts, draws[2], strict=True)]
        return latents.of(chosen, mirrored.astype(int)), texts

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            x, texts = batch(order.at(k), random)
            noise, chance = with_noise(x, random)
            if prior is not None:
                before = numbers(prior[torch.randint(len(prior), (len(x),), generator=random).numpy()])
                noise_before, chance_before = with_noise(before, random)
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate([optimizer], factor)

        def means(rows: slice) -> tuple[Tensor, Tensor]:
            found = losses(x[rows], texts[rows], noise[rows], chance[rows]).mean()
            if prior is not None:
                asked = [params.prior_prompt] * (rows.stop - rows.start)
                kept = losses(before[rows], asked, noise_before[rows], chance_before[rows]).mean()
                found = found + params.prior_weight * kept
            return found, found[None]

        (loss,) = backward(run, network, [optimizer], len(x), means)
        norm = descend(run, k, loss, network.parameters(), [optimizer])
        return len(x), lambda: {
            "loss": loss.item(),
            "gradient_norm": norm.item(),
            "learning_rate": factor * params.learning_rate,
            "epoch": (k + 1) / order.steps,
        }

    watched = params.watched or [captioned(params, [text])[0] for text in watched_captions(data, 4)]
    if run.is_first:
        run.folder.watch(watched)

    @torch.no_grad()
    def measure(done: int) -> None:
        if len(apart):
            found = []
            for i in apart.tolist():
                x = latents.of(np.array([i]), np.array([0]))
                found.append(float(losses(x, captions[i][:1], *with_noise(x, step_generator(0, i)))))
            run.log.write(done, held_out_loss=(figure := float(np.mean(found))))
            run.report_metric(done, figure)
        if run.is_first:
            run.folder.keep_samples(done, watched_sheet(sampler, partial(requests, params.size), watched))

    done = fit(run, step, {"ema": network, "optimizer": optimizer}, measure, log_every=10)
    result = run.result(done, network)
    if run.is_first:
        tensors = exported(denoiser, architecture.denoiser, params)
        said = training_card("lora", params, data.card, run, result, None)
        config = config_of({name: {"shape": list(tensor.shape)} for name, tensor in tensors.items()})
        beneath = {"role": BUILT_ON, "name": params.pipeline, "sha256": card["sha256"]}
        write_model(run.folder.model, holding(tensors), {**said, "config": config, "builds_on": [beneath]})


def captioned(params: LoraTraining, captions: list[str]) -> list[str]:
    """With the trigger word before each, or alone where a picture has none."""
    texts = [", ".join(part for part in (params.word, caption) if part.strip()) for caption in captions]
    return texts or [params.word]


def same_as_before(run: Run, card: dict[str, Any]) -> None:
    """A run goes on upon the very pipeline that it began with: it is too large to be kept in its folder. Raises
    CheckpointError.
    """
    note = run.path / "pipeline.sha256"
    if not note.exists():
        note.write_text(card["sha256"])
    elif note.read_text() != card["sha256"]:
        raise CheckpointError("the pipeline that this run is built on has been replaced")


def adapted(denoiser: Any, params: LoraTraining) -> nn.ParameterDict:
    """Put new matrices beside layers of a denoiser; returns them, in float32."""
    from peft import LoraConfig

    denoiser.requires_grad_(False)
    layers = ATTENTION + (FEED_FORWARD if params.network.layers != "attention" else [])
    denoiser.add_adapter(
        LoraConfig(
            r=params.network.rank, lora_alpha=params.network.alpha, init_lora_weights="gaussian", target_modules=layers
        )
    )
    if params.less_memory:
        denoiser.enable_gradient_checkpointing()
    found = {name: weight for name, weight in denoiser.named_parameters() if weight.requires_grad}
    for weight in found.values():
        weight.data = weight.data.float()
    return nn.ParameterDict({name.replace(".", "/"): weight for name, weight in found.items()})


def exported(denoiser: Any, part: str, params: LoraTraining) -> dict[str, Tensor]:
    """As the packages name them, with the scale in the second matrix, so that readers need not know it."""
    from peft.utils import get_peft_model_state_dict

    scale = params.network.alpha / params.network.rank
    found = get_peft_model_state_dict(denoiser)
    return {
        f"{part}.{name}": (tensor * scale if ".lora_B." in name else tensor).detach().float().cpu()
        for name, tensor in found.items()
    }


def prior_latents(
    params: LoraTraining, sampler: PipelineSampler, prepared: Prepared, run: Run
) -> npt.NDArray[np.float16]:
    """(N, C, h, w) of what the pipeline draws by itself after the prior prompt."""

    def compute() -> npt.NDArray[np.float16]:
        rows = []
        for seed in range(params.prior_pictures):
            run.is_at_work("preparing", drawn=seed)
            (drawn,) = sampler.sample(
                requests(params.size, [params.prior_prompt], seed, STEPS_OF_PRIOR), lambda *_: None
            )
            picture = torch.from_numpy(drawn.pixels.copy()).permute(2, 0, 1)[None].to(run.device)
            rows.append(prepared.encode(to_unit(picture))[0])
        return np.stack(rows)

    return cached(run.path / "cache" / "prior.npy", compute)


def numbers(latents: npt.NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(latents.astype(np.float32))


def with_noise(x: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise like x (B, ...), and (B,) in [0, 1) that times are drawn by."""
    return torch.randn(x.shape, generator=random), torch.rand(len(x), generator=random)


def requests(size: int, prompts: list[str], seed: int, steps: int = STEPS_SHOWN) -> list[Request]:
    return [
        Request(TEXT_TO_IMAGE, TextToImageParams(prompt=prompt or "?", steps=steps, width=size, height=size), seed)
        for prompt in prompts
    ]
