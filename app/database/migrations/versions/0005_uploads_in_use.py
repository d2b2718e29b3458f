"""When a job last took an upload: those that none has taken go after a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.database import UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("uploads", sa.Column("used_at", UTCDateTime(), nullable=True))
    op.execute("UPDATE uploads SET used_at = created_at")  # nobody knows which of them are in use


def downgrade() -> None:
    op.drop_column("uploads", "used_at")
