# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of a proxy: what a user wrote of each, checked.

Pure Python without Ansible. A site has settings, a path of it may have others, and a path has what the path or the
site around it has unless it says otherwise. :func:`read` reads one site's; ``site_plan`` works them out for templates.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader
from ansible_collections.groundwork.flask.plugins.plugin_utils.servers import Option

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
DOMAIN = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
SIZE = re.compile(r"\d+[kmg]?", re.IGNORECASE)
TIME = re.compile(r"(\d+)([smhdwMy]?)")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
RATE = re.compile(r"([1-9]\d*)r/([sm])")
# What may stand in a location or an alias without quotes.
PATH = re.compile(r"/[^\s{};\"'\\$#?*]*")
DIRECTORY = re.compile(r"/[^\s{};\"'\\$#?*]+")
HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
# A proxy would take $ for a variable, and has no way to write it otherwise.
HEADER_VALUE = re.compile(r"[\x20-\x23\x25-\x7e]*")
# What crypt(3) takes, and the proxies beside that.
HASHED = re.compile(r"\$(2[aby]|5|6|7|y|gy|apr1)\$\S+|\{(SSHA|SHA)\}\S+")

YEAR = 31_536_000

# What every site sends unless its app does, or its settings say otherwise. The first four as OWASP's Secure Headers
# Project has them, but SAMEORIGIN for apps that frame themselves; the last as Flask-Talisman. None breaks an app; a
# Content-Security-Policy would, and is the app's to give.
DEFAULT_HEADERS = {
    "Strict-Transport-Security": f"max-age={YEAR}",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "browsing-topics=()",
}
# Those that say how the proxy itself sends what it sends.
OWN_HEADERS = {
    "Connection": "the proxy sets it",
    "Content-Length": "the proxy sets it",
    "Date": "the proxy sets it",
    "Server": "the proxy sets it",
    "Transfer-Encoding": "the proxy sets it",
    "X-Request-Id": "the proxy sets it",
    "Retry-After": "the proxy sets it",
    "Alt-Svc": "set proxy_http3",
    "Cache-Control": "let the app send it; for files, set `expires` or `immutable` below static",
    "Set-Cookie": "let the app send it",
}


@dataclass(frozen=True)
class Limit:
    """How many requests an address may send.

    :param rate: as nginx writes it, ``10r/s`` or ``30r/m``.
    :param burst: how many may come at once above it.
    :param path: where it was set; what inherits it is counted with it.
    """

    rate: str
    burst: int
    path: str = ""


@dataclass(frozen=True)
class Static:
    """A directory whose files are served from disk.

    :param directory: where they lie.
    :param expires: seconds for which a browser may keep a file without asking; 0 means it asks each time.
    :param immutable: no file ever changes under its name, so browsers keep them for a year. A file whose name has a
        hash in it (``app.3f2a9c1b.css``) is always taken for one.
    """

    directory: str
    expires: int = 3600
    immutable: bool = False


@dataclass(frozen=True)
class Settings:
    """What holds for a site, or for a path of it.

    :param client_max_body_size: the largest body of a request, in nginx's notation; ``0`` for no limit.
    :param read_timeout: seconds of silence from the app after which the visitor gets 504.
    :param buffering: whether the proxy takes an answer in as fast as the app gives it. Without, each piece goes to the
        visitor as it comes, as server-sent events need it.
    :param auth_basic: password hashes by user, as ``openssl passwd -6`` makes them; empty to ask for none.
    :param allow: addresses and networks; all others get 403. Empty for everyone.
    :param limit_req: requests an address may send to the app; more are answered 429.
    :param limit_conn: requests of one address that may be under way in the app; more are answered 429. 0 for any
        number.
    :param cache: seconds for which the proxy may answer for the app, where the app does not say otherwise; 0 for never.
    :param cache_ignore_cookies: GET and HEAD reach the app without their cookies, so that its answers are the same for
        all visitors. Otherwise a request with a cookie is neither answered from the cache nor its answer kept.
    :param headers: headers of the answer, for those that the app does not send itself.
    :param access_log: whether requests are logged.
    :param log_query: whether what follows the ``?`` is logged.
    :param directives: raw lines in the proxy's own language.
    """

    client_max_body_size: str = "1m"
    read_timeout: int = 65
    buffering: bool = True
    auth_basic: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    limit_req: Limit | None = None
    limit_conn: int = 0
    cache: int = 0
    cache_ignore_cookies: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_HEADERS))
    access_log: bool = True
    log_query: bool = True
    directives: str = ""


