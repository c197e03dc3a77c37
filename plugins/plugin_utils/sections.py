# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an app that are maps, or texts with rules of their own: how each is read, and what is refused."""

from __future__ import annotations

import ast
import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import options
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    certificate_rules,
    reserved,
    sandbox_options,
    schema,
    servers,
    sites,
)
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Reader
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App, Certificate, Proxy
from ansible_collections.groundwork.flask.plugins.plugin_utils.site_options import PATH, Settings
from ansible_collections.groundwork.flask.plugins.plugin_utils.source_options import SOURCES, URL, Source

Section = TypeVar("Section")

# A password in a URL, or over HTTP a user alone: that is how a token is given.
CREDENTIALS = re.compile(r"https?://[^/]*@|[a-z][a-z0-9+.-]*://[^/@]*:[^/]*@", re.IGNORECASE)
# Linux: MAX_ARG_STRLEN, 32 pages, for one variable; a quarter of the stack's limit of 8 MB for all variables and
# arguments, of which the rest is left to the server's own.
MOST_BYTES_OF_ONE = 131_072
MOST_BYTES = 1_750_000
# What a visitor has uploaded must not run as the site's own: an HTML page or an SVG image can hold scripts.
UPLOADS = {"Content-Security-Policy": "script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"}


def read_section(app: Reader, key: str, of: type[Section]) -> tuple[Reader, Section]:
    """One of an app's maps as the record of its kind, and its reader for further rules."""
    known = options(of)
    read = Reader(app.field(key), app.given.get(key), app.problems, known)
    return read, of(**read.values(known))


def read_source(app: Reader) -> Source:
    """Where the code comes from: one kind, and the keys that belong to it."""
    read, code = read_section(app, "source", Source)
    kinds = [kind for kind in SOURCES if read.given.get(kind)]
    if read.given and len(kinds) != 1:
        app.problem("source", dict(read.given), f"needs exactly one of {', '.join(SOURCES)}")
        return code
    for key, owner, hint in (
        ("version", "git", "a package has it in its requirement, a directory and an archive are taken as they are"),
        ("checksum", "archive", "leave it out"),
    ):
        if read.given.get(key) and kinds != [owner]:
            read.problem(key, read.given[key], f"belongs to {owner}: {hint}")
    if kinds == ["package"] and code.subdirectory:
        read.problem("subdirectory", code.subdirectory, "belongs to git, directory and archive: leave it out")
    check_addresses(read, code)
    return replace(code, checksum=code.checksum.lower(), subdirectory=code.subdirectory.rstrip("/"))


def check_addresses(source: Reader, code: Source) -> None:
    """Addresses hold no password, and an archive is at one that the host can read."""
    for key, address, remedy in (
        ("git", code.git, "use an SSH deploy key in flask_deploy_keys instead"),
        ("archive", code.archive, "fetch the archive yourself and give its path instead"),
    ):
        if CREDENTIALS.match(address):
            source.problem(key, address, f"has a password or a token in it: {remedy}")
    if "://" in code.archive and not URL.match(code.archive):
        source.problem("archive", code.archive, "is neither a path nor an http or https URL: give one of these")
    elif URL.match(code.archive) and not source.given.get("checksum"):
        source.problems.append(
            f'{source.field("checksum")} is missing: an archive from a URL needs `checksum: "sha256:…"`, '
            "with what sha256sum prints"
        )


def read_wsgi_app(app: Reader) -> str:
    """The callable in Gunicorn's syntax, checked by Python's own parser as Gunicorn does."""
    value = app.text("wsgi_app", options(App)["wsgi_app"])
    module, colon, expression = value.partition(":")
    sentence = "is not a WSGI callable: write module:app, or module:create_app() for a factory"
    if not value:
        return value
    if not all(part.isidentifier() for part in module.split(".")) or (colon and not expression):
        app.problem("wsgi_app", value, sentence)
        return value
    try:
        node = ast.parse(expression or "application", mode="eval").body
        call = node if isinstance(node, ast.Call) else None
        target = call.func if call else node
        if call:
            for argument in [*call.args, *(word.value for word in call.keywords)]:
                ast.literal_eval(argument)
        if not all(part.isidentifier() for part in ast.unparse(target).split(".")):
            app.problem("wsgi_app", value, sentence)
    except SyntaxError:
        app.problem("wsgi_app", value, sentence)
    except ValueError:
        app.problem("wsgi_app", value, "calls the factory with something else than literals: give plain values only")
    return value


