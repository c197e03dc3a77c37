"""How ``flask db`` runs the migrations: inside the app, on its own database, all in one transaction."""

from __future__ import annotations

import logging

from alembic import context
from flask import current_app

logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
if not logging.getLogger().handlers:
    logging.basicConfig(format="%(message)s")

extension = current_app.extensions["migrate"]
database = extension.db

if context.is_offline_mode():
    context.configure(
        url=current_app.config["SQLALCHEMY_DATABASE_URI"], target_metadata=database.metadata, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # Takes the right to write at once: a second upgrade waits, then finds nothing left to do, and one that
            # fails half way leaves the tables as they were.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            transactional_ddl=True,
            **extension.configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
