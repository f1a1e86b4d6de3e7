"""Alembic's entry: migrations run on the connection that `lifecycle.ledger.connect` hands over."""

from alembic import context

from lifecycle.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
