# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of a proxy, worked out into what a template only has to write down.

:func:`resolve` makes of all sites of a host the locations, limits, headers and password files that their settings come
to, in no proxy's language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import basename, dirname
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils.site_options import YEAR, Site, below
from ansible_collections.groundwork.flask.plugins.plugin_utils.sites import Named, address_of

# Where a contract of the collection puts an app's files: root alone can change what stands in such a path.
ROOTS_OWN = re.compile("|".join(f"{on_host(name, '[^/]+')}(?=/)" for name in ("current", "data")))
# The data of apps, and the same mounted so that the kernel follows no link in it: Apache cannot do without by itself.
DATA, DATA_WITHOUT_LINKS = f"{on_host('datas')}/", f"{on_host('runtime')}/data/"
# Those by which a path is guarded, limited or kept. Raw lines may hold a guard that nobody here can read.
GUARDS = ("auth_basic", "allow", "limit_req", "limit_conn", "cache", "directives")


def identifier(name: str) -> str:
    """A name as part of a variable of nginx's; different names give different results."""
    return name.replace("_", "_u").replace("-", "_h")


def resolve(sites: Sequence[Named]) -> list[dict[str, Any]]:
    """All sites as plain data for templates, in their order."""
    return [resolved(one, [other for other in sites if other.owner == one.owner]) for one in sites]


def resolved(one: Named, sharing: Sequence[Named]) -> dict[str, Any]:
    """One site; ``sharing`` are those on its domains, itself among them."""
    site, numbers = one.site, Numbers()
    canonical = one.domains[0]
    wild = [domain for domain in one.domains[1:] if domain.startswith("*.")]
    locations = [location(site, path, numbers) for path in places(site)]
    return {
        "name": one.name,
        "id": identifier(one.name),
        "domains": list(one.domains),
        # A wildcard is for an app that tells its visitors apart by the name they came by: it is not redirected.
        "served": [canonical, *wild],
        "redirected": [domain for domain in one.domains[1:] if domain not in wild],
        "addresses": [domain for domain in one.domains if address_of(domain)],
        "canonical": bracketed(canonical),
        "socket": one.socket,
        "page": {"directory": dirname(one.page), "file": basename(one.page)} if one.page else {},
        # There while a release of the app is live; "" for an app that is no release's.
        "current": on_host("current", one.name) if one.socket == on_host("socket", one.name) and not one.page else "",
        "undeployed": on_host("undeployed", one.name),
        "certificate": one.certificate,
        "journal": one.journal,
        "owner": one.owner,
        "owned": one.owner == one.name,
        "prefix": site.prefix,
        "depth": site.prefix.count("/"),
        # Where this site ends: for what holds for a site as a whole, such as maintenance.
        "others": [other.site.prefix for other in sharing if other.site.prefix.startswith(f"{site.prefix}/")],
        "settings": locations[0] | {"directory": "", "directives": site.settings.directives},
        "refuse_ambiguous": differ_by_path(site),
        "cache_control": list(cache_control(site)),
        "locations": locations,
        "headers": numbers.headers(),
        "limits": numbers.limits(),
        "passwords": [{"name": one.name, **entry} for entry in numbers.passwords()],
        "log": log(locations),
    }


