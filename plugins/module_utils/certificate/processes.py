# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run other programs: certbot, openssl, the deploy command.

The units of this program have no network, few capabilities and a system that they cannot write. A program that needs
more, and whatever reaches over the network, runs beside them (common/beside.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping

from ..common import programs
from ..common.beside import OPERATOR, beside, own_unit
from ..common.systemd import Directives
from .config import MINUTE
from .messages import CertificateError

# The environment of every program that is started, with those variables of this one's environment whose names match
# HANDED_ON: how the network is reached, and what certbot's plugins for clouds read.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
HANDED_ON = re.compile(
    r"(?i:https?|no|all)_(?i:proxy)|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|AWS_\w+|GOOGLE_APPLICATION_CREDENTIALS|TZ"
)
# Set for every program that is started: certbot's deploy hook must not wait for the lock that its own parent holds.
WITHIN_A_RUN = "GROUNDWORK_CERTIFICATE_RUN"
UNITS = "groundwork-certificate"  # what the names of this program's units begin with
# For certbot, its plugins and hooks, and the deploy command.
CHOSEN: Directives = [*OPERATOR, ("NoNewPrivileges", "yes"), ("ProtectHome", "read-only")]
OUTPUT_LIMIT = 2**18  # bytes of a program's output or log that are kept


def run(
    *argv: str,
    timeout: float = 60,
    environment: Mapping[str, str] | None = None,
    sandbox: Directives | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its exit status and output.

    :param timeout: seconds.
    :param environment: variables beside the fixed ones.
    :param sandbox: of a program that needs more than this program's units may do; it runs beside them.
    :raises CertificateError: the program does not exist or takes too long.
    """
    handed_on = {name: value for name, value in os.environ.items() if HANDED_ON.fullmatch(name)}
    variables = {**ENVIRONMENT, **handed_on, WITHIN_A_RUN: "1", **(environment or {})}
    unit = "" if sandbox is None else own_unit(UNITS)
    try:
        with contextlib.ExitStack() as stack:
            client, payload = list(argv), b""
            if unit:
                client, payload = stack.enter_context(beside(unit, argv, variables, sandbox or [], timeout + MINUTE))
            return programs.run(client, seconds=timeout, environment=variables, payload=payload, limit=OUTPUT_LIMIT)
    except OSError as error:
        raise CertificateError(f"{argv[0]}: {error.strerror}", f"Install the package that has {argv[0]}.") from error
    except subprocess.TimeoutExpired as error:
        raise CertificateError(f"{argv[0]} did not finish within {timeout:.0f} s") from error
