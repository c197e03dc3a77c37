# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told about alerts, as the variables of the role ``watch`` say: checked, and as it is written on the host.

No message shows what may be a secret: the URL of a webhook, a password, a token, a header, a command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, meant

NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
QUIET = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
MAILBOX = re.compile(r"[A-Za-z0-9_][\w.!#$%&'*+/=?^`{|}~-]*@[A-Za-z0-9.\[\]:-]+", re.ASCII)
SENDER = re.compile(r"[^<>\r\n]*<[^<>\s]+@[^<>\s]+>|[^<>\s]+@[^<>\s]+")
LOCAL_MAILBOX = re.compile(r"[a-z][\w.-]*")
HEADER = re.compile(r"[A-Za-z0-9-]+")
PRINTABLE = re.compile(r"[ -~]+")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]*")
SERVER = re.compile(r"[A-Za-z0-9.:-]+")
SMTP = ("host", "port", "user", "password", "tls")
TLS = ("starttls", "implicit", "none")
SEVERITIES = ("critical", "warning")
SENDMAIL_FROM = "groundwork-alerts"  # the host's mail system adds its domain
COMMON = ("name", "type", "severity", "apps")
LIMITS = {"watch_alerts_keep": (1, 90, "days"), "watch_alerts_per_hour": (1, 1000, "messages")}
NOTHING = "Nothing was changed."

Judge = Callable[[Any], str]  # what is wrong with a value, after the name of its option; empty if nothing is


def problems(settings: Mapping[str, Any]) -> Problems:
    """What is wrong with the variables, given by their names."""
    return [f"{text} {NOTHING}" for text in _problems(settings)]


def warnings(settings: Mapping[str, Any], apps: Sequence[str]) -> list[str]:
    """Receivers that are told of an app that is not there.

    :param settings: without problems.
    """
    return [
        f"watch_receivers.{one['name']}.apps names {app}, no app of this inventory: {meant(app, [*apps, 'host'])}"
        for one in settings["watch_receivers"]
        for app in one.get("apps") or ()
        if app not in (*apps, "host")
    ]


