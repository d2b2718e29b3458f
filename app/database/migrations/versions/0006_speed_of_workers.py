"""How fast a worker's device trains, against the machine on which the families were measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("speed", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "speed")
