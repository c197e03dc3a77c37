# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release is made of: a record for each option, of which the controller, the module and the engine know it.

The records of the options that an app in ``flask_apps`` hands to the engine as they are stand here, where the module
can import them; the controller's ``plugin_utils/schema.py`` adds those that it works into something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.options import option, options

# Of a Python package, and of an extra.
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
# A directory below another: nothing that leads out of it, or that systemd or a shell reads as something else.
DIRECTORY_BELOW = r"(?!-)(?!\.{1,2}(?:/|$))[\w.+@ -]+(?:/(?!\.{1,2}(?:/|$))[\w.+@ -]+)*/?"
# What came after others: an app that uses none of it keeps the id of its release when the collection is updated.
LATER = ("processes", "jobs", "database", "redis")
# What a release proves before it goes live, beyond its import and its health path; each may be switched off by name.
CHECKS = {
    "debug": "the app does not run in debug mode",
    "environment": "no variable names another one, such as `$HOME`, which nothing replaces",
    "secret_key": "SECRET_KEY is long, random, no known sample value, and the same in each process",
    "session_cookie": "the session cookie is sent over HTTPS only",
    "upload_limit": "the app takes no larger uploads than the proxy lets through",
    "https": "the app knows that its visitors come over HTTPS",
    "health_path": "the health path is not answered with a client error, such as 404",
    "not_found": "a page that does not exist is answered with 404, without a traceback",
    "server_error": "an error is answered with 500, without a traceback",
    "fallbacks": "Flask is not 3.1.0 while there are SECRET_KEY_FALLBACKS (CVE-2025-47278)",
    "prepared_statements": "psycopg 3 prepares no statements behind a pooler that does not know them",
    "git_lfs": "no file of the source is a pointer of Git LFS, without its content",
    "stable": "the app still runs a moment after it has answered",
}


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions:
    """Options of an app that the engine takes as they stand in ``flask_apps``."""

    python: str = option(
        "",
        pattern=r"3\.\d{1,2}",
        remedy='is not a Python version: write it as "3.12", in quotes',
        doc="Version of Python, which is on the host or which uv can bring; by default the distribution's.",
        example="3.13",
        roles=("release",),
        defines=True,
    )
    extras: Sequence[str] = option(
        (),
        pattern=NAME,
        remedy="an extra is written in letters, digits, ., - and _",
        doc="Optional dependency groups of the app's `pyproject.toml`.",
        example=["postgres"],
        roles=("release",),
        defines=True,
    )
    build_command: str = option(
        "",
        doc="Shell command that makes what the source has not, such as the files of a front end, for `proxy.static` or "
        "for the app. It runs in the code directory after the packages are installed, as a part of the build: with the "
        "network and the programs of the app's environment, without its variables, secrets and data, for half an hour "
        "at most. What it needs of apt stands in `packages`.",
        example="npm ci && npm run build",
        roles=("release",),
        defines=True,
    )
    working_directory: str = option(
        "",
        pattern=DIRECTORY_BELOW,
        remedy="is not a directory below the code's: write it as app or src/shop",
        doc="Directory in which the app and all that acts for it run, relative to the code's, which is the default.",
        example="app",
        roles=("release",),
        defines=True,
    )
    python_path: Sequence[str] = option(
        (),
        pattern=rf"\.|{DIRECTORY_BELOW}",
        remedy="is not a directory below the code's: write it as src or lib/shop",
        doc="Directories to import the app's modules from, relative to the code's, in this order; then come the "
        "working directory and the code's own, unless they are named here (the latter as `.`).",
        example=["src"],
        roles=("release",),
        defines=True,
    )
    setup_command: str = option(
        "",
        doc="Shell command to run once in an app's life on a host, before its code is imported for the first time, "
        "such as one that makes the first tables or the first user. One that fails is run again at the next deploy, "
        "one that is changed later is not. It does not run over data that are there already, as after a restore.",
        example="flask create-admin",
        roles=("release",),
    )
    release_command: str = option(
        "",
        doc="Shell command to run in the new release before it goes live, once for each release.",
        example="flask db upgrade",
        roles=("release",),
        defines=True,
    )
    release_command_timeout: int = option(
        1800,
        at_least=1,
        at_most=86400,
        doc="Seconds after which the release command, or the setup command, is ended and the release refused.",
        example=600,
        roles=("release",),
    )
    deploy: str = option(
        "beside",
        choices={
            "beside": "the new release starts beside the old one, which serves until the switch",
            "exclusive": "the old release is stopped before the new one is imported and started, and visitors wait; "
            "for apps with state in memory, a lock, or a database that one process alone may open",
        },
        doc="How a release takes the place of the one before: `beside`, or `exclusive` for an app of which two "
        "releases may not run at once; visitors then wait up to 30 s, and get 503 with `Retry-After` after that.",
        example="exclusive",
        roles=("release",),
        defines=True,
    )
    watch: int = option(
        120,
        at_least=0,
        at_most=86400,
        doc="Seconds for which a release is watched on the host after it has gone live. One whose processes end and "
        "are restarted three times, that is down, or that answers many more requests with 5xx than the one before, is "
        "rolled back and marked as bad; where its release command has run, that is reported and not done. 0 for no "
        "watch.",
        example=600,
        roles=("release",),
    )
    skip_checks: Sequence[str] = option(
        (),
        choices=CHECKS,
        remedy="is not a check",
        doc="Checks of a release to leave out, by the names that their messages give.",
        example=["session_cookie"],
        roles=("release",),
    )


