# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers that are asked over HTTP: webhook, Slack, ntfy; and the ping.

TLS is verified with the authorities that the host trusts. A redirect is not followed: it would carry the message, and
the secret in the URL, elsewhere. Of an error page the beginning is read. The caller limits the time.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message as Headers
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from ..common.on_host import on_host
from ..common.text import visible
from .message import Message
from .sending import SendError

SECONDS = 10  # for each step; the whole attempt has a limit of its own
ANSWER = 4096  # bytes of an error page that are read
TRY_AGAIN = (408, 425, 429)
LONGEST_WAIT = 900  # seconds of a Retry-After that are heeded
# https://docs.ntfy.sh/publish/: a longer message becomes an attachment.
NTFY_BYTES = 3800
NTFY_PRIORITY = {"critical": 5, "warning": 3, "resolved": 2, "test": 3}
NTFY_TAGS = {"critical": "rotating_light", "warning": "warning", "resolved": "white_check_mark", "test": "wave"}
SLACK_COLOR = {"critical": "danger", "warning": "warning", "resolved": "good", "test": "#888888"}
SLACK_SIGN = {
    "critical": ":rotating_light:",
    "warning": ":warning:",
    "resolved": ":white_check_mark:",
    "test": ":wave:",
}
EVERYBODY = re.compile(r"@(?=(?:everyone|here|channel|all|group)\b)", re.IGNORECASE)
WORD_JOINER = "\u2060"
REMEDIES = {
    401: "Check its password, token or headers.",
    403: "Check its url, token or headers.",
    404: "Check its url: it may have been withdrawn.",
    410: "Its url has been withdrawn: make a new one.",
    413: "It takes shorter messages only: choose another receiver.",
}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer that it is."""

    def redirect_request(
        self, _req: urllib.request.Request, _fp: IO[bytes], _code: int, _msg: str, _headers: Headers, _newurl: str
    ) -> None:
        """Follow none."""


def context() -> ssl.SSLContext:
    """Trusts whom the host trusts."""
    return ssl.create_default_context(cafile=on_host("ca_bundle"))


def ask(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> None:
    """Ask a URL once, by POST when there is a body; a status from 200 to 299 is success.

    :raises SendError: for any other, and for none.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme not in ("http", "https"):
        raise SendError("Its url begins with neither https:// nor http://.", refused=True)
    request = urllib.request.Request(url, body, {"User-Agent": "groundwork-watch", **(headers or {})})  # noqa: S310 - see above
    secure = [urllib.request.HTTPSHandler(context=context())] if scheme == "https" else []
    try:
        # The status is what counts; what follows it is not waited for.
        urllib.request.build_opener(NoRedirect, *secure).open(request, timeout=SECONDS).close()
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except (OSError, HTTPException) as error:
        raise SendError(_explained(error)) from None


def _refusal(error: urllib.error.HTTPError) -> SendError:
    with error:
        try:
            said = visible(error.read(ANSWER).decode(errors="replace"), 100)
        except (OSError, HTTPException):
            said = ""
    text = f"It answers HTTP {error.code}{f' ({said})' if said else ''}."
    if 300 <= error.code < 400:
        host = urlsplit(str(error.headers.get("Location", ""))).hostname
        return SendError(f"{text} It redirects{f' to {host}' if host else ''}: name the final url.", refused=True)
    if 400 <= error.code < 500 and error.code not in TRY_AGAIN:
        return SendError(f"{text} {REMEDIES.get(error.code, 'Check its url and what it takes.')}", refused=True)
    wait = str(error.headers.get("Retry-After", ""))
    return SendError(text, pause=min(int(wait), LONGEST_WAIT) if wait.isdecimal() and len(wait) < 9 else 0.0)


def _explained(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"Its certificate is not trusted ({reason.verify_message}). "
            "A private CA belongs into /usr/local/share/ca-certificates, then run update-ca-certificates."
        )
    if isinstance(reason, TimeoutError):
        return "It did not answer in time."
    if isinstance(reason, socket.gaierror):
        return "The name of its host has no address. Check its url and the host's DNS."
    if isinstance(reason, OSError):
        what = reason.strerror or type(reason).__name__
        return f"No connection ({what}). Check that it runs, and that this host may reach it."
    return f"What it answers is not HTTP ({type(reason).__name__})."


def post_json(url: str, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
    """Send a JSON object."""
    ask(url, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def webhook(options: Mapping[str, Any], message: Message) -> str:
    """Send the message in the form that docs/alerts.md describes."""
    post_json(options["url"], message.plain(), options.get("headers"))
    return ""


def slack(options: Mapping[str, Any], message: Message) -> str:
    """Send the message to an incoming webhook of Slack, or to what takes its form (Mattermost, Discord).

    An app's text stands between backticks, where none of the three has commands, links or pictures.
    """
    subject, text = literal(message.subject), literal(message.text.rstrip("\n"))
    attachment = {
        "color": SLACK_COLOR[message.level],
        "fallback": subject,
        "text": f"```\n{text}\n```",
        "mrkdwn_in": ["text"],
    }
    post_json(options["url"], {"text": f"{SLACK_SIGN[message.level]} `{subject}`", "attachments": [attachment]})
    return ""


def literal(text: str) -> str:
    """Text that stands between backticks: it cannot leave them, and calls nobody.

    https://docs.slack.dev/messaging/formatting-message-text: &, < and > are what Slack reads.
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")
    return EVERYBODY.sub(f"@{WORD_JOINER}", escaped)


def ntfy(options: Mapping[str, Any], message: Message) -> str:
    """Send the message to a topic of ntfy, as JSON: a header could not hold it."""
    server, _slash, topic = str(options["url"]).rstrip("/").rpartition("/")
    priority = options.get("priority") if message.level == "critical" else None
    text = message.text.rstrip("\n").encode()[:NTFY_BYTES].decode(errors="ignore")
    body = {
        "topic": topic,
        "title": message.subject,
        "message": text,
        "priority": int(priority or NTFY_PRIORITY[message.level]),
        "tags": [NTFY_TAGS[message.level]],
    }
    token = options.get("token")
    post_json(server, body, {"Authorization": f"Bearer {token}"} if token else {})
    return ""
