# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a host: what a visitor's request passes, from the firewall to the backup, as boxes and links.

Two drawings of the same boxes: one for a screen or paper, one for a phone. The template only writes down what stands
here; it escapes every text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding, State
from ansible_collections.groundwork.flask.plugins.plugin_utils.verify_report import HostReport, as_map, worst

# Which findings a box shows the state of, by the beginnings of the checks' names. What fits none is the host's own.
OF_BOX = {
    "visitors": r"public_|visit",
    "firewall": r"firewall|listen|ports|sockets|outgoing",
    "proxy": r"proxy|nginx|apache|site|certificate",
    "data": r"database|postgresql|mariadb|redis|pooler",
    "backup": r"backup|drill|restore",
}
SERVICES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB", "url": "Database elsewhere"}
MOST_APPS = 30  # boxes; the rest is counted
WIDE, NARROW = 1200, 360
TEXT, TITLE = 7.2, 9.0  # widths of a character of each size, with some room
# Where the kinds of boxes stand from left to right, and how wide they are.
COLUMNS = (
    (("visitors",), 0, 156),
    (("firewall",), 186, 130),
    (("proxy",), 346, 164),
    (("app",), 546, 284),
    ((*SERVICES, "redis"), 864, 154),
    (("backup",), 1046, 154),
)
BAD = ("problem", "warning")
HEAD, LINE, FOOT = 42, 19, 12  # heights: of a box's title, of each line below it, and below the last


@dataclass(frozen=True)
class Box:
    """A box of the picture; x, y and so on are set by a layout."""

    kind: str
    title: str
    state: State
    lines: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        """As high as its lines need."""
        return HEAD + LINE * len(self.lines) + (FOOT if self.lines else 0)

    @property
    def name(self) -> str:
        """The whole title, for those who are read the page aloud."""
        return line(self.title, 100)

    @property
    def shown_title(self) -> str:
        """The title as far as the box is wide."""
        return line(self.title, max(4, int((self.width - 54) / TITLE)))

    @property
    def shown_lines(self) -> list[str]:
        """The lines, alike."""
        return [line(text, max(4, int((self.width - 28) / TEXT))) for text in self.lines]


