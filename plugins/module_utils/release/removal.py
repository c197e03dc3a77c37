# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes an app off the host."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

from ..common import trees
from ..common.on_host import on_host
from ..common.ownership import account_of
from ..common.text import line
from .app_command import owns_command
from .context import Context
from .errors import ReleaseError, tail
from .jobs import Jobs
from .result import Result
from .supervisor import Supervisor

KILL_ATTEMPTS = 50
# What runs as the app's user beside its releases; systemd would start it again when its process is killed.
SERVICES = ("{app}.pooler.socket", "{app}.pooler.service", "{app}.redis.service", "{app}.redis-cache.service")


class Removal:
    """Removes one app: its units, releases and command; with ``purge`` also its data, secrets, journal and account.

    What has the app's name and was not made for it stays as it is, and is named in a warning.
    """

    def __init__(self, context: Context, supervisor: Supervisor, jobs: Jobs) -> None:
        self.context, self.supervisor, self.jobs = context, supervisor, jobs
        self.app, self.at, self.system = context.app, context.at, context.system
        self.owner = self.system.ownership(self.app, self.at.root)

    def remove(self, purge: bool) -> Result:
        """Take the app off the host.

        :raises ReleaseError: naming what could not be removed; the rest is gone.
        """
        foreign = list(self.owner.foreign()) if purge else list(self.owner.foreign_account())
        result = Result(warnings=[f"left as it is, for it was not made for this app: {one}" for one in foreign])
        if not self.owner.is_known:
            return result
        own_home = self.owner.is_own_home()
        found = [path for path in self.paths(purge) if os.path.lexists(path)]
        releases = [path.name for path in self.at.releases.glob("*")]
        self.jobs.remove()
        for release in sorted(self.supervisor.enabled() | self.supervisor.running(releases)):
            self.supervisor.stop(release)
        self.stop_services()
        if found:
            self.context.ledger.append("removed", "", by=self.context.settings.by, purged=purge)
        left = self.end_processes() if self.owner.has_own_account else []
        for path in found:
            try:
                trees.remove(path)
            except OSError as error:
                left.append(f"{path} ({error.strerror})")
        result.warnings += self.remove_home() if own_home else []
        self.stop_journal()
        if purge:
            left += self.remove_journal()
        purges_account = purge and self.owner.has_own_account
        if purges_account and not left:  # what is left would belong to the next account that gets its number
            left += self.remove_account()
        if left:
            raise ReleaseError(
                "remove", f"these could not be removed: {'; '.join(left)}. End what uses them, and run again"
            )
        result.action = "removed" if found or purges_account else "unchanged"
        return result

    def paths(self, purge: bool) -> list[Path]:
        """What to remove, whether it is there or not."""
        at = self.at
        paths = [*self.owner.in_home(), at.build_cache, *([at.command] if owns_command(at) else [])]
        paths += self.supervisor.process_units.files()
        if purge:
            owned = (at.root / at.data[1:], at.root / at.cache[1:], at.root / on_host("redis_data", self.app)[1:])
            paths += [one for one in owned if self.owner.owns(one)]
            paths += [at.secret_key.parent, at.saved, at.exchange, at.ledger, at.setup]
        return paths

    def stop_services(self) -> None:
        """Stop pooler and Redis, which processes and jobs needed to the last; their roles remove the units."""
        units = [unit.format(app=self.app) for unit in SERVICES]
        if found := [unit for unit in units if (self.at.root / "etc/systemd/system" / unit).is_file()]:
            self.system.systemctl("stop", *found)

    def remove_home(self) -> list[str]:
        """Remove the app's directory below ``/srv`` if nothing is left in it; else a warning that says what is."""
        home = self.at.home
        try:
            home.rmdir()
        except FileNotFoundError:
            return []
        except OSError as error:
            names = line(", ".join(sorted(os.listdir(home))))
            return [f"{home} stays: {f'it holds {names}' if names else error.strerror}"]
        return []

    def remove_account(self) -> list[str]:
        """Remove the app's account; a text that names it when that fails."""
        done = self.system.run("/usr/sbin/userdel", self.app)
        if done.returncode and account_of(self.app):
            return [f"the account {self.app} ({tail(done.stderr, 1)})"]
        return []

    def stop_journal(self) -> None:
        """Stop what keeps the app's journal; the first of them is what holds the others since systemd 257."""
        self.system.systemctl(
            "stop",
            f"systemd-journald-sync@{self.app}.service",
            f"systemd-journald@{self.app}.service",
            f"systemd-journald@{self.app}.socket",
            f"systemd-journald-varlink@{self.app}.socket",
        )

    def remove_journal(self) -> list[str]:
        """Remove the app's journal; what is left of it."""
        app, root = self.app, self.at.root
        logs = [path for kind in ("var/log", "run/log") for path in (root / kind / "journal").glob(f"*.{app}")]
        try:
            trees.remove(*logs, root / "run/systemd" / f"journal.{app}")
        except OSError as error:
            return [f"the journal of {app} ({error.strerror})"]
        return []

    def end_processes(self) -> list[str]:
        """End what runs as the app's user, and remove what would start it again; what is left of it."""
        user, root = self.app, self.at.root
        uid = pwd.getpwnam(user).pw_uid
        for kind in ("cron/crontabs", "cron/atjobs", "cron/atspool"):
            spool = root / "var/spool" / kind
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                trees.remove(*(path for path in spool.iterdir() if path.name == user or path.lstat().st_uid == uid))
        trees.remove(root / "var/lib/systemd/linger" / user)
        running: list[int] = []
        for _attempt in range(KILL_ATTEMPTS):
            self.system.systemctl("kill", "--signal=KILL", f"user@{uid}.service", f"user-{uid}.slice")
            running = self.system.kill(uid)
            if not running:
                return []
            self.system.sleep(0.1)
        return [f"processes of {user} ({', '.join(map(str, running[:5]))})"]
