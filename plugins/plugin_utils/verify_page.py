# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of ``verify`` as one HTML page that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.plugin_utils import verify_picture, verify_report
from ansible_collections.groundwork.flask.plugins.plugin_utils.verify_picture import number
from ansible_collections.groundwork.flask.plugins.plugin_utils.verify_report import HostReport, as_map
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parents[2] / "playbooks" / "templates"


def page(hosts: Sequence[HostReport], time: str) -> str:
    """The page; every text of a host or an app is escaped by the template's environment.

    :param time: when the hosts were looked at.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    everything = [one for host in hosts for one in host.findings]
    return environment.get_template("verify.html.j2").render(
        time=time,
        state=verify_report.worst(everything),
        verdict=verdict(hosts),
        hosts=[of_host(host) for host in hosts],
    )


def code(text: str) -> Markup:
    """A text in which what stands between backticks is code; a backtick without a second one stays."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = ["`".join(parts[-2:])]
    return Markup().join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def verdict(hosts: Sequence[HostReport]) -> str:
    """The whole in one sentence."""
    bad = [host for host in hosts if host.state == "problem"]
    late = [host for host in hosts if host.state == "warning"]
    if bad:
        problems = verify_report.counted(sum(host.count("problem") for host in bad), "problem")
        return f"{problems} on {', '.join(host.name for host in bad[:3])}{' and others' if len(bad) > 3 else ''}"
    if late:
        warnings = verify_report.counted(sum(host.count("warning") for host in late), "warning")
        return f"Everything works, with {warnings}"
    return "Everything is as it was declared"


def of_host(host: HostReport) -> dict[str, Any]:
    """One host, as the template takes it."""
    found = verify_picture.boxes(host)
    return {
        "name": host.name,
        "state": host.state,
        "heading": verify_report.heading(host).removeprefix(f"{host.name}: "),
        "about": list(about(as_map(host.facts.get("host")))),
        "gauges": list(gauges(as_map(host.facts.get("host")))),
        "drawings": {"wide": verify_picture.wide(found), "narrow": verify_picture.narrow(found)},
        "bad": [one for one in host.findings if one.state in ("problem", "warning")],
        "unchecked": [one for one in host.findings if one.state == "unchecked"],
        "good": [one for one in host.findings if one.state == "ok"],
    }


def about(facts: Mapping[str, Any]) -> Iterator[str]:
    """What the machine is."""
    if facts.get("distribution"):
        yield line(str(facts["distribution"]), 80)
    if days := number(facts.get("uptime")) / 86400:
        yield f"up {days:.0f} days" if days >= 2 else f"up {days * 24:.0f} hours"
    if cores := int(number(facts.get("cores"))):
        yield f"{cores} cores" if cores > 1 else "1 core"


def gauges(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """How much of memory, disks and processors is in use, in percent."""
    memory = as_map(facts.get("memory"))
    if total := number(memory.get("total")):
        yield gauge("Memory", 1 - number(memory.get("available")) / total, f"{size(memory.get('available'))} available")
    disks = facts.get("disks")
    for disk in disks[:6] if isinstance(disks, list) else []:
        one = as_map(disk)
        if total := number(one.get("total")):
            name = f"Disk {line(str(one.get('path')), 40)}"
            yield gauge(name, 1 - number(one.get("free")) / total, f"{size(one.get('free'))} free")
    load, cores = facts.get("load"), number(facts.get("cores"))
    if cores and isinstance(load, list) and load:
        yield gauge("Load", number(load[-1]) / cores, f"{number(load[-1]):.2f} on {cores:.0f} cores in 15 minutes")


def gauge(name: str, share: float, text: str) -> dict[str, Any]:
    """A bar."""
    percent = max(0, min(100, round(share * 100)))
    return {"name": name, "percent": percent, "text": text, "state": "warning" if percent >= 85 else "ok"}


def size(value: Any) -> str:
    """Bytes, for a person."""
    return f"{number(value) / 2**30:.1f} GB"
