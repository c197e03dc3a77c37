# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that a set has run before and after its backup, and after a restore."""

from __future__ import annotations

import pwd

from ..common import programs
from ..common.on_host import on_host
from ..common.systemd import Directives
from . import steps
from .config import BackupSet
from .errors import BackupError


def shell(command: str, item: BackupSet, purpose: str, seconds: float) -> None:
    """Run one of the user's commands; raises BackupError with its output when it fails.

    Of a set with a user, it runs as that user in the user's sandbox: a command that writes into an app's directory as
    root would follow the app's links.
    """
    argv = ("/bin/sh", "-c", command)
    if item.user:
        status, output = steps.in_unit(argv, sandbox_of(item), seconds)
    else:
        environment = {**programs.ENVIRONMENT, "BACKUP_SET": item.name}
        with steps.free(argv, environment, steps.COMMAND) as (client, variables, payload):
            done = programs.run(client, environment=variables, payload=payload, merge=True, errors="surrogateescape")
        status, output = done.returncode, done.stdout
    if status:
        raise BackupError(f"`{command}` ({purpose}) ended with {status}: {output.strip()[-500:]}")


def sandbox_of(item: BackupSet) -> Directives:
    """The sandbox of the commands of a set with an account: that of the account's own unit, or a strict one."""
    try:
        account = pwd.getpwnam(item.user)
    except KeyError:
        raise BackupError(f"there is no user {item.user} on this host. Run the play that makes it.") from None
    if account.pw_uid == 0:
        raise BackupError(f"the user of the backup set {item.name} is root: leave `user` out")
    sandbox = steps.unit_sandbox(item.user)
    if sandbox:
        sandbox += [*steps.ALWAYS, ("CapabilityBoundingSet", ""), ("User", item.user)]
        if item.services:
            # They reach the database past the pooler, in whose sessions a dump or a load does not work.
            sandbox.append(("EnvironmentFile", f"-{on_host('current', item.user)}/env.direct"))
    else:
        writable = [("ReadWritePaths", f"-{steps.quoted(path)}") for path in item.paths]
        sandbox = [*steps.STRICT, *steps.account(account.pw_uid, account.pw_gid), *writable]
    return [*sandbox, ("Environment", f"BACKUP_SET={item.name}")]
