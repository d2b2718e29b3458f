"""ControlNets beside a pipeline: for one batch its parts are arranged anew around them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from PIL import Image

from models.contract.adapters import CONTROL, MOST_CONTROLS, Control
from models.contract.painting import IMAGE_TO_IMAGE, INPAINTING
from models.contract.sampling import Unfit
from models.contract.tasks import TEXT_TO_IMAGE
from models.pretrained.adapters import Joined, find_adapter
from models.pretrained.load import open_control


class Controls:
    """Those of one pipeline, looked for in `checkpoints`; a few stay loaded."""

    def __init__(self, pipeline: Any, checkpoints: Path) -> None:
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, AutoPipelineForText2Image

        self.pipeline, self.checkpoints = pipeline, checkpoints
        self.arrangements = {
            TEXT_TO_IMAGE: AutoPipelineForText2Image,
            IMAGE_TO_IMAGE: AutoPipelineForImage2Image,
            INPAINTING: AutoPipelineForInpainting,
        }
        self.joined = Joined(pipeline, MOST_CONTROLS, open_control)

    def arranged(self, kind: str, asked: list[Control]) -> Any:
        """A pipeline that follows them. Raises Unfit for one that is gone, replaced, or built on another pipeline."""
        networks = [self.load(each) for each in asked]
        try:
            made = self.arrangements[kind].from_pipe(
                self.pipeline, controlnet=networks[0] if len(networks) == 1 else networks
            )
        except ValueError as error:
            raise Unfit("This model follows no picture where another is drawn again") from error
        made.set_progress_bar_config(disable=True)
        return made

    def load(self, control: Control) -> Any:
        folder, card = find_adapter(control, self.checkpoints)
        if card["family"] != CONTROL:
            raise Unfit("There is no adapter {name}", name=control.name)
        return self.joined.get(card["sha256"], control.name, folder)


def followed_by(pipeline: Any, controls: list[Control], pictures: list[list[Image.Image]]) -> dict[str, Any]:
    """What such a pipeline is given besides; `pictures` are one for each ControlNet, of each work. Several networks
    draw one work at a time.
    """
    takes = inspect.signature(pipeline.__call__).parameters
    shown: Any = pictures[0]
    values: list[Any] = [list(each) for each in zip(*((c.weight, c.start, c.end) for c in controls), strict=True)]
    if len(controls) == 1:
        shown, values = [own[0] for own in pictures], [each[0] for each in values]
    names = ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")
    image = "control_image" if "control_image" in takes else "image"
    return {image: shown, **dict(zip(names, values, strict=True))}
