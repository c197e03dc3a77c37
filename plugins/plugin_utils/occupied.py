# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What serves on a host already and was not set up by this collection: what it keeps from working, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import in_words
from ansible_collections.groundwork.flask.plugins.module_utils.serving import OF_CONTAINERS, numbers

KEPT = f"{on_host('state')}/replaced"  # where a file set keeps what it replaces
MOST_NAMED = 12
# Units that are never stopped to free a port: they carry the connection of the play, or much besides the port.
NEVER_STOPPED = re.compile(
    r"(?:ssh|sshd|docker|podman|containerd|cri-o|crio|k3s|k3s-agent|kubelet|microk8s\S*|lxd|incus|systemd-\S+|init|"
    r"dbus|snap\.docker\S*|user@\S+)\.(?:service|socket|scope)|.*\.scope"
)
PUBLISHED = (
    "publish it on another port, or on an address of this host alone (`-p 127.0.0.1:8080:80`), "
    "and give its domain to another host or proxy"
)


@dataclass
class Judgement:
    """What comes of what was found.

    :param problems: why the role cannot go on, one sentence each for what happened and for what to do.
    :param warnings: what may keep visitors away, and cannot be known for sure.
    :param takes_over: the units that the role's own unit takes over, as the module ``unit_set`` has it.
    :param commands: what is to be run besides, as that module takes it.
    :param taken: what is taken over, for the report.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    takes_over: list[str] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


def proxy(found: Mapping[str, Any], provider: Mapping[str, Any], udp: bool, take_over: bool) -> Judgement:
    """What keeps a proxy from the ports 80 and 443, and which sites of others would no longer be served.

    :param found: as the module ``host_facts`` returns it in ``serving``.
    :param provider: ``name``, ``unit`` and ``main`` (the file that the role replaces) of the proxy, and ``logs``, the
        files in which the lines of apps are not, since they go to the journals.
    :param udp: whether it serves HTTP/3 too.
    :param take_over: whether what can be stopped is to be stopped.
    """
    judgement = Judgement()
    if not found:
        return judgement
    held = {(one["port"], one["protocol"]) for one in found["listeners"] if is_ours(one, found)}
    for redirect in found["redirects"]:
        if redirect["protocol"] == "tcp" or udp:
            # A host on which our proxy serves at the port already is not refused at its next run.
            into = judgement.warnings if (redirect["port"], redirect["protocol"]) in held else judgement.problems
            into.append(redirected(redirect, found["containers"]))
    for (unit, _name), group in by_owner(found, provider, udp, held):
        judge_listener(judgement, found, provider, unit, group, take_over)
    for unit in found["at_boot"]:
        judge_stopped_server(judgement, found, provider, unit, take_over)
    sites = found["sites"].get(provider["unit"], []) if provider["unit"] in found["armed"] else []
    if sites:
        judge_sites(judgement, provider, sites, take_over)
    judgement.problems += list(blind_jails(found.get("jails", []), provider.get("logs", ())))
    return judgement


def blind_jails(jails: Iterable[Mapping[str, str]], logs: Collection[str]) -> Iterator[str]:
    """The jails of fail2ban that would find nobody any more, without a word, as the lines they read go to a journal."""
    for one in jails:
        if one["file"] in logs:
            yield (
                f"fail2ban's jail {one['name']} reads {one['file']}, but what is logged about the apps goes to their "
                "journals, so it would ban nobody: set `proxy_access_log: file`, or have the jail read the journals"
            )


def by_owner(
    found: Mapping[str, Any], provider: Mapping[str, str], udp: bool, held: Collection[tuple[int, str]]
) -> Iterable[tuple[tuple[str, str], list[Mapping[str, Any]]]]:
    """The listeners of others on the ports that the proxy needs, those of one program together.

    :param held: ports with their protocols that a proxy of ours has already.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in found["listeners"]:
        needed = one["protocol"] == "tcp" or (udp and one["port"] == 443)
        if needed and one["unit"] != provider["unit"] and (one["port"], one["protocol"]) not in held:
            groups.setdefault((one["unit"], one["name"]), []).append(one)
    return groups.items()


