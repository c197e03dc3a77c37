# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is expected of a host: the inventory as the module ``verify`` and the look from outside take it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import DRILL_DAYS
from ansible_collections.groundwork.flask.plugins.plugin_utils import firewall_rules, host_settings
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App

HSTS = "Strict-Transport-Security"


def expected(
    apps: Sequence[App],
    *,
    proxy: str = "nginx",
    firewall: Mapping[str, Any] | None = None,
    skipped_parts: Iterable[str] = (),
    saved: Iterable[str] | None = None,
    backup_hours: int = 36,
) -> dict[str, Any]:
    """What is to be in effect on a host.

    :param firewall: ``enabled``, ``ssh_ports`` and ``services``, as the role's variables.
    :param skipped_parts: as ``host_skip_parts``.
    :param saved: the names of the backup sets; None for one for each app.
    :param backup_hours: as ``backup_max_age_hours``.
    """
    names = {app.name for app in apps} if saved is None else set(saved)
    skipped = set(skipped_parts)
    return {
        "apps": {app.name: of_app(app, app.name in names) for app in apps},
        "proxy": proxy,
        "firewall": of_firewall(firewall or {}),
        "host_parts": [part for part in host_settings.PARTS if part not in skipped],
        "backup": {"hours": backup_hours, "drill_days": DRILL_DAYS},
    }


def of_app(app: App, saved: bool) -> dict[str, Any]:
    """What is expected of one app; ``public`` is what the look from outside takes."""
    return {
        "domains": list(app.domains),
        "processes": {name: process["count"] for name, process in app.processes.items()},
        "jobs": sorted(app.jobs),
        "workers": app.server_options.get("workers"),
        "database": "url" if app.database.url else app.database.provider,
        "redis": ["queue", "cache"]
        if app.redis.purpose == "both"
        else [app.redis.purpose]
        if app.redis.purpose
        else [],
        "sandbox": dict(app.sandbox),
        "certificate": app.certificate.provider,
        "backup": saved,
        "public": {
            "path": app.proxy.site.prefix + app.health_path,
            "hsts": bool(app.proxy.site.settings.headers.get(HSTS)),
            "owner": app.proxy.owner,
        },
    }


def of_firewall(firewall: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the firewall is on, and what it lets in: SSH, then the services."""
    ports = [{"port": str(port), "protocol": "tcp", "from": []} for port in firewall.get("ssh_ports") or ()]
    for service in firewall.get("services") or ():
        protocol, sources = str(service.get("protocol") or "tcp"), firewall_rules.sources_of(service)
        ports.append({"port": str(service.get("port")), "protocol": protocol, "from": [str(one) for one in sources]})
    return {"enabled": bool(firewall.get("enabled", True)), "ports": ports}
