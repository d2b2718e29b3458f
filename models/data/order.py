"""Which items a step of training sees, where they are of several lengths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.data.pictures import EpochOrder, Indices

TOGETHER = 8  # batches whose items are put together by length


class ByLength:
    """Which items step `k` sees: every epoch in another order, those of about one length together.

    `lengths(indices)` are those of so many items.
    """

    def __init__(
        self, lengths: Callable[[Indices], npt.NDArray[np.int64]], indices: Indices, size: int, seed: int
    ) -> None:
        self.lengths, self.indices, self.batch, self.seed = lengths, indices, size, seed
        self.wide = EpochOrder(indices, TOGETHER * size, seed)  # of TOGETHER steps

    def at(self, step: int) -> Indices:
        """(batch,) items of a step."""
        group, place = divmod(step, TOGETHER)
        wide = self.wide.at(group)
        by_length = wide[np.argsort(self.lengths(wide), kind="stable")].reshape(TOGETHER, self.batch)
        turn = np.random.default_rng((self.seed, 1, group)).permutation(TOGETHER)[place]
        return by_length[turn]
