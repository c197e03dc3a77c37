# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: what a user writes in ``flask_apps``, checked once, with every default filled in and every name derived.

Pure Python without Ansible. :func:`load` turns the three maps of the inventory into :class:`App` records or raises
:class:`ModelError`, which lists every problem with its app, field, value and remedy. ``role_inputs`` turns the records
into the plain data that each role takes.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import servers, sites, source
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader, plain

# A Linux user name (useradd's 32 characters less room for suffixes) that is also safe in unit names and paths.
APP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,29}")
HOST_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{HOST_LABEL}(\.{HOST_LABEL})+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PYTHON = re.compile(r"3\.\d{1,2}")
REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w., -]*\])?\s*([<>=!~].*|@ .+|;.+)?")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.:-]+")
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"  # of a Python package, and of an extra
EXTRA = re.compile(NAME)
PINNED = re.compile(rf"(?P<name>{NAME}(?:\[{NAME}(?:,{NAME})*\])?)==(?P<version>[0-9A-Za-z][0-9A-Za-z.!+_-]*)")
VERSION = re.compile(r"(?!-)[^\s~^:?*\[\\]+")  # what git allows in a branch or tag, and no option of git
CHECKSUM = re.compile(r"sha256:[0-9a-fA-F]{64}")
URL = re.compile(r"https?://", re.IGNORECASE)
# A password in a URL, or over HTTP a user alone: that is how a token is given.
CREDENTIALS = re.compile(r"https?://[^/]*@|[a-z][a-z0-9+.-]*://[^/@]*:[^/]*@", re.IGNORECASE)
# git takes what has a colon before any slash for host:path.
SSH = re.compile(r"(?:git\+)?ssh://|(?![\w+.-]+://)[^/:]+:", re.IGNORECASE)
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
    "SECRET_KEY_FALLBACKS": "a changed SECRET_KEY is followed for a while by itself (release_fallback_days)",
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
    "LimitAS": "tightening: the address space of each process, on hosts where MemoryMax cannot be had",
    "TasksMax": "more threads and processes than 512",
    "LimitNOFILE": "more open files",
}

# What a release proves before it goes live, beyond its import and its health path; each may be switched off by name.
CHECKS = {
    "debug": "the app does not run in debug mode",
    "secret_key": "SECRET_KEY is long, random and no known sample value",
    "session_cookie": "the session cookie is sent over HTTPS only",
    "upload_limit": "the app takes no larger uploads than the proxy lets through",
    "https": "the app knows that its visitors come over HTTPS",
    "not_found": "a page that does not exist is answered with 404, without a traceback",
    "server_error": "an error is answered with 500, without a traceback",
    "fallbacks": "Flask is not 3.1.0 while there are SECRET_KEY_FALLBACKS (CVE-2025-47278)",
    "stable": "the app still runs a moment after it has answered",
}

HOSTS = ("first", "each")


class ModelError(ValueError):
    """What a user wrote cannot be used; ``problems`` has one sentence for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Source:
    """Where the code comes from: one of :data:`SOURCES`.

    :param git: a repository's address, with ``version``: a branch, a tag or a commit.
    :param directory: on the controller.
    :param archive: a path on the controller, or a URL; with ``checksum`` ``sha256:…``, "" for any content.
    :param package: a requirement with its exact version, from an index.
    """

    git: str = ""
    version: str = "HEAD"
    directory: str = ""
    archive: str = ""
    checksum: str = ""
    package: str = ""

    @property
    def is_ssh(self) -> bool:
        return bool(SSH.match(self.git))

    @property
    def given(self) -> dict[str, str]:
        """The keys of its one kind that say something."""
        kind = next(kind for kind in SOURCES if getattr(self, kind))
        return {key: value for key in SOURCES[kind] if (value := getattr(self, key))}


# The kinds of source, each with the keys that belong to it.
SOURCES = {
    "git": ("git", "version"),
    "directory": ("directory",),
    "archive": ("archive", "checksum"),
    "package": ("package",),
}


def size_in_bytes(size: str) -> int:
    """A size in nginx's notation; 0 stands for no limit."""
    unit = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(size[-1].lower())
    return int(size[:-1]) * unit if unit else int(size)


