# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look from outside comes to at the end of a run: a line for each app, and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside import Seen, Site
from ansible_collections.groundwork.flask.plugins.plugin_utils.wire import Visit


def summarize(sites: Sequence[Site], seen: Seen, found: Iterable[Finding]) -> dict[str, Any]:
    """``visits``, ``answers``, ``problems`` and ``warned``, as the module returns them."""
    all_of_them = list(found)
    return {
        "visits": {site.app: visit_line(site, seen) for site in sites},
        "answers": {site.app: answer(site, seen) for site in sites},
        "problems": [sentence(one) for one in all_of_them if one.state == "problem"],
        "warned": [sentence(one) for one in all_of_them if one.state == "warning"],
    }


def sentence(finding: Finding) -> str:
    """A finding for a person who acts on it."""
    return " ".join(part for part in (f"{finding.subject}: {finding.message}", finding.remedy) if part)


def visit_line(site: Site, seen: Seen) -> str:
    """What a visitor of an app gets."""
    domain = site.domains[0]
    by_name = seen.addresses(domain)
    visits, answered = visited(site, seen)
    if not answered:
        return f"no answer from https://{domain}" if visits else "not asked: no address is known"
    way = f"by {answered.address}" if by_name else f"by {answered.address}; {domain} has no address"
    return f"{answered.status} in {answered.seconds * 1000:.0f} ms from here, {way}"


def visited(site: Site, seen: Seen) -> tuple[list[Visit], Visit | None]:
    """The visits to the canonical name, and the first that was answered."""
    domain = site.domains[0]
    visits = seen.of("https", domain, site.path, seen.addresses(domain) or seen.direct)
    return visits, next((one for one in visits if one.status), None)


def answer(site: Site, seen: Seen) -> dict[str, Any]:
    """The same as :func:`visit_line`, for machines and for a report."""
    _visits, found = visited(site, seen)
    certificate = found.certificate if found else None
    return {
        "url": f"https://{site.domains[0]}{site.path}",
        "status": found.status if found else 0,
        "seconds": round(found.seconds, 3) if found else 0.0,
        "address": found.address if found else "",
        "certificate": {
            "issuer": certificate.issuer if certificate else "",
            "days": int(certificate.days_left()) if certificate else 0,
            "until": f"{certificate.ends:%Y-%m-%d}" if certificate else "",
            "trusted": bool(certificate and not certificate.code),
        },
    }


def declared(expected: Mapping[str, Any]) -> dict[str, Any]:
    """What of the inventory a report shows beside what was found."""
    firewall, apps = expected.get("firewall") or {}, expected.get("apps") or {}
    return {
        "proxy": str(expected.get("proxy") or ""),
        "firewall": bool(firewall.get("enabled", True)),
        "ports": [str(one.get("port")) for one in firewall.get("ports") or ()],
        "apps": {
            name: {key: app.get(key) for key in ("domains", "database", "redis", "backup")}
            for name, app in apps.items()
        },
    }
