"""An app on MariaDB, with workers of Celery and Redis for both purposes: what it does is booked in the table `booking`.

    flask tables            makes the table
    flask book NAME SECONDS has a worker book NAME: `begin`, so many seconds, `end`
    flask tick              books `tick` once

`/` answers how often it was asked, by the cache; `/bookings` what is booked, by the database.
"""

from __future__ import annotations

import os
import time

import click
from celery import Celery
from flask import Flask
from redis import Redis
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, insert, select

CACHE = os.environ.get("CACHE_REDIS_URL", "redis://localhost")
app = Flask(__name__)
celery = Celery("stock", broker=os.environ.get("CELERY_BROKER_URL", "memory://"))
# A job whose worker dies is done again: soon, for the tests.
celery.conf.update(
    task_acks_late=True, task_reject_on_worker_lost=True, broker_transport_options={"visibility_timeout": 30}
)
engine: Engine = create_engine(
    os.environ.get("DATABASE_URL", "sqlite:///" + os.environ.get("DATA_DIR", ".") + "/stock.sqlite3"),
    pool_pre_ping=True,
)


metadata = MetaData()
booking = Table(
    "booking", metadata, Column("id", Integer, primary_key=True), Column("name", String(60)), Column("what", String(20))
)


def write(name: str, what: str) -> None:
    """Book something."""
    with engine.begin() as connection:
        connection.execute(insert(booking).values(name=name, what=what))


@celery.task
def book(name: str, seconds: float) -> None:
    """What a worker does."""
    write(name, "begin")
    time.sleep(seconds)
    write(name, "end")


@app.get("/")
def index() -> dict[str, int]:
    """How often this was asked."""
    return {"asked": int(Redis.from_url(CACHE).incr("asked"))}  # type: ignore[arg-type]


@app.get("/bookings")
def bookings() -> list[list[str]]:
    """What is booked, the oldest first."""
    with engine.connect() as connection:
        return [list(row) for row in connection.execute(select(booking.c.name, booking.c.what).order_by(booking.c.id))]


@app.get("/healthz")
def healthz() -> tuple[str, int]:
    """Whether the database answers."""
    with engine.connect() as connection:
        return ("ok", 200) if connection.execute(select(1)).scalar() == 1 else ("no", 503)


@app.cli.command("tables")
def tables() -> None:
    """Make the table."""
    metadata.create_all(engine)


@app.cli.command("book")
@click.argument("name")
@click.argument("seconds", type=float)
def book_soon(name: str, seconds: float) -> None:
    """Have a worker book something."""
    book.delay(name, seconds)


@app.cli.command("tick")
def tick() -> None:
    """Book a tick."""
    write("tick", "tick")
