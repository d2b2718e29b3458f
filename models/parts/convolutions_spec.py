"""What networks that make pictures of pictures take; torch-free."""

from __future__ import annotations


def work_of(widths: tuple[int, int, int], blocks: int) -> float:
    """Products a pixel: down to a quarter of the size, residual blocks there, and up again."""
    full, half, quarter = widths
    return 9 * (full * half * 1.25 + half * quarter * 0.3125 + 2 * blocks * quarter**2 / 16)
