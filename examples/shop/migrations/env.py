"""How ``flask db`` runs the migrations: inside the app, on its own database, all in one transaction."""

from __future__ import annotations

import logging

from alembic import context
from flask import current_app

logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
if not logging.getLogger().handlers:
    logging.basicConfig(format="%(message)s")

extension = current_app.extensions["migrate"]

with extension.db.engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=extension.db.metadata, transactional_ddl=True, **extension.configure_args
    )
    with context.begin_transaction():
        context.run_migrations()
