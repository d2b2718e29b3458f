"""Alembic's entry: migrations run on the connection that `app.database.migrate` gives, which commits."""

from alembic import context

from app.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
