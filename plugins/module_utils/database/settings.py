# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a PostgreSQL server that serves apps alone, for the memory of its host.

They stand in a file of their own in ``conf.d``, and only in a cluster that is as it was installed: that file is what
says later that the cluster is ours. What needs a restart waits for one that was asked for, but for the first time, when
the server is not in use yet.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from ..common import programs
from ..common.files import make_directory, write
from ..common.on_host import path as path_of
from ..common.systemd import SYSTEMCTL
from .clusters import Cluster
from .errors import DatabaseError
from .superuser import SETPRIV, Superuser

FILE = "conf.d/groundwork.conf"
HEAD = "# Written by the role database of groundwork.flask; a change here is lost. Set database_settings instead.\n"
# What pg_createcluster and initdb write, beside which an operator has set nothing.
OF_DEBIAN = frozenset(
    """cluster_name data_directory hba_file ident_file external_pid_file port max_connections unix_socket_directories
    ssl ssl_cert_file ssl_key_file shared_buffers dynamic_shared_memory_type max_wal_size min_wal_size log_line_prefix
    log_timezone DateStyle TimeZone lc_messages lc_monetary lc_numeric lc_time default_text_search_config
    stats_temp_directory include_dir log_statement_stats""".split()  # noqa: SIM905 - forty lines otherwise
)
DEFAULT_VALUES = {"max_connections": "100", "shared_buffers": "16384"}
DEFAULT_ACCESS = frozenset(
    {
        ("local", "all", "postgres", "peer"),
        ("local", "all", "all", "peer"),
        ("local", "replication", "all", "peer"),
        ("host", "all", "all", "scram-sha-256"),
        ("host", "replication", "all", "scram-sha-256"),
    }
)
SETTING = re.compile(r"[a-z][a-z0-9_.]*")
RESTART_SECONDS = 300.0


def connections_for(memory: int) -> int:
    """The most connections that a host of so many MB takes; each is a process."""
    return next(most for least, most in ((8000, 200), (1900, 100), (0, 50)) if memory >= least)


def settings_for(memory: int) -> dict[str, str]:
    """The settings for a host of so many MB."""
    return {
        "listen_addresses": "",
        "shared_buffers": f"{min(max(memory // 4, 64), 8192)}MB",
        "effective_cache_size": f"{max(memory // 2, 128)}MB",
        "max_connections": str(connections_for(memory)),
        "work_mem": "4MB",
        "maintenance_work_mem": f"{min(max(memory // 16, 32), 512)}MB",
    }


def memory_of_host(root: Path = Path("/")) -> int:
    """Its memory in MB."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) // 1024 if found else 1024


def written(value: object) -> str:
    """A value of YAML as PostgreSQL writes it."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def text_of(settings: Mapping[str, object]) -> str:
    """The file that states them.

    :raises DatabaseError: a name that cannot be one of PostgreSQL's settings.
    """
    rows = []
    for name, given in settings.items():
        value = written(given)
        if not SETTING.fullmatch(name) or "\n" in value:
            raise DatabaseError(f"database_settings: {name!r} with {value!r} cannot be a setting of PostgreSQL")
        quoted = value.replace("'", "''")
        rows.append(f"{name} = '{quoted}'\n")
    return HEAD + "".join(rows)


def is_ours(cluster: Cluster) -> bool:
    """Whether the file of an earlier run is there."""
    return os.path.exists(f"{cluster.configuration}/{FILE}")


def is_untouched(server: Superuser) -> bool:
    """Whether a cluster is as it was installed: without added roles, databases and settings."""
    made = server.rows(
        "SELECT datname::text AS name FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1') "
        "UNION ALL SELECT rolname::text FROM pg_roles WHERE oid >= 16384"
    )
    given = server.rows("SELECT name, setting FROM pg_settings WHERE source IN ('configuration file', 'command line')")
    extra = [
        row["name"]
        for row in given
        if row["name"] not in OF_DEBIAN or row["setting"] != DEFAULT_VALUES.get(row["name"], row["setting"])
    ]
    access = server.rows(
        "SELECT type, array_to_string(database, ',') AS database, array_to_string(user_name, ',') AS role, auth_method "
        "FROM pg_hba_file_rules WHERE error IS NULL"
    )
    rules = {(row["type"], row["database"], row["role"], row["auth_method"]) for row in access}
    return not made and not extra and rules <= DEFAULT_ACCESS