@dataclass(frozen=True)
class Proxy:
    """What the proxy does for the app.

    :param site: its settings, read and checked.
    :param options: the same as they were written.
    :param media: URL prefix to a directory of uploads, below the data directory.
    :param owner: the app that owns the domains: itself, or one with which it shares them.
    """

    site: sites.Site = field(default_factory=sites.Site)
    options: Mapping[str, Any] = field(default_factory=dict)
    media: Mapping[str, sites.Static] = field(default_factory=dict)
    owner: str = ""

    @property
    def static(self) -> dict[str, str]:
        """URL prefix to directory in the source."""
        return {url: static.directory for url, static in self.site.static.items()}

    @property
    def body_limit(self) -> int:
        """Bytes of the largest body that passes anywhere on the site; 0 for no limit."""
        settings = (self.site.settings, *self.site.paths.values())
        limits = [size_in_bytes(one.client_max_body_size) for one in settings]
        return 0 if 0 in limits else max(limits)


@dataclass(frozen=True)
class Certificate:
    """Where the site's certificate comes from.

    :param fullchain: with ``privkey`` a path on the controller, for the provider ``files`` alone.
    :param challenge: how the authority is convinced, for ``acme`` alone: one of :data:`CHALLENGES`.
    :param profile: kind of certificate, for ``acme`` alone: one of :data:`PROFILES`, "" for the authority's default.
    """

    provider: str = "acme"
    fullchain: str = ""
    privkey: str = ""
    challenge: str = "http-01"
    profile: str = ""


# The options of a certificate that belong to one provider.
CERTIFICATE_OPTIONS = {"fullchain": "files", "privkey": "files", "challenge": "acme", "profile": "acme"}
CHALLENGES = ("http-01", "dns-01")
PROFILES = ("classic", "tlsserver", "shortlived")  # Let's Encrypt's


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
    extras: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    wheels: str = ""
    python: str = ""
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    release_command: str = ""
    release_command_timeout: int = 1800
    release_command_hosts: str = ""
    skip_checks: tuple[str, ...] = ()
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
        problems += server_problems(record)
    if problems:
        raise ModelError(problems)
    owner = sites.owners(sharing)
    return tuple(replace(record, proxy=replace(record.proxy, owner=owner[record.name])) for record in records)


def read_app(name: str, given: Any, problems: Problems) -> App:
    """One app of ``flask_apps``; what is wrong with it goes into ``problems``."""
    known = [key for key in App.__dataclass_fields__ if key not in ("name", "server_options")]
    places = {
        **dict.fromkeys(("git", "version", "directory", "archive", "checksum"), "source"),
        **dict.fromkeys((*servers.COMMON, *servers.SERVERS[servers.DEFAULT].options), "server"),
        **dict.fromkeys((*sites.OPTIONS, "media"), "proxy"),
    }
    hints = {key: f"it belongs below {place}, as `{place}: {{{key}: …}}`" for key, place in places.items()}
    read = Reader(f"flask_apps.{name}", given, problems, known, hints)
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
    code = read_source(read)
    certificate = read_certificate(read)
    return App(
        name=name,
        source=code,
        wsgi_app=read_wsgi_app(read),
        domains=read_domains(read, certificate),
        extras=read_extras(read, code),
        requirements=read.texts("requirements", REQUIREMENT, 'write each as "name" or "name>=1.2", in quotes'),
        wheels=read.text("wheels"),
        python=read.text("python", pattern=PYTHON, remedy='is not a Python version: write it as "3.12", in quotes'),
        packages=read.texts("packages", PACKAGE, "write the names of apt packages"),
        environment=read_environment(read),
        release_command=read.text("release_command"),
        release_command_timeout=read.number("release_command_timeout", servers.Option(int, 1800, 1, 86400)) or 1800,
        release_command_hosts=read.choice("release_command_hosts", "", HOSTS),
        skip_checks=read_skip_checks(read),
        health_path=read.text("health_path", "/", re.compile(r"/\S*"), "is not a path: begin it with /"),
        health_timeout=read.number("health_timeout", servers.Option(int, 60, 1, 3600)) or 60,
        server=server,
        server_options=options,
        proxy=read_proxy(read, servers.seconds(server, options)[0] + 5),
        certificate=certificate,
        backup=read_backup(read),
        sandbox=read_sandbox(read),
        proxy_fix=read.flag("proxy_fix", True),
        debug=read.flag("debug", False),
    )


