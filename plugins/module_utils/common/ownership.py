# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what has an app's name on a host was made for that app, or belongs to something else.

The proof lies where only root can put it: the account, in the form that the role ``service_user`` gives it; directories
that belong to that account; files that the manifest of a file set lists; the ledger of the app's releases. A file of
``sysusers.d`` alone proves nothing about an account, which may have been there before.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .files import read_json
from .on_host import on_host, path
from .text import line

COMMENT = "Flask app {app}"  # of an account, as the role service_user writes it
NO_SHELL = ("nologin", "false")
IN_HOME = (
    "releases",
    "environments",
    "current",
    ".current.new",
    "undeployed.html",
    ".undeployed.html.groundwork.new",
)
FIRST_OF_PEOPLE = (
    1000  # accounts and groups of systemd-sysusers have lower numbers (SYS_GID_MAX of Debian's login.defs)
)
# Accounts that the roles make for themselves, by their names in the table of ``on_host``.
OWN_ACCOUNTS = ("alerts_account", "ship_user")
HOME_MODE = 0o711  # as the role service_user makes it
MEMBER_LIMIT, SHOWN = 5, 1000  # members of a group, and characters in all, that a message shows
UNIT_DIRECTORIES = tuple(f"{above}/systemd/system" for above in ("etc", "run", "usr/local/lib", "usr/lib"))
UNITS = ("{app}@.service", "{app}@.socket")
# What runs beside an app, by the name behind its own.
SERVICE_UNITS = {
    "redis": ("{app}.redis.service",),
    "redis-cache": ("{app}.redis-cache.service",),
    "pooler": ("{app}.pooler.service", "{app}.pooler.socket"),
}


def account_of(app: str) -> pwd.struct_passwd | None:
    """The account of this name, be it from LDAP or another source of NSS; None if there is none."""
    try:
        return pwd.getpwnam(app)
    except KeyError:
        return None


def persons(found: pwd.struct_passwd | None) -> str:
    """An account as a message shows it, if somebody can log in to it; empty if not, or if there is none."""
    return "" if found is None or os.path.basename(found.pw_shell) in NO_SHELL else described_account(found)


def own_accounts_taken() -> dict[str, list[str]]:
    """The accounts that the roles make for themselves and that a person has on this host, by name, for messages."""
    names = [on_host(name) for name in OWN_ACCOUNTS]
    return {name: [found] for name in names if (found := persons(account_of(name)))}


def owner_names(uid: int, gid: int) -> tuple[str, str]:
    """The names of an account and of a group; a number where there is no name."""
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = str(uid)
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    return owner, group


def group_of(app: str) -> grp.struct_group | None:
    """The group of this name, wherever it comes from; None if there is none."""
    try:
        return grp.getgrnam(app)
    except KeyError:
        return None


