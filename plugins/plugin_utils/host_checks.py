# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the apps from running on a host, as far as its facts and the files of the controller tell."""

from __future__ import annotations

import difflib
import posixpath
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import OWN_ACCOUNTS, refusal
from ansible_collections.groundwork.flask.plugins.module_utils.release import subdirectory
from ansible_collections.groundwork.flask.plugins.plugin_utils import redis_instances, setting_files, source
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App
from ansible_collections.groundwork.flask.plugins.plugin_utils.source_options import URL

# Servers that have the place on a host that MariaDB takes.
OTHER_MYSQL = re.compile(r"(mysql|mysql-community|percona-server|percona-xtradb-cluster)-server(-core)?(-\d[\d.]*)?")
SUPPORTED = {"Debian": ("12", "13"), "Ubuntu": ("24.04", "26.04")}


def host_problems(apps: Sequence[App], distribution: str, version: str, python: str) -> Problems:
    """What keeps these apps from running on this host.

    :param distribution: as Ansible's fact, for example ``Debian``.
    :param version: its version; for Debian the major one counts.
    :param python: version of the distribution's Python, for example ``3.11.2``.
    """
    release = version.split(".")[0] if distribution == "Debian" else version
    problems = []
    if release not in SUPPORTED.get(distribution, ()):
        problems.append(
            f"the host runs {distribution} {version}, which is not supported: "
            "use Debian 12 or 13, or Ubuntu 24.04 or 26.04"
        )
    for app in apps:
        problems += [*source_problems(app, python), *setting_files.missing(app.name, app.settings)]
    return problems


def name_problems(apps: Sequence[App], taken: Mapping[str, Sequence[str]]) -> Problems:
    """Apps with a name that something else on the host has.

    :param taken: what has it, by name, as the module ``host_facts`` found it.
    """
    return [refusal(f"flask_apps.{app.name}", taken[app.name]) for app in apps if taken.get(app.name)]


def account_problems(taken: Mapping[str, Sequence[str]]) -> Problems:
    """Accounts of persons that have the name of one that the roles make for themselves.

    :param taken: as for :func:`name_problems`.
    """
    names = [on_host(name) for name in OWN_ACCOUNTS]
    return [
        f"{', '.join(taken[name])} is somebody's own, and the roles make an account of that name for themselves: "
        "rename or remove it, and run again"
        for name in names
        if taken.get(name)
    ]


def service_problems(apps: Sequence[App], foreign: Mapping[str, Mapping[str, Sequence[str]]]) -> Problems:
    """Apps whose Redis or pooler would take the place of something else on the host.

    :param foreign: what is there, by the app and the service, as the module ``host_facts`` found it.
    """
    problems = []
    for app in apps:
        redis = [redis_instances.NAMES[one] for one in redis_instances.purposes(app.redis.purpose)]
        has_pooler = app.database.provider == "postgresql" and app.database.pool is not False
        wanted = {**dict.fromkeys(redis, "redis"), **({"pooler": "database.pool"} if has_pooler else {})}
        problems += [
            refusal(f"flask_apps.{app.name}.{option}", foreign[app.name][service])
            for service, option in wanted.items()
            if foreign.get(app.name, {}).get(service)
        ]
    return problems


def schedule_problems(apps: Sequence[App], refused: Mapping[str, str]) -> Problems:
    """Jobs with a schedule that the host's systemd does not take.

    :param refused: what is wrong with each, as the module ``host_facts`` found it.
    """
    return [
        f"flask_apps.{app.name}.jobs.{name}.schedule: {job['schedule']!r} {refused[job['schedule']]}"
        for app in apps
        for name, job in app.jobs.items()
        if job["schedule"] in refused
    ]


def reader_problems(apps: Sequence[App], missing: Iterable[str]) -> Problems:
    """Readers of an app's journal who have no account.

    :param missing: the names without an account on the host, as the module ``host_facts`` found them, but for those
        that this run is about to make.
    """
    without = set(missing)
    return [
        f"flask_apps.{app.name}.logs.readers: {name!r} has no account on this host: create it, as by `host_admins`, or "
        "take the name out"
        for app in apps
        for name in app.logs.readers
        if name in without
    ]


def package_problems(apps: Sequence[App], installed: Iterable[str]) -> Problems:
    """Apps whose packages would take the place of others that the host has.

    :param installed: the names of the packages of the host.
    """
    others = sorted(name for name in installed if OTHER_MYSQL.fullmatch(name))
    return [
        f"flask_apps.{app.name}.database.provider: mariadb cannot be installed beside {', '.join(others)}, which apt "
        "would remove with all that it serves: take postgresql, or a database elsewhere by `url`"
        for app in apps
        if others and app.database.provider == "mariadb" and not app.database.url
    ]


