# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One visit to a site, as a browser makes it: a connection to one address, TLS with the site's name, one request.

No proxy of the environment is used, no redirect is followed, and whatever a server sends is bounded in time and size.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.certificate.reachability import Incoming, left
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line

with contextlib.suppress(ImportError):  # ansible-core depends on it; where imports alone are tested, it is not there
    from cryptography import x509
    from cryptography.x509.oid import NameOID

CONNECT_SECONDS = 3.0  # SYN is sent again after 1 and 3 s: two attempts
ANSWER_SECONDS = 8.0  # with TLS and the first bytes of the body
MAX_BYTES, MAX_BODY = 2**17, 4096
PORTS = {"http": 80, "https": 443}
# What OpenSSL says of a chain: X509_V_ERR_* of x509_vfy.h.
EXPIRED, WRONG_NAME = 10, (62, 64)
NO_ISSUER, SELF_SIGNED = (2, 20, 21), (18, 19)


@dataclass(frozen=True)
class Certificate:
    """The certificate that a server sent first.

    :param code: why this machine does not trust it, as OpenSSL numbers the reasons; 0 if it does.
    :param reason: the same in OpenSSL's words.
    """

    issuer: str
    organisation: str
    begins: datetime
    ends: datetime
    is_self_signed: bool
    code: int = 0
    reason: str = ""

    @property
    def is_temporary(self) -> bool:
        """Whether the role certificate made it, until the CA has issued one, or because that was asked for."""
        return self.is_self_signed and self.organisation == "Self-signed"

    @property
    def lifetime(self) -> float:
        """Days from its first moment to its last."""
        return (self.ends - self.begins).total_seconds() / 86400

    def days_left(self, now: float | None = None) -> float:
        """Days until it expires; negative afterwards."""
        return (self.ends.timestamp() - (time.time() if now is None else now)) / 86400


@dataclass(frozen=True)
class Visit:
    """What a visit to one address came to.

    :param failure: why there is no answer: ``refused``, ``silent`` (nothing came in time), ``unroutable``, ``rejected``
        (TLS was refused), ``garbled`` (no HTTP), or "" for an answer.
    :param reason: of the failure, in the words of the system.
    :param seconds: until the status was there.
    :param headers: by names in lower case.
    :param body: its beginning, as text.
    """

    address: str
    failure: str = ""
    reason: str = ""
    status: int = 0
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    certificate: Certificate | None = None

    @property
    def location(self) -> str:
        """Where a redirect leads; "" for another answer."""
        return self.headers.get("location", "") if 300 <= self.status < 400 else ""


def trust(ca_bundle: str = "") -> ssl.SSLContext:
    """What this machine trusts: its own store, and the CAs of a PEM file beside it.

    :raises OSError: the file cannot be read.
    :raises ssl.SSLError: it holds no certificate.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_bundle:
        context.load_verify_locations(cafile=ca_bundle)
    return context


def blind() -> ssl.SSLContext:
    """Looks at a certificate without trusting it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def visit(url_host: str, address: str, path: str, trusted: ssl.SSLContext | None, port: int = 0) -> Visit:
    """Ask one address for a path of a site.

    :param url_host: the site's name.
    :param trusted: see :func:`trust`; None asks without TLS.
    :param port: the usual one by default.
    """
    port = port or PORTS["https" if trusted else "http"]
    began, certificate = time.monotonic(), None
    deadline = began + ANSWER_SECONDS
    try:
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(connected(address, port, deadline))
            except OSError as error:
                return Visit(address, *why(error))
            if trusted:
                connection, certificate = secured(stack, connection, url_host, address, port, trusted, deadline)
            answer, body = asked(connection, url_host, path, deadline)
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Visit(address, "", "", answer.status, time.monotonic() - began, headers, body, certificate)
    except ssl.SSLError as error:
        return Visit(address, "rejected", line(error.reason or str(error)), certificate=certificate)
    except (http.client.HTTPException, ValueError) as error:
        return Visit(address, "garbled", line(f"no HTTP ({type(error).__name__})"), certificate=certificate)
    except OSError as error:
        kind, reason = why(error)
        return Visit(address, "rejected" if kind == "refused" else kind, reason, certificate=certificate)