def read_environment(app: Reader) -> dict[str, str]:
    """The app's environment variables, as text."""
    given = app.given.get("environment")
    read = Reader(app.field("environment"), given, app.problems, given if isinstance(given, Mapping) else ())
    return check_variables(read, allowed=reserved.OPEN_VARIABLES)


def check_variables(read: Reader, allowed: Iterable[str] = ()) -> dict[str, str]:
    """Environment variables as text; ``allowed`` are reserved ones that may stand here."""
    variables = {}
    for key, value in read.given.items():
        if not schema.VARIABLE.fullmatch(key):
            read.problem(key, key, "cannot be a variable's name: use letters, digits and _")
        elif key in reserved.RESERVED_VARIABLES and key not in allowed:
            read.problems.append(f"{read.field(key)} cannot be set here: {reserved.RESERVED_VARIABLES[key]}")
        elif not isinstance(value, str):
            # The value may be a secret: its type is enough to find it.
            kind = kind_of(value)
            changed, or_template = "", ""
            if kind == "a number":
                changed = ", which YAML may have changed, as it takes 1.10 for 1.1 and 0123 for 83"
                or_template = ", and end a template with `| string`"
            read.problems.append(
                f"{read.field(key)} is {kind}{changed}: environment variables are text, put it in quotes{or_template}"
            )
        elif "\0" in str(value):
            read.problems.append(f"{read.field(key)} contains a zero byte, which no environment variable can hold")
        else:
            variables[key] = str(value)
            check_size(read, key, variables[key])
    if sum(map(size_of, variables.items())) > MOST_BYTES:
        read.problems.append(
            f"{read.where} has more than {MOST_BYTES} bytes in all, which Linux hands to no process: keep the largest "
            "values in files"
        )
    return variables


def check_size(read: Reader, key: str, value: str) -> None:
    """A variable that is larger than what Linux hands to a process."""
    if size_of((key, value)) > MOST_BYTES_OF_ONE:
        read.problems.append(
            f"{read.field(key)} has {len(value.encode())} bytes, and Linux hands no process a variable of more than "
            f"{MOST_BYTES_OF_ONE - len(key) - 2}: keep it in a file and set the variable to the file's path"
        )


def size_of(variable: tuple[str, str]) -> int:
    """The bytes of a variable as a process is handed it: name, =, value, and the zero byte at its end."""
    name, value = variable
    return len(name) + len(value.encode(errors="surrogateescape")) + 2


def kind_of(value: Any) -> str:
    """The type of a value in words."""
    names: dict[type | tuple[type, ...], str] = {
        bool: "a boolean",
        (int, float): "a number",
        datetime.date: "a date",
        list: "a list",
        dict: "a map",
        type(None): "empty",
    }
    # Ansible has types of its own for what it read from a file.
    found = next((name for kind, name in names.items() if isinstance(value, kind)), "")
    return found or f"of type {type(value).__name__}"


def read_server(app: Reader) -> tuple[str, dict[str, Any]]:
    """The WSGI server and all of its options, defaults filled in."""
    given = app.given.get("server")
    provider = str(given.get("provider", servers.DEFAULT)) if isinstance(given, Mapping) else servers.DEFAULT
    server = servers.SERVERS.get(provider, servers.SERVERS[servers.DEFAULT])
    known = {**servers.COMMON, **server.options}
    hints = {
        key: f"it is an option of {other}; {provider} has {', '.join(known)}"
        for other, record in servers.SERVERS.items()
        for key in record.options
    }
    hints |= {other: f"here it is called {name}" for other, name in servers.OTHER_NAMES.items()}
    read = Reader(app.field("server"), given, app.problems, ("provider", "options", *known), hints)
    provider = read.choice("provider", servers.DEFAULT, servers.SERVERS)
    values = read.values(known)
    values["options"] = read_server_options(read, server, provider)
    return provider, values


