# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the operator's status page: what ``watch_page`` says, checked, and as the roles take it.

It has a domain of its own, so that the page is of another origin than each app: no script of an app can read it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils.sites import DOMAIN, HASHED

KEYS = ("domain", "users", "allow", "certificate")
# In place of what a site sends by default, and beside the policy in the page itself: nobody frames or indexes it.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def problems(page: Mapping[str, Any], domains: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What is wrong with ``watch_page``, a sentence each.

    :param domains: those of each app.
    """
    for key in page:
        if key not in KEYS:
            yield f"watch_page.{key} is not an option: it has {', '.join(KEYS)}"
    domain, users = page.get("domain"), page.get("users")
    if not isinstance(domain, str) or not DOMAIN.fullmatch(domain) or domain.startswith("*"):
        yield f"watch_page.domain: {domain!r} is not a domain: write it in lower case, as status.example.org"
    for app, names in domains.items():
        if any(name == domain or (name.startswith("*.") and str(domain).endswith(name[1:])) for name in names):
            yield (
                f"watch_page.domain: {domain} is a domain of the app {app}, whose visitors and scripts could read the "
                "page: give it a domain of its own"
            )
    if not isinstance(users, dict) or not users:
        yield (
            "watch_page.users: nobody could read the page: write a user and the hash that `openssl passwd -6` prints, "
            "as {ada: HASH}"
        )
        return
    for user, hashed in users.items():
        if not isinstance(user, str) or not re.fullmatch(r"[^:\s\x00-\x1f]+", user):
            yield f"watch_page.users.{user}: a user's name has no colon and no space: choose another"
        if not isinstance(hashed, str) or not HASHED.fullmatch(hashed):  # not shown: it may be the password
            yield f"watch_page.users.{user} is not the hash of a password: write what `openssl passwd -6` prints"


def site(page: Mapping[str, Any]) -> dict[str, Any]:
    """For the role ``proxy``."""
    name = on_host("status_site")
    return {
        "name": name,
        "domains": [page["domain"]],
        "page": f"{on_host('status')}/index.html",
        "certificate": on_host("certificate", name),
        "auth_basic": dict(page["users"]),
        "headers": dict(HEADERS),
        **({"allow": list(page["allow"])} if page.get("allow") else {}),
    }


def certificate(page: Mapping[str, Any]) -> dict[str, Any]:
    """For the role ``certificate``."""
    given = dict(page.get("certificate") or {})
    return {"provider": "acme", **given, "name": on_host("status_site"), "domains": [page["domain"]]}


ROLES = {"proxy": site, "certificate": certificate}
