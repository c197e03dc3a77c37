# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: what a user writes in ``flask_apps``, checked once, with every default filled in and every name derived.

Pure Python without Ansible. :func:`load` turns the two maps of the inventory into :class:`App` records or raises
:class:`ModelError`, which lists every problem with its app, field, value and remedy. The functions in
:data:`ROLE_INPUTS` turn the records into the plain data that each role takes.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers

Problems = list[str]

# A Linux user name (useradd's 32 characters less room for suffixes) that is also safe in unit names and paths.
APP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,29}")
HOST_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{HOST_LABEL}(\.{HOST_LABEL})+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PYTHON = re.compile(r"3\.\d{1,2}")
NGINX_SIZE = re.compile(r"\d+[kmg]?", re.IGNORECASE)
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.:-]+")

# The users and groups of Debian's base-passwd, those of the software that the roles install, and the name of the host's
# own backup set.
TAKEN_NAMES = frozenset(
    [
        "root",
        "daemon",
        "bin",
        "sys",
        "sync",
        "games",
        "man",
        "lp",
        "mail",
        "news",
        "uucp",
        "proxy",
        "www-data",
        "backup",
        "list",
        "irc",
        "gnats",
        "nobody",
        "adm",
        "tty",
        "disk",
        "kmem",
        "dialout",
        "fax",
        "voice",
        "cdrom",
        "floppy",
        "tape",
        "sudo",
        "audio",
        "dip",
        "operator",
        "src",
        "shadow",
        "utmp",
        "video",
        "sasl",
        "plugdev",
        "staff",
        "users",
        "nogroup",
        "input",
        "sgx",
        "kvm",
        "render",
        "messagebus",
        "sshd",
        "ssh",
        "systemd-journal",
        "systemd-network",
        "systemd-resolve",
        "systemd-timesync",
        "nginx",
        "certbot",
        "restic",
        "postgres",
        "redis",
        "mysql",
        "debian",
        "ubuntu",
        "admin",
        "polkitd",
        "uuidd",
        "syslog",
        "crontab",
        "netdev",
        "host",
    ]
)

# What the collection itself puts into an app's environment, and what to use instead.
RESERVED_VARIABLES = {
    "FLASK_APP": "it follows from wsgi_app",
    "WSGI_APP": "it follows from wsgi_app",
    "FLASK_DEBUG": "set `debug: true` if you insist",
    "FLASK_ENV": "Flask 2.3 removed it; set `debug: true` if you mean that",
    "SECRET_KEY": "put it into flask_app_secrets, or leave it out: one is generated on the host",
    "DATA_DIR": "it is the app's data directory, /var/lib/<app>",
    "RELEASE": "it is the release's id",
}

# Directives of the unit's sandbox that some apps must loosen, with what makes an app need it. This is the one place
# that names them; the unit's template takes them by these names.
SANDBOX = {
    "MemoryDenyWriteExecute": "cffi callbacks, JIT compilers, Node.js as a subprocess",
    "RestrictNamespaces": "programs with a sandbox of their own, such as Chromium",
    "RestrictSUIDSGID": "chmod with the setgid bit",
    "RestrictAddressFamilies": "AF_NETLINK for interface lists",
    "ProtectProc": "seeing other processes",
    "ProtectHome": "reading below /home",
    "PrivateTmp": "sharing /tmp with others",
    "PrivateDevices": "devices such as a camera",
    "SystemCallFilter": "os.nice, sched_setaffinity, os.chown",
    "NoExecPaths": "running programs it downloaded",
    "ReadWritePaths": "writing outside its data directory",
    "BindReadOnlyPaths": "reading below /opt, /mnt or another app's directory",
    "IPAddressDeny": "tightening: no connections, with IPAddressAllow for the exceptions",
    "IPAddressAllow": "the exceptions from IPAddressDeny",
    "UMask": "files that the group may read",
    "MemoryMax": "more or less memory than 60% of the host's",
    "TasksMax": "more threads and processes than 512",
    "LimitNOFILE": "more open files",
}