def read_source(app: Reader) -> Source:
    given = app.given.get("source")
    if given is None:
        return Source()
    read = Reader(app.field("source"), given, app.problems, Source.__dataclass_fields__)
    code = Source(
        git=read.text("git"),
        version=read.text(
            "version", "HEAD", VERSION, "is not a branch, tag or commit: write it exactly and in quotes, as v1.2"
        ),
        directory=read.text("directory"),
        archive=read.text("archive"),
        checksum=read.text("checksum", "", CHECKSUM, "is not a checksum: write sha256: and 64 hexadecimal digits"),
        package=read.text(
            "package", "", PINNED, "is not a package with its exact version, as a release needs it: write shop==1.4"
        ),
    )
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
    for key, address, remedy in (
        ("git", code.git, "use an SSH deploy key in flask_deploy_keys instead"),
        ("archive", code.archive, "fetch the archive yourself and give its path instead"),
    ):
        if CREDENTIALS.match(address):
            read.problem(key, address, f"has a password or a token in it: {remedy}")
    if "://" in code.archive and not URL.match(code.archive):
        read.problem("archive", code.archive, "is neither a path nor an http or https URL: give one of these")
    elif URL.match(code.archive) and not read.given.get("checksum"):
        app.problems.append(
            f'{read.field("checksum")} is missing: an archive from a URL needs `checksum: "sha256:…"`, '
            "with what sha256sum prints"
        )
    return replace(code, checksum=code.checksum.lower())


def read_extras(app: Reader, code: Source) -> tuple[str, ...]:
    extras = app.texts("extras", EXTRA, "an extra is written in letters, digits, ., - and _")
    if extras and (pinned := PINNED.fullmatch(code.package)):
        name = pinned["name"].partition("[")[0]
        app.problem(
            "extras",
            list(extras),
            f"belongs into the package's brackets: write `package: {name}[{','.join(extras)}]=={pinned['version']}`",
        )
    return extras


def read_skip_checks(app: Reader) -> tuple[str, ...]:
    names: list[Any] = app.get("skip_checks", list, [], "a list: write `skip_checks: [first, second]`")
    for name in names:
        if str(name) not in CHECKS:
            near = difflib.get_close_matches(str(name), CHECKS, n=1)
            known = [f"{check} ({CHECKS[check]})" for check in near or CHECKS]
            hint = f"did you mean {known[0]}?" if near else f"known are {', '.join(known)}"
            app.problem("skip_checks", name, f"is not a check: {hint}")
    return tuple(str(name) for name in names)


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
    provider = str(given.get("provider", servers.DEFAULT)) if isinstance(given, Mapping) else servers.DEFAULT
    server = servers.SERVERS.get(provider, servers.SERVERS[servers.DEFAULT])
    options = {**servers.COMMON, **server.options}
    hints = {
        key: f"it is an option of {other}; {provider} has {', '.join(options)}"
        for other, record in servers.SERVERS.items()
        for key in record.options
    }
    hints |= {other: f"here it is called {name}" for other, name in servers.OTHER_NAMES.items()}
    read = Reader(app.field("server"), given, app.problems, ("provider", "options", *options), hints)
    provider = read.choice("provider", servers.DEFAULT, servers.SERVERS)
    values: dict[str, Any] = {}
    for name, option in options.items():
        if option.kind is int:
            values[name] = read.number(name, option)
        elif option.kind is bool:
            values[name] = read.flag(name, option.default)
        else:
            values[name] = read.choice(name, option.default, option.choices)
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


def read_proxy(app: Reader, read_timeout: int) -> Proxy:
    """The proxy's options; ``read_timeout`` seconds where they say nothing of it."""
    read = Reader(app.field("proxy"), app.given.get("proxy"), app.problems, (*sites.OPTIONS, "media"))
    site = sites.read(read, sites.Settings(read_timeout=read_timeout), relative=True)
    media = sites.read_directories(read, "media", relative=True)
    for url in sorted({*media} & {*site.static}):
        read.problem(f"media.{url}", url, "stands in static too: keep one of them")
    return Proxy(site, {"read_timeout": read_timeout, **read.given}, media)