def source_problems(app: App, python: str) -> Problems:
    """What is wrong with an app's source and wheels as far as the controller has them."""
    problems = []
    if app.source.directory:
        problems += directory_problems(app, python)
    elif app.source.archive and not URL.match(app.source.archive):
        problems += archive_problems(app)
    if app.wheels:
        try:
            source.Source.wheels(app.wheels)
        except source.SourceError as error:
            problems.append(f"flask_apps.{app.name}.wheels: {error}")
    return problems


def archive_problems(app: App) -> Problems:
    """What is wrong with an archive on the controller."""
    where = f"flask_apps.{app.name}.source.archive"
    try:
        names = source.archive_names(app.source.archive)
    except source.SourceError as error:
        return [f"{where}: {error}"]
    return place_problems(app, where, app.source.archive, names)


def place_problems(app: App, where: str, path: str, names: Iterable[str]) -> Problems:
    """The directory with the app is in the source, and says what it needs.

    :param path: of the source, as the user wrote it.
    :param names: of its files, as paths relative to its top; deeper ones than the app's may lack.
    """
    below = app.source.subdirectory
    files, directories = set(names), {str(parent) for name in names for parent in PurePosixPath(name).parents}
    directories.discard(".")
    if below and below not in directories:
        remedy = subdirectory.near(below, directories)
        return [f"flask_apps.{app.name}.source.subdirectory: {below!r} is not a directory in {path!r}; {remedy}"]
    if any(posixpath.join(below, name) in files for name in subdirectory.PROJECT_FILES):
        return []
    inside = {
        directory
        for directory in directories
        if posixpath.dirname(directory) == below
        and {f"{directory}/{one}" for one in subdirectory.PROJECT_FILES} & files
    }
    place = f"{path!r}, below {below}," if below else repr(path)
    return [
        f"{where}: {place} has neither requirements.txt nor pyproject.toml: add one that names Flask"
        + subdirectory.suggestion(inside)
    ]


def directory_problems(app: App, python: str) -> Problems:
    """What is wrong with a source directory."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # ansible-core brings it

    where = f"flask_apps.{app.name}.source.directory"
    try:
        top = source.existing_directory(app.source.directory)
        names = source.Source.read(app.source.directory).files
    except (source.SourceError, OSError) as error:
        return [f"{where}: {error}"]
    if problems := place_problems(app, where, app.source.directory, names):
        return problems
    directory = top / app.source.subdirectory
    problems = static_problems(app, top, names)
    pyproject = directory / "pyproject.toml"
    try:
        tables = tomllib.loads(pyproject.read_text()) if pyproject.is_file() else {}
        project = tables.get("project", {})
        required = project.get("requires-python", "")
        fits = SpecifierSet(required).contains(app.python or python, prereleases=True)
    except (tomllib.TOMLDecodeError, InvalidSpecifier) as error:
        return [*problems, f"{where}: {pyproject} cannot be read ({error}): correct it"]
    if not fits:
        problems.append(
            f"flask_apps.{app.name}.python: {app.python or python!r} does not fit the app's requires-python "
            f"{required!r}: name a Python that does, or change the app"
        )
    return problems + extras_problems(app, project, tables)


def static_problems(app: App, top: Path, names: Iterable[str]) -> Problems:
    """Directories to publish that are not sent; a build command may make them.

    :param top: the directory that is the source.
    :param names: the files that are sent of it.
    """
    if app.build_command or not app.proxy.static:
        return []
    problems, files = [], {(top / name).resolve() for name in names}
    for url, path in app.proxy.static.items():
        directory = (top / app.source.subdirectory / path).resolve()
        if any(directory in file.parents for file in files):
            continue
        what = (
            "is not sent, as git ignores it or it is empty: commit it, or let `build_command` make it"
            if directory.is_dir()
            else f"is not a directory in {app.source.directory}: correct it, or let `build_command` make it"
        )
        problems.append(f"flask_apps.{app.name}.proxy.static.{url}: {path!r} {what}")
    return problems


def extras_problems(app: App, project: Mapping[str, Any], tables: Mapping[str, Any]) -> Problems:
    """Extras that pyproject.toml does not define; ``project`` is its table of that name, ``tables`` are all."""

    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    if "optional-dependencies" in project.get("dynamic", []):  # only a build would tell them
        return []
    of_poetry = tables.get("tool", {}).get("poetry", {}).get("extras", {})
    known = {normal(name): name for name in (*project.get("optional-dependencies", {}), *of_poetry)}
    problems = []
    for extra in app.extras:
        if normal(extra) not in known:
            near = difflib.get_close_matches(normal(extra), known, n=1)
            others = f"known are {', '.join(known.values())}" if known else "define it there"
            hint = f"did you mean {known[near[0]]}?" if near else others
            problems.append(
                f"flask_apps.{app.name}.extras: {extra!r} is not among the optional-dependencies of "
                f"{app.source.directory}/pyproject.toml: {hint}"
            )
    return problems
