"""A card's figures as people read them: facts, and tables of those that were measured alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.checkpoints.metric_names import METRICS

WRITTEN = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "kl": "KL",
    "db": "(dB)",
    "nats": "(nats)",
    "k1": "(1 draw)",
    "k64": "(64 draws)",
    "k512": "(512 draws)",
}
ALIKE = 2  # names that two measurements have in common, to be rows of one table


@dataclass
class Table:
    columns: list[str]
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def takes(self, values: dict[str, Any]) -> bool:
        return len(values.keys() & set(self.columns)) >= ALIKE

    def add(self, name: str, values: dict[str, Any]) -> None:
        self.columns += [column for column in values if column not in self.columns]
        self.rows.append((name, values))


def arranged(figures: dict[str, Any]) -> tuple[list[tuple[str, Any]], list[Table]]:
    """(facts, each with its value or values by name; tables with two rows or more); names in words."""
    facts: list[tuple[str, Any]] = []
    tables: list[Table] = []
    for name, value in figures.items():
        if not isinstance(value, dict):
            facts.append((words(name), value))
            continue
        values = {words(key): part for key, part in value.items()}
        fitting = next((table for table in tables if table.takes(values)), None)
        if fitting is None:
            tables.append(fitting := Table([]))
        fitting.add(words(name), values)
    facts += [table.rows[0] for table in tables if len(table.rows) == 1]
    return facts, [table for table in tables if len(table.rows) > 1]


def words(name: str) -> str:
    return METRICS.get(name) or " ".join(WRITTEN.get(part, part) for part in name.split("_"))
