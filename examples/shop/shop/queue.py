"""What is done by the worker, not by the process that answers the visitor."""

from __future__ import annotations

from flask import Flask, current_app
from redis import Redis
from rq import Queue, Retry

from .models import Order

# A mail server that is away for a while is no reason to lose a mail.
RETRY = Retry(max=5, interval=[10, 60, 300, 1800, 7200])


def init_app(app: Flask) -> None:
    """Connect the app to its queue; a connection is opened when it is first needed."""
    app.extensions["queue"] = Queue(connection=Redis.from_url(app.config["REDIS_URL"]))


def confirm(order: Order) -> None:
    """Have the worker send the confirmation of an order. Raises redis.RedisError if the queue cannot be reached."""
    # The order's number is all that is handed over: the worker reads the rest when it gets to it.
    current_app.extensions["queue"].enqueue("shop.tasks.send_confirmation", order.id, retry=RETRY)
