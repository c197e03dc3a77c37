# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's command: in a unit of its own, as an account without privileges, the message as its standard input.

What is started is passed by a pipe, and to the command by its environment: every account can read a command line.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import programs
from ..common.beside import beside, own_unit
from ..common.on_host import on_host
from ..common.systemd import Directives
from ..common.text import line
from .message import Message
from .sending import SendError

ACCOUNT = on_host("alerts_account")
SECONDS = 30
NOT_FOUND = 127
# A mail program is setuid or setgid: what implies NoNewPrivileges for an account (systemd.exec) is not among these.
SANDBOX: Directives = [("PrivateTmp", "yes"), ("ProtectControlGroups", "yes"), ("TimeoutStopSec", "10")]
ENDS: Directives = [("KillMode", "control-group")]  # what a command has left behind too
SCRIPT = 'printf %s "$ALERT_JSON" | eval "$ALERT_COMMAND"'


def command(options: Mapping[str, Any], message: Message) -> str:
    """Run the command; it has the JSON as its standard input, the subject and the text in its environment."""
    environment = {
        "ALERT_COMMAND": str(options["command"]),
        "ALERT_JSON": json.dumps(message.plain(), ensure_ascii=False),
        "ALERT_SUBJECT": message.subject,
        "ALERT_TEXT": message.text,
        "ALERT_LEVEL": message.level,
    }
    user = ("User", str(options.get("user") or ACCOUNT))
    run(["/bin/sh", "-c", SCRIPT], environment, "The command was not found.", [*ENDS, user])
    return ""


def run(argv: Sequence[str], environment: Mapping[str, str], missing: str, directives: Directives) -> None:
    """Run a program beside this unit, as an account.

    :param missing: what to say when a program is not there.
    :param directives: its account, and how it ends.
    :raises SendError: it failed, or took too long.
    """
    unit = own_unit("groundwork-alerts")
    if not unit:
        raise SendError("This is done by groundwork-alerts-commands.service alone: systemctl start it.")
    given = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", **environment}
    with beside(unit, argv, given, [*SANDBOX, *directives], SECONDS) as (started, payload):
        try:
            result = programs.run(started, payload=payload, seconds=SECONDS, merge=True, limit=4096)
        except subprocess.TimeoutExpired:
            raise SendError(f"It took more than {SECONDS} s, and was ended.") from None
    if result.returncode == NOT_FOUND:
        raise SendError(f"{missing} {line(result.stdout)}", refused=True)
    if result.returncode:
        raise SendError(f"It ended with status {result.returncode}: {programs.explanation(result, 200)}")