def is_ours(one: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether a listener is a proxy that the role has set up; where no unit is to be seen its name decides."""
    return (one["unit"] or f"{one['name']}.service") in found["ours"]


def judge_listener(
    judgement: Judgement,
    found: Mapping[str, Any],
    provider: Mapping[str, str],
    unit: str,
    group: Sequence[Mapping[str, Any]],
    take_over: bool,
) -> None:
    """A program of others at the ports: a problem, unless it can be stopped and is to be."""
    first = group[0]
    places = joined(dict.fromkeys(place(one) for one in group))
    sites = found["sites"].get(unit, [])
    dark = f" Its sites would go dark: {named(sites)}." if sites else ""
    what = f"{in_words(first)} holds {places}: {provider['name']} cannot serve beside it.{dark}"
    if first["name"] in OF_CONTAINERS:
        judgement.problems.append(f"{what} It answers for {container(found['containers'])}: {PUBLISHED}.")
    elif not unit or NEVER_STOPPED.fullmatch(unit) or unit in found["fleeting"]:
        judgement.problems.append(
            f"{what} It is no service that could be stopped for you: end it, or move it to another port, and run again."
        )
    elif take_over:
        judgement.takes_over.append(unit)
        judgement.taken.append(
            f"{unit} was stopped and disabled; its files are where they were, "
            f"and `systemctl enable --now {unit}` starts it again once {provider['unit']} is stopped."
            + (f" Its sites are not served any more: {named(sites)}." if sites else "")
        )
    else:
        judgement.problems.append(
            f"{what} Move it to another port, or set `proxy_take_over: true`: then {unit} is stopped and disabled "
            "when the new proxy starts, and its files are kept where they are."
        )


def judge_stopped_server(
    judgement: Judgement, found: Mapping[str, Any], provider: Mapping[str, str], unit: str, take_over: bool
) -> None:
    """A web server that does not run, and would take a port from the proxy at the next boot."""
    if unit == provider["unit"] or unit in judgement.takes_over:
        return
    if take_over:
        judgement.takes_over.append(unit)
        judgement.taken.append(f"{unit}, which did not run, was disabled; its files are where they were.")
        return
    # A host that the role has set up already works, until it boots.
    into = judgement.warnings if provider["unit"] in found["ours"] else judgement.problems
    into.append(
        f"{unit} does not run, but it is enabled: at the next boot it takes port 80 or 443, and {provider['name']} "
        f"cannot start. Disable it (`systemctl disable {unit}`), or set `proxy_take_over: true`: then it is disabled "
        "for you, and its files are kept where they are."
    )


def judge_sites(
    judgement: Judgement, provider: Mapping[str, str], sites: Sequence[Mapping[str, Any]], take_over: bool
) -> None:
    """Sites in the files of the very program that the role sets up."""
    kept = f"{KEPT}{provider['main']}"
    if take_over:
        judgement.taken.append(
            f"{provider['main']} as it was is kept in {kept}. These sites are not served any more, unless they stand "
            f"in the directory conf.d beside it; their files are where they were: {named(sites)}."
        )
        return
    judgement.problems.append(
        f"{provider['name']} on this host has sites that are not in proxy_sites, and they would go dark, because the "
        f"role writes its own {provider['main']}: {named(sites)}. Bring these sites elsewhere, or set "
        f"`proxy_take_over: true`: then the file as it was is kept in {kept}, and the sites' files where they are."
    )


def redirected(redirect: Mapping[str, Any], containers: Sequence[str]) -> str:
    """A rule of the kernel that takes a port away."""
    return (
        f"the kernel sends what comes to port {redirect['port']} ({redirect['protocol']}) elsewhere, before a proxy on "
        f"this host sees it, by the rule `{redirect['rule']}`. It is for {container(containers)}: {PUBLISHED}; or "
        "remove the rule."
    )


def container(names: Sequence[str]) -> str:
    """Which container, as far as it is known."""
    return f"the container {joined(names)}" if names else "a container or another host"


def place(one: Mapping[str, Any]) -> str:
    """A port with its address, for a message."""
    protocol = "" if one["protocol"] == "tcp" else f" ({one['protocol']})"
    where = "" if one["address"] in ("0.0.0.0", "::") else f" of {one['address']}"  # noqa: S104 - nothing is bound
    return f"port {one['port']}{protocol}{where}"


def named(sites: Sequence[Mapping[str, Any]]) -> str:
    """Sites by their names, or where they listen, with their files."""
    shown = list(
        dict.fromkeys(
            f"{', '.join(site['names'] or site['listen']) or 'without a name'} ({site['file']})" for site in sites
        )
    )
    more = len(shown) - MOST_NAMED
    return "; ".join(shown[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def joined(words: Iterable[str]) -> str:
    """Words in a list for a sentence."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def firewall(
    found: Mapping[str, Any],
    services: Sequence[Mapping[str, Any]],
    enabled: bool,
    take_over: bool,
    ssh_ports: Collection[int] = (),
) -> Judgement:
    """Whether another firewall shuts what this one is to open, and what this one is about to shut.

    :param services: as ``firewall_services``.
    :param enabled: whether the role's own rules are to be in force.
    :param ssh_ports: as ``firewall_ssh_ports``.
    """
    judgement = Judgement()
    if enabled and (shut := list(about_to_be_shut((found or {}).get("reached", []), services, ssh_ports))):
        judgement.warnings.append(
            f"The rules of the firewall let nobody in to what listens on this host besides: {'; '.join(shut)}. Add to "
            "firewall_services, or to firewall_ssh_ports for sshd, what is to be reached from elsewhere."
        )
    for other in (found or {}).get("firewalls", []):
        shut = [name for name, port in opened(services) if not lets_in(other, name, port)]
        if not shut and not (take_over and other["unit"] and enabled):
            continue
        allowed = joined(other["allowed"]) if other["allowed"] else "nothing"
        state = f"{other['name']} is in force on this host and lets in {allowed}"
        if not other["unit"] or not enabled:
            judgement.warnings.append(
                f"{state}; as far as can be seen from here nobody reaches {joined(shut)}: open that there too"
                + ("" if other["unit"] else ", or remove its rules")
                + "."
            )
        elif take_over:
            take_firewall_over(judgement, other["name"], other["unit"])
            judgement.taken.append(
                f"{other['name']} was disabled, and its files are where they were. It let in {allowed}: "
                "name in firewall_services what is still to be reached."
            )
        else:
            judgement.problems.append(
                f"{state}, so nobody would reach {joined(shut)}, whatever firewall_services says. Open that there too "
                f"({remedy(other['name'], shut)}), or set `firewall_take_over: true`: {other['name']} is disabled, "
                "its files are kept, and what it let in and is to stay reachable has to stand in firewall_services. "
                "To leave filtering to it, set `firewall_enabled: false`."
            )
    return judgement


