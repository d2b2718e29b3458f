"""Datasets may be shared: everyone works from their items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("visibility", sa.Text(), nullable=False, server_default="private"))


def downgrade() -> None:
    op.drop_column("datasets", "visibility")
