"""The commands for ``flask``: what runs at night."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from flask import Flask, current_app
from sqlalchemy import func, select

from . import queue
from .models import Order, Product, db

MAILED_WITHIN = timedelta(hours=1)


def init_app(app: Flask) -> None:
    """Give ``flask`` the commands of the shop."""
    app.cli.command("nightly")(nightly)


def nightly() -> None:
    """Write the reports of yesterday and of today so far (UTC), and have overdue mails sent."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for begin in (today - timedelta(days=1), today):
        click.echo(f"report: {write_report(begin)}")
    late = db.session.scalars(
        select(Order).where(Order.mailed_at.is_(None), Order.placed_at < datetime.now(UTC) - MAILED_WITHIN)
    ).all()
    for order in late:
        queue.confirm(order)
    click.echo(f"orders without a mail, queued again: {len(late)}")


def write_report(begin: datetime) -> Path:
    """Write what was sold on the day that begins then, as CSV; return the file. A second report replaces the first."""
    sold = (
        select(Product.name, func.sum(Order.quantity), func.sum(Order.quantity * Product.price))
        .join(Order)
        .where(Order.placed_at >= begin, Order.placed_at < begin + timedelta(days=1))
        .group_by(Product.name)
        .order_by(Product.name)
    )
    file = Path(current_app.config["DATA_DIR"]) / "reports" / f"{begin:%Y-%m-%d}.csv"
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["product", "quantity", "EUR"])
        rows.writerows([name, quantity, f"{cents / 100:.2f}"] for name, quantity, cents in db.session.execute(sold))
    return file
