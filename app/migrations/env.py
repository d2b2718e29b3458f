"""Alembic's entry: migrations run on the engine that the app uses."""

from alembic import context

from app.database import engine
from app.tables import Base

with engine().connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transaction_per_migration=True
    )
    if connection.dialect.name == "postgresql":  # several web processes may start at once
        connection.exec_driver_sql("SELECT pg_advisory_lock(7202)")
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
