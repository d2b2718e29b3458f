"""Grids: jobs that differ in one or two things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.database import UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "grids",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("request", JSON, nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("rows", JSON, nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("user_id", "idempotency_key"),
    )
    op.create_index("ix_grids_user", "grids", ["user_id", "id"])
    op.add_column("generations", sa.Column("grid_id", sa.Text(), nullable=True))
    op.add_column("generations", sa.Column("cell", sa.BigInteger(), nullable=True))
    op.create_index("ix_generations_grid", "generations", ["grid_id"])


def downgrade() -> None:
    op.drop_index("ix_generations_grid", "generations")
    op.drop_column("generations", "cell")
    op.drop_column("generations", "grid_id")
    op.drop_table("grids")
