"""The loop that all training shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models.training.fit import Metrics, backward, descend, fit
from models.training.run import Diverged, Run, Stopped
from models.training.schedule import step_generator


class Line:
    """Fits a line; `asked` are the steps whose metrics were wanted, `measured` those after which it was measured."""

    def __init__(self, run: Run, stop_after: int | None = None) -> None:
        torch.manual_seed(0)
        self.run, self.stop_after = run, stop_after
        self.network = nn.Linear(2, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.seen = torch.tensor(0)
        self.asked, self.measured = list[int](), list[int]()

    def step(self, k: int) -> tuple[int, Metrics]:
        x = torch.randn(6, 2, generator=step_generator(self.run.seed, k))

        def losses(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
            loss = (self.network(x[rows]) - x[rows].sum(1, keepdim=True)).square().mean()
            return loss, torch.stack([loss, x[rows].mean()])

        figures = backward(self.run, self.network, [self.optimizer], len(x), losses, 2)
        assert float(figures[1]) == pytest.approx(float(x.mean()), abs=1e-6)
        descend(self.run, k, figures[0], self.network.parameters(), [self.optimizer])
        self.seen += len(x)
        if k + 1 == self.stop_after:
            self.run.budget.stop_requested = True

        def metrics() -> dict[str, float]:
            self.asked.append(k + 1)
            return {"loss": float(figures[0])}

        return len(x), metrics

    def fit(self) -> int:
        parts = {"network": self.network, "optimizer": self.optimizer}
        return fit(self.run, self.step, parts, self.measured.append, numbers={"seen": self.seen})


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = Line(Run(tmp_path / "whole", steps=40, echo=False))
    assert whole.fit() == 40 and float(whole.seen) == 240
    first = Line(Run(tmp_path / "parts", steps=40, echo=False), stop_after=17)
    with pytest.raises(Stopped):
        first.fit()
    second = Line(Run(tmp_path / "parts", steps=40, echo=False))
    assert second.fit() == 40 and float(second.seen) == 240, "numbers are a part of the state"
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name])
    assert min(second.measured) > 17


def test_pieces_of_a_batch_have_its_gradient(tmp_path: Path) -> None:
    whole, pieces = (Line(Run(tmp_path / str(n), steps=5, pieces=n, echo=False)) for n in (1, 4))
    whole.fit()
    pieces.fit()
    assert torch.allclose(whole.network.weight, pieces.network.weight, atol=1e-5)


def test_metrics_are_asked_for_where_they_are_logged(tmp_path: Path) -> None:
    line = Line(Run(tmp_path, steps=1000, echo=False))
    line.fit()
    assert line.asked == list(range(5, 1001, 5)) and line.measured == list(range(100, 1001, 100))


def test_a_state_of_before_may_lack_a_number(tmp_path: Path) -> None:
    line = Line(Run(tmp_path, steps=3, echo=False))
    fit(line.run, line.step, {"network": line.network, "optimizer": line.optimizer})
    later = Line(Run(tmp_path, steps=4, echo=False))
    assert later.fit() == 4 and float(later.seen) == 6


def test_a_loss_that_is_no_number_reaches_no_weight(tmp_path: Path) -> None:
    line = Line(Run(tmp_path, steps=3, echo=False))
    before = line.network.weight.clone()
    with pytest.raises(Diverged):
        descend(line.run, 0, torch.tensor(torch.nan), line.network.parameters(), [line.optimizer])
    assert torch.equal(line.network.weight, before)
