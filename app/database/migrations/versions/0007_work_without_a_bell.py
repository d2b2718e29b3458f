"""Claims by an index, why a job waits, workers told apart, turns of upkeep, and checkpoints that travel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.database import UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    for table in ("generations", "training_runs"):
        op.add_column(table, sa.Column("notice", sa.Text(), nullable=True))
    op.create_index(
        "ix_generations_claim",
        "generations",
        ["queue", "priority", "user_id", "id"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    op.create_index(
        "ix_generations_alike",
        "generations",
        ["queue", "model", "checkpoint_sha256", "task", "user_id", "id"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    op.create_index("ix_generations_unfinished", "generations", ["user_id", "status", "id"])
    op.create_index("ix_generations_waiting", "generations", ["status", "created_at"])
    op.execute("DELETE FROM workers")  # they report again within seconds, with what is new
    op.add_column("workers", sa.Column("machine", sa.Text(), nullable=False, server_default=""))
    op.add_column("workers", sa.Column("process", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("claimed_at", UTCDateTime(), nullable=True))
    op.create_table(
        "upkeep",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("held_until", UTCDateTime(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=False, server_default=""),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
    )
    op.create_table(
        "published_checkpoints",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("files", JSON, nullable=False),
        sa.Column("published_at", UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("published_checkpoints")
    op.drop_table("upkeep")
    for column in ("claimed_at", "process", "machine"):
        op.drop_column("workers", column)
    for index in ("waiting", "unfinished", "alike", "claim"):
        op.drop_index(f"ix_generations_{index}", "generations")
    for table in ("training_runs", "generations"):
        op.drop_column(table, "notice")
