"""An app with an empty database, a queue that works at once, and a mail server that keeps what it gets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email.message import Message as Mail
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from fakeredis import FakeStrictRedis
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from rq import Queue

from shop import SETTINGS, create_app, tasks


class Mailbox(Message):
    """Keeps every mail."""

    def __init__(self, port: int) -> None:
        """Begin empty; ``port`` is where the server listens."""
        super().__init__()
        self.port = port
        self.mails: list[Mail] = []

    def handle_message(self, message: Mail) -> None:
        """Keep a mail."""
        self.mails.append(message)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the caller's environment might set."""
    for name in (*SETTINGS, "DATABASE_URL", "FLASK_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """The mails that were sent: what a mail server of the test's own has received."""
    with socket.socket() as held:
        # Bound while the server starts and listens beside it, so that nobody else is given the port in between.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        mailbox = Mailbox(held.getsockname()[1])
        controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, ready_timeout=60)
        controller.start()
        yield mailbox
        controller.stop()


@pytest.fixture
def app(tmp_path: Path, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The app, migrated as on a server. What it gives to the queue is done before the request ends."""
    config = {"TESTING": True, "WTF_CSRF_ENABLED": False, "DATA_DIR": str(tmp_path)}
    app = create_app({**config, "MAIL_HOST": "127.0.0.1", "MAIL_PORT": mailbox.port})
    app.extensions["queue"] = Queue(connection=FakeStrictRedis(), is_async=False)
    monkeypatch.setattr(tasks, "create_app", lambda: app)
    with app.app_context():
        upgrade()
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor."""
    return app.test_client()
