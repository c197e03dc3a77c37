# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of ``verify``: findings of all hosts, sorted, as lines for a person and as data for machines.

What a host or an app says is bounded and printable here, whoever shows it; ``verify_page`` writes the same as HTML.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding, State

FORMAT = 1  # of the JSON: a key that is taken away or means something else makes another
STATES: tuple[State, ...] = ("problem", "warning", "unchecked", "ok")  # what is wrong comes first
WIDTH = 76  # columns of the table: two characters more are Ansible's
TEXT_LIMIT, NAME_LIMIT, MOST_FINDINGS = 600, 100, 2000


@dataclass(frozen=True)
class HostReport:
    """What was found on one host and from outside.

    :param facts: as the module ``verify`` returns them.
    :param answers: by app, as ``verify_outside`` returns them; ``declared`` alike.
    """

    name: str
    reached: bool = True
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    declared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """The worst state of its findings but ``unchecked``."""
        return worst(self.findings)

    def count(self, state: State) -> int:
        """How many of its findings are in a state."""
        return sum(one.state == state for one in self.findings)

    def fails(self, strict: bool = False) -> list[str]:
        """Why a run is to fail, as one sentence; empty if it is not."""
        counts = [counted(self.count("problem"), "problem"), counted(self.count("warning") * strict, "warning")]
        number = " and ".join(part for part in counts if part)
        return [f"{self.name} has {number}. The report above says what to do."] if number else []


def worst(findings: Iterable[Finding]) -> State:
    """The worst state of some findings; what could not be looked at is no fault."""
    states = {one.state for one in findings}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def read(name: str, looked: Mapping[str, Any], visited: Mapping[str, Any], only: Sequence[str] = ()) -> HostReport:
    """The report of one host.

    :param looked: what the module ``verify`` returned, or what came of the call; empty if it was not called.
    :param visited: what ``verify_outside`` returned, alike.
    :param only: the apps to speak of, all by default; what is about the host stays.
    """
    found = [*trouble(name, looked, visited), *findings(looked), *findings(visited)]
    chosen = [one for one in found if not only or one.subject in (*only, "host")]
    # What is about the host comes first: more often it is the cause of what is wrong with apps.
    chosen.sort(key=lambda one: (STATES.index(one.state), one.subject != "host"))
    facts = as_map(looked.get("facts"))
    apps = {app: given for app, given in as_map(facts.get("apps")).items() if not only or app in only}
    return HostReport(
        name=line(name, NAME_LIMIT),
        reached=not looked.get("unreachable"),
        findings=tuple(chosen),
        facts={"host": as_map(facts.get("host")), "apps": apps},
        answers=as_map(visited.get("answers")),
        declared=as_map(visited.get("declared")),
    )