SETTINGS = tuple(one.name for one in fields(Settings))


@dataclass(frozen=True)
class Site:
    """What the proxy answers for one app: settings, and where they apply.

    :param prefix: path below which the app lives, without a slash at its end; empty for the whole domain.
    :param static: directories by URL prefix, below ``prefix``, with a slash at both ends.
    :param paths: other settings by path, below ``prefix``. Each holds for the path itself and all that is below it.
    """

    settings: Settings = field(default_factory=Settings)
    prefix: str = ""
    static: Mapping[str, Static] = field(default_factory=dict)
    paths: Mapping[str, Settings] = field(default_factory=dict)


OPTIONS = ("prefix", "static", "paths", *SETTINGS)


# --- reading ----------------------------------------


def read(options: Reader, base: Settings, relative: bool) -> Site:
    """A site's options; what is wrong with them goes into the reader's problems.

    :param base: what holds where the site says nothing.
    :param relative: whether a static directory is one of the app's source; else it is an absolute path.
    """
    settings = read_settings(options, base)
    prefix = options.text("prefix", "", PATH, "is not a path: begin it with /, as /shop")
    paths: dict[str, Settings] = {}
    given_paths = options.get("paths", dict, {}, "a map: write `paths: {/admin: {allow: [192.0.2.1]}}`")
    for path, given in sorted(given_paths.items(), key=lambda item: len(item[0])):
        where, plain_path = f"paths.{path}", path.rstrip("/")
        if not PATH.fullmatch(path) or path == "/":
            options.problem(where, path, "is not a path of the site: begin it with /, as /admin")
        nearest = below(plain_path, paths)
        inherited = settings if nearest is None else paths[nearest]
        inner = Reader(options.field(where), given, options.problems, SETTINGS)
        # Raw lines hold where they stand; the proxy itself says what is inherited.
        paths[plain_path] = read_settings(inner, replace(inherited, directives=""), plain_path)
    return Site(settings, prefix.rstrip("/"), read_directories(options, "static", relative), paths)


def read_settings(options: Reader, base: Settings, path: str = "") -> Settings:
    """Settings of a path, in place of those of ``base``."""
    given = options.given
    settings = Settings(
        client_max_body_size=options.text(
            "client_max_body_size",
            base.client_max_body_size,
            SIZE,
            "is not a size: write it as 20m, in nginx's notation",
        ),
        read_timeout=options.number("read_timeout", Option(int, base.read_timeout, 1, 86400)) or base.read_timeout,
        buffering=options.flag("buffering", base.buffering),
        auth_basic=read_users(options) if given.get("auth_basic") is not None else base.auth_basic,
        allow=read_networks(options, "allow") if given.get("allow") is not None else base.allow,
        limit_req=read_limit(options, path) if given.get("limit_req") is not None else base.limit_req,
        limit_conn=options.number("limit_conn", Option(int, base.limit_conn, 0, 100_000)) or 0,
        cache=seconds(options, "cache", base.cache),
        cache_ignore_cookies=options.flag("cache_ignore_cookies", base.cache_ignore_cookies),
        headers={**base.headers, **read_headers(options)},
        access_log=options.flag("access_log", base.access_log),
        log_query=options.flag("log_query", base.log_query),
        directives=options.text("directives", base.directives),
    )
    if given.get("cache_ignore_cookies") and settings.cache_ignore_cookies and not settings.cache:
        options.problem("cache_ignore_cookies", True, "keeps nothing by itself: write it beside the `cache` it is for")
    return settings


def read_directories(options: Reader, key: str, relative: bool) -> dict[str, Static]:
    """Directories by URL prefix.

    :param relative: whether they lie in the app's source or data; else they are absolute.
    """
    given = options.get(key, dict, {}, f"a map: write `{key}: {{/{key}/: DIRECTORY}}`")
    return {url: read_directory(options, key, url, entry, relative) for url, entry in given.items()}


