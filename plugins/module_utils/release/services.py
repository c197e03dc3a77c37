# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an app reaches its database and its Redis: the variables of its release.

The roles ``database`` and ``redis`` record where these are (:func:`common.on_host.on_host`, ``services``). What is
recorded is a part of the release's id, so that an app which gets a pooler is deployed with it. Which driver an address
names follows from the packages in the release's environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import trees
from ..common.files import read_json
from ..common.on_host import path
from ..common.text import line
from . import database_url
from .errors import ReleaseError

if TYPE_CHECKING:
    from .context import Context

SITE_FIRST = "run groundwork.flask.site first"
SITE_MAKES_IT = "groundwork.flask.site makes it"  # in a dry run
SERVERS = {"postgresql": "PostgreSQL", "mysql": "MariaDB or MySQL"}
# The check by whose name an app says that its psycopg 3 prepares no statements.
PREPARED = "prepared_statements"
# The instances that each purpose of Redis has.
INSTANCES = {"queue": ("queue",), "cache": ("cache",), "both": ("queue", "cache")}


class Services:
    """The database and the Redis of one app, as its spec names them and this host has them."""

    def __init__(self, context: Context) -> None:
        self.context, self.spec = context, context.spec

    # --- what is recorded ----------------------------------------

    def database(self) -> dict[str, Any]:
        """The record of the database on this host; empty where the app has none here.

        :raises ReleaseError: the host has none of the kind that the app wants.
        """
        wanted = self.spec.database.get("provider", "")
        if not wanted or self.spec.database.get("url"):
            return {}
        record = self.record("database")
        if record.get("provider") != wanted:
            has = record.get("provider") or "none"
            raise ReleaseError(
                "services",
                f"database.provider of {self.spec.name} is {wanted}, and this host has {line(str(has))} for it: "
                f"{SITE_FIRST}",
            )
        return record

    def redis(self) -> dict[str, str]:
        """The sockets of the app's Redis by what they are for; empty where the app has none.

        :raises ReleaseError: the host lacks one.
        """
        purpose = self.spec.redis.get("purpose", "")
        record = self.record("redis") if purpose else {}
        for one in INSTANCES.get(purpose, ()):
            if not record.get(one):
                raise ReleaseError(
                    "services",
                    f"redis.purpose of {self.spec.name} is {purpose}, and this host has no {one} for it: {SITE_FIRST}",
                )
        return {one: str(record[one]) for one in INSTANCES.get(purpose, ())}

    def record(self, name: str) -> dict[str, Any]:
        """A record of root's; empty without one."""
        return read_json(path("services", self.spec.name, self.context.at.root) / f"{name}.json")

    def inputs(self) -> dict[str, Any]:
        """What defines the release, readable; empty for an app without any."""
        found: dict[str, Any] = {}
        if self.spec.database:
            self.kind()
        if record := self.database():
            pooler = record.get("pooler")
            found["database"] = {
                "provider": record["provider"],
                "name": record["name"],
                "server": ":".join(str(record[key]) for key in ("socket", "port") if record.get(key)),
                "connections": f"through the pooler {pooler['socket']}:{pooler['port']}" if pooler else "direct",
            }
        if sockets := self.redis():
            found["redis"] = {"purpose": self.spec.redis["purpose"], **sockets}
        return found

    # --- what the app gets ----------------------------------------

    def variables(self, venv: Path, direct: bool = False) -> dict[str, str]:
        """The variables of the app's processes.

        :param venv: the environment of the release.
        :param direct: past the pooler.
        """
        return {**self.database_variables(venv, direct), **self.redis_variables()}

    def database_variables(self, venv: Path, direct: bool = True) -> dict[str, str]:
        """Where the database is; none for an app without one."""
        if not self.spec.database:
            return {}
        packages = installed_versions(venv)
        record = self.database()
        pooler = (record.get("pooler") or {}) if record else {}
        url = self.spec.database.get("url", "")
        kind = self.kind()
        # The same driver either way: an app may import it by name.
        driver = database_url.installed(kind, packages, bool(pooler.get(PREPARED, True)))
        if url:
            found = database_url.managed(url, self.password(), driver, packages)
        else:
            pooled = not direct and not self.fails_through(pooler, driver)
            found = database_url.local(record, self.spec.name, driver, packages, pooled)
        names = ("DATABASE_URL", *(("SQLALCHEMY_DATABASE_URI",) if database_url.sqlalchemy(packages) else ()))
        return dict.fromkeys(names, found)

    def redis_variables(self) -> dict[str, str]:
        """Where Redis is, as redis-py and Celery spell it; none for an app without one."""
        sockets = self.redis()
        found = {}
        if queue := sockets.get("queue"):
            found = {"REDIS_URL": f"unix://{queue}", "CELERY_BROKER_URL": f"redis+socket://{queue}"}
        if cache := sockets.get("cache"):
            found = {"REDIS_URL": f"unix://{cache}", **found, "CACHE_REDIS_URL": f"unix://{cache}"}
        return found

    def kind(self) -> str:
        """The kind of server that the database is on."""
        wanted = self.spec.database.get("url") or self.spec.database.get("provider", "")
        if found := database_url.kind_of(wanted):
            return found
        known = ", ".join(database_url.KINDS)
        raise ReleaseError(
            "services", f"database of {self.spec.name} names no server that is known; these are: {known}"
        )

    def password(self) -> str:
        """The password of a database elsewhere; "" where there is none."""
        return self.context.secrets.get("DATABASE_PASSWORD", "") if self.spec.database.get("url") else ""

    def hidden(self) -> set[str]:
        """What no message may show: the password as addresses have it."""
        return database_url.spellings(self.password())

    def described(self, venv: Path) -> str:
        """How the app reaches its database, and whether SQLAlchemy does that for it; "" for an app without one."""
        if not self.spec.database:
            return ""
        packages = installed_versions(venv)
        if url := self.spec.database.get("url", ""):
            found = f"{database_url.host(url)}, direct"
        else:
            record = self.database()
            pooler = record.get("pooler") or {}
            driver = database_url.installed("postgresql", packages, bool(pooler.get(PREPARED, True)))
            reason = f" ({pooler['reason']})" if pooler.get("reason") else ""
            way = f"through the pooler{reason}" if pooler else "direct"
            found = f"{record['provider']}, {'past the pooler' if self.fails_through(pooler, driver) else way}"
        return f"{found}, by SQLAlchemy" if database_url.sqlalchemy(packages) else found

    # --- what is wrong with it ----------------------------------------

    def check(self, venv: Path) -> None:
        """Refuse an environment that cannot reach the database; warn of one that may not.

        :raises ReleaseError: naming what to add to the app's requirements.
        """
        if not self.spec.database:
            return
        packages = installed_versions(venv)
        url = self.spec.database.get("url", "")
        kind = self.kind()
        pooler = (self.database().get("pooler") or {}) if not url else {}
        prepares = bool(pooler.get(PREPARED, True))
        driver = database_url.installed(kind, packages, prepares)
        if not driver:
            self.lacks_driver(kind, packages, prepares)
        elif self.fails_through(pooler, driver):
            self.refuse_pooler(bool(pooler.get("automatic")))
        elif url and not driver.verified and not database_url.verifies_itself(kind, database_url.query_of(url)):
            wanted = database_url.wanted_driver(kind, packages)
            raise ReleaseError(
                "install",
                f"database.url: the driver {driver.name} cannot be told by an address to check the server's "
                f"certificate: have the app install {wanted} instead",
            )

    def fails_through(self, pooler: Mapping[str, Any], driver: database_url.Driver | None) -> bool:
        """Whether requests would fail now and then, because the driver prepares statements and the pooler cannot."""
        prepares = driver is not None and driver.name == "psycopg"
        return bool(pooler) and not pooler.get(PREPARED, True) and prepares and PREPARED not in self.context.skip_checks

    def refuse_pooler(self, automatic: bool) -> None:
        """Refuse psycopg 3 with a pooler that does not know prepared statements.

        :param automatic: the pooler was not asked for: then the app goes without it, and a warning says so.
        """
        why = "psycopg 3 prepares statements, which the pooler of this host does not know"
        ways = (
            "have the app install psycopg2-binary, which is taken then; or connect with prepare_threshold=None (in "
            'SQLAlchemy, connect_args={"prepare_threshold": None}), and say so by '
            f"`skip_checks: [{PREPARED}]`"
        )
        without = "go without the pooler, `database: {pool: false}`"
        if not automatic:
            raise ReleaseError(
                "install", f"{why}, so requests would fail now and then. Three ways out: {ways}; or {without}"
            )
        self.context.warnings.append(
            f"database: the app connects directly, past the pooler that the number of connections asks for: {why}. "
            f"To use it, {ways}. To leave it so, {without}"
        )

    def lacks_driver(self, kind: str, packages: Mapping[str, str], prepares: bool) -> None:
        """Refuse an app that needs a driver and has none; warn where that cannot be known."""
        wanted = database_url.wanted_driver(kind, packages, prepares)
        ours = f"`requirements: ['{wanted}']` to flask_apps.{self.spec.name}"
        remedy = f"add {wanted} to what the app requires, or {ours}"
        if version := packages.get("sqlalchemy"):
            raise ReleaseError(
                "install",
                f"SQLAlchemy {line(version)} is installed, and no driver for {SERVERS[kind]} that it knows: {remedy}",
            )
        self.context.warnings.append(
            f"database: no driver for {SERVERS[kind]} is installed in the app's environment: {remedy}"
        )


def installed_packages(venv: Path) -> list[str]:
    """The packages in an environment, as ``flask==3.1.2``, but for pip.

    By the names of their directories: importlib.metadata would open by path, as root, files that a build has written.
    """
    packages: list[str] = []
    for python in trees.names(venv, "lib"):
        for name in trees.names(venv, f"lib/{python}/site-packages"):
            stem, _dot, kind = name.rpartition(".")
            if kind == "dist-info" and not stem.startswith("pip-"):
                packages.append(line(stem.replace("-", "==", 1)))
    return sorted(packages)


def installed_versions(venv: Path) -> dict[str, str]:
    """The version of each package in an environment, by its normalized name."""
    pairs = (package.partition("==") for package in installed_packages(venv.resolve()))
    return {database_url.normalized(name): version for name, _equal, version in pairs}