@dataclass(frozen=True)
class Drawing:
    """A picture: its size, boxes, and the paths between them."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    links: tuple[str, ...]


# --- what is in the boxes ----------------------------------------


def boxes(host: HostReport) -> list[Box]:
    """All boxes of a host, in the order in which a request passes them."""
    apps = list(of_apps(host))
    return [of_visitors(host), of_firewall(host), of_proxy(host), *apps, *of_data(host), of_backup(host)]


def findings_of(host: HostReport, kind: str) -> list[Finding]:
    """The findings that a box stands for; those about an app's data and backup are the app's too."""
    return [one for one in host.findings if re.match(OF_BOX[kind], one.check)]


def state_of(host: HostReport, kind: str) -> State:
    """The state of a box; ``unchecked`` if nothing was looked at."""
    found = findings_of(host, kind)
    looked = [one for one in found if one.state != "unchecked"]
    return worst(looked) if looked else "unchecked"


def of_visitors(host: HostReport) -> Box:
    """What somebody at home gets."""
    answers = [as_map(one) for one in host.answers.values()]
    answered = [one for one in answers if one.get("status")]
    texts = [f"{len(answered)} of {len(answers)} answer"] if answers else ["not asked"]
    if answered:
        texts.append(f"in {max(number(one.get('seconds')) for one in answered) * 1000:.0f} ms at most")
    return Box("visitors", "Visitors", state_of(host, "visitors"), tuple(texts))


def of_firewall(host: HostReport) -> Box:
    """What it lets in."""
    ports = [str(port) for port in host.declared.get("ports") or ()]
    texts = [f"lets in {ports[0]}", ", ".join(ports[1:])] if len(ports) > 1 else [f"lets in {port}" for port in ports]
    if not host.declared.get("firewall"):
        texts = ["off, as declared"]
    return Box("firewall", "Firewall", state_of(host, "firewall"), tuple(texts if host.declared else ()))


def of_proxy(host: HostReport) -> Box:
    """Which one, and how long its certificates are valid; of some that are not, how many."""
    name = str(host.declared.get("proxy") or "proxy").capitalize()
    answered = [as_map(one) for one in host.answers.values() if as_map(one).get("status")]
    days = [int(number(as_map(one.get("certificate")).get("days"))) for one in answered]
    bad = {one.subject for one in findings_of(host, "proxy") if "certificate" in one.check and one.state in BAD}
    texts = ["certificates valid", f"for {min(days)} days"] if days else ["does not answer"] if host.answers else []
    if days and bad:
        texts = ["certificates:", f"look at {len(bad)} of {len(host.answers)}"]
    return Box("proxy", name, state_of(host, "proxy"), tuple(texts))


def of_apps(host: HostReport) -> Iterator[Box]:
    """One box for each app; those with the worst state first where there are many."""
    names = list(dict.fromkeys([*as_map(host.declared.get("apps")), *as_map(host.facts.get("apps")), *host.answers]))
    found = [of_app(host, name) for name in names]
    if len(found) > MOST_APPS:
        order = ("problem", "warning", "unchecked", "ok")
        found.sort(key=lambda box: order.index(box.state))
        rest = len(found) - MOST_APPS
        found = [*found[:MOST_APPS], Box("app", f"and {rest} more", worst_of(found[MOST_APPS:]))]
    yield from found


def worst_of(found: Sequence[Box]) -> State:
    """The worst state of some boxes."""
    states = {box.state for box in found}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def of_app(host: HostReport, name: str) -> Box:
    """The live release of an app, and what runs of it."""
    facts = as_map(as_map(host.facts.get("apps")).get(name))
    declared = as_map(as_map(host.declared.get("apps")).get(name))
    about = [one for one in host.findings if one.subject == name]
    looked = [one for one in about if one.state != "unchecked"]
    uses = [str(declared["database"])] if declared.get("database") else []
    uses += ["redis"] if declared.get("redis") else []
    state: State = worst(looked) if looked else "unchecked"
    return Box("app", name, state, tuple(app_lines(facts, as_map(host.answers.get(name)))), tuple(uses))


def app_lines(facts: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """What stands in an app's box."""
    if facts.get("release"):
        since = str(facts.get("since") or "")[:10]
        yield f"release {facts['release']}" + (f" of {since}" if since else "")
    running = [f"{facts['workers']} workers"] if number(facts.get("workers")) else []
    running += [f"{number(facts.get('memory')) / 2**20:.0f} MB"] if number(facts.get("memory")) else []
    if running:
        yield ", ".join(running)
    beside = [
        f"{name} {as_map(one).get('running', '?')}/{as_map(one).get('wanted', '?')}"
        for name, one in as_map(facts.get("processes")).items()
    ]
    beside += [f"{name} {outcome(as_map(one).get('result'))}" for name, one in as_map(facts.get("jobs")).items()]
    if beside:
        yield ", ".join(beside)
    if answer.get("status"):
        days = int(number(as_map(answer.get("certificate")).get("days")))
        yield f"{answer['status']} in {number(answer.get('seconds')) * 1000:.0f} ms, certificate {days} days"


def outcome(result: Any) -> str:
    """How a job ended; systemd says `success`."""
    return {"": "not run yet", "None": "not run yet", "success": "ok"}.get(str(result), str(result))


def of_data(host: HostReport) -> Iterator[Box]:
    """The database servers, and Redis, that an app uses."""
    apps = as_map(host.declared.get("apps"))
    for kind, title in SERVICES.items():
        users = [name for name, app in apps.items() if as_map(app).get("database") == kind]
        if users:
            yield Box(kind, title, data_state(host, kind), (counted_apps(users),))
    users = [name for name, app in apps.items() if as_map(app).get("redis")]
    if users:
        yield Box("redis", "Redis", data_state(host, "redis"), (counted_apps(users),))


def data_state(host: HostReport, kind: str) -> State:
    """The state of what keeps apps' data: of the checks that are about it, and of units that bear its name."""
    pattern = "redis" if kind == "redis" else rf"database|pooler|{kind}"
    found = [
        one
        for one in host.findings
        if re.match(pattern, one.check)
        or (one.check in ("units", "services") and (one.state == "ok" or kind in one.message.lower()))
    ]
    looked = [one for one in found if one.state != "unchecked"]
    return worst(looked) if looked else "unchecked"


def counted_apps(users: Sequence[str]) -> str:
    """Whose it is."""
    return f"of {users[0]}" if len(users) == 1 else f"of {len(users)} apps"