def log(locations: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Which paths are logged otherwise than what is around them, the longest first: the first that fits counts."""
    by_path = {entry["path"]: entry for entry in sorted(locations, key=lambda entry: -len(entry["path"]))}

    def around(path: str, key: str) -> bool:
        outer = below(path, [other for other in by_path if other != path])
        return True if outer is None else bool(by_path[outer][key])

    return {
        key: [
            {"path": path, "logged": entry[key]} for path, entry in by_path.items() if entry[key] != around(path, key)
        ]
        for key in ("access_log", "log_query")
    }


def bracketed(domain: str) -> str:
    """A domain or address as it stands in a URL."""
    return f"[{domain}]" if ":" in domain else domain


class Numbers:
    """Numbers what a site has several of, so that equal ones are written once."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = {"headers": [], "limits": [], "passwords": []}

    def number(self, kind: str, thing: Any) -> int:
        """The thing's number among those of its kind, from 1."""
        if thing not in self.seen[kind]:
            self.seen[kind].append(thing)
        return self.seen[kind].index(thing) + 1

    def headers(self) -> list[dict[str, Any]]:
        """The headers with their numbers."""
        return [{"number": n, "name": name, "value": value} for n, (name, value) in enumerate(self.seen["headers"], 1)]

    def limits(self) -> list[dict[str, Any]]:
        """The rates of requests with their numbers."""
        return [{"number": n, "rate": limit.rate} for n, limit in enumerate(self.seen["limits"], 1)]

    def passwords(self) -> list[dict[str, Any]]:
        """The password files with their numbers."""
        return [{"number": n, "users": users} for n, users in enumerate(self.seen["passwords"], 1)]


def places(site: Site) -> list[str]:
    """The paths of a site that need a location of their own, without slashes at their ends; first the whole site."""
    return ["", *sorted({*(url.rstrip("/") for url in site.static), *site.paths} - {""})]


def differ_by_path(site: Site) -> bool:
    """Whether it depends on a path of the site who may see it, how often, or whether it is kept.

    Then a path that can be read in two ways must not be let through: the proxy might judge one, and the app answer the
    other.
    """
    settings = [replace(site.settings, directives=""), *site.paths.values()]
    guards = [[getattr(one, name) for name in GUARDS] for one in settings]
    return any(one.cache for one in settings) or any(guard != guards[0] for guard in guards)


def location(site: Site, path: str, numbers: Numbers) -> dict[str, Any]:
    """What holds for a path of the site and all that is below it."""
    nearest = below(path, site.paths)
    settings = site.settings if nearest is None else site.paths[nearest]
    static = {url.rstrip("/"): entry for url, entry in site.static.items()}
    root = below(path, static)
    headers = {name: value for name, value in settings.headers.items() if value}
    if "frame-ancestors" in headers.get("Content-Security-Policy", ""):
        headers.pop("X-Frame-Options", None)  # every browser that knows the one ignores the other
    directory = "" if root is None else static[root].directory
    behind = path.removeprefix(root or "") if directory else ""
    return {
        "path": site.prefix + path,
        # Of a directory of files there is only what is in it.
        "exact": path in site.paths or not directory,
        "directory": directory + behind,
        # No link behind this is followed. The release is reached through one.
        "links_end": links_end(directory),
        "without_links": {
            "directory": without_links(directory + behind),
            "links_end": without_links(links_end(directory)),
        },
        "hidden": "/." in behind,
        "other_headers": settings.headers != site.settings.headers,
        "headers": [
            {"name": name, "value": value, "number": numbers.number("headers", (name, value))}
            for name, value in headers.items()
        ],
        "passwords": numbers.number("passwords", dict(settings.auth_basic)) if settings.auth_basic else 0,
        "limit_req": {
            "number": numbers.number("limits", settings.limit_req),
            "burst": settings.limit_req.burst,
        }
        if settings.limit_req and not directory
        else {},
        "limit_conn": 0 if directory else settings.limit_conn,
        "allow": list(settings.allow),
        "client_max_body_size": settings.client_max_body_size,
        "read_timeout": settings.read_timeout,
        "buffering": settings.buffering,
        "cache": settings.cache,
        "cache_ignore_cookies": settings.cache_ignore_cookies,
        "access_log": settings.access_log,
        "log_query": settings.log_query,
        # The site's own lines stand in its server.
        "directives": settings.directives if nearest is not None else "",
    }


def links_end(directory: str) -> str:
    """The part of a directory's path in which links are followed: what an app can change comes after it."""
    found = ROOTS_OWN.match(directory)
    return found[0] if found else directory


def without_links(path: str) -> str:
    """The path at which the kernel follows no link of an app's data; other paths as they are."""
    return DATA_WITHOUT_LINKS + path.removeprefix(DATA) if path.startswith(DATA) else path


def cache_control(site: Site) -> Iterator[dict[str, Any]]:
    """How long browsers keep the files of each static prefix, the longest prefix first."""
    for url, static in sorted(site.static.items(), key=lambda item: -len(item[0])):
        always = f"public, max-age={YEAR}, immutable"
        normally = f"public, max-age={static.expires}" if static.expires else "no-cache"
        yield {"prefix": site.prefix + url, "value": always if static.immutable else normally, "hashed": always}