def unknown(only: Sequence[str], looks: Sequence[Mapping[str, Any]], visits: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the names of the apps to speak of; an app that only a host knows is one too."""
    known = {name for one in looks for name in as_map(as_map(one.get("facts")).get("apps"))}
    known |= {name for one in visits for name in as_map(as_map(one.get("declared")).get("apps"))}
    wrong = [name for name in only if name not in known]
    if not wrong or not known:
        return ""
    there = ", ".join(line(name, NAME_LIMIT) for name in sorted(known))
    return f"app: neither flask_apps nor a host has {', '.join(wrong)}. There are: {there}."


def trouble(name: str, looked: Mapping[str, Any], visited: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings about the looking itself: a host that is not reached is one, and keeps no other host from its report."""
    said = line(str(looked.get("msg") or ""), TEXT_LIMIT).removeprefix("Task failed: ")
    if looked.get("unreachable"):
        remedy = (
            "If it does not answer by the provider's console either, it is down; else look at SSH and the firewall."
        )
        yield Finding(
            "connection", "host", "problem", f"Ansible does not reach {line(name, NAME_LIMIT)}: {said}", remedy
        )
    elif looked.get("failed") or not looked:
        text = said or "an earlier task failed"
        yield Finding(
            "look", "host", "problem", f"The host could not be looked at: {text}", "See the task's own message."
        )
    if visited.get("failed"):
        said = line(str(visited.get("msg") or ""), TEXT_LIMIT)
        yield Finding("visit", "host", "problem", f"The sites could not be asked for: {said}", "")


def findings(result: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings in a result; what a host says is not believed to be in form."""
    given = result.get("findings")
    for one in given[:MOST_FINDINGS] if isinstance(given, list) else []:
        if isinstance(one, Mapping):
            state = one.get("state")
            yield Finding(
                line(str(one.get("check") or ""), NAME_LIMIT),
                line(str(one.get("subject") or ""), NAME_LIMIT),
                state if state in STATES else "unchecked",
                line(str(one.get("message") or ""), TEXT_LIMIT),
                line(str(one.get("remedy") or ""), TEXT_LIMIT),
            )


def as_map(value: Any) -> dict[str, Any]:
    """A map, or an empty one in place of anything else."""
    return dict(value) if isinstance(value, Mapping) else {}


# --- for people ----------------------------------------


def heading(host: HostReport) -> str:
    """A host's name and how much of what was found there."""
    counts = [
        counted(host.count("problem"), "problem"),
        counted(host.count("warning"), "warning"),
        f"{host.count('ok')} all right" if host.count("ok") else "",
        f"{host.count('unchecked')} not checked" if host.count("unchecked") else "",
    ]
    return f"{host.name}: {', '.join(part for part in counts if part) or 'nothing to look at'}"


def counted(number: int, noun: str) -> str:
    """A number with its noun; "" for none."""
    return "" if not number else f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def lines(hosts: Sequence[HostReport]) -> list[str]:
    """The table: for each host what is wrong with its remedy, then one line for each subject that is all right."""
    return [text for host in hosts for text in (heading(host), *host_lines(host))]


def host_lines(host: HostReport) -> Iterator[str]:
    """The lines below a host's heading. None is so long that a terminal or a callback plugin folds it."""
    for one in host.findings:
        if one.state in ("problem", "warning"):
            yield f"  {one.state.upper()} {one.subject}: {one.check}"
            yield from folded(one.message, "    ")
            yield from folded(one.remedy, "    -> ")
    for one in host.findings:
        if one.state == "unchecked":
            yield from folded(f"{one.subject}: {one.check}: {one.message}", "  not checked ")
    for subject, checks in green(host).items():
        yield from folded(f"{subject}: {', '.join(checks)}", "  ok ")


def folded(text: str, begin: str) -> list[str]:
    """A text in lines; `begin` stands before the first, and as much space before the others."""
    return textwrap.wrap(text, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin)) if text else []


def green(host: HostReport) -> dict[str, list[str]]:
    """By subject, the checks of which nothing is wrong; the host first."""
    bad = {(one.subject, one.check) for one in host.findings if one.state in ("problem", "warning")}
    found: dict[str, list[str]] = {}
    for one in sorted(host.findings, key=lambda finding: finding.subject != "host"):
        checks = found.setdefault(one.subject, [])
        if one.state == "ok" and (one.subject, one.check) not in bad and one.check not in checks:
            checks.append(one.check)
    return {subject: checks for subject, checks in found.items() if checks}


# --- for machines ----------------------------------------


def as_data(hosts: Sequence[HostReport], time: str) -> dict[str, Any]:
    """The JSON, as docs/verify.md describes it."""
    everything = [one for host in hosts for one in host.findings]
    return {
        "format": FORMAT,
        "time": time,
        "state": worst(everything),
        "counts": {state: sum(one.state == state for one in everything) for state in STATES},
        "hosts": {host.name: host_data(host) for host in hosts},
    }


def host_data(host: HostReport) -> dict[str, Any]:
    """One host of the JSON."""
    return {
        "state": host.state,
        "reached": host.reached,
        "findings": [one.plain() for one in host.findings],
        "facts": host.facts,
        "public": host.answers,
    }
