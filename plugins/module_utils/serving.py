# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who serves the web on a host already: programs at its ports, redirects in the kernel, sites, firewalls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import file_set, firewalls, listeners, web_sites
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import SYSTEMCTL
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import output

PORTS = (80, 443)
RUNNING = ("active", "reloading", "activating")
# The file sets of the role proxy, with the unit and the main file of each.
OURS = {"proxy_nginx": web_sites.NGINX, "proxy_apache": web_sites.APACHE}
RULES = f"{on_host('configuration')}/firewall.nft"[1:]  # of the role firewall
# Web servers that may start at boot though they do not run now: where each says on which ports, and what says so there.
SERVERS_AT_BOOT = {
    "apache2.service": ("etc/apache2/ports.conf", rb"(?mi)^\s*Listen\s+(?:\S+:)?(?:80|443)\b"),
    "nginx.service": ("etc/nginx/nginx.conf", rb"\S"),
    "lighttpd.service": ("etc/lighttpd/lighttpd.conf", rb"(?m)^\s*server\.port\s*=\s*(?:80|443)\b"),
    "haproxy.service": ("etc/haproxy/haproxy.cfg", rb"(?m)^\s*bind\s+(?:\S*:|\S.*,\S*:)(?:80|443)\b"),
    "caddy.service": ("etc/caddy/Caddyfile", rb"\S"),
}
# Programs that listen for a container.
OF_CONTAINERS = ("docker-proxy", "conmon", "rootlessport", "rootlesskit", "pasta", "slirp4netns")
# A rule that sends what comes to a port elsewhere, as iptables-save and nft write it.
IPTABLES = re.compile(r"-A (?!OUTPUT|POSTROUTING).* -p (tcp|udp) .*--(?:dport|dports) ([\d,:]+) .*-j (?:DNAT|REDIRECT)")
NFT = re.compile(r"\b(tcp|udp) dport (\{[^}]*\}|[\w-]+)(?: .*)? (?:dnat|redirect|xt target \"(?:DNAT|REDIRECT)\")")
NFT_MAP = re.compile(r"\b(?:dnat|redirect) .*\b(tcp|udp) dport map (\{[^}]*\})")
# Rules for what comes from the host itself, or from its own containers and virtual machines.
FROM_INSIDE = re.compile(
    r"(?<!! )-i (?:lo|docker|podman|br-|virbr|lxdbr|lxcbr|cni|veth)|iifname \"(?:lo|docker|podman|br-|virbr|lxdbr|cni)|"
    r"-d 127\.|daddr 127\."
)

FAIL2BAN = ("/usr/bin/fail2ban-client", "--dump")  # what its configuration comes to, whether it runs or not
JAIL = re.compile(r"(?m)^\['set', '([^']+)', 'addlogpath', '([^']+)'")


def serving(root: Path = Path("/")) -> dict[str, Any]:
    """What the roles proxy and firewall need to know before they change a host."""
    ours, rules = our_units(root), ruleset(root)
    listening, redirected = listeners.listeners(PORTS, root), list(redirects(rules, set(PORTS)))
    published = redirected or any(one["name"] in OF_CONTAINERS for one in listening)
    states = unit_states([*SERVERS_AT_BOOT, *(one["unit"] for one in listening if one["unit"])])
    return {
        "listeners": listening,
        "redirects": redirected,
        "containers": containers() if published else [],
        "ours": ours,
        "sites": {server.unit: web_sites.others_sites(server, root) for server in OURS.values() if not ours},
        "armed": [server.unit for server in OURS.values() if is_armed(states.get(server.unit, {}))],
        "at_boot": [
            unit for unit in SERVERS_AT_BOOT if unit not in ours and starts_at_boot(unit, states.get(unit, {}), root)
        ],
        "fleeting": [unit for unit, state in states.items() if is_fleeting(state)],
        "firewalls": firewalls.firewalls(rules, root),
        "jails": jails(output(*FAIL2BAN)),
        # Once the firewall is there, `verify` tells what listens behind it.
        "reached": [] if (root / RULES).exists() else listeners.from_elsewhere(root),
    }


def jails(dump: str) -> list[dict[str, str]]:
    """The jails of fail2ban and the files that they read, from its configuration as it prints it; none without it."""
    return [{"name": line(name), "file": line(file)} for name, file in JAIL.findall(dump)]


