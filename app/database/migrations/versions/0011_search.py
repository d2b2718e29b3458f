"""Works have documents that are searched, and an index for each filter of their lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.artworks.search import document
from app.database import UTCDateTime
from app.text import folded

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

CHUNK = 500
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
KEPT, TRASHED = sa.text("deleted_at IS NULL"), sa.text("deleted_at IS NOT NULL")
LISTS = {
    "user": (["user_id", "id"], KEPT),
    "model": (["user_id", "model", "id"], KEPT),
    "task": (["user_id", "task", "id"], KEPT),
    "favourite": (["user_id", "favourite", "id"], KEPT),
    "visibility": (["visibility", "id"], KEPT),
    "trash": (["user_id", "id"], TRASHED),
    "deleted_at": (["deleted_at"], TRASHED),
}
OF_SQLITE = """
CREATE VIRTUAL TABLE search_index
USING fts5(words, content='search_documents', content_rowid='number', tokenize='ascii', columnsize=0);
CREATE TRIGGER search_added AFTER INSERT ON search_documents BEGIN
  INSERT INTO search_index(rowid, words) VALUES (new.number, new.words);
END;
CREATE TRIGGER search_changed AFTER UPDATE ON search_documents BEGIN
  INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.number, old.words);
  INSERT INTO search_index(rowid, words) VALUES (new.number, new.words);
END;
CREATE TRIGGER search_dropped AFTER DELETE ON search_documents BEGIN
  INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.number, old.words);
END;
"""
OF_POSTGRESQL = """
ALTER TABLE search_documents ADD COLUMN vector tsvector
  GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, words)) STORED;
CREATE INDEX ix_search_documents_vector ON search_documents USING gin (vector);
"""
artworks = sa.table(
    "artworks",
    *(sa.column(name) for name in ("id", "user_id", "subject", "model", "task", "title", "favourite", "visibility", "text")),
    sa.column("tags", JSON),
    sa.column("deleted_at", UTCDateTime()),
)
documents = sa.table("search_documents", sa.column("artwork_id"), sa.column("words"))


def upgrade() -> None:
    op.drop_index("ix_artworks_user", "artworks")
    for name, (columns, where) in LISTS.items():
        op.create_index(f"ix_artworks_{name}", "artworks", columns, sqlite_where=where, postgresql_where=where)
    op.create_index("ix_artworks_storage", "artworks", ["user_id", "size_bytes"])
    op.create_table(
        "search_documents",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column(
            "artwork_id", sa.Text(), sa.ForeignKey("artworks.id", ondelete="CASCADE"), nullable=False, unique=True
        ),
        sa.Column("words", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    for statement in statements():
        op.execute(statement)
    for rows in in_chunks():
        found = [{"artwork_id": row.id, "words": document(SimpleNamespace(**row._asdict()))} for row in rows]
        op.get_bind().execute(sa.insert(documents), found)
    op.drop_column("artworks", "text")


def downgrade() -> None:
    op.add_column("artworks", sa.Column("text", sa.Text(), nullable=False, server_default=""))
    for rows in in_chunks():
        for row in rows:
            tags = (f"\x1f{tag}" for tag in row.tags)
            said = "\n".join([row.title, row.subject or row.model.replace("-", " "), *tags, ""])
            op.get_bind().execute(sa.update(artworks).where(artworks.c.id == row.id).values(text=folded(said)))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_index")
    op.drop_table("search_documents")
    for name in [*LISTS, "storage"]:
        op.drop_index(f"ix_artworks_{name}", "artworks")
    op.create_index("ix_artworks_user", "artworks", ["user_id", "deleted_at", "id"])


def statements() -> list[str]:
    """One by one: SQLite's driver takes no more at once."""
    if op.get_bind().dialect.name == "sqlite":
        return [part.strip() for part in re.split(r";\n(?=CREATE|$)", OF_SQLITE) if part.strip()]
    return [part.strip() for part in OF_POSTGRESQL.split(";") if part.strip()]


def in_chunks() -> Iterator[list[sa.Row[Any]]]:
    """All works, the oldest first."""
    columns, last = [each for each in artworks.c if each.name != "text"], ""
    while True:
        query = sa.select(*columns).where(artworks.c.id > last).order_by(artworks.c.id).limit(CHUNK)
        rows = op.get_bind().execute(query).all()
        if not rows:
            return
        yield list(rows)
        last = rows[-1].id
