"""The tasks of the worker. It calls them by name, in a process of its own, without an app."""

from __future__ import annotations

from datetime import UTC, datetime

from . import create_app
from .mail import confirmation, send
from .models import Order, db


def send_confirmation(order_id: int) -> None:
    """Mail the confirmation of an order, unless that was done before: a queue may deliver a task twice."""
    with create_app().app_context():
        # The lock makes a second worker with the same task wait, and then find it done.
        order = db.session.get_one(Order, order_id, with_for_update={"of": Order})
        if order.mailed_at is None:
            send(confirmation(order))
            order.mailed_at = datetime.now(UTC)
            db.session.commit()
