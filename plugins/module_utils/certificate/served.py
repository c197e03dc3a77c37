# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy command, which makes web servers read a new certificate, and the check of what they serve."""

from __future__ import annotations

import shlex
import socket
import ssl
from pathlib import Path

from .config import MINUTE, address_of
from .messages import QUOTE_LIMIT, CertificateError, one_line
from .processes import CHOSEN, run
from .store import blocks

DEPLOY_TIMEOUT = 2 * MINUTE
SERVED_TIMEOUT = 5  # seconds for a handshake
REMEDY_NOT_SERVED = (
    "Reload the server there; if its certificate is not managed by this role, set certificate_check_address."
)


def run_deploy_command(command: str) -> str:
    """Run the deploy command; returns the error, empty if it succeeded."""
    if not command:
        return ""
    try:
        result = run(*shlex.split(command), timeout=DEPLOY_TIMEOUT, sandbox=CHOSEN)
    except (CertificateError, ValueError) as error:
        return f"`{command}` failed, so the old certificate may still be in use: {error}"
    output = one_line(result.stderr + result.stdout, QUOTE_LIMIT) or f"exit status {result.returncode}"
    return f"`{command}` failed, so the old certificate may still be in use: {output}" if result.returncode else ""


def served_problem(domain: str, address: str, fullchain: Path) -> str:
    """Return how the certificate served for a domain differs from the file; empty if it does not.

    It is no problem if no server listens at the address, or the server rejects the handshake for this domain.
    """
    host, _colon, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = None if address_of(domain) else domain.replace("*", "groundwork-check", 1)
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), SERVED_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            served = secured.getpeercert(binary_form=True) or b""
    except OSError:
        return ""
    return "" if served == ssl.PEM_cert_to_DER_cert(blocks(fullchain)[0]) else f"{address} serves another certificate"