def read_directory(options: Reader, key: str, url: str, given: Any, relative: bool) -> Static:
    """A directory, or a map with one."""
    where = f"{key}.{url}"
    inner = Reader(
        options.field(where),
        given if isinstance(given, Mapping) else {"directory": given},
        options.problems,
        [one.name for one in fields(Static)],
    )
    if not PATH.fullmatch(url) or not url.endswith("/") or url == "/":
        options.problem(where, url, "is not a URL prefix: begin and end it with /, as /static/")
    directory = inner.given.get("directory")
    if relative:
        fits = bool(DIRECTORY.fullmatch(f"/{directory}")) and not str(directory).startswith("/")
        whole, top = {"static": ("the source", "the source's top"), "media": ("the app's data", "its data directory")}[
            key
        ]
        remedy = f"is not a directory of {whole}: write it relative to {top}"
    else:
        fits = bool(DIRECTORY.fullmatch(str(directory)))
        remedy = "is not an absolute path without spaces, quotes, braces, $ and ;"
    if not isinstance(directory, str) or not fits or ".." in directory.split("/"):
        options.problem(where, directory, remedy)
    return Static(str(directory).rstrip("/"), seconds(inner, "expires", Static.expires), inner.flag("immutable", False))


def seconds(options: Reader, key: str, default: int) -> int:
    """A time in nginx's notation, as 10m or 1h, or a number of seconds."""
    value = options.given.get(key)
    if value is None:
        return default
    found = TIME.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if not found:
        options.problem(key, value, "is not a time: write it as 10m or 1h, in nginx's notation")
        return default
    return int(found[1]) * SECONDS[found[2]]


def read_users(options: Reader) -> dict[str, str]:
    """Users with the hashes of their passwords, which are not shown."""
    users = options.get("auth_basic", dict, {}, "a map of users and hashes: write `auth_basic: {ada: HASH}`")
    for user, hashed in users.items():
        where = options.field(f"auth_basic.{user}")
        if not re.fullmatch(r"[^:\s\x00-\x1f]+", user):
            options.problems.append(f"{where}: a user's name has no colon and no space: choose another")
        if not isinstance(hashed, str) or not HASHED.fullmatch(hashed):
            options.problems.append(f"{where} is not the hash of a password: write what `openssl passwd -6` prints")
    return {str(user): str(hashed) for user, hashed in users.items()}


def read_networks(options: Reader, key: str) -> tuple[str, ...]:
    """Addresses and networks."""
    networks = options.texts(key)
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            options.problem(key, network, f"is no address and no network ({error}): write 192.0.2.1 or 192.0.2.0/24")
    return networks


def read_limit(options: Reader, path: str) -> Limit | None:
    """A rate, or a map with one and a burst. The default burst is the rate's number; ``none`` is no limit."""
    given = options.given["limit_req"]
    if given == "none":
        return None
    inner = Reader(
        options.field("limit_req"),
        given if isinstance(given, Mapping) else {"rate": given},
        options.problems,
        ("rate", "burst"),
    )
    rate = str(inner.given.get("rate", ""))
    found = RATE.fullmatch(rate)
    if not found:
        inner.problem("rate", inner.given.get("rate"), "is not a rate: write 10r/s, 30r/m or none")
        return None
    return Limit(rate, inner.number("burst", Option(int, int(found[1]), 0, 100_000)) or 0, path)


def read_headers(options: Reader) -> dict[str, str]:
    """Headers in the usual spelling; an empty value takes a default one away."""
    headers = {}
    for name, value in options.get("headers", dict, {}, "a map: write `headers: {Name: value}`").items():
        spelled = next((known for known in DEFAULT_HEADERS if known.lower() == name.lower()), name)
        if not HEADER.fullmatch(name):
            options.problem(f"headers.{name}", name, "is not a header's name: use letters, digits and -")
        elif reason := {known.lower(): why for known, why in OWN_HEADERS.items()}.get(name.lower()):
            options.problem(f"headers.{name}", value, f"cannot be set here: {reason}")
        elif not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
            options.problem(f"headers.{name}", value, "is not one line of ASCII text without $: put it in quotes")
        else:
            headers[spelled] = value
    return headers


# --- several sites on one domain ----------------------------------------


def owners(sites: Sequence[tuple[str, Sequence[str], str]]) -> dict[str, str]:
    """For each site the one that owns its domains: itself, or the one among those that share them that has no prefix.

    :param sites: name, domains and prefix of each. Where all have a prefix, the first owns the domains.
    """
    found: dict[str, str] = {}
    for name, domains, _prefix in sites:
        sharing = [site for site in sites if domains and list(site[1])[:1] == list(domains)[:1]]
        whole = [site for site in sharing if not site[2]]
        found[name] = (whole or sharing or [(name, (), "")])[0][0]
    return found


