# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read what: secrets, keys, and what belongs to one app alone. No link of an app's is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..common.on_host import on_host
from ..release.layout import Layout
from .expected import Expected
from .files import names
from .finding import Finding
from .look import Look

# Files of root's that hold secrets, by patterns; their group may read them, where a proxy has to.
SECRETS = (
    f"{on_host('configuration')}/backup.password",
    f"{on_host('configuration')}/backup.repositories.json",
    f"{on_host('configuration')}/*.ini",
    f"{on_host('configuration')}/certificates/*.privkey.pem",
    f"{on_host('configuration')}/secrets/*",
    f"{on_host('configuration')}/secrets/*/*",
    f"{on_host('certificates')}/*/*/privkey.pem",
    "/etc/letsencrypt/archive/*/privkey*.pem",
    "/etc/letsencrypt/keys/*",
    f"{on_host('state')}/file_sets",
    f"{on_host('state')}/backup",
    f"{on_host('state')}/certificates",
)
OF_A_RELEASE = ("env", "env.direct")  # its settings, secrets among them
# Directories of root's that nobody else may write to, else an app, or any account, acts as root.
OURS = ("configuration", "state", "programs", "packages", "certificates")
MOST = 2000  # files that one pattern may name
SECRET = "Change what it holds, for it may have been read; then `chmod {mode} {path}`."  # noqa: S105 - a sentence


def modes(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether secrets are root's, directories of root's are its alone, and each app is kept from the others."""
    wrong = [*secrets(look), *directories(look)]
    for app in expected.apps:
        wrong += of_app(app, look)
    yield from wrong
    if not wrong:
        yield Finding("modes", "host", "ok", "Secrets and keys are read by nobody else, and each app by itself alone.")


def secrets(look: Look) -> Iterator[Finding]:
    """The secrets that others may read, or change."""
    for path in (path for pattern in SECRETS for path in found(pattern, look)):
        yield from secret(path, "host", look)


def secret(path: Path, subject: str, look: Look) -> Iterator[Finding]:
    """What is wrong with the mode of one secret."""
    try:
        status = os.lstat(path)
    except OSError:
        return
    bits, shown = stat.S_IMODE(status.st_mode), f"/{path.relative_to(look.root)}"
    if stat.S_ISLNK(status.st_mode):
        return
    safe = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
    if bits & 0o007:
        yield Finding(
            "modes",
            subject,
            "problem",
            f"{shown} is a secret, and every account of the host can read it ({':'.join(names(status))} {bits:04o}).",
            SECRET.format(mode=safe, path=shown),
        )
    elif bits & 0o020 or status.st_uid not in (0, os.geteuid()):
        yield Finding(
            "modes",
            subject,
            "problem",
            f"{shown} is a secret, and others than root can change it ({':'.join(names(status))} {bits:04o}).",
            f"`chown root {shown}`, and `chmod g-w {shown}`.",
        )


def directories(look: Look) -> Iterator[Finding]:
    """The directories of root's in which others may write."""
    for name in OURS:
        path = on_host(name)
        try:
            status = os.stat(look.path(path))
        except OSError:
            continue
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            yield Finding(
                "modes",
                "host",
                "problem",
                f"Others than root can write in {path} ({':'.join(names(status))} {stat.S_IMODE(status.st_mode):04o}).",
                f"`chown root:root {path}`, `chmod 0755 {path}`, and look at what has changed in it.",
            )


def of_app(app: str, look: Look) -> Iterator[Finding]:
    """What others may do with what is an app's: root's own directories with its code, and its data."""
    at = Layout(app, look.root)
    uid = account(app, look)
    roots = [at.home, at.releases, at.environments]
    if live := at.live():
        roots += [at.release(live), at.release(live) / "code"]
        for name in OF_A_RELEASE:
            yield from secret(at.release(live) / name, app, look)
    for path in roots:
        yield from directory(path, app, {0, os.geteuid()}, look)
    for path in (look.path(at.data), look.path(at.cache)):
        yield from directory(path, app, {uid} if uid is not None else set(), look)


def directory(path: Path, app: str, owners: Iterable[int], look: Look) -> Iterator[Finding]:
    """What is wrong with a directory of an app: its owner, or that others may list it or write in it."""
    try:
        status = os.lstat(path)
    except OSError:
        return
    bits, owner = stat.S_IMODE(status.st_mode), ":".join(names(status))
    shown = f"/{path.relative_to(look.root)}"
    if not stat.S_ISDIR(status.st_mode):
        # A disk of its own may be mounted elsewhere; only root can have made such a link.
        return
    if owners and status.st_uid not in owners:
        yield Finding(
            "modes", app, "problem", f"{shown} belongs to {owner}.", "Run the play again, which gives it its owner."
        )
    elif bits & 0o006:
        can = "write in it" if bits & 0o002 else "list and read it"
        remedy = f"`chmod o-rw {shown}`."
        yield Finding("modes", app, "problem", f"Other accounts can {can}: {shown} ({owner} {bits:04o}).", remedy)


def account(app: str, look: Look) -> int | None:
    """The number of an app's account; None where it has none."""
    for row in look.read("/etc/passwd").splitlines():
        fields = row.split(":")
        if fields[0] == app and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return None


def found(pattern: str, look: Look) -> list[Path]:
    """What a pattern names on the host, links left out."""
    paths = look.root.glob(pattern.lstrip("/"))
    return [path for path, _number in zip(paths, range(MOST), strict=False)]
