# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have set on a host that the role host has not been on yet, and that its files would overrule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common.files import read_json
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import output

RECORD = f"{on_host('state')}/host.json"[1:]  # the role's, of what it has found
APT_CONFIG = "/usr/bin/apt-config"
APT = re.compile(r'^((?:APT::Periodic|Unattended-Upgrade)::[\w:-]+) "(.*)";$', re.MULTILINE)
APT_DIRECTORY, APT_FILE = "etc/apt/apt.conf.d", "99groundwork"  # the file is the role's
JOURNALD = re.compile(r"^[ \t]*(SystemMaxUse|Storage)[ \t]*=[ \t]*(\S+)", re.MULTILINE)
JOURNALD_DIRECTORY, JOURNALD_FILE = "etc/systemd/journald.conf.d", "90-groundwork.conf"  # the same
JOURNAL = "var/log/journal"
LOGIN_DEFS = "etc/login.defs"
LOGIN_DEF = re.compile(r"^[ \t]*([A-Z][A-Z0-9_]*)[ \t]+(\S+)", re.MULTILINE)


def settings(root: Path = Path("/")) -> list[dict[str, str]]:
    """What is set, as ``part``, ``key``, ``value`` and ``file``; nothing of a part that is in force."""
    found: dict[str, Iterable[tuple[str, str, str]]] = {}
    if not (root / APT_DIRECTORY / APT_FILE).exists():
        found["updates"] = apt(root)
    if not (root / JOURNALD_DIRECTORY / JOURNALD_FILE).exists():
        found["journal"] = journald(root)
    if not read_json(root / RECORD).get("logins"):
        found["logins"] = login_defs(root)
    return [
        {"part": part, "key": line(key), "value": line(value), "file": line(file)}
        for part, those in found.items()
        for key, value, file in those
    ]


def journal_bytes(root: Path = Path("/")) -> int:
    """What the system's journal takes on the disk, without those of the apps' namespaces; 0 once it has its limit."""
    if (root / JOURNALD_DIRECTORY / JOURNALD_FILE).exists():
        return 0
    found = [file for file in (root / JOURNAL).glob("*/*.journal*") if "." not in file.parent.name]
    return sum(file.stat().st_blocks * 512 for file in found)


def apt(root: Path) -> Iterator[tuple[str, str, str]]:
    """What apt says of its updates by itself, with the last file that names it."""
    files = sorted(file for file in (root / APT_DIRECTORY).glob("*") if file.is_file())
    texts = {str(file.relative_to(root)): file.read_text(errors="replace") for file in files}
    for key, value in APT.findall(output(APT_CONFIG, "dump")):
        leaf = re.compile(rf"^[^/#\n]*\b{re.escape(key.rpartition('::')[2])}\b[\s]+\"", re.MULTILINE)
        names = [name for name, text in texts.items() if leaf.search(text)]
        yield key, value, f"/{names[-1]}" if names else "the configuration of apt"


def journald(root: Path) -> Iterator[tuple[str, str, str]]:
    """What journald reads before the role's file; the last one counts."""
    places = [root / etc / "systemd/journald.conf.d" for etc in ("usr/lib", "run", "etc")]
    drop_ins = {file.name: file for place in places for file in place.glob("*.conf")}
    files = [root / "etc/systemd/journald.conf", *(drop_ins[name] for name in sorted(drop_ins) if name < JOURNALD_FILE)]
    found = {}
    for file in files:
        if file.is_file():
            for key, value in JOURNALD.findall(file.read_text(errors="replace")):
                found[key] = (key, value, f"/{file.relative_to(root)}")
    yield from found.values()


def login_defs(root: Path) -> Iterator[tuple[str, str, str]]:
    """The values of /etc/login.defs; of a name that stands there twice the last."""
    file = root / LOGIN_DEFS
    text = file.read_text(errors="replace") if file.is_file() else ""
    for key, value in dict(LOGIN_DEF.findall(text)).items():
        yield key, value, f"/{LOGIN_DEFS}"
