"""kinds of datasets, measuring at the end of runs, what works were made from"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = {
    "datasets": [sa.Column("kind", sa.Text(), nullable=False, server_default="pictures")],
    "dataset_items": [
        sa.Column("media_type", sa.Text(), nullable=False, server_default="image/png"),
        sa.Column("facts", JSON, nullable=False, server_default="{}"),
    ],
    "training_runs": [sa.Column("evaluate", sa.Boolean(), nullable=False, server_default=sa.true())],
}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "artwork_sources",
        sa.Column("artwork_id", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["artwork_id"], ["artworks.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["source_id"], ["artworks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("artwork_id", "source_id"),
    )
    op.create_index("ix_artwork_sources_source_id", "artwork_sources", ["source_id"])


def downgrade() -> None:
    op.drop_table("artwork_sources")
    for table, columns in COLUMNS.items():
        for column in columns:  # not by a new table: dropping the old one would take rows that refer to it along
            op.drop_column(table, column.name)
