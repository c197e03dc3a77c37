# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this program asks over the network. Its units have none, so there a command of its own asks, beside the unit."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from typing import TypeVar

from ..common.beside import own_unit
from ..common.systemd import HARDENED, Directives
from . import ca, reachability
from .config import MINUTE, PROGRAM
from .messages import CertificateError
from .processes import CHOSEN, UNITS, run

# For what asks servers that anybody may have set up: it changes nothing.
ASKING: Directives = [
    *HARDENED,
    ("CapabilityBoundingSet", ""),
    ("NoNewPrivileges", "yes"),
    ("PrivateIPC", "yes"),
    ("PrivateMounts", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectHome", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RestrictSUIDSGID", "yes"),
    ("KeyringMode", "private"),
]
REACH_TIMEOUT = 10 * MINUTE
Answer = TypeVar("Answer")


def ask_directory(url: str, ca_bundle: str) -> None:
    """Check that a CA answers; see ca.py."""
    if not own_unit(UNITS):
        ca.ask_directory(url, ca_bundle)
        return
    asked = run(PROGRAM, "ask", url, ca_bundle, timeout=MINUTE, sandbox=CHOSEN)
    if asked.returncode:
        text, remedy = answer(asked, list) if asked.returncode == 1 else (asked.stderr, "")
        raise CertificateError(text, remedy)


def check_domains(domains: Sequence[str], token: str) -> dict[str, str]:
    """Check whether domains lead to this host; see reachability.py."""
    if not own_unit(UNITS):
        return reachability.check_domains(domains, token)
    asked = run(PROGRAM, "reach", "--token", token, "--", *domains, timeout=REACH_TIMEOUT, sandbox=ASKING)
    return answer(asked, dict)


def answer(asked: subprocess.CompletedProcess[str], kind: type[Answer]) -> Answer:
    """What a command of this program printed as JSON.

    :raises CertificateError: it printed something else.
    """
    with contextlib.suppress(ValueError):
        if isinstance(found := json.loads(asked.stdout), kind):
            return found
    raise CertificateError(f"{PROGRAM} failed: {asked.stderr or f'exit status {asked.returncode}'}")
