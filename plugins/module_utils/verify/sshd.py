# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sshd does, by its own account: password login, root, and which file has the last word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import sshd_config

from ..common.on_host import on_host, path
from .expected import Expected
from .finding import Finding, State
from .look import Look, UncheckedError

SSHD = "/usr/sbin/sshd"
DROP_IN = on_host("sshd_settings")
CANDIDATE = f"{on_host('configuration')}/sshd.conf"  # what a play has written; the drop-in is a copy of it
GUESSED = "logs in whoever guesses a password"
# What must be in effect whatever else is asked for, and what it means if it is not.
WANTED: Mapping[str, tuple[frozenset[str], str]] = {
    "passwordauthentication": (frozenset({"no"}), GUESSED),
    "kbdinteractiveauthentication": (frozenset({"no"}), GUESSED),
    "permitemptypasswords": (frozenset({"no"}), "lets in accounts without a password"),
}
# The names of before, in files.
FORMER = {"challengeresponseauthentication": "kbdinteractiveauthentication"}
Setting = Mapping[str, Any]


def sshd(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether sshd takes keys only and does what the play has written, by its own account; else what decides it."""
    if "sshd" not in expected.host_parts:
        return
    effective, written = settings(look), own_settings(look)
    elsewhere = renamed(sshd_config.read(look.root).settings)
    found = [*let_in(effective, elsewhere), *matched(elsewhere), *overridden(effective, written, elsewhere)]
    found += drop_in(look)
    yield from found
    if not any(one.state == "problem" for one in found):
        root = effective.get("permitrootlogin", "")
        who = "root does not log in" if root == "no" else "root logs in by key only"
        yield Finding("sshd", "host", "ok", f"sshd takes keys only, and {who}.")


def settings(look: Look) -> dict[str, str]:
    """What is in effect."""
    shown = look.run(SSHD, "-T")
    if shown.returncode:
        raise UncheckedError(f"sshd -T says: {shown.stderr}")
    return sshd_config.values(shown.stdout)


def own_settings(look: Look) -> dict[str, str]:
    """What the play has written; the first value of each counts."""
    found: dict[str, str] = {}
    for _number, name, value in sshd_config.lines(look.path(CANDIDATE)):
        found.setdefault(name, value)
    return found


def renamed(found: Iterable[Setting]) -> list[Setting]:
    """Settings of other files, by the names that sshd has for them now."""
    return [{**one, "keyword": FORMER.get(one["keyword"], one["keyword"])} for one in found]


def let_in(effective: Mapping[str, str], elsewhere: Iterable[Setting]) -> Iterator[Finding]:
    """What lets in others than those who have a key."""
    for name, (right, why) in WANTED.items():
        if (value := effective.get(name, "no")) not in right:
            place = source_of(name, value, elsewhere)
            text = f"sshd has {name} {value}{f', from {place}' if place else ''}: it {why}."
            remedy = f"Remove {f'{place}' if place else 'that'}, test with `sshd -t`, and reload ssh.service."
            yield Finding("sshd", "host", "problem", text, remedy)


def source_of(name: str, value: str, elsewhere: Iterable[Setting]) -> str:
    """Where a setting stands that has an effect for everybody; "" where none does, and it is a default."""
    same = (one for one in elsewhere if one["keyword"] == name and not one["match"])
    return next((place(one) for one in same if str(one["value"]).strip('"').lower() == value.lower()), "")


def place(one: Setting) -> str:
    """Where a setting stands."""
    return f"{one['file']} line {one['line']}"


def matched(elsewhere: Iterable[Setting]) -> Iterator[Finding]:
    """What lets in some: a Match block goes before all else, and plain `sshd -T` does not show it."""
    for one in elsewhere:
        right, why = WANTED.get(one["keyword"], (frozenset(), ""))
        if one["match"] and why and str(one["value"]).lower() not in right:
            text = f"sshd has {one['keyword']} {one['value']} for Match {one['match']}, from {place(one)}: it {why}."
            yield Finding("sshd", "host", "problem", text, f"Remove {place(one)}, and reload ssh.service.")


def overridden(
    effective: Mapping[str, str], written: Mapping[str, str], elsewhere: Iterable[Setting]
) -> Iterator[Finding]:
    """The settings of the play that are not in effect."""
    for name, value in written.items():
        now = effective.get(name, value)
        if name in sshd_config.NOT_COMPARED or name in WANTED or sshd_config.same(now, value):
            continue
        by = source_of(name, now, elsewhere)
        text = f"sshd has {name} {now}, and the play has written {value}{f': {by} goes before it' if by else ''}."
        state: State = "problem" if name == "permitrootlogin" else "warning"
        remedy = f"Remove {by or 'what overrides it'}, or say so in host_sshd_settings; then reload ssh.service."
        yield Finding("sshd", "host", state, text, remedy)


def drop_in(look: Look) -> Iterator[Finding]:
    """Whether the drop-in is what the play has written, and no change of it waits to be confirmed."""
    candidate = look.read(CANDIDATE)
    if path("state", root=look.root).joinpath("sshd").exists():
        text = "A change of sshd's settings is being tried, and not confirmed."
        yield Finding("sshd", "host", "warning", text, "It is taken back by itself; run the play again.")
    elif candidate and look.read(DROP_IN) != candidate:
        what = "is not what the last play has written" if look.path(DROP_IN).exists() else "is not there"
        text = f"{DROP_IN} {what}: somebody has changed it, or the play's change was taken back."
        remedy = "Run the play again, which puts it in place; or say what you want in host_sshd_settings."
        yield Finding("sshd", "host", "problem", text, remedy)
