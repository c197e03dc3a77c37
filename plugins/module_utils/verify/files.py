# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that plays have written: whether somebody has changed, removed or opened one since.

Each file set keeps in its manifest how it wrote each file. What a release is made of is not among these.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..common import clock
from ..common.on_host import on_host
from ..common.ownership import owner_names
from .expected import Expected, file_set
from .finding import Finding
from .look import Look

AGAIN = "Run groundwork.flask.site, which puts it back; a change that is to stay belongs into the inventory."
LARGE = 2**24  # bytes: no file of a set is that long


def files(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the files of all sets are as the plays have written them."""
    count, wrong = 0, 0
    for name in sets(look):
        manifest = file_set(name, look)
        written = manifest.get("files", {})
        for path in (path for paths in manifest.get("parts", {}).values() for path in paths):
            count += 1
            for one in of_file(path, written.get(path, ""), look):
                wrong += 1
                yield one
        yield from unfinished(name, look)
    if count and not wrong:
        yield Finding("files", "host", "ok", f"The {count} files that plays have written are as they were written.")


def sets(look: Look) -> list[str]:
    """The names of the file sets of the host."""
    return sorted(one.stem for one in look.path(f"{on_host('state')}/file_sets").glob("*.json"))


def unfinished(name: str, look: Look) -> Iterator[Finding]:
    """A play that was killed while it wrote a set."""
    journal = look.json(f"{on_host('state')}/file_sets/{name}.journal")
    if journal and file_set(name, look).get("generation", 0) < journal.get("generation", 0):
        yield Finding(
            "files",
            "host",
            "problem",
            f"A play was ended while it wrote the file set {name}, and its files are not tested.",
            "Run the play again: it puts them back first.",
        )


def of_file(path: str, written: str, look: Look) -> Iterator[Finding]:
    """What is not as it was written of one file."""
    place = look.path(path)
    try:
        status = os.lstat(place)
    except OSError:
        yield Finding("files", "host", "problem", f"{path} was removed.", AGAIN)
        return
    if not stat.S_ISREG(status.st_mode):
        yield Finding("files", "host", "problem", f"{path} is not a regular file any more.", AGAIN)
        return
    mode, owner, group, digest = written.split() if written.count(" ") == 3 else ("", "", "", "")
    if opened := too_open(path, status, mode, owner):
        yield opened
    elif mode and (f"{stat.S_IMODE(status.st_mode):04o}", *names(status)) != (mode, owner, group):
        now = f"{':'.join(names(status))} {stat.S_IMODE(status.st_mode):04o}"
        yield Finding("files", "host", "warning", f"{path} is {now}, and was written as {owner}:{group} {mode}.", AGAIN)
    if digest and digest_of(place) != digest:
        at = clock.timestamp(status.st_mtime)
        yield Finding("files", "host", "problem", f"{path} was changed by hand, last at {at}.", AGAIN)


def too_open(path: str, status: os.stat_result, mode: str, owner: str) -> Finding | None:
    """Whether others may read or write a file more than it was written for."""
    bits = stat.S_IMODE(status.st_mode)
    before = int(mode, 8) if mode else bits & ~0o022
    if bits & ~before & 0o022 or (owner and names(status)[0] not in (owner, "root")):
        who = f"{names(status)[0]}, its owner," if owner and names(status)[0] != owner else "others than its owner"
        text = f"{path} can be written by {who} ({':'.join(names(status))} {bits:04o})"
    elif bits & ~before & 0o044:
        text = f"{path} can be read by {'everybody' if bits & ~before & 0o004 else 'its group'} ({bits:04o})"
    else:
        return None
    return Finding("files", "host", "problem", f"{text}; it was written as {mode or 'not so'}.", AGAIN)


def names(status: os.stat_result) -> tuple[str, str]:
    """Owner and group of what was looked at."""
    return owner_names(status.st_uid, status.st_gid)


def digest_of(place: Path) -> str:
    """The SHA-256 of a file; "" of one that cannot be read."""
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            return hashlib.sha256(stream.read(LARGE)).hexdigest()
    except OSError:
        return ""
