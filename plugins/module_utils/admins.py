# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of people that administer the host: a shell, keys to log in by, sudo without a password."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common import files, programs, trees
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership, account_of
from ansible_collections.groundwork.flask.plugins.module_utils.common.public_keys import read_all
from ansible_collections.groundwork.flask.plugins.module_utils.sshd_config import values
from ansible_collections.groundwork.flask.plugins.module_utils.sshd_state import (
    FIRST_HUMAN,
    NO_SHELL,
    NOBODY,
    key_files,
)
from ansible_collections.groundwork.flask.plugins.module_utils.sshd_state import run as run_if_there

# The last rule that fits counts in sudoers, so the name sorts behind those of images and providers.
SUDOERS = Path("/etc/sudoers.d/zz-groundwork-admins")
# The accounts, as a module takes them. Keys say who somebody is, so no module returns them.
OPTION: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
    },
}
SECONDS = 300.0  # that apt may take for one package
# Adds keys to a file of the account's, as the account: what it has made of its directory cannot lead root elsewhere.
ADD_KEYS = """
umask 077
mkdir -p "${1%/*}"
[ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ] || echo >>"$1"
exec cat >>"$1"
"""


class AdminError(Exception):
    """An account that cannot be made, or made usable; the message says why and what to do."""


def pending(admins: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of those that lack the account, a key, or sudo."""
    has_sudo = sudoers_lines()
    return [
        admin["name"]
        for admin in admins
        if account_of(admin["name"]) is None or missing_keys(admin) or rule(admin["name"]) not in has_sudo
    ]


def reconcile(admins: Sequence[Mapping[str, Any]]) -> list[str]:
    """Make what is missing; the names of those to whom anything was done.

    :raises AdminError: with what was done before left as it is; a further call goes on from there.
    """
    names = pending(admins)
    for admin in admins:
        refuse_others(admin["name"])
    for admin in (admin for admin in admins if admin["name"] in names):
        make_account(admin["name"])
        add_keys(admin)
    if names:
        write_sudoers([admin["name"] for admin in admins])
    for name in names:
        check_sudo(name)
    return names


def refuse_others(name: str) -> None:
    """Refuse an account that is not a person's."""
    account = account_of(name)
    if Ownership.of(name).is_known:
        raise AdminError(
            f"host_admins: {name} is an app on this host: give the account another name. Nothing was changed."
        )
    if account is None:
        return
    if not FIRST_HUMAN <= account.pw_uid != NOBODY or os.path.basename(account.pw_shell) in NO_SHELL:
        raise AdminError(
            f"host_admins: {name} is an account of the system on this host (uid {account.pw_uid}, shell "
            f"{account.pw_shell}), and no person's: give the account another name. Nothing was changed."
        )


def make_account(name: str) -> None:
    """Make the account unless it is there. Its password fits nothing, and does not lock it out of logging in by key."""
    if account_of(name) is None:
        run("/usr/sbin/useradd", "--create-home", "--user-group", "--shell", "/bin/bash", "--password", "*", name)


def missing_keys(admin: Mapping[str, Any]) -> list[str]:
    """The lines of the keys that the account does not have yet, in the first file that sshd reads for it."""
    account = account_of(admin["name"])
    wanted = [line.strip() for entry in admin["keys"] for line in entry.splitlines() if read_all(line)]
    if account is None:
        return wanted
    path = key_file(admin["name"], account.pw_dir)
    directory, name = (
        (account.pw_dir, os.path.relpath(path, account.pw_dir))
        if path.startswith(account.pw_dir.rstrip("/") + "/")
        else ("/", path.lstrip("/"))
    )
    try:
        have = {key.blob for key in read_all(trees.read_text(directory, name)) if not key.options}
    except OSError:
        have = set()
    return [line for line in wanted if read_all(line)[0].blob not in have]


def add_keys(admin: Mapping[str, Any]) -> None:
    """Add the keys that are missing; those of others stay."""
    account, lines = account_of(admin["name"]), missing_keys(admin)
    if account is None or not lines:
        return
    path = key_file(admin["name"], account.pw_dir)
    as_account: tuple[str, ...] = ("/usr/sbin/runuser", "-u", admin["name"], "--")
    if not path.startswith(account.pw_dir.rstrip("/") + "/"):
        as_account = ()
    run(*as_account, "/bin/sh", "-euc", ADD_KEYS, "sh", path, payload="".join(f"{line}\n" for line in lines))
    if not as_account:
        os.chmod(path, 0o644)


def key_file(name: str, home: str) -> str:
    """The first file that sshd reads for an account."""
    asked = run_if_there(["/usr/sbin/sshd", "-T", "-C", f"user={name},host=127.0.0.1,addr=127.0.0.1"])
    found = key_files(name, home, values(asked.stdout))
    if not found:
        raise AdminError(f"host_admins: sshd reads no file of keys for {name} (AuthorizedKeysFile is none): set one.")
    return found[0]


def rule(name: str) -> str:
    """What sudoers says of an admin."""
    return f"{name} ALL=(ALL:ALL) NOPASSWD: ALL"


def sudoers_lines() -> list[str]:
    """The lines of our file."""
    try:
        return SUDOERS.read_text().splitlines()
    except FileNotFoundError:
        return []


def write_sudoers(names: Sequence[str]) -> None:
    """Write the rules once visudo has taken them; sudo is installed first where the host lacks it. No rule is lost."""
    if not os.access("/usr/sbin/visudo", os.X_OK):
        run("/usr/bin/apt-get", "-qq", "update")
        run("/usr/bin/apt-get", "-qq", "-y", "--no-install-recommends", "install", "sudo")
    lines = list(dict.fromkeys([*sudoers_lines(), *(rule(name) for name in names)]))
    text = "".join(f"{line}\n" for line in lines)
    with tempfile.NamedTemporaryFile("w", dir="/run", prefix="groundwork-sudoers-") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(stream.fileno(), 0o440)
        run("/usr/sbin/visudo", "-cqf", stream.name)
    files.write(SUDOERS, text, 0o440)


def check_sudo(name: str) -> None:
    """Have the account use sudo: a rule that stands behind ours may ask for a password."""
    asked = programs.run(["/usr/sbin/runuser", "-u", name, "--", "/usr/bin/sudo", "-n", "/bin/true"], seconds=30)
    if asked.returncode:
        raise AdminError(
            f"host_admins: {name} cannot use sudo without a password: {programs.explanation(asked)}. Compare "
            f"`sudo -l -U {name}` with {SUDOERS}: the last rule that fits counts."
        )


def run(*argv: str, payload: str = "") -> None:
    """Run a program.

    :raises AdminError: it fails; what it was given is not shown.
    """
    environment = {**programs.ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = programs.run(argv, seconds=SECONDS, environment=environment, payload=payload.encode())
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AdminError(f"host_admins: {argv[0]}: {error}") from error
    if done.returncode:
        raise AdminError(f"host_admins: {argv[0]} failed: {programs.explanation(done)}")