@dataclass(frozen=True)
class Ownership:
    """What has the name of an app on a host.

    :ivar account: the account of this name.
    :ivar group: the group of this name.
    :ivar root: where the host's file system is; / but in tests.
    """

    app: str
    account: pwd.struct_passwd | None
    group: grp.struct_group | None
    root: Path = Path("/")

    @classmethod
    def of(cls, app: str, root: Path = Path("/")) -> Ownership:
        """Look at a name on this host."""
        return cls(app, account_of(app), group_of(app), root)

    # --- what is the app's ----------------------------------------

    @property
    def has_own_account(self) -> bool:
        """Whether the account of this name was made for the app: its comment, home directory and shell are ours."""
        found = self.account
        return (
            found is not None
            and found.pw_gecos.split(",")[0] == COMMENT.format(app=self.app)
            and found.pw_dir == on_host("data", self.app)
            and os.path.basename(found.pw_shell) in NO_SHELL
        )

    @property
    def is_live(self) -> bool:
        """Whether a release of the app is live; earlier versions did not check who owns the name.

        The engine writes ``release.json`` as root. One of another account, in a directory that this account owns, is
        no proof.
        """
        try:
            status = (path("current", self.app, self.root) / "release.json").stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid())

    @property
    def runs_releases(self) -> bool:
        """Whether a unit of this name runs the app's releases: the operator's own, for the role ``release`` alone."""
        start = f"ExecStart={on_host('releases', self.app)}/%i/start"
        for directory in UNIT_DIRECTORIES:
            try:
                lines = (self.root / directory / UNITS[0].format(app=self.app)).read_text().splitlines()
            except (OSError, UnicodeDecodeError):
                continue
            return {f"User={self.app}", start} <= set(lines)
        return False

    @property
    def is_declared(self) -> bool:
        """Whether the role ``service_user`` has asked for the account, which a killed run may not have made."""
        return (self.root / "etc/sysusers.d" / f"groundwork-{self.app}.conf").is_file()

    @property
    def is_known(self) -> bool:
        """Whether the app is, or was, on this host."""
        ledger = path("state", root=self.root) / "releases" / f"{self.app}.jsonl"
        return self.has_own_account or self.is_live or self.is_declared or ledger.is_file()

    def owns(self, directory: Path) -> bool:
        """Whether a directory belongs to the app's account, or to no account since that one is gone."""
        try:
            status = directory.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISDIR(status.st_mode):
            return False
        if self.account is not None:
            return self.has_own_account and status.st_uid == self.account.pw_uid
        return self.is_known and not has_account(status.st_uid)

    def is_own_home(self) -> bool:
        """Whether ``/srv/<app>`` is as the roles make it, or holds nothing but what a deploy that failed has left."""
        home = path("home", self.app, self.root)
        try:
            status, names = home.lstat(), set(os.listdir(home))
        except (FileNotFoundError, NotADirectoryError):
            return False
        if self.is_live:
            return True
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()) or not self.is_known:
            return False
        has_our_names = self.has_own_account and names <= {*IN_HOME} - {"current"}
        return stat.S_IMODE(status.st_mode) == HOME_MODE or has_our_names

    def in_home(self) -> list[Path]:
        """What the app has in ``/srv/<app>``; other files there are not the app's."""
        home = path("home", self.app, self.root)
        return [home / name for name in IN_HOME if os.path.lexists(home / name)] if self.is_own_home() else []

    # --- what is not ----------------------------------------

    def conflicts(self) -> list[str]:
        """What keeps the name from being an app's here; nothing where the app is live or has its unit already."""
        return [] if self.is_live or self.runs_releases else list(self.foreign())

    def foreign(self) -> Iterator[str]:
        """All that has the app's name and was not made for it, each as a message shows it."""
        yield from self.foreign_account()
        for name in ("home", "data", "cache"):
            place = path(name, self.app, self.root)
            is_ours = self.is_own_home() if name == "home" else self.owns(place)
            if os.path.lexists(place) and not is_ours and not is_empty_mount(place):
                yield f"{on_host(name, self.app)} ({description(place)})"
        made = made_files(self.root)
        units = [f"{directory}/{unit.format(app=self.app)}" for directory in UNIT_DIRECTORIES for unit in UNITS]
        for file in (*units, f"etc/systemd/journald@{self.app}.conf"):
            if os.path.lexists(self.root / file) and f"/{file}" not in made:
                yield f"/{file} ({description(self.root / file)})"

    def foreign_services(self) -> dict[str, list[str]]:
        """What has the place of the app's Redis or pooler and was not made for it, as messages show it, for each."""
        there = {
            service: [
                f"/{directory}/{unit.format(app=self.app)}"
                for directory in UNIT_DIRECTORIES
                for unit in units
                if os.path.lexists(self.root / directory / unit.format(app=self.app))
            ]
            for service, units in SERVICE_UNITS.items()
        }
        made = made_files(self.root) if any(there.values()) else frozenset()
        found = {
            service: [f"{file} ({description(self.root / file[1:])})" for file in files if file not in made]
            for service, files in there.items()
        }
        data = path("redis_data", self.app, self.root)
        if data.is_dir() and not self.has_written(data) and not is_empty_mount(data):
            found["redis"].append(f"{on_host('redis_data', self.app)} ({description(data)})")
        return {service: files for service, files in found.items() if files}

    def has_written(self, directory: Path) -> bool:
        """Whether a directory, or what a link there leads to, belongs to the account of this name."""
        return directory.stat().st_uid == self.account.pw_uid if self.account else self.owns(directory)

    def foreign_readers(self) -> Iterator[str]:
        """The group of those who read the app's journal, if somebody has made it by hand: its members would go."""
        found = group_of(on_host("log_group", self.app))
        if found is not None and found.gr_gid >= FIRST_OF_PEOPLE:
            yield described(found)

    def foreign_account(self) -> Iterator[str]:
        """The account and the group of this name, unless they were made for the app."""
        account, group = self.account, self.group
        if self.has_own_account:
            return
        if account is not None:
            yield described_account(account)
        elif group is not None and (group.gr_mem or not self.is_declared):  # else a killed run has left it
            yield described(group)


def described_account(account: pwd.struct_passwd) -> str:
    """An account, for a message."""
    return f"the account {account.pw_name} (uid {account.pw_uid}, home {account.pw_dir}, shell {account.pw_shell})"


def described(group: grp.struct_group) -> str:
    """A group, for a message."""
    members = f"members {', '.join(group.gr_mem[:MEMBER_LIMIT])}" if group.gr_mem else "no members"
    return f"the group {group.gr_name} (gid {group.gr_gid}, {members})"


def refusal(where: str, found: Sequence[str]) -> str:
    """Why a name cannot be an app's on this host, and what to do.

    :param where: the app, as in ``flask_apps.git``.
    :param found: what :meth:`Ownership.conflicts` has found.
    """
    return (
        f"{where}: this name is taken on the host by {line(', '.join(found), SHOWN)}, which was not made for this app: "
        "choose another name for the app; or, if nobody needs what is there, remove it and run again"
    )


def has_account(uid: int) -> bool:
    """Whether an account has this number."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def description(place: Path) -> str:
    """What a path is and whose, for a message."""
    status = place.lstat()
    kinds = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link", stat.S_IFREG: "file"}
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = f"uid {status.st_uid}"
    return f"{kinds.get(stat.S_IFMT(status.st_mode), 'special file')} of {owner}"


def is_empty_mount(place: Path) -> bool:
    """Whether a file system is mounted there that holds nothing: a disk that was prepared for the app."""
    try:
        return os.path.ismount(place) and set(os.listdir(place)) <= {"lost+found"}
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return False
        raise


def made_files(root: Path = Path("/")) -> frozenset[str]:
    """The files that file sets have written on this host, and those that a killed run was about to write."""
    state = path("state", root=root) / "file_sets"
    manifests = (read_json(manifest) for manifest in state.glob("*.json"))
    journals = (read_json(journal) for journal in state.glob("*.journal"))
    listed = [name for manifest in manifests for names in manifest.get("parts", {}).values() for name in names]
    return frozenset([*listed, *(item["path"] for journal in journals for item in journal.get("files", ()))])
