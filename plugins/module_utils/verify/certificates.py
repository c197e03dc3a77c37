# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates: days left, names, key, and whether the web server serves what is in the file."""

from __future__ import annotations

import hashlib
import os
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
TEMPORARY = "self_signed"  # the provider of a certificate that stands in
MISMATCH = "the key does not belong to the certificate"
LATE = 0.25  # of the lifetime: by then it should have been renewed, as the certificate program has it
SERVED_SECONDS = 3.0
PORT = 443
UNITS: Mapping[str, str] = {"nginx": "nginx", "apache": "apache2"}  # of each provider


@dataclass(frozen=True)
class Certificate:
    """What a certificate on the disk says; times are POSIX times."""

    names: tuple[str, ...]
    begins: float
    ends: float
    issuer: str

    def covers(self, domain: str) -> bool:
        """Whether it is valid for a domain."""
        return domain in self.names or f"*.{domain.partition('.')[2]}" in self.names


def certificates(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether each app's certificate is valid, its own, and served."""
    for one in expected.apps.values():
        if not one.certificate or borrows(one, expected, look):
            continue
        found = [*of_app(one, expected, look), *noted(one, look)]
        yield from found or [finding(one.name, "ok", valid(read(one.name, look), look.now))]


def borrows(one: ExpectedApp, expected: Expected, look: Look) -> bool:
    """Whether an app's site is part of another one's, whose certificate it has."""
    if request(one.name, look) or not one.domains:
        return False
    others = (other for other in expected.apps.values() if other is not one and request(other.name, look))
    return any(set(one.domains) <= set(other.domains) for other in others)


def request(app: str, look: Look) -> Mapping[str, Any]:
    """What the role has asked for; empty for an app without a certificate of its own."""
    return look.json(f"{on_host('configuration')}/certificates/{app}.json")


def noted(one: ExpectedApp, look: Look) -> Iterator[Finding]:
    """What the certificate program has written down: a temporary certificate, the last order's error, the reload's."""
    state = look.json(f"{on_host('state')}/certificates/{one.name}/state.json")
    installed = look.json(f"{on_host('certificate', one.name)}/certificate.json")
    retry = f"`{PROGRAM} reconcile {one.name}` tries again and says what is in the way."
    errors = [sentence(error) for error in (state.get("error"), state.get("deploy_error")) if error]
    if installed.get("provider") == TEMPORARY != request(one.name, look).get("provider", TEMPORARY):
        text = " ".join(["The certificate is a temporary one, which no browser trusts.", *errors])
        yield finding(
            one.name, "problem", text, retry if errors else f"`{PROGRAM} issue {one.name}` orders the right one."
        )
        return
    for error in errors:
        yield finding(one.name, "warning", error, retry)


def sentence(error: Any) -> str:
    """What the certificate program has noted, as a sentence."""
    text = line(str(error), 400).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def valid(there: Certificate, now: float) -> str:
    """Until when a certificate is good."""
    days = int((there.ends - now) / clock.DAY)
    return f"The certificate is valid until {clock.date(there.ends)}, {days} days from now, and is served."


def finding(app: str, state: Any, message: str, remedy: str = "") -> Finding:
    """A finding about the certificate of an app."""
    return Finding("certificate", app, state, message, remedy)


def of_app(one: ExpectedApp, expected: Expected, look: Look) -> Iterator[Finding]:
    """What is wrong with one app's certificate."""
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
    if reason := unusable(one.name, look):
        text = f"The web server cannot load the certificate and key in {on_host('certificate', one.name)}: {reason}."
        yield finding(one.name, "problem", text, retry)
    if expected.proxy in SITES and one.domains:
        yield from not_served(one, UNITS[expected.proxy], look)


def read(app: str, look: Look) -> Certificate:
    """The first certificate in an app's file: as it was noted when it was installed, if the file is still that one."""
    file = f"{on_host('certificate', app)}/fullchain.pem"
    noted = look.json(f"{on_host('certificate', app)}/certificate.json")
    if "not_after" in noted and fingerprint(app, look) == name_of_current(app, look):
        begins, ends = (clock.parse(str(noted.get(name, ""))) for name in ("not_before", "not_after"))
        return Certificate(tuple(map(str, noted.get("domains", ()))), begins, ends, line(str(noted.get("issuer", ""))))
    shown = look.run(
        *(OPENSSL, "x509", "-noout", "-in", str(look.path(file)), "-dates", "-issuer"),
        *("-nameopt", "sep_multiline,sname,utf8", "-ext", "subjectAltName"),
    )
    if shown.returncode:
        raise UncheckedError(f"{file} holds none")
    times = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", shown.stdout, re.MULTILINE))
    issuer = dict(re.findall(r"^\s+(O|CN)=(.+)$", shown.stdout, re.MULTILINE))
    return Certificate(
        tuple(name.lower() for name in re.findall(r"(?:DNS|IP Address):([^,\s]+)", shown.stdout)),
        ssl.cert_time_to_seconds(times["notBefore"]),
        ssl.cert_time_to_seconds(times["notAfter"]),
        line(issuer.get("O") or issuer.get("CN", "")),
    )


def fingerprint(app: str, look: Look) -> str:
    """What the certificate program calls the directory of a certificate by."""
    chain = look.read(f"{on_host('certificate', app)}/fullchain.pem")
    return hashlib.sha256(chain.encode()).hexdigest()[:20]


def name_of_current(app: str, look: Look) -> str:
    """The directory of the certificate that is in use; "" where there is none."""
    try:
        return os.path.basename(os.readlink(look.path(on_host("certificate", app))))
    except OSError:
        return ""


def unusable(app: str, look: Look) -> str:
    """Why a certificate and its key cannot be used together; "" where they can."""
    directory = look.path(on_host("certificate", app))
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "fullchain.pem", directory / "privkey.pem", password="")
    except ssl.SSLError as error:
        return MISMATCH if reason_of(error) == "KEY_VALUES_MISMATCH" else reason_of(error)
    except OSError as error:
        return str(error.strerror)
    return ""


def reason_of(error: ssl.SSLError) -> str:
    """The reason that OpenSSL gives."""
    return str(getattr(error, "reason", "") or error)


def not_served(one: ExpectedApp, unit: str, look: Look) -> Iterator[Finding]:
    """What the web server serves for the app's first domain in place of its certificate."""
    domain = one.domains[0].replace("*", "groundwork-check", 1)
    wanted = ssl.PEM_cert_to_DER_cert(first(look.read(f"{on_host('certificate', one.name)}/fullchain.pem")))
    try:
        served = ask(domain)
    except ssl.SSLError as error:
        text = f"The web server refuses a connection for {domain}: {reason_of(error)}."
        yield finding(one.name, "problem", text, "Run the play again; it writes the site, and reloads the server.")
    except OSError as error:
        text = f"Nothing answers for {domain} on 127.0.0.1 port {PORT}: {error.strerror or error}."
        yield finding(one.name, "problem", text, f"`systemctl status {unit}` says why.")
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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the CAs, which take longer to read than all the rest
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", PORT), SERVED_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=domain) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""
