# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first connection to a host that knows root alone: as root, until the accounts of its admins are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.groundwork.flask.plugins.plugin_utils import admins as rules

REFUSED = re.compile(r"Permission denied|Authentication fail|Too many authentication failures", re.IGNORECASE)
Call = Callable[[str, dict[str, Any]], dict[str, Any]]


class FirstLoginError(Exception):
    """The accounts could not be made; the message says why and what to do."""


def applies(error: AnsibleConnectionFailure, connection: Any, admins: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a connection was refused to somebody whose account may not be there yet."""
    if connection.transport != "ssh":
        return False
    return connection.get_option("remote_user") in [admin.get("name") for admin in admins] and bool(
        REFUSED.search(str(error))
    )


def make_accounts(
    connection: Any, play_context: Any, call: Call, admins: Sequence[dict[str, Any]], check: bool
) -> None:
    """Make the accounts as root.

    :param call: calls a module by its name, with its arguments, over this connection.
    :raises FirstLoginError: root is refused too, or the accounts cannot be made.
    """
    user = connection.get_option("remote_user")
    if problems := rules.problems(admins):
        raise FirstLoginError("\n".join(problems))
    if check:
        raise FirstLoginError(
            f"{user} cannot log in yet: the first real run makes the account, as root. To try that run in check mode, "
            "add `-e ansible_user=root`."
        )
    try:
        with as_root(connection, play_context):
            done = call("groundwork.flask.admin_accounts", {"admins": admins})
    except AnsibleConnectionFailure as error:
        raise FirstLoginError(
            f"Neither {user} nor root can log in: {error}. Give root one of your keys at the provider, or name the key "
            "by which one of them can (ansible_ssh_private_key_file)."
        ) from error
    if done.get("failed"):
        raise FirstLoginError(f"Connected as root, because {user} was refused. {done.get('msg', '')}")


def no_key(error: AnsibleConnectionFailure) -> str:
    """What is said where an account is there now and its connection is refused still."""
    return (
        f"The account is on the host now, and cannot log in: {error}. Add to its keys in host_admins the public key "
        "that ssh of this controller offers (ansible_ssh_private_key_file, or the agent's). If it is there, AllowUsers "
        "or AllowGroups of sshd keeps the account out: `sshd -T | grep -i allow` on the host, as root, shows them."
    )


@contextmanager
def as_root(connection: Any, play_context: Any) -> Iterator[None]:
    """Have a connection log in as root, without become, for this block."""
    user, become, former = connection.get_option("remote_user"), connection.become, play_context.remote_user
    connection.set_option("remote_user", "root")
    connection.set_become_plugin(None)
    connection._shell.tmpdir = None  # each account has its own
    play_context.remote_user = "root"
    try:
        yield
    finally:
        connection.set_option("remote_user", user)
        connection.set_become_plugin(become)
        connection._shell.tmpdir = None
        play_context.remote_user = former
