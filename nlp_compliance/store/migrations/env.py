"""Alembic's entry: runs the revisions on the connection that `store/database.py` hands over."""

from alembic import context

from nlp_compliance.store.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
