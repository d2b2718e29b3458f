"""Live frames, in the worker that draws them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.explorations.service import Exploration
from app.media import decoded
from models.contract.redrawing import FRAME
from models.contract.sampling import Output, Request
from models.contract.tasks import SamplingParams
from models.contract.values import Picture
from workers import explore


def test_a_frame_of_a_large_picture_is_of_one_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Exploration("1", "mei", "any", "0" * 64, "style-transfer", {}, {}, until=float("inf"))
    large, small = (Picture(np.zeros((*size, 3), np.uint8)) for size in ((1000, 4000), (300, 200)))

    class Sampler:
        def sample(self, batch: list[Request], on_step: Any) -> list[Output]:
            (request,) = batch
            assert request.inputs["style"] == [small]
            return [Output(request.inputs["image"][0])]

    monkeypatch.setattr(explore, "client", lambda: SimpleNamespace(get=lambda key: wanted.mark))
    monkeypatch.setattr(explore, "read_inputs", lambda kept: {"image": [large], "style": [small]})
    monkeypatch.setattr(explore.model_cache, "sampler", lambda *asked: Sampler())
    task = SimpleNamespace(params=SamplingParams, frame=FRAME)
    monkeypatch.setattr(explore.model_cache, "checkpoint", lambda name: SimpleNamespace(task=lambda name: task))
    monkeypatch.setattr(explore, "measure_for", lambda user: None)
    monkeypatch.setattr(explore, "screened", lambda output, measure: output)
    media_type, _, content = explore.draw(wanted).partition(b"\n")
    frame = decoded(content, media_type.decode())
    assert isinstance(frame, Picture) and frame.pixels.shape == (384, 1536, 3)
