"""Keys have scopes and may expire; those of before may do all that their users may. Names that look alike are one."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.database import UTCDateTime
from app.text import folded
from app.users.names import key_of

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ALL = '["read", "generate", "train", "admin"]'


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("scopes", JSON, nullable=False, server_default=ALL))
    op.add_column("api_keys", sa.Column("expires_at", UTCDateTime(), nullable=True))
    renew("users", key_of)
    renew("datasets", folded)


def downgrade() -> None:
    op.drop_column("api_keys", "expires_at")
    op.drop_column("api_keys", "scopes")
    renew("users", str.casefold)
    renew("datasets", str.casefold)


def renew(table: str, key: Callable[[str], str]) -> None:
    """The keys that names are looked up by. One that another has already stays as it was."""
    rows = sa.table(table, sa.column("id"), sa.column("name"), sa.column("name_key"))
    connection = op.get_bind()
    found = connection.execute(sa.select(rows.c.id, rows.c.name, rows.c.name_key).order_by(rows.c.id)).all()
    taken = {row.name_key for row in found}
    for row in found:
        wanted = key(row.name)
        if wanted != row.name_key and wanted not in taken:
            connection.execute(sa.update(rows).where(rows.c.id == row.id).values(name_key=wanted))
            taken.add(wanted)
