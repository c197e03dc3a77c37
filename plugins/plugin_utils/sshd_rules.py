# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether sshd can be set as the role host would set it, and nobody is shut out: judged before anything is changed."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.sshd_config import NOT_COMPARED, same
from ansible_collections.groundwork.flask.plugins.plugin_utils import sshd_settings
from ansible_collections.groundwork.flask.plugins.plugin_utils.sshd_settings import Wish

OURS = on_host("sshd_settings")
LEAVE_OUT = "leave sshd as it is by `host_skip_parts: [sshd]`"
BY_PASSWORD = ("password", "keyboard-interactive/pam", "keyboard-interactive")
# What decides who gets in: another value of one of these is a problem, of any other a warning.
WHO_GETS_IN = ("passwordauthentication", "kbdinteractiveauthentication", "permitemptypasswords", "permitrootlogin")
OF_THE_ROLE = (
    "HostKey AllowUsers PasswordAuthentication KbdInteractiveAuthentication PubkeyAuthentication PermitRootLogin"
)
NEVER = {*OF_THE_ROLE.lower().split(), "match", "include", "allowtcpforwarding", "challengeresponseauthentication"}
JUMP = r"(?:-J|ProxyJump|-W)[ =]*[^ ]*\b{host}\b|ProxyCommand.*\b{host}\b"


def problems(found: Mapping[str, Any], wish: Wish, arguments: str = "", names: tuple[str, ...] = ()) -> list[str]:
    """Why the role cannot set sshd; nothing where it is not to, or where no sshd runs.

    :param found: as the module ``host_facts`` returns it in ``sshd``.
    :param arguments: the arguments of ssh that the inventory has for its hosts.
    :param names: what this host is called in them.
    """
    if not found or not wish.enabled:
        return []
    if found["error"]:
        return [
            f"sshd of this host does not take its own settings, so nothing can be set beside them: {found['error']} "
            f"Correct that, or {LEAVE_OUT}."
        ]
    return [f"{text} Nothing was changed." for text in (*of_files(found, wish), *of_login(found, wish),
            *of_wish(found, wish), *of_jumps(wish, arguments, names))]  # fmt: skip


def of_files(found: Mapping[str, Any], wish: Wish) -> Iterator[str]:
    """Files of the host that would have the last word."""
    if not found["included"]:
        yield (
            f"/etc/ssh/sshd_config of this host does not read {OURS}: put `Include /etc/ssh/sshd_config.d/*.conf` "
            f"at its top, or {LEAVE_OUT}."
        )
        return
    wanted = {keyword.lower(): value for keyword, value in sshd_settings.settings(found, wish)}
    for one in overriding(found, wanted):
        if one["keyword"] in WHO_GETS_IN and not one["match"]:
            yield (
                f"{place(one)} says `{one['keyword']} {one['value']}` and is read before {OURS}, which would say "
                f"`{wanted[one['keyword']]}`: remove the line, or {LEAVE_OUT}."
            )


def of_login(found: Mapping[str, Any], wish: Wish) -> Iterator[str]:
    """Whether the play's user could log in again."""
    user, login = found["user"], found["login"]
    account = found["accounts"].get(user, {})
    key = "put a key of yours into its ~/.ssh/authorized_keys (`ssh-copy-id`) and log in by it"
    if login.get("method") in BY_PASSWORD:
        yield f"{user} has logged in by password, and passwords are about to be refused: {key}, or {LEAVE_OUT}."
    elif objection := account.get("refused", {}).get(login.get("fingerprint")):
        yield f"{user} has logged in by a key that sshd is about to refuse ({objection}): {key}, or {LEAVE_OUT}."
    elif user and not login and not account.get("keys") and not account.get("unknown"):
        refused = "; ".join(account.get("refused", {}).values())
        taken = f" that is taken ({refused})" if refused else ""
        yield f"{user} has no key to log in by{taken}: {key}, or {LEAVE_OUT}."
    elif not user and not wish.admins and not any(one["keys"] or one["unknown"] for one in found["accounts"].values()):
        yield f"Nobody has a key to log in to this host by: declare host_admins with their keys, or {LEAVE_OUT}."
    for keyword, bad in (
        ("authenticationmethods", r"\b(password|keyboard-interactive)"),
        ("pubkeyauthentication", "^no$"),
    ):
        if user and re.search(bad, found["effective"].get(keyword, "")) and found["effective"].get(keyword) != "any":
            for one in [one for one in found["settings"] if one["keyword"] == keyword][:1]:
                if one["match"] or keyword == "authenticationmethods":
                    yield (
                        f"{place(one)} says `{keyword} {one['value']}`, so {user} could not log in by a key alone: "
                        f"remove the line, or {LEAVE_OUT}."
                    )


def of_wish(found: Mapping[str, Any], wish: Wish) -> Iterator[str]:
    """What the variables ask for, and this play would not survive."""
    user, root = found["user"], sshd_settings.root_login(found, wish)
    if user == "root" and root == "no":
        yield (
            "host_sshd_root is no, and this play comes in as root: declare host_admins, set ansible_user to one of "
            "them and ansible_become to true, or let root log in by key (`host_sshd_root: prohibit-password`)."
        )
    if wish.allow_users and user and not any(allowed(user, pattern) for pattern in wish.allow_users):
        yield f"host_sshd_allow_users lacks {user}, as whom this play has logged in: add {user}."
    for admin in wish.admins:
        yield from of_lists(found, admin)
        if wish.allow_users and not any(allowed(admin, pattern) for pattern in wish.allow_users):
            yield f"host_sshd_allow_users lacks {admin} of host_admins: add {admin}."
    for keyword, value in wish.settings.items():
        if keyword.lower() in NEVER:
            yield f"host_sshd_settings: {keyword} is not set there; the role has a variable for it, or keeps it."
        elif not re.fullmatch("[A-Za-z0-9]+", keyword) or "\n" in str(value):
            yield f"host_sshd_settings: {keyword!r} is no keyword of sshd_config with its value on one line."