class ModelError(ValueError):
    """What a user wrote cannot be used; ``problems`` has one sentence for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Source:
    """Where the code comes from: exactly one of ``git`` (with ``version``) and ``directory`` (on the controller)."""

    git: str = ""
    version: str = "HEAD"
    directory: str = ""


@dataclass(frozen=True)
class Proxy:
    """What the proxy does for the app beyond forwarding.

    :param static: URL prefix to directory in the source, served from disk.
    :param client_max_body_size: largest request body, in nginx's notation.
    :param directives: raw lines for the site's server block.
    """

    static: Mapping[str, str] = field(default_factory=dict)
    client_max_body_size: str = "1m"
    directives: str = ""


@dataclass(frozen=True)
class Certificate:
    """Where the site's certificate comes from; the two paths, on the controller, only with ``provider: files``."""

    provider: str = "acme"
    fullchain: str = ""
    privkey: str = ""


@dataclass(frozen=True)
class Backup:
    """What is saved beside the data directory: further paths, and commands before and after."""

    paths: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class App:
    """One app, complete."""

    name: str
    source: Source
    wsgi_app: str
    domains: tuple[str, ...]
    python: str = ""
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    release_command: str = ""
    health_path: str = "/"
    health_timeout: int = 60
    server: str = servers.DEFAULT
    server_options: Mapping[str, Any] = field(default_factory=dict)
    proxy: Proxy = field(default_factory=Proxy)
    certificate: Certificate = field(default_factory=Certificate)
    backup: Backup = field(default_factory=Backup)
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    proxy_fix: bool = True
    debug: bool = False

    @property
    def data(self) -> str:
        return f"/var/lib/{self.name}"

    @property
    def current(self) -> str:
        return f"/srv/{self.name}/current"


