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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option, options
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader
from ansible_collections.groundwork.flask.plugins.plugin_utils.site_options import (
    DEFAULT_HEADERS,
    LIMIT,
    OPTIONS,
    PATH,
    RATE,
    SETTINGS,
    STATIC,
    TIME,
    Limit,
    Settings,
    Site,
    Static,
    below,
)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
DOMAIN = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
ABSOLUTE = "is not an absolute path without spaces, quotes, braces, $ and ;"
DIRECTORY = re.compile(r"/[^\s{};\"'\\$#?*]+")
HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
# A proxy would take $ for a variable, and has no way to write it otherwise.
HEADER_VALUE = re.compile(r"[\x20-\x23\x25-\x7e]*")
# What crypt(3) takes, and the proxies beside that.
HASHED = re.compile(r"\$(2[aby]|5|6|7|y|gy|apr1)\$\S+|\{(SSHA|SHA)\}\S+")

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


# --- reading ----------------------------------------


def read(reader: Reader, base: Settings, relative: bool, also: Mapping[str, Mapping[str, Any]] | None = None) -> Site:
    """A site's options; what is wrong with them goes into the reader's problems.

    :param base: what holds where the site says nothing.
    :param relative: whether a static directory is one of the app's source; else it is an absolute path.
    :param also: settings by path that hold unless the user says otherwise for that path.
    """
    settings = read_settings(reader, base)
    prefix = reader.text("prefix", OPTIONS["prefix"])
    paths: dict[str, Settings] = {}
    written = reader.get("paths", dict, {}, "a map: write `paths: {/admin: {allow: [192.0.2.1]}}`")
    for path, given in sorted(completed(written, also or {}).items(), key=lambda item: len(item[0])):
        where, plain_path = f"paths.{path}", path.rstrip("/")
        if not PATH.fullmatch(path) or path == "/":
            reader.problem(where, path, "is not a path of the site: begin it with /, as /admin")
        nearest = below(plain_path, paths)
        inherited = settings if nearest is None else paths[nearest]
        inner = Reader(reader.field(where), given, reader.problems, SETTINGS)
        # Raw lines hold where they stand; the proxy itself says what is inherited.
        paths[plain_path] = read_settings(inner, replace(inherited, directives=""), plain_path)
    return Site(settings, prefix.rstrip("/"), read_directories(reader, "static", relative), paths)