def domain_problems(sites: Sequence[tuple[str, Sequence[str], str]], where: str, option: str) -> Iterator[str]:
    """Domains that two sites claim, and that they do not share by different prefixes.

    :param where: how a message names a site's domains, with ``{}`` for the site's name; ``option`` how its prefix.
    """
    first: dict[str, tuple[str, Sequence[str], str]] = {}
    prefixes: dict[tuple[str, str], str] = {}
    for site in sites:
        name, domains, prefix = site
        field_of = where.format(name)
        for domain in domains:
            other = first.setdefault(domain, site)
            if other is site:
                if list(domains).count(domain) > 1:
                    yield f"{field_of}: {domain!r} stands twice: keep it in one place"
                    break
            elif list(other[1]) != list(domains):
                yield (
                    f"{field_of}: {domain!r} stands in {where.format(other[0])} too: keep it in one place, or have "
                    f"both share all domains, in the same order, under different prefixes ({option})"
                )
                break
            elif (taken := prefixes.setdefault((domain, prefix), name)) != name:
                yield (
                    f"{field_of}: {domain!r} stands in {where.format(taken)} too: keep it in one place, or give one of "
                    f"them a prefix of its own ({option})"
                )
                break
            prefixes.setdefault((domain, prefix), name)


@dataclass(frozen=True)
class Named:
    """A site of a host.

    :param owner: the site that owns its domains; see :func:`owners`.
    """

    name: str
    domains: tuple[str, ...]
    socket: str
    certificate: str
    site: Site
    owner: str = ""


def below(path: str, places_: Iterable[str]) -> str | None:
    """The longest of the places in which the path lies, or None."""
    return max((place for place in places_ if f"{path}/".startswith(f"{place}/")), key=len, default=None)


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that the text is, if it is one."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# --- a role's input ----------------------------------------


def load(given: Any) -> tuple[list[Named], Problems]:
    """Read the role's list of sites; the sites, and what is wrong with them."""
    problems: Problems = []
    found: list[Named] = []
    for number, entry in enumerate(given if isinstance(given, list) else []):
        name = str(entry.get("name", number)) if isinstance(entry, Mapping) else str(number)
        options = Reader(f"proxy_sites.{name}", entry, problems, ("name", "domains", "socket", "certificate", *OPTIONS))
        domains = options.texts("domains", None)
        for domain in domains:
            if not DOMAIN.fullmatch(domain) and not address_of(domain):
                options.problem("domains", domain, "is not a domain: write it in lower case, as www.example.org")
        if not domains or domains[0].startswith("*"):
            problems.append(f"{options.field('domains')}: the first is the canonical one: write it, without *")
        if not NAME.fullmatch(name):
            options.problem("name", name, "is not a name: use lower-case letters, digits, - and _")
        absolute = (DIRECTORY, "is not an absolute path without spaces, quotes, braces, $ and ;")
        socket = options.text("socket", f"/srv/{name}/current/app.sock", *absolute)
        certificate = options.text("certificate", "", *absolute)
        found.append(Named(name, domains, socket, certificate, read(options, Settings(), relative=False)))
    sharing = [(one.name, one.domains, one.site.prefix) for one in found]
    problems += domain_problems(sharing, "proxy_sites.{}.domains", "prefix")
    names = [one.name for one in found]
    problems += [f"proxy_sites.{name}: two sites have this name" for name in sorted({*names}) if names.count(name) > 1]
    owner = owners(sharing)
    return [
        replace(
            one,
            owner=owner[one.name],
            certificate=one.certificate or f"/etc/ssl/groundwork/{owner[one.name]}/current",
        )
        for one in found
    ], problems


def lacking(given: Any, provider: str, options: Sequence[str]) -> Iterator[str]:
    """What the sites ask for and the provider does not have; ``address`` stands for an address among the domains."""
    for entry in given if isinstance(given, list) else []:
        for domain in entry.get("domains") or [] if "address" in options else []:
            if address_of(domain):
                yield (
                    f"proxy_sites.{entry.get('name')}.domains: the address {domain} is not to be had with {provider}: "
                    "leave it out, or take another proxy_provider"
                )
        paths = entry.get("paths") or {}
        places_ = {"": entry, **{f"paths.{path}.": settings or {} for path, settings in paths.items()}}
        for where, settings in places_.items():
            for option in options:
                if option in settings:
                    yield (
                        f"proxy_sites.{entry.get('name')}.{where}{option} is not to be had with {provider}: "
                        "leave it out, write the provider's own lines into `directives`, or take another proxy_provider"
                    )
