# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site of the proxy may have: a record for each option, as a field of a dataclass, and how sites are written.

A site has settings, a path of it may have others, and a path has what the path or the site around it has unless it
says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option, options
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

SIZE = re.compile(r"\d+[kmgKMG]?")
TIME = re.compile(r"(\d+)([smhdwMy]?)")
RATE = re.compile(r"([1-9]\d*)r/([sm])")
# What may stand in a location or an alias without quotes.
PATH = re.compile(r"/[^\s{};\"'\\$#?*]*")

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


@dataclass(frozen=True)
class Limit:
    """How many requests an address may send.

    :param path: where it was set; what inherits it is counted with it.
    """

    rate: str = option("", pattern=RATE.pattern, doc="Requests of one address, as `10r/s` or `30r/m`.", example="10r/s")
    burst: int = option(0, at_most=100_000, doc="How many may come at once above it; by default the rate's number.")
    path: str = ""


@dataclass(frozen=True)
class Static:
    """A directory whose files are served from disk."""

    directory: str = option("", doc="Where the files are.", example="shop/static")
    expires: int = option(
        3600,
        kind=str,
        pattern=TIME.pattern,
        doc="How long a browser may keep a file without asking, in nginx's notation; `0` for never.",
        example="30d",
    )
    immutable: bool = option(
        False,
        doc="Whether no file ever changes under its name, so that browsers keep them for a year, as they keep any with "
        "a hash in its name.",
        example=True,
    )


@dataclass(frozen=True)
class Settings:
    """What holds for a site, or for a path of it."""

    client_max_body_size: str = option(
        "1m",
        pattern=SIZE.pattern,
        remedy="is not a size: write it as 20m, in nginx's notation",
        doc="Largest body of a request, in nginx's notation; a larger one is answered 413. `0` for no limit.",
        example="20m",
        roles=("proxy", "release"),
    )
    read_timeout: int = option(
        65,
        at_least=1,
        at_most=86400,
        doc="Seconds of silence from the app after which the visitor gets 504; by default the server's timeout and 5.",
        example=600,
        roles=("proxy",),
    )
    buffering: bool = option(
        True,
        doc="Whether the proxy takes an answer in as fast as the app gives it; false lets each piece pass as it comes, "
        "for server-sent events.",
        example=False,
        roles=("proxy",),
    )
    auth_basic: Mapping[str, str] = option(
        {},
        doc="User to password hash, as `openssl passwd -6` prints it; empty to ask for none.",
        example={"ada": "$6$salt$hash"},
        roles=("proxy",),
    )
    allow: tuple[str, ...] = option(
        (),
        doc="Addresses and networks that are let in, others get 403; empty for everyone.",
        example=["192.0.2.0/24"],
        roles=("proxy",),
    )
    limit_req: Limit | None = option(
        None,
        doc="Requests that one address may send to the app: `10r/s`, `30r/m`, a map of `rate` and `burst`, or `none`; "
        "more are answered 429.",
        example="10r/s",
        roles=("proxy",),
    )
    limit_conn: int = option(
        0,
        at_most=100_000,
        doc="Requests of one address that may be under way in the app, more are answered 429; 0 for any number.",
        example=20,
        roles=("proxy",),
    )
    cache: int = option(
        0,
        kind=str,
        pattern=TIME.pattern,
        doc="For how long the proxy may answer for the app where the app does not say otherwise, in nginx's notation; "
        "`0` for never.",
        example="1m",
        roles=("proxy",),
    )
    cache_ignore_cookies: bool = option(
        False,
        doc="Whether GET and HEAD reach the app without their cookies, so that answers are the same for all visitors "
        "and are kept; stands beside the `cache` it is for.",
        example=True,
        roles=("proxy",),
    )
    headers: Mapping[str, str] = option(
        DEFAULT_HEADERS,
        doc="Headers of each answer, for those that the app does not send itself; an empty value leaves a default one "
        "out.",
        example={"X-Shop": "1"},
        roles=("proxy",),
    )
    access_log: bool = option(True, doc="Whether requests are logged.", example=False, roles=("proxy",))
    log_query: bool = option(
        True, doc="Whether what follows the `?` of a request is logged.", example=False, roles=("proxy",)
    )
    directives: str = option(
        "", doc="Raw lines in the proxy's own language.", example="# of the shop", roles=("proxy",)
    )


LIMIT, STATIC, SETTINGS = options(Limit), options(Static), options(Settings)


@dataclass(frozen=True)
class Site:
    """What the proxy answers for one app: settings, and where they apply."""

    settings: Settings = field(default_factory=Settings)
    prefix: str = option(
        "",
        pattern=PATH.pattern,
        remedy="is not a path: begin it with /, as /shop",
        doc="Path below which the app lives and all others are; by default it has the whole domain.",
        example="/shop",
        roles=("proxy", "release", "watch"),
        defines=True,
    )
    static: Mapping[str, Static] = option(
        {},
        doc="URL prefix, with a slash at both ends, to a directory of the source that is served from disk, or to a map "
        "with `directory`, `expires` and `immutable`.",
        example={"/static/": "shop/static"},
        roles=("proxy", "release"),
        defines=True,
    )
    paths: Mapping[str, Settings] = option(
        {},
        doc="Path to other settings of these, for the path itself and all that is below it.",
        example={"/admin": {"allow": ["192.0.2.0/24"]}},
        roles=("proxy",),
    )


OPTIONS = {**options(Site), **SETTINGS}


def below(path: str, places_: Iterable[str]) -> str | None:
    """The longest of the places in which the path lies, or None."""
    return max((place for place in places_ if f"{path}/".startswith(f"{place}/")), key=len, default=None)


def written(site: Site) -> dict[str, Any]:
    """The options from which :func:`read` makes this site; those that have their default are left out."""
    found = {**({"prefix": site.prefix} if site.prefix else {}), **written_settings(site.settings, Settings())}
    paths: dict[str, Any] = {}
    for path, settings in sorted(site.paths.items(), key=lambda item: len(item[0])):
        nearest = below(path, paths)
        around = site.settings if nearest is None else site.paths[nearest]
        paths[path] = written_settings(settings, replace(around, directives=""))
    static = {url: written_static(one) for url, one in site.static.items()}
    return {**found, "static": static, "paths": paths}


def written_settings(settings: Settings, around: Settings) -> dict[str, Any]:
    """The options by which settings differ from those around them."""
    found: dict[str, Any] = {}
    for name in SETTINGS:
        value, other = getattr(settings, name), getattr(around, name)
        if value == other:
            continue
        if name == "limit_req":
            found[name] = "none" if value is None else {"rate": value.rate, "burst": value.burst}
        elif name == "headers":
            found[name] = {header: text for header, text in value.items() if other.get(header) != text}
        else:
            found[name] = plain(value)
    return found


def written_static(static: Static) -> dict[str, Any]:
    """A directory of files as a map without its defaults."""
    values = {name: getattr(static, name) for name in STATIC}
    return {name: value for name, value in values.items() if value != STATIC[name].default}


def size_in_bytes(size: str) -> int:
    """A size in nginx's notation; 0 stands for no limit."""
    unit = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(size[-1].lower())
    return int(size[:-1]) * unit if unit else int(size)
