# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sshd does, by its own account: password login, root, and which file has the last word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .expected import Expected, files_of
from .finding import Finding
from .look import Look, UncheckedError

SSHD = "/usr/sbin/sshd"
MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"
# What must be in effect, and what it means if it is not.
WANTED = {
    "passwordauthentication": ({"no"}, "logs in whoever guesses a password"),
    "kbdinteractiveauthentication": ({"no"}, "logs in whoever guesses a password"),
    "permitrootlogin": (
        {"no", "without-password", "prohibit-password", "forced-commands-only"},
        "lets root in by password",
    ),
    "permitemptypasswords": ({"no"}, "lets in accounts without a password"),
}
# The same settings by their former names.
FORMER = {"kbdinteractiveauthentication": "challengeresponseauthentication"}


def sshd(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether sshd takes keys only, as it says itself; where not, the file that says otherwise."""
    if "sshd" not in expected.host_parts:
        return
    effective = settings(look)
    wrong = {name: effective[name] for name, (right, _why) in WANTED.items() if effective.get(name, "no") not in right}
    for name, value in wrong.items():
        place = source_of(name, look)
        yield Finding(
            "sshd",
            "host",
            "problem",
            f"sshd has {name} {value}{f', from {place}' if place else ''}: it {WANTED[name][1]}.",
            f"Remove the line from {place or 'its configuration'}, test with `sshd -t`, and reload ssh.service.",
        )
    if not wrong:
        root = "root does not log in" if effective.get("permitrootlogin") == "no" else "root logs in by key only"
        yield Finding("sshd", "host", "ok", f"sshd takes keys only, and {root}.")
    yield from overridden(look)


def settings(look: Look) -> dict[str, str]:
    """What is in effect; the first value of what may be given several times."""
    shown = look.run(SSHD, "-T")
    if shown.returncode:
        raise UncheckedError(f"sshd -T says: {shown.stderr}")
    found: dict[str, str] = {}
    for row in shown.stdout.splitlines():
        name, _space, value = row.partition(" ")
        found.setdefault(name.lower(), value)
    return found


def directives(text: str) -> Iterator[tuple[str, str]]:
    """The settings of a file that hold for everybody, in order; what follows a Match is for some."""
    for row in text.splitlines():
        words = re.split(r"[\s=]+", row.strip(), maxsplit=1)
        if len(words) < 2 or words[0].startswith("#"):
            continue
        if words[0].lower() == "match":
            return
        yield words[0].lower(), words[1].strip().strip('"')


def files(look: Look) -> list[str]:
    """The files in the order in which sshd reads them: the drop-ins stand at the top of Debian's main file."""
    try:
        names = sorted(one.name for one in look.path(DROP_INS).iterdir() if one.name.endswith(".conf"))
    except OSError:
        names = []
    return [*(f"{DROP_INS}/{name}" for name in names), MAIN]


def source_of(name: str, look: Look) -> str:
    """The first file that sets it, which is the one that counts; "" where none does and it is a default."""
    names = {name, FORMER.get(name, name)}
    return next((file for file in files(look) if names & {key for key, _value in directives(look.read(file))}), "")


def overridden(look: Look) -> Iterator[Finding]:
    """The settings of our drop-in that another file, read before it, has taken the effect of."""
    for own in (file for file in files_of("host_sshd", look) if file.startswith(f"{DROP_INS}/")):
        wanted: dict[str, str] = {}
        for name, value in directives(look.read(own)):
            wanted.setdefault(name, value)
        before = files(look)[: files(look).index(own)] if own in files(look) else []
        for file in before:
            if taken := sorted({name for name, _value in directives(look.read(file))} & set(wanted) - set(WANTED)):
                yield Finding(
                    "sshd",
                    "host",
                    "warning",
                    f"{file} is read before {own} and decides {', '.join(taken)}.",
                    f"Remove these lines from {file}, or give host_sshd's drop-in the values that you want.",
                )