def of_backup(host: HostReport) -> Box:
    """The oldest of the last backups, and of the last drills."""
    saved = [as_map(as_map(app).get("backup")) for app in as_map(host.facts.get("apps")).values()]
    texts = []
    for key, noun in (("last", "saved"), ("drill", "drill")):
        times = sorted(str(one[key]) for one in saved if one.get(key))
        if times:
            texts.append(f"{noun} {times[0][:10]}")
    return Box("backup", "Backup", state_of(host, "backup"), tuple(texts))


def number(value: Any) -> float:
    """A number that a host gave; 0 for anything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


# --- where they stand ----------------------------------------


def wide(found: Sequence[Box]) -> Drawing:
    """From left to right, the apps below each other in the middle; a kind of which there is none takes no room."""
    columns = []
    saved = 0
    for (kinds, x, width), (_kinds, following, _width) in itertools.pairwise((*COLUMNS, ((), WIDE, 0))):
        column = [box for box in found if box.kind in kinds]
        if column:
            columns.append((column, x - saved, width))
        else:
            saved += following - x
    height = max(stack_height(column) for column, _x, _width in columns)
    placed = [
        box
        for column, x, width in columns
        for box in stacked(column, x, width, (height - stack_height(column)) / 2, 14)
    ]
    return Drawing(WIDE - saved, height + 4, tuple(placed), tuple(links(placed)))


def stack_height(column: Sequence[Box], gap: float = 14) -> float:
    """The height of boxes below each other."""
    return sum(box.height for box in column) + gap * max(0, len(column) - 1)


def stacked(column: Sequence[Box], x: float, width: float, y: float, gap: float) -> Iterator[Box]:
    """Boxes below each other."""
    for box in column:
        yield replace(box, x=x + 1, y=y + 2, width=width - 2)
        y += box.height + gap


def narrow(found: Sequence[Box]) -> Drawing:
    """From top to bottom; what stands side by side, such as the apps, is close together."""
    groups = [[box for box in found if box.kind in kinds] for kinds, _x, _width in COLUMNS]
    placed: list[list[Box]] = []
    y = 0.0
    for group in groups:
        if group:
            placed.append(list(stacked(group, 0, NARROW, y, 8)))
            y += stack_height(group, 8) + 26
    paths = tuple(down(one[-1], other[0]) for one, other in itertools.pairwise(placed))
    return Drawing(NARROW, y - 22, tuple(box for group in placed for box in group), paths)


def links(placed: Sequence[Box]) -> Iterator[str]:
    """The paths between boxes that hand something on to each other."""
    by_kind: dict[str, list[Box]] = {}
    for box in placed:
        by_kind.setdefault(box.kind, []).append(box)
    for one, other in (("visitors", "firewall"), ("firewall", "proxy"), ("proxy", "app")):
        yield from (across(a, b) for a in by_kind.get(one, ()) for b in by_kind.get(other, ()))
    data = [box for box in placed if box.kind in (*SERVICES, "redis")]
    for app in by_kind.get("app", ()):
        used = [box for use in app.uses for box in by_kind.get(use, ())]
        yield from (across(app, box) for box in used)
        if not used:
            yield from (past(app, box, data) for box in by_kind.get("backup", ()))
    yield from (across(box, last) for box in data for last in by_kind.get("backup", ()))


def past(app: Box, backup: Box, data: Sequence[Box]) -> str:
    """A path from an app without a database to the backup, above or below what is in between; "" if neither can be."""
    if not data:
        return across(app, backup)
    y, x = app.y + app.height / 2, backup.x + backup.width / 2
    if y < min(box.y for box in data):
        end = backup.y
    elif y > max(box.y + box.height for box in data):
        end = backup.y + backup.height
    else:
        return ""
    return f"M{app.x + app.width:.0f} {y:.0f}H{x - 60:.0f}Q{x:.0f} {y:.0f} {x:.0f} {end:.0f}"


def across(one: Box, other: Box) -> str:
    """A path from the right side of a box to the left side of another."""
    x1, y1, x2, y2 = one.x + one.width, one.y + one.height / 2, other.x, other.y + other.height / 2
    bend = (x1 + x2) / 2
    return f"M{x1:.0f} {y1:.0f}C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"


def down(one: Box, other: Box) -> str:
    """A path from the bottom of a box to the top of the next."""
    return f"M{NARROW / 2:.0f} {one.y + one.height:.0f}V{other.y:.0f}"
