# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a MariaDB server that serves apps alone: it listens on its unix socket and on no network.

They stand in a file of their own, and only in a server that has not been used before: that file is what says later that
the server is ours. Debian starts a new one on port 3306 of the loopback interface; it restarts before it is used.
"""

from __future__ import annotations

from pathlib import Path

from ..common import programs
from ..common.files import write
from ..common.systemd import SYSTEMCTL
from .errors import DatabaseError
from .maria_root import Root

FILE = "etc/mysql/mariadb.conf.d/90-groundwork.cnf"
UNIT = "mariadb.service"
TEXT = """# Written by the role database of groundwork.flask; a change here is lost.
# A file that comes after this one by its name may say otherwise.
[mariadbd]
skip-networking
# No app has its tables in a directory of its own, where it could exchange their files for links to those of others.
symbolic-links = 0
"""
LINKS = (
    "MariaDB lets an app have its tables' files in a directory of its own (DATA DIRECTORY), and by links there it can "
    "destroy the tables of others: write `symbolic-links = 0` below [mariadbd] in a file in /etc/mysql/mariadb.conf.d, "
    "and restart it: systemctl restart mariadb"
)
# What a new server of Debian or Ubuntu has.
DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
ACCOUNTS = frozenset({"root@localhost", "mysql@localhost", "mariadb.sys@localhost"})
RESTART_SECONDS = 300.0


def is_untouched(server: Root) -> bool:
    """Whether a server is as it was installed: it has no database and no account beside those of its package."""
    accounts = server.names("SELECT HEX(CONCAT(user, '@', host)) FROM mysql.user")
    return set(server.databases()) <= DATABASES and set(accounts) <= ACCOUNTS


def set_up(server: Root, root: Path = Path("/"), *, dry_run: bool = False) -> list[str]:
    """Have a server that has not been used before listen on its socket alone; a sentence for what was done.

    :param root: where the host's file system is; / but in tests.
    :raises DatabaseError: the server does not start with it; it runs again as it was.
    """
    file = root / FILE
    if file.exists() or not file.parent.is_dir() or not is_untouched(server):
        return []
    if not dry_run:
        write(file, TEXT, 0o644)
        try:
            restart()
        except DatabaseError:
            file.unlink()
            restart()
            raise
    return ["have MariaDB listen on its unix socket alone"]


def warnings(server: Root) -> list[str]:
    """What is wrong with a server that was there before, and that its operator had better change."""
    return [LINKS] if server.sql("SELECT @@have_symlink") == ["YES"] else []


def restart() -> None:
    """Restart the server."""
    done = programs.run((SYSTEMCTL, "restart", UNIT), seconds=RESTART_SECONDS)
    if done.returncode:
        raise DatabaseError(f"{UNIT} does not start: {programs.explanation(done)}")
