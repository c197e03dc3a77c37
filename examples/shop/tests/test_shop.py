"""What visitors see, what the worker does, and what happens at night."""

from __future__ import annotations

import smtplib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import Mailbox
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import check, downgrade, upgrade
from redis import RedisError
from sqlalchemy import select
from werkzeug.test import TestResponse

from shop import commands, create_app, mail, queue, tasks
from shop.models import Order, db


def order(client: FlaskClient, **fields: Any) -> TestResponse:
    """Place an order."""
    return client.post("/", data={"product": 1, "quantity": 2, "email": "ada@example.org", **fields})


def orders(app: Flask) -> list[Order]:
    """Return all orders, the oldest first."""
    with app.app_context():
        return list(db.session.scalars(select(Order).order_by(Order.id)))


def test_order_is_stored_confirmed_and_shown(app: Flask, client: FlaskClient, mailbox: Mailbox) -> None:
    answer = order(client)
    assert (answer.status_code, answer.location) == (303, "/")
    assert "a mail to ada@example.org confirms it" in client.get("/").text
    (stored,) = orders(app)
    assert stored.mailed_at is not None
    (message,) = mailbox.mails
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Your order no. 1")
    assert message["Message-ID"] == "<order-1@localhost>"
    assert "2 x Kettle    78.00 EUR" in message.get_payload(decode=True).decode()
    page = client.get("/orders").text
    assert "2 x Kettle" in page
    assert "sent " in page


@pytest.mark.parametrize(
    "fields",
    [
        {"product": 99},
        {"quantity": 0},
        {"quantity": 100},
        {"quantity": "many"},
        {"email": ""},
        {"email": "ada"},
        {"email": "ada@example.org\nBcc: eve@example.org"},
        {"email": "ada@example.org, eve@example.org"},
    ],
)
def test_what_is_no_order_is_refused(app: Flask, client: FlaskClient, mailbox: Mailbox, fields: dict[str, Any]) -> None:
    assert order(client, **fields).status_code == 422
    assert orders(app) == mailbox.mails == []


def test_a_task_that_is_delivered_twice_sends_one_mail(client: FlaskClient, mailbox: Mailbox) -> None:
    order(client)
    tasks.send_confirmation(1)
    assert len(mailbox.mails) == 1


def test_order_stands_while_queue_or_mail_server_is_away(
    app: Flask, client: FlaskClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def away(*_arguments: Any) -> None:
        raise smtplib.SMTPServerDisconnected

    def lost(_order: Order) -> None:
        raise RedisError

    monkeypatch.setattr(tasks, "send", away)
    order(client)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "confirm", lost)
        assert order(client).status_code == 303
    assert [one.mailed_at for one in orders(app)] == [None, None]
    assert client.get("/orders").text.count("waiting") == 2

    # At night both are found, but not what the worker may be at just now.
    monkeypatch.setattr(tasks, "send", mail.send)
    nightly = app.test_cli_runner().invoke(args=["nightly"])
    assert "queued again: 0" in nightly.output
    with app.app_context():
        for late in db.session.scalars(select(Order)):
            late.placed_at = datetime.now(UTC) - timedelta(hours=2)
        db.session.commit()
    nightly = app.test_cli_runner().invoke(args=["nightly"])
    assert "queued again: 2" in nightly.output
    assert [message["Subject"] for message in mailbox.mails] == ["Your order no. 1", "Your order no. 2"]


def test_reports_of_yesterday_and_today(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noon = datetime(2028, 3, 1, 12, tzinfo=UTC)  # so that no midnight comes in between
    monkeypatch.setattr(commands, "datetime", Mock(now=lambda _zone: noon))
    for product, quantity in ((1, 2), (3, 2), (3, 1), (2, 5)):
        order(client, product=product, quantity=quantity)
    with app.app_context():
        for number, placed in enumerate((noon, noon, noon, noon - timedelta(days=1)), start=1):
            db.session.get_one(Order, number).placed_at = placed
        db.session.commit()
    for _again in range(2):  # the second report replaces the first
        assert app.test_cli_runner().invoke(args=["nightly"]).exit_code == 0
    yesterday, today = sorted((tmp_path / "reports").iterdir())
    assert (yesterday.stem, today.stem) == ("2028-02-29", "2028-03-01")
    assert today.read_text().splitlines() == ["product,quantity,EUR", "Cup,3,26.70", "Kettle,2,78.00"]
    assert yesterday.read_text().splitlines() == ["product,quantity,EUR", "Teapot,5,122.50"]


def test_health(client: FlaskClient, app: Flask) -> None:
    assert client.get("/healthz").status_code == 200
    with app.app_context():
        downgrade(revision="base")
    assert client.get("/healthz").status_code == 503


def test_migrations_make_what_the_models_say(app: Flask) -> None:
    with app.app_context():
        check()
        downgrade(revision="base")
        upgrade()


def test_a_secret_key_is_needed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="SECRET_KEY is not set"):
        create_app({"DATA_DIR": str(tmp_path)})
