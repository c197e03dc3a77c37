"""Mail, by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import localtime

from flask import current_app

from .models import Order

TIMEOUT = 30  # seconds for each step of the conversation with the mail server


def confirmation(order: Order) -> EmailMessage:
    """The mail that confirms an order."""
    sender = current_app.config["MAIL_SENDER"]
    message = EmailMessage()
    message["From"] = sender
    message["To"] = order.email
    message["Subject"] = f"Your order no. {order.id}"
    message["Date"] = localtime()
    # Of the order, not of the attempt: if the worker dies between sending and writing it down, the second one is a duplicate.
    message["Message-ID"] = f"<order-{order.id}@{sender.rpartition('@')[2]}>"
    message.set_content(
        f"Thank you for your order.\n\n"
        f"    {order.quantity} x {order.product.name}    {order.total / 100:.2f} EUR\n\n"
        f"It leaves our house tomorrow.\n"
    )
    return message


def send(message: EmailMessage) -> None:
    """Hand a mail to the server of the settings; with MAIL_USERNAME over TLS. Raises OSError if that fails."""
    config = current_app.config
    with smtplib.SMTP(config["MAIL_HOST"], int(config["MAIL_PORT"]), timeout=TIMEOUT) as server:
        if username := config.get("MAIL_USERNAME"):
            server.starttls(context=ssl.create_default_context())
            server.login(username, config["MAIL_PASSWORD"])
        server.send_message(message)