def about_to_be_shut(
    reached: Sequence[Mapping[str, Any]], services: Sequence[Mapping[str, Any]], ssh_ports: Collection[int]
) -> Iterator[str]:
    """What listens on a host and is not among what the rules open; nothing that a container publishes."""
    opens = {(port, str(one.get("protocol") or "tcp")) for one in services for port in numbers(str(one.get("port")))}
    opens |= {(int(port), "tcp") for port in ssh_ports}
    programs: dict[str, list[str]] = {}
    for one in reached:
        if (one["port"], one["protocol"]) not in opens and one["name"] not in OF_CONTAINERS:
            programs.setdefault(in_words(one), []).append(f"{one['port']}/{one['protocol']}")
    for program, ports in list(programs.items())[:MOST_NAMED]:
        yield f"{program} at {joined(dict.fromkeys(ports))}"
    if len(programs) > MOST_NAMED:
        yield f"and {len(programs) - MOST_NAMED} more"


def take_firewall_over(judgement: Judgement, name: str, unit: str) -> None:
    """Disable another firewall in its own way; its files stay."""
    if name == "ufw":
        judgement.commands.append({"name": "ufw", "argv": ["/usr/sbin/ufw", "disable"], "output": "text"})
    else:
        judgement.takes_over.append(unit)


def remedy(name: str, shut: Sequence[str]) -> str:
    """The commands that open ports in a firewall."""
    if name == "ufw":
        return "; ".join(f"`ufw allow {port.replace('-', ':')}`" for port in shut)
    ports = " ".join(f"--add-port={port}" for port in shut)
    return f"`firewall-cmd --permanent {ports} && firewall-cmd --reload`"


def opened(services: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """What the services open, as ``80/tcp``, each with its first port."""
    for service in services:
        port = str(service.get("port", ""))
        for first in list(numbers(port))[:1]:
            yield f"{port}/{service.get('protocol') or 'tcp'}", first


def lets_in(other: Mapping[str, Any], name: str, port: int) -> bool:
    """Whether a firewall has a rule for a port, for whomever."""
    protocol = name.rpartition("/")[2]
    return bool(other["open"]) or any(is_for(rule, protocol, port) for rule in other["allowed"])


def is_for(rule: str, protocol: str, port: int) -> bool:
    """Whether a rule of another firewall is about a port: ``80/tcp``, ``any from …``, or a rule of the kernel's."""
    target = rule.split(" from ")[0]
    if match := re.search(r"dport vmap \{([^}]*)\}", rule):  # each port with what becomes of it
        accepted = " ".join(re.findall(r"([\w-]+) : (?:jump|goto|accept)", match[1]))
        return port in set(numbers(accepted)) and protocol in rule
    if match := re.search(r"dports? (\{[^}]*\}|\S+)", rule):
        return port in set(numbers(match[1])) and protocol in rule
    ports, _slash, of_protocol = target.partition("/")
    return of_protocol in ("", protocol) and (ports == "any" or port in set(numbers(ports)))
