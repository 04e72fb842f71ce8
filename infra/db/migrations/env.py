"""Alembic's entry: runs the migrations on the connection that `infra.db.migration` hands over."""

from alembic import context

from infra.db.migration import VERSION_TABLE
from infra.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite can: our engine begins its transactions explicitly
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