def completed(given: Mapping[str, Any], also: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Paths as the user wrote them, with the settings that hold unless the user says otherwise."""
    found = dict(given)
    for path, settings in also.items():
        own = {} if found.get(path) is None else found[path]
        if isinstance(own, Mapping):
            found[path] = {**settings, **own}
            if isinstance(own.get("headers"), Mapping):
                found[path]["headers"] = {**settings.get("headers", {}), **own["headers"]}
    return found


def read_settings(reader: Reader, base: Settings, path: str = "") -> Settings:
    """Settings of a path, in place of those of ``base``."""
    special: dict[str, Callable[[], Any]] = {
        "auth_basic": lambda: read_users(reader),
        "allow": lambda: read_networks(reader),
        "limit_req": lambda: read_limit(reader, path),
        "cache": lambda: seconds(reader, "cache", base.cache),
        "headers": lambda: {**base.headers, **read_headers(reader)},
    }
    values = {}
    for name, one in SETTINGS.items():
        around = getattr(base, name)
        if name in special:
            values[name] = around if reader.given.get(name) is None else special[name]()
        else:
            values[name] = reader.value(name, replace(one, default=around))
    settings = Settings(**values)
    if reader.given.get("cache_ignore_cookies") and settings.cache_ignore_cookies and not settings.cache:
        reader.problem("cache_ignore_cookies", True, "keeps nothing by itself: write it beside the `cache` it is for")
    return settings


def read_directories(reader: Reader, key: str, relative: bool) -> dict[str, Static]:
    """Directories by URL prefix.

    :param relative: whether they lie in the app's source or data; else they are absolute.
    """
    given = reader.get(key, dict, {}, f"a map: write `{key}: {{/{key}/: DIRECTORY}}`")
    return {url: read_directory(reader, key, url, entry, relative) for url, entry in given.items()}


def read_directory(reader: Reader, key: str, url: str, given: Any, relative: bool) -> Static:
    """A directory, or a map with one."""
    where = f"{key}.{url}"
    inner = Reader(
        reader.field(where),
        given if isinstance(given, Mapping) else {"directory": given},
        reader.problems,
        STATIC,
    )
    if not PATH.fullmatch(url) or not url.endswith("/") or url == "/":
        reader.problem(where, url, "is not a URL prefix: begin and end it with /, as /static/")
    directory = inner.given.get("directory")
    if relative:
        fits = bool(DIRECTORY.fullmatch(f"/{directory}")) and not str(directory).startswith("/")
        whole, top = {"static": ("the source", "the source's top"), "media": ("the app's data", "its data directory")}[
            key
        ]
        remedy = f"is not a directory of {whole}: write it relative to {top}"
    else:
        fits = bool(DIRECTORY.fullmatch(str(directory)))
        remedy = ABSOLUTE
    if not isinstance(directory, str) or not fits or ".." in directory.split("/"):
        reader.problem(where, directory, remedy)
    return Static(str(directory).rstrip("/"), seconds(inner, "expires", 3600), inner.flag("immutable", False))


def seconds(reader: Reader, key: str, default: int) -> int:
    """A time in nginx's notation, as 10m or 1h, or a number of seconds."""
    value = reader.given.get(key)
    if value is None:
        return default
    found = TIME.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if not found:
        reader.problem(key, value, "is not a time: write it as 10m or 1h, in nginx's notation")
        return default
    return int(found[1]) * SECONDS[found[2]]


def read_users(reader: Reader) -> dict[str, str]:
    """Users with the hashes of their passwords, which are not shown."""
    users = reader.get("auth_basic", dict, {}, "a map of users and hashes: write `auth_basic: {ada: HASH}`")
    for user, hashed in users.items():
        where = reader.field(f"auth_basic.{user}")
        if not re.fullmatch(r"[^:\s\x00-\x1f]+", user):
            reader.problems.append(f"{where}: a user's name has no colon and no space: choose another")
        if not isinstance(hashed, str) or not HASHED.fullmatch(hashed):
            reader.problems.append(f"{where} is not the hash of a password: write what `openssl passwd -6` prints")
    return {str(user): str(hashed) for user, hashed in users.items()}


def read_networks(reader: Reader) -> tuple[str, ...]:
    """Addresses and networks."""
    networks = reader.texts("allow", SETTINGS["allow"])
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            reader.problem("allow", network, f"is no address and no network ({error}): write 192.0.2.1 or 192.0.2.0/24")
    return networks


def read_limit(reader: Reader, path: str) -> Limit | None:
    """A rate, or a map with one and a burst. The default burst is the rate's number; ``none`` is no limit."""
    given = reader.given["limit_req"]
    if given == "none":
        return None
    inner = Reader(
        reader.field("limit_req"),
        given if isinstance(given, Mapping) else {"rate": given},
        reader.problems,
        LIMIT,
    )
    rate = str(inner.given.get("rate", ""))
    found = RATE.fullmatch(rate)
    if not found:
        inner.problem("rate", inner.given.get("rate"), "is not a rate: write 10r/s, 30r/m or none")
        return None
    return Limit(rate, inner.number("burst", replace(LIMIT["burst"], default=int(found[1]))) or 0, path)


def read_headers(reader: Reader) -> dict[str, str]:
    """Headers in the usual spelling; an empty value takes a default one away."""
    headers = {}
    for name, value in reader.get("headers", dict, {}, "a map: write `headers: {Name: value}`").items():
        spelled = next((known for known in DEFAULT_HEADERS if known.lower() == name.lower()), name)
        if not HEADER.fullmatch(name):
            reader.problem(f"headers.{name}", name, "is not a header's name: use letters, digits and -")
        elif reason := {known.lower(): why for known, why in OWN_HEADERS.items()}.get(name.lower()):
            reader.problem(f"headers.{name}", value, f"cannot be set here: {reason}")
        elif not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
            reader.problem(f"headers.{name}", value, "is not one line of ASCII text without $: put it in quotes")
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
    """A site of a host, as the role takes it.

    :param owner: the site that owns its domains; see :func:`owners`.
    :param page: of a site without an app, the one page that it has.
    :param replaces: sites of the host, of no list of this play, from which it takes over domains.
    """

    name: str = option("", required="name: shop", doc="Name of the site, unique on the host.")
    domains: tuple[str, ...] = option((), required="domains: [www.example.org]", doc="Names it answers under.")
    socket: str = option("", pattern=DIRECTORY.pattern, remedy=ABSOLUTE, doc="Unix socket of the app.")
    certificate: str = option(
        "", pattern=DIRECTORY.pattern, remedy=ABSOLUTE, doc="Directory with `fullchain.pem` and `privkey.pem`."
    )
    page: str = option(
        "", pattern=DIRECTORY.pattern, remedy=ABSOLUTE, doc="File that the site serves at /, in place of an app."
    )
    replaces: tuple[str, ...] = option(
        (), pattern=NAME.pattern, remedy="write the names of sites", doc="Sites from which it takes over domains."
    )
    journal: str = option(
        "",
        pattern=NAME.pattern,
        remedy="write the name of a journal namespace",
        doc="Namespace that its log goes into.",
    )
    site: Site = field(default_factory=Site)
    owner: str = ""


NAMED = options(Named)


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
        reader = Reader(f"proxy_sites.{name}", entry, problems, (*NAMED, *OPTIONS))
        domains = reader.texts("domains", NAMED["domains"])
        for domain in domains:
            if not DOMAIN.fullmatch(domain) and not address_of(domain):
                reader.problem("domains", domain, "is not a domain: write it in lower case, as www.example.org")
        if not domains or domains[0].startswith("*"):
            problems.append(f"{reader.field('domains')}: the first is the canonical one: write it, without *")
        if not NAME.fullmatch(name):
            reader.problem("name", name, "is not a name: use lower-case letters, digits, - and _")
        socket = reader.text("socket", NAMED["socket"]) or on_host("socket", name)
        certificate = reader.text("certificate", NAMED["certificate"])
        page = reader.text("page", NAMED["page"])
        replaces = reader.texts("replaces", NAMED["replaces"])
        journal = reader.text("journal", NAMED["journal"])
        site = read(reader, Settings(), relative=False)
        without_app = ("socket", "prefix", "static", "paths", "replaces")
        for key in without_app if page else ():
            if entry.get(key):
                reader.problem(key, entry[key], "is for a site with an app, and this one has a page: leave it out")
        found.append(Named(name, domains, socket, certificate, page, replaces, journal, site))
    sharing = [(one.name, one.domains, one.site.prefix) for one in found]
    problems += domain_problems(sharing, "proxy_sites.{}.domains", "prefix")
    names = [one.name for one in found]
    problems += [f"proxy_sites.{name}: two sites have this name" for name in sorted({*names}) if names.count(name) > 1]
    owner = owners(sharing)
    return [
        replace(
            one,
            owner=owner[one.name],
            certificate=one.certificate or on_host("certificate", owner[one.name]),
        )
        for one in found
    ], problems


def lacking(given: Any, provider: str, lacks: Sequence[str]) -> Iterator[str]:
    """What the sites ask for and the provider does not have; ``address`` stands for an address among the domains."""
    for entry in given if isinstance(given, list) else []:
        for domain in entry.get("domains") or [] if "address" in lacks else []:
            if address_of(domain):
                yield (
                    f"proxy_sites.{entry.get('name')}.domains: the address {domain} is not to be had with {provider}: "
                    "leave it out, or take another proxy_provider"
                )
        paths = entry.get("paths") or {}
        places_ = {"": entry, **{f"paths.{path}.": settings or {} for path, settings in paths.items()}}
        for where, settings in places_.items():
            for lacked in lacks:
                if lacked in settings:
                    yield (
                        f"proxy_sites.{entry.get('name')}.{where}{lacked} is not to be had with {provider}: "
                        "leave it out, write the provider's own lines into `directives`, or take another proxy_provider"
                    )
