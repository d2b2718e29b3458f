"""How a card's figures are arranged for people."""

from __future__ import annotations

from app.checkpoints.figures import arranged


def test_what_was_measured_alike_is_one_table() -> None:
    facts, tables = arranged(
        {
            "held_out_distance": 0.63,
            "mixed": {"style": 0.2, "distance_to_real": 0.15, "both": 0.1},
            "real_drawing": {"style": 0.7, "both": 0.6},
            "kernel_distance": {"drawn": 1.0, "noise": 7.0},
        }
    )
    (table,) = tables
    assert table.columns == ["style", "distance to real", "both"]
    assert [name for name, _ in table.rows] == ["mixed", "real drawing"]
    assert facts == [("held-out feature distance", 0.63), ("kernel distance", {"drawn": 1.0, "noise": 7.0})]
    assert arranged({}) == ([], [])
    assert arranged({"psnr_db": 30})[0] == [("PSNR (dB)", 30)]