def of_lists(found: Mapping[str, Any], admin: str) -> Iterator[str]:
    """Lists in other files, of users and of groups, that keep an administrator out; all of them have to let one in."""
    groups = found["accounts"].get(admin, {}).get("groups") or [admin]  # a new account has the group of its name
    for keyword, names, remedy in (
        ("AllowUsers", [admin], f"add {admin}"),
        ("AllowGroups", groups, f"put {admin} into one of these groups, or add a group of {admin}"),
    ):
        others = [one for one in found["settings"] if one["keyword"] == keyword.lower() and not one["match"]]
        patterns = [pattern for one in others for pattern in one["value"].split()]
        if others and not any(allowed(name, pattern) for name in names for pattern in patterns):
            yield (
                f"{place(others[0])} says `{keyword} {others[0]['value']}`, so {admin} of host_admins cannot log in: "
                f"{remedy}."
            )


def of_jumps(wish: Wish, arguments: str, names: tuple[str, ...]) -> Iterator[str]:
    """Other hosts of the inventory that are reached through this one."""
    if wish.tcp_forwarding in ("no", "remote"):
        for name in names:
            if name and re.search(JUMP.format(host=re.escape(name)), arguments):
                yield (
                    f"host_sshd_tcp_forwarding is {wish.tcp_forwarding}, and the inventory reaches other hosts through "
                    f"this one ({name}): set it to local."
                )
                return


def warnings(found: Mapping[str, Any], wish: Wish) -> list[str]:
    """Who will have to do something, and what of the role's settings does not hold for everybody."""
    if not found or not wish.enabled or found["error"]:
        return []
    said = []
    if asleep := [
        name
        for name, one in found["accounts"].items()
        if one["password"]
        and not one["keys"]
        and not one["unknown"]
        and name != "root"
        and not by_password(found, name)
    ]:
        said.append(
            f"Passwords are refused by sshd from this run on. Without a key in ~/.ssh/authorized_keys these accounts "
            f"cannot log in any more: {', '.join(asleep)}."
        )
    wanted = {keyword.lower(): value for keyword, value in sshd_settings.settings(found, wish)}
    for one in overriding(found, wanted):
        if bool(one["match"]) == (one["keyword"] in WHO_GETS_IN):
            whom = f" for `Match {one['match']}`" if one["match"] else ""
            said.append(f"{place(one)} says `{one['keyword']} {one['value']}`{whom}, which goes before {OURS}.")
    if wish.root == "no" and sshd_settings.root_login(found, wish) != "no":
        said.append(
            "Root can still log in by key, for this play has come in as root: the next run refuses it "
            f"(`host_sshd_root: no`), with ansible_user set to {wish.admins[0]} and ansible_become to true."
        )
    for weak in ("ssh-rsa", "ssh-dss"):
        if weak in found["effective"].get("pubkeyacceptedalgorithms", "").split(","):
            said.append(f"sshd takes signatures by {weak}, which is broken: remove it from PubkeyAcceptedAlgorithms.")
    return said


def by_password(found: Mapping[str, Any], name: str) -> bool:
    """Whether a block ``Match User`` of the host lets somebody in by password, of which another warning tells."""
    blocks = [
        one["match"].split()
        for one in found["settings"]
        if one["match"] and one["keyword"] == "passwordauthentication" and one["value"].lower() == "yes"
    ]
    return any(len(words) == 2 and words[0].lower() == "user" and name in words[1].split(",") for words in blocks)


def differences(found: Mapping[str, Any], wish: Wish) -> list[str]:
    """What is in effect for the play's user and is not what was asked for, though the file is in place."""
    if not found or not wish.enabled or found["ours"] != sshd_settings.file(found, wish):
        return []
    wrong = []
    for keyword, value in sshd_settings.settings(found, wish):
        name = keyword.lower()
        effective = found["effective"].get(name, value)
        by = [place(one) for one in overriding(found, {name: value})]
        known = bool(by) and name not in WHO_GETS_IN  # a warning has named it
        if name not in NOT_COMPARED and not known and not same(effective, value):
            wrong.append(
                f"sshd: {keyword} is `{effective}` for {found['user'] or 'root'}, not `{value}` as {OURS} says: see "
                f"{', '.join(by) or 'the options of ssh.service'}. Remove that, or {LEAVE_OUT}."
            )
    return wrong


def overriding(found: Mapping[str, Any], wanted: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The settings in other files that go before the role's with another value."""
    for one in found["settings"]:
        keyword = one["keyword"]
        if keyword not in wanted or keyword in NOT_COMPARED or not (one["before"] or one["match"]):
            continue
        if not same(one["value"], wanted[keyword]):
            yield one


def allowed(user: str, pattern: str) -> bool:
    """Whether a pattern of AllowUsers names a user, from wherever."""
    return fnmatch.fnmatchcase(user, pattern.partition("@")[0])


def place(one: Mapping[str, Any]) -> str:
    """Where a setting stands."""
    return f"{one['file']} line {one['line']}"