@dataclass(frozen=True, kw_only=True)
class ControllerOptions:
    """Options of an app that the action plugin uses on the controller: the module takes them, the engine does not."""

    wheels: str = option(
        "",
        doc="Directory on the controller with wheels; the host then installs from these alone, without an index.",
        example="../wheels",
        roles=("release",),
        defines=True,
    )
    release_command_hosts: str = option(
        "",
        choices={"first": "the first host of the play alone", "each": "every host"},
        doc="Which hosts run the release command and the setup command: `first`, the first of the play alone, which is "
        "to be deployed before the others, or `each`; by default `first` if a variable of the app is the URL of a "
        "database on another machine, else `each`.",
        example="each",
        roles=("release",),
    )


@dataclass(frozen=True)
class Spec(ReleaseOptions):
    """A release as the engine builds and checks it, and what the module ``release`` takes for an app."""

    name: str = option("", required="name: shop", doc="Name of the app.")
    source: Mapping[str, str] = option(
        {},
        required="source: {git: URL, version: v1.2}",
        doc="Where the code comes from, one of four kinds: `git`, the address of a repository that the host can read, "
        "with `version`, a branch, tag or commit (submodules come along); `directory` on the controller, of which is "
        "sent what git tracks or does not ignore; `archive`, a tar or zip archive on the controller, or an address "
        "that the host downloads from, with `checksum` as `sha256:…`, which an address needs (a single directory "
        "around everything is taken away); `package`, a requirement pinned with `==`, from the index. All but "
        "a package take `subdirectory`, the directory in it that has the app.",
        defines=True,
    )
    environment: Mapping[str, str] = option({}, doc="Environment variables of the app.", defines=True)
    settings: Mapping[str, str] = option(
        {},
        doc="Files to put beside the code, by their path below its directory, each a map with one of `template` and "
        "`file`, paths on the controller, or `content`, a text; `mode` (`0640`), and `replace`, whether it takes the "
        "place of a file of the source.",
        defines=True,
    )
    processes: Mapping[str, Mapping[str, Any]] = option(
        {},
        doc="Processes beside the WSGI server, by name, each a map with `command`, `count`, `kind` and `stop_timeout`.",
        defines=True,
    )
    jobs: Mapping[str, Mapping[str, Any]] = option(
        {},
        doc="Commands that run on a schedule, by name, each a map with `command`, `schedule`, `timeout`, `on` and "
        "`pool`.",
        defines=True,
    )
    run_jobs: bool = option(
        True, doc="Whether this host runs the jobs of which one host runs each; set by the action plugin."
    )
    database: Mapping[str, str] = option(
        {},
        doc="The app's database, a map with `provider` for one that the role `database` has made on this host, or "
        "`url` for one elsewhere.",
        defines=True,
    )
    redis: Mapping[str, str] = option(
        {},
        doc="The app's Redis, which the role `redis` has set up, a map with `purpose`.",
        defines=True,
    )
    files: Mapping[str, str] = option(
        {},
        doc="Files to put into the release, by path. `start` is what the unit executes, `entry/groundwork_wsgi.py` is "
        "imported as a check.",
        defines=True,
    )
    requirements: Sequence[str] = option(
        (), doc="What is installed beside what the app asks for, such as the WSGI server.", defines=True
    )
    static: Mapping[str, str] = option(
        {},
        doc="Directories of the source to publish below `public/`, by URL prefix. Files with a hash in their name stay "
        "reachable for as long as their release is kept.",
        defines=True,
    )
    run_release_command: bool = option(
        True, doc="Whether this host runs the release command; set by the action plugin."
    )
    save_commands: Sequence[str] = option(
        (),
        doc="Shell commands that save databases before the release command, run as the app in its sandbox; one that "
        "fails stops the deploy. SQLite databases in the data directory are saved without.",
    )
    health: Mapping[str, Any] = option(
        {},
        doc="How to ask whether a release is healthy: `path` (`/`), `host` for the Host header, and `timeout` in "
        "seconds (60). Any status below 500 is healthy.",
    )
    body_limit: int = option(
        0,
        doc="The largest request body that the proxy lets through, in bytes; 0 for any. The app's own limit is "
        "compared with it.",
    )
    unit: Mapping[str, Any] = option(
        {}, doc="Anything else whose change shall make a new release, such as the unit's sandbox.", defines=True
    )
    archive: str = option("", doc="The packed source on the host; set by the action plugin.")
    wheels_tree: str = option("", doc="A hash of the wheels; set by the action plugin.")
    wheels_archive: str = option("", doc="The packed wheels on the host; set by the action plugin.")

    def definition(self) -> dict[str, Any]:
        """The options that define the release, as JSON has them. The engine puts what it finds out in their place."""
        found = {name: one.kind(getattr(self, name)) for name, one in options(Spec).items() if one.defines}
        return {name: value for name, value in found.items() if value or name not in LATER}
