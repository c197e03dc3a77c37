"""An app with one query, for benchmarks/database: SQLAlchemy as it comes, or with the pool that POOL names."""

from __future__ import annotations

import os

import sqlalchemy
from flask import Flask
from sqlalchemy import pool, text

app = Flask(__name__)
chosen = {"poolclass": getattr(pool, os.environ["POOL"])} if "POOL" in os.environ else {}
engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"], **chosen)


@app.get("/")
def one() -> str:
    """One row, in a transaction of its own."""
    with engine.begin() as connection:
        return str(connection.execute(text("SELECT relname FROM pg_class WHERE oid = :oid"), {"oid": 1259}).scalar())
