"""What Alembic runs: the revisions, over the connection that `upgrade` hands in."""

from __future__ import annotations

from alembic import context

from aq_gym.service.database import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
