"""Makes pictures larger before they are kept, where a job wants them so; see `app.generations.enlarging`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from models.contract.sampling import Cancelled, Output, Request
from models.contract.tasks import IMAGE
from models.contract.upscaling import IMAGE_UPSCALING, steps_to
from models.contract.values import Picture
from workers import model_cache


def enlarged(output: Output, wanted: Mapping[str, Any], look: Callable[[], None]) -> Output:
    """A picture as large as wanted. `look` may raise Cancelled: then it comes back as it was, for a job that ends
    without it. Raises CheckpointError where the model is gone or another one.
    """
    picture = output.value
    if not wanted or not isinstance(picture, Picture):
        return output
    for factor in steps_to(wanted["size"], max(picture.pixels.shape[:2])):
        sampler = model_cache.sampler(wanted["model"], wanted["checkpoint_sha256"])
        task = model_cache.checkpoint(wanted["model"]).task(IMAGE_UPSCALING)
        params = task.params.model_validate({"factor": factor, "pixel_art": wanted["pixel_art"]})
        request = Request(IMAGE_UPSCALING, params, 0, {IMAGE: [picture]})
        try:
            (found,) = sampler.sample([request], lambda step, total, previews: look())
        except Cancelled:
            return output
        picture = Picture(found.pixels)
    return replace(output, value=picture)
