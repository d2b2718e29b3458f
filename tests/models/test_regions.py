"""Squares of a picture that are drawn anew, and what of it stays."""

import numpy as np
import pytest

from models.painting.regions import MOST, Square, paste, resized, square_mask, squares


def marked(height: int, width: int, *places: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((height, width), np.float32)
    for place in places:
        mask[place] = 1
    return mask


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        (marked(64, 64, (slice(20, 30), slice(5, 9))), 1),
        (marked(10, 300, (slice(0, 10), slice(0, 300))), None),
        (marked(300, 10, (slice(299, 300), slice(9, 10))), 1),
        (marked(256, 256, (slice(0, 256), slice(0, 256))), 1),
        (marked(256, 512, (slice(0, 256), slice(100, 512))), 3),
        (marked(256, 512, (slice(3, 9), slice(3, 9)), (slice(250, 256), slice(500, 512))), None),
        (marked(1, 1, (slice(0, 1), slice(0, 1))), 1),
        (marked(40, 4000, (slice(0, 40), slice(10, 3990))), None),
    ],
)
def test_squares_cover_what_is_marked_and_are_few(mask: np.ndarray, count: int | None) -> None:
    found = squares(mask, 64)
    assert count is None or len(found) == count
    assert 0 < len(found) <= MOST + 1 and len({square.side for square in found}) == 1 and found[0].side >= 64
    covered = np.zeros_like(mask)
    for square in found:
        rows, columns, own_rows, own_columns = square.inside(*mask.shape)
        covered[rows, columns] = 1
        assert square_mask(square, mask).any()
        assert np.array_equal(square_mask(square, mask)[own_rows, own_columns], mask[rows, columns])
    assert (covered >= mask).all()


def test_a_small_part_is_seen_with_what_stands_around_it() -> None:
    (square,) = squares(marked(512, 512, (slice(200, 300), slice(0, 100))), 64)
    assert square == Square(175, 0, 150), "half as large again, and moved into the picture"


def test_nothing_marked_is_no_square() -> None:
    assert squares(np.zeros((8, 8), np.float32), 64) == []


def test_beyond_an_edge_a_picture_goes_on_as_it_ends() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    cut = Square(-1, -1, 4).cut(picture)
    assert (
        cut.shape == (4, 4, 3) and np.array_equal(cut[0, 0], picture[0, 0]) and np.array_equal(cut[3, 3], picture[1, 1])
    )


def test_what_is_pasted_shows_as_much_as_the_mask_says() -> None:
    canvas = np.full((2, 3, 3), 100, np.uint8)
    mask = np.array([[0, 0.5, 1], [0, 0, 0]], np.float32)
    paste(canvas, mask, Square(-1, 0, 4), np.full((4, 4, 3), 200, np.uint8))
    assert canvas[..., 0].tolist() == [[100, 150, 200], [100, 100, 100]]


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(resized(picture, 8), picture)
    assert resized(picture, 5).shape == (5, 5, 3) and resized(picture, 20).shape == (20, 20, 3)