def written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As it is written on the host, with every default.

    :param settings: without problems.
    """
    return {
        "receivers": [_complete(one) for one in settings["watch_receivers"]],
        "quiet_hours": settings["watch_quiet_hours"],
        "ping_url": settings["watch_ping_url"],
        "keep_days": int(settings["watch_alerts_keep"]),
        "per_hour": int(settings["watch_alerts_per_hour"]),
    }


def _complete(given: Mapping[str, Any]) -> dict[str, Any]:
    receiver = {key: value for key, value in given.items() if value is not None}
    if receiver["type"] == "mail":
        to = receiver["to"]
        receiver["to"] = [to] if isinstance(to, str) else list(to)
        receiver.setdefault("from", SENDMAIL_FROM)
        if receiver.get("smtp"):
            port = int(receiver["smtp"].get("port") or 587)
            tls = receiver["smtp"].get("tls") or _tls(port)
            receiver["smtp"] = {**receiver["smtp"], "port": port, "tls": tls}
    return receiver


def _tls(port: int) -> str:
    """Port 465 begins with TLS (RFC 8314)."""
    return "implicit" if port == 465 else "starttls"


def _problems(settings: Mapping[str, Any]) -> Iterator[str]:
    receivers = settings["watch_receivers"]
    if not isinstance(receivers, list):
        yield "watch_receivers takes a list: begin each receiver with `- name:`."
        receivers = []
    names: list[str] = []
    for place, given in enumerate(receivers, 1):
        yield from _receiver(f"watch_receivers, receiver {place}", given, names)
    hours = settings["watch_quiet_hours"]
    if hours and not (isinstance(hours, str) and QUIET.fullmatch(hours) and hours[:5] != hours[6:]):
        yield f'watch_quiet_hours is {hours!r}: it takes two times of the day, such as "22:00-07:00", or "".'
    if settings["watch_ping_url"] and (wrong := _url(settings["watch_ping_url"])):
        yield f"watch_ping_url {wrong}"
    for name, (least, most, noun) in LIMITS.items():
        value = settings[name]
        if not (str(value).isdecimal() and len(str(value)) < 9 and least <= int(value) <= most):
            yield f"{name} is {value!r}: it takes a number of {noun} from {least} to {most}."


def _receiver(where: str, given: Any, names: list[str]) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield f"{where}, is not a map: it has a name, a type, and what belongs to the type."
        return
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"{where}, has no name that can be used: give it one of lower-case letters, digits, - and _, such as ops."
        return
    where = f"watch_receivers.{name}"
    if name in names:
        yield f"{where} is there twice: give each receiver a name of its own."
    names.append(name)
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        yield f"{where}.type is {kind!r}: {meant(str(kind), list(TYPES))}"
        return
    required, options = TYPES[kind]
    for option in given:
        if option not in (*COMMON, *options):
            yield f"{where}.{option} is not an option of the type {kind}: {meant(str(option), (*COMMON, *options))}"
    yield from (
        f"{where}.{option} is missing: the type {kind} needs it." for option in required if not given.get(option)
    )
    if given.get("severity") not in (None, *SEVERITIES):
        yield f"{where}.severity is {given['severity']!r}: it takes critical or warning."
    apps = given.get("apps")
    if apps is not None and not (isinstance(apps, list) and all(isinstance(app, str) for app in apps)):
        yield f"{where}.apps takes a list of names of apps, with host for the host itself."
    for option, judge in options.items():
        if given.get(option) not in (None, "", []) and (wrong := judge(given[option])):
            yield f"{where}.{option} {wrong}"
    if kind == "mail" and not _to(given.get("to") or []):
        yield from _mail(where, given)


def _mail(where: str, given: Mapping[str, Any]) -> Iterator[str]:
    to, smtp = given.get("to") or [], given.get("smtp")
    if not smtp:
        return
    if not given.get("from"):
        yield f"{where}.from is missing: a mail server wants to know the sender, such as web1@example.org."
    for address in [to] if isinstance(to, str) else to:
        if not MAILBOX.fullmatch(address):
            yield f"{where}.to names {address!r}: with smtp it takes whole addresses, such as ops@example.org."
    if isinstance(smtp, Mapping) and smtp.get("password") and smtp.get("tls") == "none":
        host = str(smtp.get("host"))
        if host != "localhost" and not host.startswith("127.") and host != "::1":
            yield f"{where}.smtp would send the password without encryption: set tls to starttls, or to implicit."


# --- options -------------------------------------------------------------


def _url(value: Any) -> str:
    if not isinstance(value, str) or not URL.fullmatch(value):
        return "is no URL: it begins with https://, and has neither spaces nor newlines."
    try:
        parts = urlsplit(value)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named:
        return "is no URL: it has no host that can be used."
    if parts.username is not None:
        return "has a user in it: use a token or a header."
    return ""


def _topic(value: Any) -> str:
    wrong = _url(value)
    if not wrong and not re.fullmatch(r"(/[^/]+)*/[A-Za-z0-9_-]{1,64}/?", urlsplit(value).path):
        return "names no topic: write it after the server, as in https://ntfy.sh/TOPIC."
    return wrong


def _to(value: Any) -> str:
    addresses = [value] if isinstance(value, str) else value
    if not isinstance(addresses, list) or not all(
        isinstance(one, str) and (MAILBOX.fullmatch(one) or LOCAL_MAILBOX.fullmatch(one)) for one in addresses
    ):
        return "takes an address, or a list of them."
    return ""


def _sender(value: Any) -> str:
    return "" if isinstance(value, str) and SENDER.fullmatch(value) else "takes an address, such as web1@example.org."


def _headers(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "takes a map, such as {X-Key: …}."
    for name, text in value.items():
        if not HEADER.fullmatch(str(name)) or not PRINTABLE.fullmatch(str(text)):
            return "has a name or a value that no header can have: ASCII characters on one line."
    return ""


def _secret(value: Any) -> str:
    return "" if isinstance(value, str) and PRINTABLE.fullmatch(value) else "takes a text on one line, in quotes."


def _priority(value: Any) -> str:
    return "" if str(value) in ("1", "2", "3", "4", "5") else f"is {value!r}: it takes a number from 1 to 5."


def _command(value: Any) -> str:
    fits = isinstance(value, str) and value.strip() and "\0" not in value and len(value.encode()) < 60_000
    return "" if fits else "takes a command of the shell, as a text."


def _account(value: Any) -> str:
    return (
        "" if isinstance(value, str) and ACCOUNT.fullmatch(value) else f"is {value!r}: it takes an account of the host."
    )


def _smtp(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "takes a map with host, port, user, password and tls."
    for option in value:
        if option not in SMTP:
            return f"has {option}, which is no option of it: {meant(str(option), SMTP)}"
    if not isinstance(value.get("host"), str) or not SERVER.fullmatch(value["host"]):
        return "has no host: name the mail server, such as mail.example.org."
    port = value.get("port")
    if port is not None and not (str(port).isdecimal() and 0 < int(str(port)[:6]) < 65536):
        return f"has the port {port!r}: it takes a number from 1 to 65535."
    if value.get("tls") not in (None, *TLS):
        return f"has tls {value['tls']!r}: it takes {', '.join(TLS[:-1])} or {TLS[-1]}."
    if bool(value.get("user")) != bool(value.get("password")):
        return "has only one of user and password: give both, or neither."
    texts = (value.get("user") or "", value.get("password") or "")
    return (
        "" if all(isinstance(text, str) for text in texts) else "has a user or a password that is no text: use quotes."
    )


# Of each type: the options that it needs, and all of its own with what judges them.
TYPES: Mapping[str, tuple[tuple[str, ...], Mapping[str, Judge]]] = {
    "mail": (("to",), {"to": _to, "from": _sender, "smtp": _smtp}),
    "webhook": (("url",), {"url": _url, "headers": _headers}),
    "slack": (("url",), {"url": _url}),
    "ntfy": (("url",), {"url": _topic, "token": _secret, "priority": _priority}),
    "command": (("command",), {"command": _command, "user": _account}),
}
