"""Tells styles by their manner: a linear classifier that is fitted before the training and guides it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.data import Collection, labels_of, to_unit
from models.features import Lite0, manners

LEARNT_FROM, BATCH = 3000, 64
DECAY = 1e-3


class StyleGuide(nn.Module):
    """(B, numbers) manners -> (B, classes) logits. Frozen once it is fitted."""

    mean: Tensor
    spread: Tensor

    def __init__(self, classes: int, numbers: int = 288) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        self.linear = nn.Linear(numbers, classes)

    def forward(self, said: Tensor) -> Tensor:
        logits: Tensor = self.linear((said - self.mean) / self.spread)
        return logits

    def fit(self, said: Tensor, labels: Tensor) -> None:
        """Logistic regression of (N,) labels from (N, numbers) manners; it has one optimum, so no chance is in it."""
        self.mean.copy_(said.mean(0))
        self.spread.copy_(said.std(0) + 1e-3)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        optimizer = torch.optim.LBFGS(self.linear.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            found = F.cross_entropy(self(said), labels) + DECAY * self.linear.weight.square().sum()
            found.backward()
            return found.detach()

        optimizer.step(loss)  # type: ignore[arg-type]
        self.requires_grad_(False)


def fitted(features: Lite0, data: Collection, names: list[str], device: torch.device) -> StyleGuide:
    """A guide to the named styles, from training pictures."""
    random = torch.Generator().manual_seed(0)
    train = data.indices("train", recoloured=False)
    items = train[torch.randperm(len(train), generator=random)[:LEARNT_FROM].numpy()]
    with torch.no_grad():
        said = torch.cat(
            [
                manners(features(to_unit(data.pictures(items[at : at + BATCH])).to(device)))
                for at in range(0, len(items), BATCH)
            ]
        )
    guide = StyleGuide(len(names)).to(device)
    guide.fit(said, labels_of(data, items, names).to(device))
    return guide
