# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates: days left, names, key, and whether the web server serves what is in the file."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..common import clock
from ..common.on_host import on_host
from ..common.text import line
from .expected import SITES, Expected, ExpectedApp
from .finding import Finding
from .look import Look, UncheckedError

OPENSSL = "/usr/bin/openssl"
PROGRAM = f"{on_host('programs')}/certificate"
LATE = 0.25  # of the lifetime: by then it should have been renewed, as the certificate program has it
SERVED_SECONDS = 3.0
PORT = 443


@dataclass(frozen=True)
class Certificate:
    """What a certificate on the disk says; times are POSIX times."""

    names: tuple[str, ...]
    begins: float
    ends: float
    issuer: str
    key: str

    def covers(self, domain: str) -> bool:
        """Whether it is valid for a domain."""
        return domain in self.names or f"*.{domain.partition('.')[2]}" in self.names


def certificates(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether each app's certificate is valid, its own, and served."""
    reported = report(look)
    for one in expected.apps.values():
        if not one.certificate:
            continue
        found = list(of_app(one, expected, look))
        if error := reported.get(one.name, {}).get("error"):
            remedy = f"`{PROGRAM} reconcile {one.name}` tries again and says what is in the way."
            found.append(finding(one.name, "warning", f"{line(str(error), 400).rstrip('.')}.", remedy))
        if reported.get(one.name, {}).get("temporary"):
            text = "The certificate is a temporary one, which no browser trusts."
            found.append(finding(one.name, "problem", text, f"`{PROGRAM} issue {one.name}` orders the right one."))
        yield from found or [finding(one.name, "ok", valid(read(one.name, look), look.now))]


def valid(there: Certificate, now: float) -> str:
    """Until when a certificate is good."""
    days = int((there.ends - now) / clock.DAY)
    return f"The certificate is valid until {clock.date(there.ends)}, {days} days from now, and is served."


def finding(app: str, state: Any, message: str, remedy: str = "") -> Finding:
    """A finding about the certificate of an app."""
    return Finding("certificate", app, state, message, remedy)


def report(look: Look) -> Mapping[str, Mapping[str, Any]]:
    """What the certificate program says of each name; empty where it is not installed."""
    if not look.has(PROGRAM):
        return {}
    try:
        found: Mapping[str, Mapping[str, Any]] = json.loads(look.run(PROGRAM, "status", "--json").stdout)["names"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found


def of_app(one: ExpectedApp, expected: Expected, look: Look) -> Iterator[Finding]:
    """What is wrong with one app's certificate."""
    directory = on_host("certificate", one.name)
    retry = f"`{PROGRAM} reconcile {one.name}`."
    try:
        there = read(one.name, look)
    except UncheckedError as error:
        yield finding(one.name, "problem", f"There is no usable certificate: {error}.", retry)
        return
    days = (there.ends - look.now) / clock.DAY
    if there.ends < look.now:
        yield finding(one.name, "problem", f"The certificate expired on {clock.date(there.ends)}.", retry)
    elif there.begins > look.now:
        yield finding(
            one.name, "problem", f"The certificate is valid from {clock.date(there.begins)} on.", "See `date`."
        )
    elif there.ends - look.now < LATE * (there.ends - there.begins):
        text = f"The certificate expires in {days:.0f} days, on {clock.date(there.ends)}, and should have been renewed."
        yield finding(one.name, "warning", text, retry)
    if missing := [domain for domain in one.domains if not there.covers(domain)]:
        text = f"The certificate is not valid for {', '.join(missing)}."
        yield finding(one.name, "problem", text, "Run the play again, which orders one for all domains.")
    if public_key(f"{directory}/privkey.pem", look) != there.key:
        text = f"The key in {directory} does not belong to the certificate, so the web server cannot load it."
        yield finding(one.name, "problem", text, retry)
    if expected.proxy in SITES and one.domains:
        yield from not_served(one, look)


def read(app: str, look: Look) -> Certificate:
    """The first certificate in an app's file."""
    file = f"{on_host('certificate', app)}/fullchain.pem"
    shown = look.run(
        *(OPENSSL, "x509", "-noout", "-in", str(look.path(file)), "-dates", "-issuer", "-pubkey"),
        *("-nameopt", "sep_multiline,sname,utf8", "-ext", "subjectAltName"),
    )
    if shown.returncode:
        raise UncheckedError(f"{file} holds none")
    times = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", shown.stdout, re.MULTILINE))
    issuer = dict(re.findall(r"^\s+(O|CN)=(.+)$", shown.stdout, re.MULTILINE))
    key = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", shown.stdout, re.DOTALL)
    return Certificate(
        tuple(name.lower() for name in re.findall(r"(?:DNS|IP Address):([^,\s]+)", shown.stdout)),
        ssl.cert_time_to_seconds(times["notBefore"]),
        ssl.cert_time_to_seconds(times["notAfter"]),
        line(issuer.get("O") or issuer.get("CN", "")),
        key[0] if key else "",
    )


def public_key(file: str, look: Look) -> str:
    """The public half of a private key."""
    return look.run(OPENSSL, "pkey", "-pubout", "-in", str(look.path(file)), "-passin", "pass:").stdout.strip()


def not_served(one: ExpectedApp, look: Look) -> Iterator[Finding]:
    """What the web server serves for the app's first domain in place of its certificate."""
    domain = one.domains[0].replace("*", "groundwork-check", 1)
    wanted = ssl.PEM_cert_to_DER_cert(first(look.read(f"{on_host('certificate', one.name)}/fullchain.pem")))
    try:
        served = ask(domain)
    except ssl.SSLError as error:
        text = f"The web server refuses a connection for {domain}: {error.reason or error}."
        yield finding(one.name, "problem", text, "Run the play again; it writes the site, and reloads the server.")
    except OSError as error:
        text = f"Nothing answers for {domain} on 127.0.0.1 port {PORT}: {error.strerror or error}."
        yield finding(one.name, "problem", text, "See `systemctl status nginx apache2`.")
    else:
        if served != wanted:
            text = f"{domain} is served with another certificate than the one in {on_host('certificate', one.name)}."
            yield finding(one.name, "problem", text, "Reload the web server: it has not read the new one.")


def first(chain: str) -> str:
    """The first certificate of a chain."""
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", chain, re.DOTALL)
    return found[0] if found else ""


def ask(domain: str) -> bytes:
    """The certificate that the host's own web server serves for a domain."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", PORT), SERVED_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=domain) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""