def why(error: OSError) -> tuple[str, str]:
    """The kind of a failed connection, and the reason in the system's words."""
    if isinstance(error, TimeoutError):
        return "silent", "no answer in time"
    if isinstance(error, ConnectionError):
        return "refused", (error.strerror or str(error) or "connection closed").lower()
    return "unroutable", (error.strerror or str(error)).lower()


def connected(address: str, port: int, deadline: float) -> socket.socket:
    """A connection to an address; it fails after a few seconds."""
    return socket.create_connection((address, port), min(CONNECT_SECONDS, left(deadline)))


def secured(
    stack: contextlib.ExitStack,
    connection: socket.socket,
    name: str,
    address: str,
    port: int,
    trusted: ssl.SSLContext,
    deadline: float,
) -> tuple[ssl.SSLSocket, Certificate | None]:
    """TLS over a connection; over a second one without trust where the certificate is not trusted."""
    connection.settimeout(left(deadline))
    try:
        over = stack.enter_context(trusted.wrap_socket(connection, server_hostname=name))
        return over, read_certificate(over.getpeercert(binary_form=True))
    except ssl.SSLCertVerificationError as error:
        code, reason = error.verify_code, line(error.verify_message or "")
    again = stack.enter_context(connected(address, port, deadline))
    again.settimeout(left(deadline))
    over = stack.enter_context(blind().wrap_socket(again, server_hostname=name))
    return over, read_certificate(over.getpeercert(binary_form=True), code, reason)


def asked(connection: Any, name: str, path: str, deadline: float) -> tuple[http.client.HTTPResponse, str]:
    """The answer to one GET, and the beginning of its body."""
    host = f"[{name}]" if ":" in name else name
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: groundwork-verify", "Accept: */*")
    connection.settimeout(left(deadline))
    connection.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode("ascii"))
    incoming: Any = Incoming(connection, deadline, MAX_BYTES)
    answer = http.client.HTTPResponse(incoming, method="GET")
    answer.begin()
    try:
        body = answer.read(MAX_BODY)
    except (OSError, http.client.HTTPException):
        body = b""  # the status is what counts
    return answer, body.decode(errors="replace")


def read_certificate(encoded: bytes | None, code: int = 0, reason: str = "") -> Certificate | None:
    """What a certificate says; None for one that cannot be read."""
    try:
        found = x509.load_der_x509_certificate(encoded or b"")
        begins, ends = validity(found)
        return Certificate(
            issuer=line(common_name(found.issuer), 80),
            organisation=line(attribute(found.issuer, NameOID.ORGANIZATION_NAME), 80),
            begins=begins,
            ends=ends,
            is_self_signed=found.issuer == found.subject,
            code=code,
            reason=reason,
        )
    except (ValueError, TypeError, x509.InvalidVersion):
        return None


def validity(found: x509.Certificate) -> tuple[datetime, datetime]:
    """Its first and its last moment; before cryptography 42 they bear no time zone."""
    if hasattr(found, "not_valid_after_utc"):
        return found.not_valid_before_utc, found.not_valid_after_utc
    return (
        found.not_valid_before.replace(tzinfo=UTC),
        found.not_valid_after.replace(tzinfo=UTC),
    )


def common_name(name: x509.Name) -> str:
    """How people call an issuer: Let's Encrypt's own names are as short as E7, so its organisation comes first."""
    organisation, common = attribute(name, NameOID.ORGANIZATION_NAME), attribute(name, NameOID.COMMON_NAME)
    return " ".join(part for part in (organisation, common) if part) or "an issuer without a name"


def attribute(name: x509.Name, wanted: Any) -> str:
    """One attribute of a name; "" if it has none."""
    found = name.get_attributes_for_oid(wanted)
    return str(found[0].value) if found else ""


@dataclass(frozen=True)
class Resolved:
    """Where a name leads.

    :param addresses: IPv4 first.
    :param error: why there is none.
    """

    addresses: tuple[str, ...] = ()
    error: str = ""


def resolve(name: str) -> Resolved:
    """The addresses of a name, as this machine's resolver sees them; of an address, itself."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Resolved((), getattr(error, "strerror", None) or str(error))
    addresses = {str(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found}
    return Resolved(tuple(sorted(addresses, key=lambda one: (":" in one, one))))


def has_ipv6() -> bool:
    """Whether this machine has a route to the IPv6 Internet; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(("2001:db8::1", 9))
            return True
    except OSError:
        return False