def read_certificate(app: Reader) -> Certificate:
    read = Reader(
        app.field("certificate"), app.given.get("certificate"), app.problems, Certificate.__dataclass_fields__
    )
    certificate = Certificate(
        provider=read.choice("provider", "acme", ("acme", "self_signed", "files")),
        fullchain=read.text("fullchain"),
        privkey=read.text("privkey"),
        challenge=read.choice("challenge", "http-01", CHALLENGES),
        profile=read.choice("profile", "", PROFILES),
    )
    for key, owner in CERTIFICATE_OPTIONS.items():
        if read.given.get(key) and certificate.provider != owner:
            read.problem(key, read.given[key], f"belongs to provider {owner}, not to {certificate.provider}")
        elif owner == certificate.provider == "files" and not read.given.get(key):
            app.problems.append(f"{read.field(key)} is missing: with provider files, give the path of a PEM file")
    return certificate


def read_domains(app: Reader, certificate: Certificate) -> tuple[str, ...]:
    """The site's names, and among them only such wildcards and IP addresses as its certificate can be valid for."""
    domains = app.texts("domains")
    by_authority = certificate.provider == "acme"
    for place, domain in enumerate(domains):
        address = sites.address_of(domain)
        if domain not in app.given["domains"]:
            continue  # no text: that is told already
        if domain.startswith("*."):
            if not DOMAIN.fullmatch(domain[2:]) or sites.address_of(domain[2:]):
                app.problem("domains", domain, "cannot be used: * stands for one whole label, as *.example.org")
            elif place == 0:
                app.problem("domains", domain, "cannot come first: the first is the canonical name, put another there")
            elif by_authority and certificate.challenge != "dns-01":
                app.problem(
                    "domains",
                    domain,
                    "is a wildcard, which an authority certifies by a DNS record alone: write "
                    "`certificate: {challenge: dns-01}` and set certificate_dns_plugin or certificate_dns_auth_hook, "
                    "or bring a certificate of your own with provider files",
                )
        elif address:
            if str(address) != domain:
                app.problem("domains", domain, f"is not how that address is written: write {str(address)!r}")
            if by_authority and certificate.challenge != "http-01":
                app.problem("domains", domain, "is an IP address, which has no DNS record: write `challenge: http-01`")
            elif by_authority and certificate.profile != "shortlived":
                app.problem(
                    "domains",
                    domain,
                    "is an IP address, which an authority certifies for six days alone: write `certificate: "
                    "{profile: shortlived}` and set certificate_certbot to pypi, or use provider self_signed or files",
                )
        elif not DOMAIN.fullmatch(domain):
            app.problem(
                "domains",
                domain,
                "cannot be used: a domain is written in lower case, without scheme or port, as www.example.org",
            )
    return domains


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
    read = read_confidential("flask_app_secrets", secrets, apps, problems)
    for record in records:
        given = read.given.get(record.name)
        where = f"flask_app_secrets.{record.name}"
        if given is not None and not isinstance(given, Mapping):
            problems.append(f"{where} is not a map: write `{record.name}: {{NAME: value}}`")
            continue
        variables = check_variables(Reader(where, given, problems, given or ()), allowed=("SECRET_KEY",))
        for key in sorted(variables.keys() & record.environment.keys()):
            problems.append(f"{where}.{key} stands in flask_apps.{record.name}.environment too: keep the one here")


def check_deploy_keys(apps: Mapping[str, Any], keys: Any, records: Sequence[App], problems: Problems) -> None:
    """Deploy keys belong to apps that exist and are fetched by SSH, and are private keys. No value is ever shown."""
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
        if not record.source.is_ssh:
            problems.append(
                f"{read.field(record.name)} has no use: flask_apps.{record.name}.source is not git over SSH: "
                "write its address as git@host:path or ssh://git@host/path, or remove the key"
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
        if not VERSION.fullmatch(version):
            raise refused("is not a branch, tag or commit: write it exactly, as v1.2")
        return replace(app, source=replace(code, version=version))
    if pinned := PINNED.fullmatch(code.package):
        package = f"{pinned['name']}=={version}"
        if not PINNED.fullmatch(package):
            raise refused("is not the version of a package: write it exactly, as 1.5")
        return replace(app, source=replace(code, package=package))
    if code.directory:
        raise refused(
            f"does not fit {where}.directory, which is taken as it is: check it out there, and name none here"
        )
    raise refused(f"does not fit {where}.archive, which is taken as it is: change archive and checksum instead")
