# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand a message over to a receiver: what the types have in common, and the function of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ..common.text import line
from .message import Message
from .receivers import Receiver

# The function of each type, `send(options, message) -> str`: what it returns is a problem of a message that was sent.
SENDERS: Mapping[str, tuple[str, str]] = {
    "mail": ("send_mail", "mail"),
    "webhook": ("send_http", "webhook"),
    "slack": ("send_http", "slack"),
    "ntfy": ("send_http", "ntfy"),
    "command": ("send_command", "command"),
}
SECRET = ("password", "token", "url", "headers", "command")
HIDDEN = "[hidden]"


class SendError(Exception):
    """A message that was not sent; the text says what happened and what to do, without anything secret.

    :ivar refused: the receiver will not take it later either, unless somebody acts.
    :ivar pause: seconds that the receiver asked to wait.
    """

    def __init__(self, text: str, *, refused: bool = False, pause: float = 0.0) -> None:
        super().__init__(text)
        self.refused = refused
        self.pause = pause


def send(receiver: Receiver, message: Message) -> str:
    """Send a message; no text that comes of it holds a secret of the receiver's, whatever a server answers.

    :returns: empty, or what is wrong although the message was sent.
    :raises SendError: it was not sent.
    """
    module, name = SENDERS[receiver.type]
    sender: Callable[[Mapping[str, Any], Message], str] = getattr(import_module(f".{module}", __package__), name)
    try:
        return without_secrets(sender(receiver.options, message), receiver.options)
    except SendError as error:
        text = without_secrets(str(error), receiver.options)
        raise SendError(text, refused=error.refused, pause=error.pause) from None
    except TimeoutError:
        raise
    except Exception as error:
        # Such a text may quote what the library was given.
        text = without_secrets(f"{type(error).__name__}: {error}", receiver.options)
        raise SendError(text) from None


def without_secrets(text: str, options: Mapping[str, Any]) -> str:
    """The text on one line, without the secrets among a receiver's options."""
    for secret in sorted(secrets_of(options), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return line(text, 300)


def secrets_of(options: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a receiver's options that nobody may see, and the parts of its URL."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from (str(one) for one in value.values() if name == "headers" and len(str(one)) > 3)
            yield from secrets_of(value)
        elif name in SECRET and len(str(value)) > 3:
            yield str(value)
            if name == "url":
                parts = urlsplit(str(value))
                found = (parts.path, parts.query, parts.username or "", parts.password or "", *parts.path.split("/"))
                yield from (part for part in found if len(part) > 3)
