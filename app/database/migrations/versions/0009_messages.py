"""What is said of jobs and of refused files keeps its template and values. Words of before are templates without any."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
COLUMNS = (
    ("generations", "error"),
    ("generations", "notice"),
    ("training_runs", "error"),
    ("training_runs", "notice"),
    ("dataset_items", "refusal"),
)
CHUNK = 500


def upgrade() -> None:
    for table, column in COLUMNS:
        replaced(table, column, JSON, lambda text: {"template": text, "values": {}})


def downgrade() -> None:
    for table, column in COLUMNS:
        replaced(table, column, sa.Text(), filled)


def replaced(table: str, column: str, kind: Any, change: Any) -> None:
    """The column under its name with another type; SQLite can change none in place."""
    before = sa.Text() if kind is JSON else JSON
    op.add_column(table, sa.Column("replacement", kind, nullable=True))
    rows = sa.table(table, sa.column("id"), sa.column(column, before), sa.column("replacement", kind))
    connection, last = op.get_bind(), ""
    query = sa.select(rows.c.id, rows.c[column]).where(rows.c[column].is_not(None)).order_by(rows.c.id).limit(CHUNK)
    while found := connection.execute(query.where(rows.c.id > last)).all():
        for row in found:
            connection.execute(sa.update(rows).where(rows.c.id == row[0]).values(replacement=change(row[1])))
        last = found[-1][0]
    op.drop_column(table, column)
    op.execute(f"ALTER TABLE {table} RENAME COLUMN replacement TO {column}")


def filled(message: dict[str, Any]) -> str:
    values = {name: filled(value) if isinstance(value, dict) else value for name, value in message["values"].items()}
    return str(message["template"]).format(**values) if values else str(message["template"])