def read_server_options(server: Reader, record: servers.Server, provider: str) -> dict[str, Any]:
    """Options that the server is handed as they are, because nothing here knows them."""
    given = server.given.get("options")
    read = Reader(server.field("options"), given, server.problems, given if isinstance(given, Mapping) else ())
    for key, value in read.given.items():
        if key in record.options or key in servers.COMMON:
            read.problems.append(f"{read.field(key)} has a place of its own: write `server: {{{key}: …}}`")
        elif key in record.fixed or key in servers.OTHER_NAMES:
            read.problems.append(f"{read.field(key)} cannot be set: how {provider} is run here depends on it")
        elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key):
            read.problem(key, key, f"cannot be an option of {provider}: write its name as {provider} has it")
        elif any(
            not isinstance(one, str | int | float) or "\n" in str(one)
            for one in (value if isinstance(value, list) else [value])
        ):
            read.problem(key, value, "is not a text, a number, true or false, or a list of these: write one of them")
    return dict(read.given)


def read_proxy(app: Reader, read_timeout: int, health_path: str) -> Proxy:
    """The proxy's options.

    Uploads run no scripts and health checks are not logged, unless the user says otherwise for their paths.

    :param read_timeout: seconds where the options say nothing of it.
    """
    read = Reader(app.field("proxy"), app.given.get("proxy"), app.problems, schema.section("proxy"))
    media = sites.read_directories(read, "media", relative=True)
    also: dict[str, dict[str, Any]] = {url.rstrip("/"): {"headers": UPLOADS} for url in media}
    health = health_path.partition("?")[0].rstrip("/")
    if health and PATH.fullmatch(health):
        also[health] = {"access_log": False, **also.get(health, {})}
    site = sites.read(read, Settings(read_timeout=read_timeout), relative=True, also=also)
    for url in sorted({*media} & {*site.static}):
        read.problem(f"media.{url}", url, "stands in static too: keep one of them")
    return Proxy(site, media)


def read_certificate(app: Reader) -> Certificate:
    """Where the certificate comes from: a provider, and the options that belong to it."""
    read, certificate = read_section(app, "certificate", Certificate)
    for key, owner in certificate_rules.PROVIDER_OF.items():
        if read.given.get(key) and certificate.provider != owner:
            read.problem(key, read.given[key], f"belongs to provider {owner}, not to {certificate.provider}")
        elif owner == certificate.provider == "files" and not read.given.get(key):
            app.problems.append(f"{read.field(key)} is missing: with provider files, give the path of a PEM file")
    return certificate


def read_domains(app: Reader) -> tuple[str, ...]:
    """The site's names and addresses, as they are to be written."""
    domains = app.texts("domains", options(App)["domains"])
    for place, domain in enumerate(domains):
        if domain not in app.given["domains"]:
            continue  # not a text, which is reported already
        address = sites.address_of(domain)
        if domain.startswith("*."):
            if not schema.DOMAIN.fullmatch(domain[2:]) or sites.address_of(domain[2:]):
                app.problem("domains", domain, "cannot be used: * stands for one whole label, as *.example.org")
            elif place == 0:
                app.problem("domains", domain, "cannot come first: the first is the canonical name, put another there")
        elif address:
            if str(address) != domain:
                app.problem("domains", domain, f"is not how that address is written: write {str(address)!r}")
        elif not schema.DOMAIN.fullmatch(domain):
            app.problem(
                "domains",
                domain,
                "cannot be used: a domain is written in lower case, without scheme or port, as www.example.org",
            )
    return domains


def read_sandbox(app: Reader) -> dict[str, str]:
    """Directives of the sandbox, as systemd takes their values."""
    read = Reader(app.field("sandbox"), app.given.get("sandbox"), app.problems, sandbox_options.SANDBOX)
    values = {}
    for key, value in read.given.items():
        words = value if isinstance(value, list) else [value]
        if any(not isinstance(word, str | int) or "\n" in str(word) for word in words):
            read.problem(key, value, "is not a value of that directive: write a text, true, false or a list of texts")
        values[key] = " ".join(
            {True: "yes", False: "no"}[word] if isinstance(word, bool) else str(word) for word in words
        )
    return values
