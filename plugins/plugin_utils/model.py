# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: what a user writes in ``flask_apps``, checked once, with every default filled in and every name derived.

Pure Python without Ansible. :func:`load` turns the three maps of the inventory into ``schema.App`` records or raises
:class:`ModelError`, which lists every problem with its app, field, value and remedy. ``role_inputs`` turns the records
into the plain data that each role takes.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import options
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    alert_options,
    certificate_rules,
    error_tracking,
    log_options,
    outgoing_options,
    reserved,
    schema,
    sections,
    servers,
    service_options,
    setting_options,
    sites,
    source,
    source_options,
)
from ansible_collections.groundwork.flask.plugins.plugin_utils.managed_database import database_problems
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader, plain
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App


class ModelError(ValueError):
    """What a user wrote cannot be used; ``problems`` has one sentence for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def load(apps: Any, secrets: Any = None, deploy_keys: Any = None) -> tuple[App, ...]:
    """Read ``flask_apps``, ``flask_app_secrets`` and ``flask_deploy_keys``.

    :raises ModelError: with every problem found, not only the first.
    """
    problems: Problems = []
    apps, secrets, deploy_keys = plain(apps or {}), plain(secrets or {}), plain(deploy_keys or {})
    if not isinstance(apps, Mapping):
        raise ModelError([f"flask_apps: {apps!r} is not a map: write each app as `name:` with its options below it"])
    records = [read_app(name, given, problems) for name, given in apps.items()]
    check_secrets(apps, secrets, records, problems)
    check_deploy_keys(apps, deploy_keys, records, problems)
    sharing = [(record.name, record.domains, record.proxy.site.prefix) for record in records]
    problems += sites.domain_problems(sharing, "flask_apps.{}.domains", "proxy.prefix")
    for record in records:
        problems += server_problems(record) + replaces_problems(record, list(apps))
        problems += log_options.problems(record.name, record.logs, list(apps))
    if problems:
        raise ModelError(problems)
    owner = sites.owners(sharing)
    return tuple(replace(record, proxy=replace(record.proxy, owner=owner[record.name])) for record in records)


# The options with rules of their own; all others are read by what their records say.
READERS: Mapping[str, Callable[[Reader], Any]] = {
    "source": sections.read_source,
    "wsgi_app": sections.read_wsgi_app,
    "domains": sections.read_domains,
    "environment": sections.read_environment,
    "settings": setting_options.read,
    "certificate": sections.read_certificate,
    "logs": lambda read: sections.read_section(read, "logs", log_options.Logs)[1],
    "alerts": lambda read: sections.read_section(read, "alerts", alert_options.Alerts)[1],
    "backup": lambda read: sections.read_section(read, "backup", schema.Backup)[1],
    "sandbox": sections.read_sandbox,
    "outgoing": outgoing_options.read,
    "processes": service_options.read_processes,
    "jobs": service_options.read_jobs,
    "database": lambda read: sections.read_section(read, "database", service_options.Database)[1],
    "redis": lambda read: sections.read_section(read, "redis", service_options.Redis)[1],
}


def read_app(name: str, given: Any, problems: Problems) -> App:
    """One app of ``flask_apps``; what is wrong with it goes into ``problems``."""
    known = options(App)
    read = Reader(f"flask_apps.{name}", given, problems, known, schema.MISPLACED)
    if not re.fullmatch(schema.APP_NAME, name):
        read.problem("", name, "cannot be an app's name: use at most 30 of a-z, 0-9, - and _, beginning with a letter")
    elif what := reserved.taken(name):
        read.problem("", name, f"is the name of {what}: call the app {name}-app or the like")
    problems += [
        f"{read.field(key)} is missing: write `{one.required}`"
        for key, one in known.items()
        if one.required and not read.given.get(key)
    ]
    server, server_options = sections.read_server(read)
    values = {
        key: READERS[key](read) if key in READERS else read.value(key, one)
        for key, one in known.items()
        if key not in ("server", "proxy")
    }
    timeout = servers.seconds(server, server_options)[0] + 5
    proxy = sections.read_proxy(read, timeout, values["health_path"])
    app = App(name=name, server=server, server_options=server_options, proxy=proxy, **values)
    check_together(read, app)
    return app


def check_together(read: Reader, app: App) -> None:
    """Options that do not go with each other."""
    if app.extras and (pinned := source_options.PINNED.fullmatch(app.source.package)):
        package = pinned["name"].partition("[")[0]
        read.problem(
            "extras",
            list(app.extras),
            "belongs into the package's brackets: write "
            f"`package: {package}[{','.join(app.extras)}]=={pinned['version']}`",
        )
    if app.build_command and app.source.package:
        read.problem(
            "build_command",
            app.build_command,
            "has no code to run in, for the source is a package: have its wheel built with what it makes, or take its "
            "code from `git`",
        )
    read.problems += taken_variables(app, read.field("environment"), app.environment)
    given = read.given.get("database")
    read.problems += database_problems(app.name, app.database, given if isinstance(given, Mapping) else {})
    if app.database.url and "DATABASE_PASSWORD" in app.environment:
        read.problems.append(
            f"{read.field('environment')}.DATABASE_PASSWORD cannot be set here: it is a secret, so put it into "
            f"flask_app_secrets.{app.name}"
        )
    if app.redis.maxmemory != service_options.Redis.maxmemory and not app.redis.purpose:
        read.problems.append(
            f"{read.field('redis')}.maxmemory needs `purpose`: write `purpose: queue`, or cache, or both"
        )
    read.problems += service_options.same_names(read.where, app.processes, app.jobs)
    wanted = app.certificate
    for domain, sentence in certificate_rules.name_problems(
        app.domains, wanted.provider, wanted.challenge, wanted.profile, "certificate: {{{}}}"
    ):
        read.problem("domains", domain, sentence)


def taken_variables(app: App, where: str, variables: Iterable[str]) -> Problems:
    """Variables of an app that follow from its database and its Redis."""
    taken = reserved.service_variables(bool(app.database.provider or app.database.url), app.redis.purpose)
    return [f"{where}.{name} cannot be set here: {taken[name]}" for name in variables if name in taken]


def replaces_problems(app: App, known: Sequence[str]) -> Problems:
    """Apps of one ``flask_apps`` exchange domains as they are written there, and none replaces another."""
    return [
        f"flask_apps.{app.name}.replaces: {name!r} is in flask_apps itself: take it out there if {app.name} has come "
        "in its place; a domain moves from one app of flask_apps to another when you move it there"
        for name in app.replaced
        if name in known
    ]


def server_problems(app: App) -> Problems:
    """Options that the server cannot have with what the app requires, as far as the controller can see that."""
    requirements = itertools.chain(app.requirements, listed_requirements(app))
    refusal = servers.SERVERS[app.server].refusal(app.server_options, requirements)
    if not refusal:
        return []
    field, sentence = refusal
    return [f"flask_apps.{app.name}.server.{field}: {app.server_options[field]!r} {sentence}"]


def listed_requirements(app: App) -> Iterator[str]:
    """What a source directory asks for by itself, read when it is wanted; nothing where it cannot be read."""
    if not app.source.directory:
        return
    with contextlib.suppress(OSError, ValueError, source.SourceError):
        directory = source.existing_directory(app.source.directory)
        if (listed := directory / "requirements.txt").is_file():
            yield from listed.read_text(errors="replace").splitlines()
        project = tomllib.loads((directory / "pyproject.toml").read_text()).get("project", {})
        yield from map(str, project.get("dependencies", []))


def check_secrets(apps: Mapping[str, Any], secrets: Any, records: Sequence[App], problems: Problems) -> None:
    """Secrets belong to apps that exist, do not repeat the environment, and are text. No value is ever shown."""
    read = read_confidential("flask_app_secrets", secrets, apps, problems)
    domains = {domain for record in records for domain in record.domains}
    for record in records:
        in_sight = f"flask_apps.{record.name}.environment"
        problems += error_tracking.variable_problems(record, in_sight, record.environment, domains)
        given = read.given.get(record.name)
        where = f"flask_app_secrets.{record.name}"
        if given is not None and not isinstance(given, Mapping):
            problems.append(f"{where} is not a map: write `{record.name}: {{NAME: value}}`")
            continue
        variables = sections.check_variables(Reader(where, given, problems, given or ()), allowed=("SECRET_KEY",))
        problems += taken_variables(record, where, variables)
        problems += error_tracking.variable_problems(record, where, variables, domains)
        for key in sorted(variables.keys() & record.environment.keys()):
            problems.append(f"{where}.{key} stands in flask_apps.{record.name}.environment too: keep the one here")


def check_deploy_keys(apps: Mapping[str, Any], keys: Any, records: Sequence[App], problems: Problems) -> None:
    """Deploy keys belong to apps that exist and may fetch by SSH, and are private keys. No value is ever shown."""
    read = read_confidential("flask_deploy_keys", keys, apps, problems)
    for record in records:
        key = read.given.get(record.name)
        if key is None:
            continue
        if not isinstance(key, str) or not key.startswith("-----BEGIN"):
            problems.append(
                f"{read.field(record.name)} is not a private key: give the whole text of the key's file, "
                "which begins with -----BEGIN"
            )
        if record.source.package:
            problems.append(
                f"{read.field(record.name)} has no use: flask_apps.{record.name}.source is a package of the index, for "
                "which nothing is fetched by SSH: remove the key"
            )


def read_confidential(where: str, given: Any, apps: Mapping[str, Any], problems: Problems) -> Reader:
    """A map by app whose values are never shown."""
    if not isinstance(given, Mapping):
        problems.append(f"{where} is not a map: write each app as `name:` with what belongs to it below")
        given = {}
    return Reader(where, given, problems, apps)


# --- which apps, and which version of one ----------------------------------------


def chosen(apps: Sequence[App], only: Any = "", version: Any = "") -> tuple[App, ...]:
    """Some of the apps, in their order.

    :param only: names as a list or separated by commas; nothing means all.
    :param version: a version to take in place of the one that the only chosen app's source names.
    :raises ModelError: for a name that is no app's, and a version that cannot be taken.
    """
    names = [name.strip() for name in only.split(",")] if isinstance(only, str) else [str(name) for name in only or []]
    names = [name for name in names if name]
    known = [app.name for app in apps]
    if unknown := [name for name in names if name not in known]:
        raise ModelError(
            [f"app: {name!r} is not in flask_apps: known are {', '.join(known) or 'none'}" for name in unknown]
        )
    some = tuple(app for app in apps if not names or app.name in names)
    return some if version is None or version == "" else (at_version(some, version),)


def at_version(apps: Sequence[App], version: Any) -> App:
    """The one app with another version of its source."""

    def refused(sentence: str) -> ModelError:
        return ModelError([f"version: {version!r} {sentence}"])

    if not isinstance(version, str):
        raise refused("is not a text: write it exactly and in quotes, as YAML takes 1.10 for the number 1.1")
    if len(apps) != 1:
        names = ", ".join(app.name for app in apps) or "none"
        raise refused(f"fits one app only, and {len(apps)} are chosen ({names}): name one, as in -e app=NAME")
    (app,) = apps
    code, where = app.source, f"flask_apps.{app.name}.source"
    if code.git:
        if not source_options.VERSION.fullmatch(version):
            raise refused("is not a branch, tag or commit: write it exactly, as v1.2")
        return replace(app, source=replace(code, version=version))
    if pinned := source_options.PINNED.fullmatch(code.package):
        package = f"{pinned['name']}=={version}"
        if not source_options.PINNED.fullmatch(package):
            raise refused("is not the version of a package: write it exactly, as 1.5")
        return replace(app, source=replace(code, package=package))
    if code.directory:
        raise refused(
            f"does not fit {where}.directory, which is taken as it is: check it out there, and name none here"
        )
    raise refused(f"does not fit {where}.archive, which is taken as it is: change archive and checksum instead")
