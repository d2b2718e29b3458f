"""Draws with a pretrained pipeline: each picture from noise of its own seed, alone or among others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.contract.adapters import named_in
from models.contract.economy import USUAL, Economy
from models.contract.message import Message
from models.contract.painting import IMAGE_TO_IMAGE, INPAINTING
from models.contract.pipelines import ARCHITECTURES, schedulers_of
from models.contract.sampling import OnStep, Output, Previews, Request, Unfit, as_pictures
from models.contract.tasks import TEXT_TO_IMAGE
from models.contract.values import Picture, Pixels
from models.parts.placed import bytes_of
from models.pretrained.adapters import Adapters
from models.pretrained.controls import Controls, followed_by
from models.pretrained.economy import (
    by_itself,
    compile_blocks,
    device_of,
    is_beside,
    keep_beside,
    leave_out_blocks,
    modules_of,
    whole,
)
from models.pretrained.load import open_pipeline, prove, reason_of
from models.pretrained.preview import Preview
from models.pretrained.references import References
from models.pretrained.words import Learnt, Words
from models.pretrained.work import Work, work_of

TOGETHER = 4  # pictures
EDGE = 1e-6
LARGE = 1024 * 1024  # pixels: what has more is decoded in tiles, which overlap
__all__ = ["PipelineSampler", "load", "prove"]
Seen = Callable[[], list[Pixels]]


class PipelineSampler:
    """A pipeline, and the same parts arranged for pictures that are drawn again."""

    batch_size = TOGETHER

    def __init__(self, pipeline: Any, card: dict[str, Any], checkpoints: Path, economy: Economy = USUAL) -> None:
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

        self.architecture = ARCHITECTURES[card["config"]["architecture"]]
        self.side = int(card["config"]["size"])
        self.pipelines = {
            TEXT_TO_IMAGE: pipeline,
            IMAGE_TO_IMAGE: AutoPipelineForImage2Image.from_pipe(pipeline),
            INPAINTING: AutoPipelineForInpainting.from_pipe(pipeline),
        }
        for each in self.pipelines.values():
            each.set_progress_bar_config(disable=True)
        self.usual = pipeline.scheduler
        pipeline.vae.enable_slicing()  # one picture after the other
        self.preview = Preview(pipeline)
        self.adapters = Adapters(pipeline, checkpoints)
        self.controls = Controls(pipeline, checkpoints)
        self.references = References(pipeline, checkpoints)
        self.words = None if self.architecture.flows else Words(pipeline)
        self.own_bytes = bytes_of(*modules_of(pipeline))
        self.economy, self.is_beside, self.is_short = economy, is_beside(pipeline), False
        self.denoiser = getattr(pipeline, self.architecture.denoiser)
        self.leaves_out = economy.first_block > 0 and leave_out_blocks(self.denoiser, economy.first_block)
        if economy.compiles and not self.is_beside:
            compile_blocks(self.denoiser)

    @property
    def memory_bytes(self) -> int:
        """Also of what has joined the pipeline."""
        return self.own_bytes + sum(
            bytes_of(*each.joined.networks.values()) for each in (self.controls, self.references)
        )

    def save_memory(self) -> bool:
        """Keep the weights beside the GPU from now on; False where that is done already, or may not be."""
        pipeline = self.pipelines[TEXT_TO_IMAGE]
        device = device_of(pipeline)
        if self.is_beside or device.type == "cpu" or self.economy.offload == "never":
            return False
        for each in (self.controls, self.references):
            each.joined.networks.clear()
        keep_beside(pipeline, device)
        self.is_beside = self.is_short = True
        return True

    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request; those that are alike but for their seeds and words are drawn together. Raises
        Unfit.
        """
        works = [work_of(request, self.side, self.architecture.grid) for request in batch]
        learnt: dict[str, Learnt] = {}
        for work in works:
            key = str(work.params.adapters)
            work.learnt = learnt.get(key) or learnt.setdefault(key, self.adapters.learnt(work.params.adapters))
        groups: dict[str, list[int]] = {}
        for i, work in enumerate(works):
            alone = i if self.leaves_out else ""  # together they would decide together what is left out
            groups.setdefault(f"{work.alike} {self.chunks([work])} {alone}", []).append(i)
        total, before = sum(works[indices[0]].walked for indices in groups.values()), 0
        pictures = [work.blank() for work in works]
        for indices in groups.values():
            chosen = [works[i] for i in indices]

            def told(step: int, seen: Seen, indices: list[int] = indices, before: int = before) -> None:
                on_step(before + step, total, partial(shown, pictures, indices, seen))

            for i, drawn in zip(indices, self.draw(chosen, told), strict=True):
                pictures[i] = works[i].finished(drawn)
            before += chosen[0].walked
        remarks = [self.remark(work) for work in works]
        return [
            Output(Picture(picture), facts=self.facts(work), remark=remark)
            for work, picture, remark in zip(works, pictures, remarks, strict=True)
        ]

    def facts(self, work: Work) -> dict[str, Any]:
        """What a picture depends on besides its request."""
        found: dict[str, Any] = {"weights": self.economy.weights} if self.economy.weights != USUAL.weights else {}
        found |= {"first_block": self.economy.first_block} if self.leaves_out and not work.params.controls else {}
        return {**found, **({"decoded": "in tiles"} if self.is_short else {})}

    def remark(self, work: Work) -> Message | None:
        """What of it was not used."""
        if getattr(work.params, "negative_prompt", "") and not self.architecture.negates:
            return Message("This model does not use a negative prompt")
        if getattr(work.params, "clip_skip", 0) and self.words is None:
            return Message("This model leaves out no layers of what reads the prompt")
        if unused := [name for name in work.learnt if not any(named_in(name, text) for text in work.prompts)]:
            return Message("No prompt names {words}, which had no effect", words=", ".join(unused))
        return None

    def chunks(self, works: list[Work]) -> int:
        if self.words is None:
            return 1
        return self.words.chunks([text for work in works for text in work.prompts], works[0].learnt)

    def prompts(self, works: list[Work]) -> dict[str, Any]:
        """As the pipeline takes them: in words, or read already."""
        prompts, negatives = zip(*(work.prompts for work in works), strict=True)
        if self.words is None:
            return {"prompt": list(prompts), "negative_prompt": list(negatives)}
        skip, chunks = int(getattr(works[0].params, "clip_skip", 0)), self.chunks(works)
        (embeds, pooled), (against, pooled_against) = (
            self.words.read(texts, chunks, skip, works[0].learnt) for texts in (prompts, negatives)
        )
        given: dict[str, Any] = {"prompt_embeds": embeds, "negative_prompt_embeds": against}
        if pooled is not None:
            given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": pooled_against}
        return given

    @torch.no_grad()  # and not inference mode, whose tensors cannot be moved, wrapped or learnt from later
    def draw(self, works: list[Work], on_step: Callable[[int, Seen], None]) -> list[Pixels]:
        """Of works that are alike."""
        first = works[0]
        params, (width, height) = first.params, first.size
        pipeline, followed = self.pipelines[first.kind], dict[str, Any]()
        if params.controls:
            pipeline = self.controls.arranged(first.kind, params.controls)
            followed = followed_by(pipeline, params.controls, [work.followed() for work in works])
        pipeline.scheduler = self.scheduler(params.scheduler)
        inputs = [work.inputs() for work in works]
        given: dict[str, Any] = {
            "guidance_scale": self.architecture.guidance if params.guidance_scale is None else params.guidance_scale,
            "num_inference_steps": first.steps,
            # Some pipelines round steps by strength down, others up.
            "strength": min(1.0, (first.walked + (-EDGE if self.architecture.flows else EDGE)) / first.steps),
            "width": width,
            "height": height,
            "generator": [torch.Generator().manual_seed(work.request.seed) for work in works],
            "output_type": "np",
            **{name: [each[name] for each in inputs] for name in inputs[0]},
        }
        done = 0

        def told(_: Any, step: int, time: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            nonlocal done
            done += 1
            on_step(min(done, first.walked), lambda: self.preview(tensors["latents"], width, height))
            return {}

        pipeline.vae.use_tiling = self.is_short or width * height > LARGE
        is_guided = given["guidance_scale"] > 1
        with (
            self.adapters.on(params.adapters),  # before the prompt is read: they may change how
            self.references.on(params.references, first.gone_by(), is_guided) as seen,
            self.blocks(bool(params.controls)),
        ):
            known = inspect.signature(pipeline.__call__).parameters
            given = {
                name: value for name, value in (given | followed | seen | self.prompts(works)).items() if name in known
            }
            try:
                drawn = pipeline(
                    **given, callback_on_step_end=told, callback_on_step_end_tensor_inputs=["latents"]
                ).images
            except ValueError as error:  # of what was asked for, which does not go together
                raise Unfit("The pipeline cannot draw this: {reason}", reason=reason_of(error)) from error
        return [np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8) for picture in drawn]

    def blocks(self, follows: bool) -> AbstractContextManager[None]:
        """Whether some of them may be left out for one picture."""
        if not self.leaves_out:
            return nullcontext()
        return whole(self.denoiser, self.economy.first_block) if follows else by_itself(self.denoiser)

    def scheduler(self, name: str | None) -> Any:
        """A fresh one: schedulers remember where they are. Raises Unfit."""
        import diffusers

        if name is None:
            return type(self.usual).from_config(self.usual.config)
        if (known := schedulers_of(self.architecture).get(name)) is None:
            raise Unfit("There is no scheduler {name}", name=name)
        kind, settings = known
        return getattr(diffusers, kind).from_config(self.usual.config, **settings)


def shown(pictures: list[Pixels], indices: list[int], seen: Seen) -> Previews:
    """Those that are drawn now as far as they are; the others as they were given, or done."""
    made = list(pictures)
    for i, picture in zip(indices, seen(), strict=False):
        made[i] = picture
    return as_pictures(made)


def load(
    folder: Path, device: torch.device, published: Path | None = None, economy: Economy = USUAL
) -> PipelineSampler:
    """Raises CheckpointError when the pipeline is broken, or packages are missing."""
    return PipelineSampler(*open_pipeline(folder, device, economy=economy), published or folder.parent, economy)
