# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a visitor gets: the command that puts a new certificate to use, and the certificate served over the wire."""

from __future__ import annotations

import shlex
import socket
import ssl
from pathlib import Path

from .config import MINUTE, address_of
from .messages import QUOTE_LIMIT, Refusal, one_line
from .processes import run
from .store import blocks

DEPLOY_TIMEOUT = 2 * MINUTE
SERVED_TIMEOUT = 5  # seconds for a handshake
REMEDY_NOT_SERVED = "Reload the server there; if its certificate is not from here, set certificate_check_address."


def run_deploy_command(command: str) -> str:
    """Run it; empty if it succeeded, else what went wrong."""
    if not command:
        return ""
    try:
        result = run(*shlex.split(command), timeout=DEPLOY_TIMEOUT)
    except (Refusal, ValueError) as error:
        return f"`{command}` failed, so the old certificate may still be in use: {error}"
    said = one_line(result.stderr + result.stdout, QUOTE_LIMIT) or f"exit status {result.returncode}"
    return f"`{command}` failed, so the old certificate may still be in use: {said}" if result.returncode else ""


def served_problem(domain: str, address: str, fullchain: Path) -> str:
    """How what a visitor of the name gets differs from the file; empty if it does not, or nobody serves the name.

    A name is not served when nobody listens at the address, or he refuses the handshake.
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