def apply(
    server: Superuser, settings: Mapping[str, object], *, restart: bool, dry_run: bool
) -> tuple[list[str], list[str]]:
    """Have a cluster of ours use these settings.

    :param restart: whether it may restart for them; the first time it does in any case.
    :returns: what was done, and what waits for a restart.
    :raises DatabaseError: the server does not take them; the ones of before are in force.
    """
    cluster = server.cluster
    path = Path(cluster.configuration) / FILE
    before = path.read_text() if path.exists() else None
    wanted = text_of(settings)
    if dry_run:
        return ([f"set up PostgreSQL {cluster.version}/{cluster.name}"] if before != wanted else []), []
    done = []
    if before != wanted:
        write(path, wanted, 0o644)
        if wrong := problems(cluster):
            put_back(path, before)
            raise DatabaseError(f"PostgreSQL {cluster} does not take its settings, and keeps those of before: {wrong}")
        server.sql("SELECT pg_reload_conf()")
        done.append(f"wrote the settings of PostgreSQL {cluster.version}/{cluster.name}")
    waiting = pending(server, settings)
    if waiting and (restart or before is None):
        restart_cluster(cluster, path)
        done.append(f"restarted PostgreSQL {cluster.version}/{cluster.name}, for {', '.join(waiting)}")
        waiting = []
    if not waiting and (not proven(cluster).exists() or proven(cluster).read_text() != wanted):
        make_directory(proven(cluster).parent, 0o700)
        write(proven(cluster), wanted, 0o600)
    return done, waiting


def proven(cluster: Cluster) -> Path:
    """Where the settings stand with which the cluster has run: what is put back if it does not start with others."""
    return path_of("state") / "database" / f"{cluster.version}-{cluster.name}.conf"


def problems(cluster: Cluster) -> str:
    """What the server's own program finds wrong in its files of settings; "" for nothing."""
    owner, program = cluster.owner, f"{cluster.programs}/postgres"
    become = (f"--reuid={owner}", f"--regid={owner}", "--init-groups", "--inh-caps=-all", "--no-new-privs")
    done = programs.run((SETPRIV, *become, program, "-D", cluster.configuration, "-C", "max_connections"), seconds=60)
    return programs.explanation(done) if done.returncode else ""


def pending(server: Superuser, settings: Mapping[str, object]) -> list[str]:
    """The settings of ours that wait for a restart."""
    rows = server.rows(
        "SELECT DISTINCT f.name FROM pg_file_settings AS f JOIN pg_settings AS s ON s.name = f.name "
        "WHERE s.context = 'postmaster' AND (s.pending_restart OR f.error IS NOT NULL)"
    )
    return sorted(row["name"] for row in rows if row["name"] in settings)


def restart_cluster(cluster: Cluster, path: Path) -> None:
    """Restart a cluster; with the settings with which it has run before, if it does not start with the new ones."""
    restarted = programs.run((SYSTEMCTL, "restart", cluster.unit), seconds=RESTART_SECONDS)
    if restarted.returncode:
        good = proven(cluster)
        put_back(path, good.read_text() if good.exists() else None)
        programs.run((SYSTEMCTL, "restart", cluster.unit), seconds=RESTART_SECONDS)
        raise DatabaseError(
            f"PostgreSQL {cluster} did not start with its settings, and was started with those that it ran with "
            f"before: see `tail {cluster.log}` on the host"
        )


def take_over(old: Cluster, new: Cluster) -> list[str]:
    """Have a cluster start with the files in ``conf.d`` of the one before it: pg_upgradecluster leaves them behind.

    :returns: a sentence for each file that the new one does not take.
    """
    sources = [path for path in sorted(Path(old.configuration).glob("conf.d/*.conf")) if path.is_file()]
    taken, notices = [], []
    for source in sources:
        target = Path(new.configuration) / "conf.d" / source.name
        if target.exists():
            continue
        if wrong := copied(source, target) or problems(new):
            target.unlink(missing_ok=True)
            notices.append(refusal(source, target, new, wrong))
        else:
            taken.append((source, target))
    if taken and programs.run((SYSTEMCTL, "restart", new.unit), seconds=RESTART_SECONDS).returncode:
        for source, target in taken:
            target.unlink()
            notices.append(refusal(source, target, new, f"see `tail {new.log}`"))
        programs.run((SYSTEMCTL, "restart", new.unit), seconds=RESTART_SECONDS)
    return notices


def copied(source: Path, target: Path) -> str:
    """Copy a file with its owner and permissions; why that cannot be done, or ""."""
    try:
        about = source.stat()
        write(target, source.read_bytes(), stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid)
    except OSError as error:
        return str(error)
    return ""


def refusal(source: Path, target: Path, new: Cluster, why: str) -> str:
    """What to do about a file of settings that a new version does not take."""
    return (
        f"PostgreSQL {new} runs without the settings in {source}: {why}. Write those that it takes to {target}, and "
        f"restart it: systemctl restart {new.unit}"
    )


def put_back(path: Path, before: str | None) -> None:
    """Have a file as it was."""
    if before is None:
        path.unlink(missing_ok=True)
    else:
        write(path, before, 0o644)
