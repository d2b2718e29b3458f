"""Inputs by role, what jobs cost, what they are sampled together by, turns by cost, and works of every medium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.database import UTCDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
QUEUED = sa.text("status = 'queued'")
CHUNK = 500

generations = sa.table(
    "generations",
    sa.column("id"),
    sa.column("model"),
    sa.column("params", JSON),
    sa.column("inputs", JSON),
    sa.column("subject"),
)
artworks = sa.table(
    "artworks",
    sa.column("id"),
    sa.column("model"),
    sa.column("provenance", JSON),
    sa.column("subject"),
)
runs = sa.table("training_runs", *(sa.column(name) for name in ("id", "fit", "mirror")), sa.column("preparation", JSON))
USUAL = {"fit": "crop", "mirror": False}


def upgrade() -> None:
    op.add_column("generations", sa.Column("cost", sa.BigInteger(), nullable=False, server_default="1"))
    op.add_column("generations", sa.Column("batch_key", sa.Text(), nullable=False, server_default=""))
    op.add_column("generations", sa.Column("subject", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE generations SET cost = count, batch_key = task")
    changed(generations, lambda row: {"subject": subject(row.params, row.model), "inputs": renamed(row.inputs, "images", "image")})
    op.add_column("artworks", sa.Column("facts", JSON, nullable=False, server_default="{}"))
    op.add_column("artworks", sa.Column("poster_sha256", sa.Text(), nullable=True))
    op.add_column("artworks", sa.Column("subject", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_artworks_poster_sha256", "artworks", ["poster_sha256"])
    changed(artworks, lambda row: {"subject": subject(row.provenance.get("params", {}), row.model)})
    op.add_column("uploads", sa.Column("facts", JSON, nullable=False, server_default="{}"))
    with op.batch_alter_table("uploads") as uploads:
        uploads.alter_column("width", nullable=True)
        uploads.alter_column("height", nullable=True)
    alike(["queue", "model", "checkpoint_sha256", "batch_key", "user_id", "id"])
    op.add_column("users", sa.Column("served_from", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("users", sa.Column("served_until", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_users_served_from", "users", ["served_from"])
    op.drop_column("users", "served_at")
    op.add_column("training_runs", sa.Column("preparation", JSON, nullable=False, server_default="{}"))
    changed(runs, lambda row: {"preparation": {"fit": row.fit, "mirror": bool(row.mirror)}})
    for column in ("fit", "mirror"):
        op.drop_column("training_runs", column)


def downgrade() -> None:
    op.add_column("training_runs", sa.Column("fit", sa.Text(), nullable=False, server_default="crop"))
    op.add_column("training_runs", sa.Column("mirror", sa.Boolean(), nullable=False, server_default=sa.false()))
    changed(runs, lambda row: {name: row.preparation.get(name, usual) for name, usual in USUAL.items()})
    op.drop_column("training_runs", "preparation")
    op.add_column("users", sa.Column("served_at", UTCDateTime(), nullable=True))
    op.drop_index("ix_users_served_from", "users")
    for column in ("served_until", "served_from"):
        op.drop_column("users", column)
    alike(["queue", "model", "checkpoint_sha256", "task", "user_id", "id"])
    op.execute("DELETE FROM uploads WHERE width IS NULL")
    with op.batch_alter_table("uploads") as uploads:
        uploads.alter_column("width", nullable=False)
        uploads.alter_column("height", nullable=False)
    op.drop_column("uploads", "facts")
    op.drop_index("ix_artworks_poster_sha256", "artworks")
    for column in ("subject", "poster_sha256", "facts"):
        op.drop_column("artworks", column)
    changed(generations, lambda row: {"inputs": renamed(row.inputs, "image", "images")})
    for column in ("subject", "batch_key", "cost"):
        op.drop_column("generations", column)


def changed(table: Any, values: Callable[[Any], dict[str, Any]]) -> None:
    """Every row, some hundred at once."""
    connection, last = op.get_bind(), ""
    while rows := connection.execute(sa.select(table).where(table.c.id > last).order_by(table.c.id).limit(CHUNK)).all():
        for row in rows:
            connection.execute(sa.update(table).where(table.c.id == row.id).values(values(row)))
        last = rows[-1].id


def subject(params: dict[str, Any], model: str) -> str:
    label = params.get("label")
    return str(params.get("prompt") or (f"{label} · {model.replace('-', ' ')}" if label else ""))


def renamed(inputs: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    found = {after if role == before else role: given for role, given in (inputs or {}).items()}
    return {role: [{**each, "media_type": "image/png"} for each in given] for role, given in found.items()}


def alike(columns: list[str]) -> None:
    op.drop_index("ix_generations_alike", "generations")
    op.create_index("ix_generations_alike", "generations", columns, sqlite_where=QUEUED, postgresql_where=QUEUED)