class Reader:
    """Reads one mapping of the user's, key by key, and collects what is wrong with it.

    :param where: how a message names the mapping, for example ``flask_apps.shop.server``.
    :param known: its options.
    :param elsewhere: options that users write here and that belong into another mapping, with that mapping's name.
    """

    def __init__(
        self,
        where: str,
        given: Any,
        problems: Problems,
        known: Iterable[str],
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        self.where, self.problems = where, problems
        self.given: Mapping[str, Any] = {}
        if isinstance(given, Mapping):
            self.given = given
        elif given is not None:
            self.problem("", given, "is not a map: write its options below it, one `key: value` a line")
        names = list(known)
        for key in self.given:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1)
                if place := (elsewhere or {}).get(str(key)):
                    hint = f"it belongs below {place}, as `{place}: {{{key}: …}}`"
                else:
                    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}"
                self.problems.append(f"{self.field(str(key))} is not an option: {hint}")

    def field(self, key: str) -> str:
        return f"{self.where}.{key}" if key else self.where

    def problem(self, key: str, value: Any, sentence: str) -> None:
        self.problems.append(f"{self.field(key)}: {value!r} {sentence}")

    def get(self, key: str, kind: type, default: Any, noun: str) -> Any:
        """The value of ``key`` if it is of ``kind``, else the default and a problem."""
        value = self.given.get(key)
        if value is None:
            return default
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self.problem(key, value, f"is not {noun}")
        return default

    def text(self, key: str, default: str = "", pattern: re.Pattern[str] | None = None, remedy: str = "") -> str:
        value = self.get(key, str, default, f"a text: {remedy or 'put it in quotes'}")
        if pattern and value and not pattern.fullmatch(value):
            self.problem(key, value, remedy)
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        return self.get(key, bool, default, "true or false")

    def number(self, key: str, option: servers.Option) -> int | None:
        value = self.get(key, int, option.default, f"a whole number from {option.at_least} to {option.at_most}")
        if value is not None and not option.at_least <= value <= option.at_most:
            self.problem(key, value, f"is out of range: take {option.at_least} to {option.at_most}")
            return option.default
        return value

    def choice(self, key: str, default: str, choices: Iterable[str], refused: Mapping[str, str] | None = None) -> str:
        value = self.get(key, str, default, "a text")
        names = list(choices)
        if value in names:
            return value
        if reason := (refused or {}).get(value):
            self.problem(key, value, f"is not offered: {reason}")
            return default
        near = difflib.get_close_matches(value, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "take one of these"
        self.problem(key, value, f"is not one of {', '.join(names)}: {hint}")
        return default

    def texts(
        self, key: str, pattern: re.Pattern[str] | None = None, remedy: str = "put it in quotes"
    ) -> tuple[str, ...]:
        values = self.get(key, list, [], f"a list: write `{key}: [first, second]`")
        for value in values:
            if not isinstance(value, str) or (pattern and not pattern.fullmatch(value)):
                self.problem(key, value, f"cannot be used: {remedy}")
        return tuple(str(value) for value in values)


def plain(value: Any) -> Any:
    """A copy in ordinary dicts, lists and strings: what Ansible hands over may be lazy, tagged containers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return value


def load(apps: Any, secrets: Any = None) -> tuple[App, ...]:
    """Read ``flask_apps`` and ``flask_app_secrets``.

    :raises ModelError: with every problem found, not only the first.
    """
    problems: Problems = []
    apps, secrets = plain(apps or {}), plain(secrets or {})
    if not isinstance(apps, Mapping):
        raise ModelError([f"flask_apps: {apps!r} is not a map: write each app as `name:` with its options below it"])
    records = [read_app(name, given, problems) for name, given in apps.items()]
    check_secrets(apps, secrets, records, problems)
    check_domains(records, problems)
    if problems:
        raise ModelError(problems)
    return tuple(records)


def read_app(name: str, given: Any, problems: Problems) -> App:
    """One app of ``flask_apps``; what is wrong with it goes into ``problems``."""
    known = [key for key in App.__dataclass_fields__ if key not in ("name", "server_options")]
    elsewhere = {
        **dict.fromkeys(("git", "version", "directory"), "source"),
        **dict.fromkeys(servers.SERVERS[servers.DEFAULT].options, "server"),
        **dict.fromkeys(Proxy.__dataclass_fields__, "proxy"),
    }
    read = Reader(f"flask_apps.{name}", given, problems, known, elsewhere)
    if not APP_NAME.fullmatch(name):
        read.problem("", name, "cannot be an app's name: use at most 30 of a-z, 0-9, - and _, beginning with a letter")
    elif name in TAKEN_NAMES or name.startswith(("systemd-", "groundwork")):
        read.problem("", name, f"is the name of a system account: call the app {name}-app or the like")
    for key, example in (
        ("source", "source: {git: URL, version: v1.2} or source: {directory: PATH}"),
        ("wsgi_app", "wsgi_app: module:app or wsgi_app: module:create_app()"),
        ("domains", "domains: [www.example.org]"),
    ):
        if not read.given.get(key):
            problems.append(f"{read.field(key)} is missing: write `{example}`")
    server, options = read_server(read)
    return App(
        name=name,
        source=read_source(read),
        wsgi_app=read_wsgi_app(read),
        domains=read.texts(
            "domains", DOMAIN, "a domain is written in lower case, without scheme, port or *, as www.example.org"
        ),
        python=read.text("python", pattern=PYTHON, remedy='is not a Python version: write it as "3.12", in quotes'),
        packages=read.texts("packages", PACKAGE, "write the names of apt packages"),
        environment=read_environment(read),
        release_command=read.text("release_command"),
        health_path=read.text("health_path", "/", re.compile(r"/\S*"), "is not a path: begin it with /"),
        health_timeout=read.number("health_timeout", servers.Option(int, 60, 1, 3600)) or 60,
        server=server,
        server_options=options,
        proxy=read_proxy(read),
        certificate=read_certificate(read),
        backup=read_backup(read),
        sandbox=read_sandbox(read),
        proxy_fix=read.flag("proxy_fix", True),
        debug=read.flag("debug", False),
    )


def read_source(app: Reader) -> Source:
    given = app.given.get("source")
    if given is None:
        return Source()
    read = Reader(app.field("source"), given, app.problems, ("git", "version", "directory"))
    source = Source(read.text("git"), read.text("version", "HEAD"), read.text("directory"))
    if read.given and bool(source.git) == bool(source.directory):
        app.problem("source", dict(read.given), "needs exactly one of git and directory")
    if source.directory and "version" in read.given:
        read.problem("version", source.version, "belongs to git: a directory is taken as it is")
    return source


def read_wsgi_app(app: Reader) -> str:
    """The callable in Gunicorn's syntax, checked by Python's own parser as Gunicorn does."""
    value = app.text("wsgi_app")
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
    given = app.given.get("environment")
    read = Reader(app.field("environment"), given, app.problems, given if isinstance(given, Mapping) else ())
    return check_variables(read)


def check_variables(read: Reader, allowed: Iterable[str] = ()) -> dict[str, str]:
    """Environment variables as text; ``allowed`` are reserved ones that may stand here."""
    variables = {}
    for key, value in read.given.items():
        if not VARIABLE.fullmatch(key):
            read.problem(key, key, "cannot be a variable's name: use letters, digits and _")
        elif key in RESERVED_VARIABLES and key not in allowed:
            read.problems.append(f"{read.field(key)} cannot be set here: {RESERVED_VARIABLES[key]}")
        elif isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
            # The value may be a secret: its type is enough to find it.
            read.problems.append(
                f"{read.field(key)} is {kind_of(value)}: environment variables are text, put it in quotes"
            )
        elif "\0" in str(value):
            read.problems.append(f"{read.field(key)} contains a zero byte, which no environment variable can hold")
        else:
            variables[key] = str(value)
    return variables


def kind_of(value: Any) -> str:
    names = {bool: "a boolean", list: "a list", dict: "a map", type(None): "empty"}
    return names.get(type(value), f"of type {type(value).__name__}")


def read_server(app: Reader) -> tuple[str, dict[str, Any]]:
    """The WSGI server and all of its options, defaults filled in."""
    given = app.given.get("server")
    provider = given.get("provider", servers.DEFAULT) if isinstance(given, Mapping) else servers.DEFAULT
    options = servers.SERVERS.get(provider, servers.SERVERS[servers.DEFAULT]).options
    read = Reader(app.field("server"), given, app.problems, ("provider", *options))
    provider = read.choice("provider", servers.DEFAULT, servers.SERVERS)
    values: dict[str, Any] = {}
    for name, option in options.items():
        if option.kind is int:
            values[name] = read.number(name, option)
        elif option.kind is bool:
            values[name] = read.flag(name, option.default)
        else:
            refused = {
                value: why for (server, key, value), why in servers.REFUSED.items() if (server, key) == (provider, name)
            }
            values[name] = read.choice(name, option.default, option.choices, refused)
    return provider, values


def read_proxy(app: Reader) -> Proxy:
    read = Reader(app.field("proxy"), app.given.get("proxy"), app.problems, Proxy.__dataclass_fields__)
    static = read.get("static", dict, {}, "a map: write `static: {/static/: package/static}`")
    for url, directory in static.items():
        if not re.fullmatch(r"/[^\s{};]*/", url) or url == "/":
            read.problem(f"static.{url}", url, "is not a URL prefix: begin and end it with /, as /static/")
        if (
            not isinstance(directory, str)
            or directory.startswith("/")
            or ".." in Path(directory).parts
            or not directory
        ):
            read.problem(
                f"static.{url}", directory, "is not a directory of the source: write it relative to the source's top"
            )
    size = read.text("client_max_body_size", "1m", NGINX_SIZE, "is not a size: write it as 20m, in nginx's notation")
    return Proxy(static, size, read.text("directives"))


def read_certificate(app: Reader) -> Certificate:
    read = Reader(
        app.field("certificate"), app.given.get("certificate"), app.problems, Certificate.__dataclass_fields__
    )
    certificate = Certificate(
        read.choice("provider", "acme", ("acme", "self_signed", "files")), read.text("fullchain"), read.text("privkey")
    )
    for key, path in (("fullchain", certificate.fullchain), ("privkey", certificate.privkey)):
        if certificate.provider == "files" and not path:
            app.problems.append(f"{read.field(key)} is missing: with provider files, give the path of a PEM file")
        elif path and certificate.provider != "files":
            read.problem(key, path, f"belongs to provider files, not to {certificate.provider}")
    return certificate


def read_backup(app: Reader) -> Backup:
    read = Reader(app.field("backup"), app.given.get("backup"), app.problems, Backup.__dataclass_fields__)
    return Backup(read.texts("paths"), read.texts("before"), read.texts("after"))


def read_sandbox(app: Reader) -> dict[str, str]:
    read = Reader(app.field("sandbox"), app.given.get("sandbox"), app.problems, SANDBOX)
    values = {}
    for key, value in read.given.items():
        words = value if isinstance(value, list) else [value]
        if any(not isinstance(word, str | int) or "\n" in str(word) for word in words):
            read.problem(key, value, "is not a value of that directive: write a text, true, false or a list of texts")
        values[key] = " ".join(
            {True: "yes", False: "no"}[word] if isinstance(word, bool) else str(word) for word in words
        )
    return values


def check_secrets(apps: Mapping[str, Any], secrets: Any, records: Sequence[App], problems: Problems) -> None:
    """Secrets belong to apps that exist, do not repeat the environment, and are text. No value is ever shown."""
    read = Reader("flask_app_secrets", secrets, problems, apps)
    for record in records:
        given = read.given.get(record.name)
        where = f"flask_app_secrets.{record.name}"
        if given is not None and not isinstance(given, Mapping):
            problems.append(f"{where} is not a map: write `{record.name}: {{NAME: value}}`")
            continue
        variables = check_variables(Reader(where, given, problems, given or ()), allowed=("SECRET_KEY",))
        for key in sorted(variables.keys() & record.environment.keys()):
            problems.append(f"{where}.{key} stands in flask_apps.{record.name}.environment too: keep the one here")


def check_domains(records: Sequence[App], problems: Problems) -> None:
    """A domain belongs to one app, once."""
    owner: dict[str, str] = {}
    for record in records:
        for domain in record.domains:
            if domain in owner:
                twice = "twice" if owner[domain] == record.name else f"in flask_apps.{owner[domain]}.domains too"
                problems.append(f"flask_apps.{record.name}.domains: {domain!r} stands {twice}: keep it in one place")
            owner.setdefault(domain, record.name)


# --- what depends on the host, and on the files of the controller ----------------------------------------

SUPPORTED = {"Debian": ("12", "13"), "Ubuntu": ("22.04", "24.04")}


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
            "use Debian 12 or 13, or Ubuntu 22.04 or 24.04"
        )
    for app in apps:
        problems += source_problems(app, python)
    return problems


def source_problems(app: App, python: str) -> Problems:
    """What is wrong with an app's source as far as the controller has it."""
    if not app.source.directory:
        return []
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # ansible-core brings it

    where, directory = f"flask_apps.{app.name}.source.directory", Path(app.source.directory)
    if not directory.is_dir():
        return [f"{where}: {app.source.directory!r} is not a directory on the controller: correct the path"]
    if not (directory / "requirements.txt").is_file() and not (directory / "pyproject.toml").is_file():
        return [
            f"{where}: {app.source.directory!r} has neither requirements.txt nor pyproject.toml: "
            "add one that names Flask"
        ]
    problems = []
    for url, path in app.proxy.static.items():
        if not (directory / path).is_dir():
            problems.append(
                f"flask_apps.{app.name}.proxy.static.{url}: {path!r} is not a directory in {app.source.directory}: "
                "correct it"
            )
    try:
        required = tomllib.loads((directory / "pyproject.toml").read_text())["project"]["requires-python"]
        fits = SpecifierSet(required).contains(app.python or python, prereleases=True)
    except (FileNotFoundError, KeyError):
        return problems
    except (tomllib.TOMLDecodeError, InvalidSpecifier) as error:
        return [*problems, f"{where}: {directory / 'pyproject.toml'} cannot be read ({error}): correct it"]
    if not fits:
        problems.append(
            f"flask_apps.{app.name}.python: {app.python or python!r} does not fit the app's requires-python "
            f"{required!r}: name a Python that does, and that the host has, or change the app"
        )
    return problems


# --- what each role takes ----------------------------------------


def accounts(app: App) -> dict[str, Any]:
    """For service_user."""
    return {"name": app.name}


def units(app: App) -> dict[str, Any]:
    """For wsgi_server. The unit waits ten seconds longer than the server's own graceful stop."""
    return {
        "name": app.name,
        "stop_timeout": int(app.server_options.get("graceful_timeout", 30)) + 10,
        "sandbox": dict(app.sandbox),
    }


def releases(app: App) -> dict[str, Any]:
    """For release: everything that defines the running process, but the secrets."""
    wsgi_app = app.wsgi_app if ":" in app.wsgi_app else f"{app.wsgi_app}:application"
    return {
        "name": app.name,
        "source": {key: value for key, value in vars(app.source).items() if value},
        "python": app.python,
        "requirements": servers.SERVERS[app.server].requirements(app.server_options),
        "environment": {
            **app.environment,
            "WSGI_APP": app.wsgi_app,
            "FLASK_APP": wsgi_app,
            "FLASK_DEBUG": "1" if app.debug else "0",
            "GROUNDWORK_DEBUG": "1" if app.debug else "0",
            "GROUNDWORK_PROXY_FIX": "1" if app.proxy_fix else "0",
        },
        "files": servers.release_files(app.server, app.server_options),
        "unit": units(app),
        "static": dict(app.proxy.static),
        "release_command": app.release_command,
        "health": {"host": app.domains[0], "path": app.health_path, "timeout": app.health_timeout},
    }


def sites(app: App) -> dict[str, Any]:
    """For proxy. It waits five seconds longer than the server, whose error is the better one."""
    return {
        "name": app.name,
        "domains": list(app.domains),
        "socket": f"{app.current}/app.sock",
        "certificate": f"/etc/ssl/groundwork/{app.name}/current",
        "static": {url: f"{app.current}/public{url.rstrip('/')}" for url in app.proxy.static},
        "client_max_body_size": app.proxy.client_max_body_size,
        "read_timeout": int(app.server_options.get("timeout", 60)) + 5,
        "directives": app.proxy.directives,
    }


def certificates(app: App) -> dict[str, Any]:
    """For certificate."""
    files = {"fullchain": app.certificate.fullchain, "privkey": app.certificate.privkey}
    return {
        "name": app.name,
        "domains": list(app.domains),
        "provider": app.certificate.provider,
        **({} if app.certificate.provider != "files" else files),
    }


def backup_sets(app: App) -> dict[str, Any]:
    """For backup: the data directory, and what the user adds; a relative path lies in the data directory already."""
    return {
        "name": app.name,
        "paths": [app.data, *(path for path in app.backup.paths if path.startswith("/"))],
        "before": list(app.backup.before),
        "after": list(app.backup.after),
        "owner": app.name,
    }


ROLE_INPUTS: Mapping[str, Callable[[App], dict[str, Any]]] = {
    "service_user": accounts,
    "wsgi_server": units,
    "release": releases,
    "proxy": sites,
    "certificate": certificates,
    "backup": backup_sets,
}


def packages(apps: Sequence[App]) -> list[str]:
    """The apt packages that the apps need to be fetched, built and run, for the host, without repetition."""
    wanted = {"git"} if any(app.source.git for app in apps) else set()
    for app in apps:
        wanted.update(app.packages)
        if app.python:
            wanted.update((f"python{app.python}", f"python{app.python}-venv"))
    return sorted(wanted)