def our_units(root: Path = Path("/")) -> list[str]:
    """The units that serve what the role proxy has written: its file set is recorded, and its main file is there."""
    found = []
    for name, server in OURS.items():
        manifest = file_set.Manifest.load(root / str(file_set.STATE_DIRECTORY).lstrip("/") / f"{name}.json")
        if manifest.parts and b"groundwork" in web_sites.content(root / server.main):
            found.append(server.unit)
    return found


def unit_states(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What systemd says of units, by their names."""
    shown = output(SYSTEMCTL, "show", "--property=Id,ActiveState,UnitFileState,SourcePath", "--", *dict.fromkeys(names))
    states = [dict(row.partition("=")[::2] for row in block.splitlines()) for block in shown.split("\n\n")]
    return {state["Id"]: state for state in states if "Id" in state}


def is_armed(state: Mapping[str, str]) -> bool:
    """Whether a unit runs, or starts at boot."""
    return state.get("ActiveState") in RUNNING or state.get("UnitFileState") == "enabled"


def starts_at_boot(unit: str, state: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Whether a web server that does not run now takes one of the ports at the next boot."""
    file, listens = SERVERS_AT_BOOT[unit]
    is_enabled_only = state.get("UnitFileState") == "enabled" and state.get("ActiveState") not in RUNNING
    return is_enabled_only and bool(re.search(listens, web_sites.content(root / file)))


def is_fleeting(state: Mapping[str, str]) -> bool:
    """Whether a unit cannot be disabled and started again: ``systemd-run`` or a generator has made it."""
    of_init = state.get("SourcePath", "").startswith("/etc/init.d/")
    return state.get("UnitFileState") == "transient" or (state.get("UnitFileState") == "generated" and not of_init)


def ruleset(root: Path = Path("/")) -> dict[str, str]:
    """The kernel's rules as the programs that are there print them: of nft, and of iptables for both families."""
    asked = {
        "nft": ("/usr/sbin/nft", "--stateless", "list", "ruleset"),
        "iptables": ("/usr/sbin/iptables-save",),
        "ip6tables": ("/usr/sbin/ip6tables-save",),
    }
    # The older kind of rules; a look would load its modules into a kernel that has none.
    for name, table in (("iptables-legacy", "ip_tables_names"), ("ip6tables-legacy", "ip6_tables_names")):
        if web_sites.content(root / "proc/net" / table).strip():
            asked[name] = (f"/usr/sbin/{name}-save",)
    return {name: output(*argv) for name, argv in asked.items()}


def redirects(rules: dict[str, str], ports: set[int]) -> Iterator[dict[str, Any]]:
    """The ports of these that a rule of the kernel sends elsewhere before any program sees what comes."""
    seen = set()
    for text in rules.values():
        chain: list[str] = []
        for row in text.splitlines():
            chain = [] if row.strip().startswith(("chain ", "table ")) else [*chain, row]
            match = IPTABLES.search(row) or NFT.search(row) or NFT_MAP.search(row)
            inside = FROM_INSIDE.search(row) or any("hook output" in above for above in chain[:2])
            if not match or inside:
                continue
            for port in sorted(ports & set(numbers(match[2]))):
                if (match[1], port) not in seen:
                    seen.add((match[1], port))
                    yield {"port": port, "protocol": match[1], "rule": line(row)}


def numbers(text: str) -> Iterator[int]:
    """The ports of a rule: one, several, ranges, by their names too, or the keys of a map."""
    for word in re.findall(r"[\w:-]+", re.sub(r":\s+[^,}]+", " ", text)):
        word = {"http": "80", "https": "443"}.get(word, word)
        first, _dash, last = word.replace(":", "-").partition("-")
        if first.isdigit() and (last or first).isdigit():
            yield from range(int(first), min(int(last or first), 65535) + 1)


def containers() -> list[str]:
    """The containers that publish these ports, by what the engines on the host say."""
    found = set()
    for engine in ("/usr/bin/docker", "/usr/bin/podman"):
        shown = output(engine, "ps", "--format", "{{.Names}} {{.Ports}}")
        found |= {
            line(row.split()[0])
            for row in shown.splitlines()
            if any(re.search(rf":{port}->", row) for port in PORTS) and row.split()
        }
    return sorted(found)
