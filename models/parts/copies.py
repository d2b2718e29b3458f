"""What a model has learnt by heart is said: pieces of its training texts are kept as hashes beside its weights.

A sorted list of 32-bit hashes, as differences and packed: some 13 bits a piece. Of pieces that are not there about
one in 2^32 / n is taken for one of n that are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.checkpoint import CheckpointError, read_bytes

COPIES = "copies.bin"


def read_copies(folder: Path, card: dict[str, Any]) -> Copies | None:
    """Those that a checkpoint keeps. Raises CheckpointError where they are broken."""
    if COPIES not in card.get("files", {}):
        return None
    try:
        return Copies.read(read_bytes(folder, COPIES, card))
    except ValueError as error:
        raise CheckpointError("{name} cannot be read ({reason})", name=COPIES, reason=error) from error


def hashed(piece: str) -> int:
    return int.from_bytes(blake2b(piece.encode(), digest_size=4).digest(), "little")


class Copies:
    """`hashes` ascend."""

    def __init__(self, hashes: npt.NDArray[np.uint32]) -> None:
        self.hashes = hashes

    @classmethod
    def of(cls, pieces: Iterable[str]) -> Copies:
        return cls(np.unique(np.fromiter((hashed(piece) for piece in pieces), np.uint32)))

    @classmethod
    def read(cls, packed: bytes) -> Copies:
        """Raises ValueError for what is none."""
        try:
            planes = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(4, -1)
        except (zlib.error, ValueError) as error:
            raise ValueError("the list of copies is broken") from error
        steps = np.ascontiguousarray(planes.T).view("<u4")[:, 0]
        return cls(np.cumsum(steps, dtype=np.uint32))

    def packed(self) -> bytes:
        """The differences, all bytes of one weight together: the upper ones are nearly all 0."""
        steps = np.diff(self.hashes, prepend=np.uint32(0)).astype("<u4")
        return zlib.compress(np.ascontiguousarray(steps[:, None].view(np.uint8).T).tobytes(), 9)

    def __contains__(self, piece: str) -> bool:
        place = int(np.searchsorted(self.hashes, np.uint32(hashed(piece))))
        return place < len(self.hashes) and int(self.hashes[place]) == hashed(piece)

    def among(self, pieces: Iterable[str], asked: Iterable[str] = ()) -> list[str]:
        """Those that were learnt and are not what was asked for."""
        wanted = set(asked)
        return [piece for piece in dict.fromkeys(pieces) if piece in self and piece not in wanted]

    def __len__(self) -> int:
        return len(self.hashes)
