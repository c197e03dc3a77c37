# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewalls of others that are in force on a host, and what each lets in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import web_sites
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import output

# "### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in", as ufw keeps what it was asked for.
TUPLE = re.compile(
    r"^### tuple ### (allow|limit)(?:_\S+)? (\S+) (\S+) \S+ \S+ (\S+)(?: \S+ \S+)? in(?:_\S+)?", re.MULTILINE
)
EVERYWHERE = ("0.0.0.0/0", "::/0", "any")
SERVICES = {"http": "80/tcp", "https": "443/tcp", "http3": "443/udp", "ssh": "22/tcp"}
MOST_ALLOWED = 30  # rules that a message names


def firewalls(rules: Mapping[str, str], root: Path = Path("/")) -> list[dict[str, Any]]:
    """Each firewall of others that is in force: its name, its unit, and what it lets in from everywhere and otherwise.

    :param rules: what the programs print of the kernel's rules, by their names.
    """
    found = [one for one in (ufw(root), firewalld()) if one]
    # Where ufw or firewalld is in force, the kernel's rules are its own, and its configuration says what they allow.
    return found or list(chains(rules))


def ufw(root: Path = Path("/")) -> dict[str, Any] | None:
    """The rules of ufw, if it is in force at boot."""
    if not re.search(rb"^ENABLED=[\"']?yes", web_sites.content(root / "etc/ufw/ufw.conf"), re.MULTILINE):
        return None
    defaults = web_sites.content(root / "etc/default/ufw").decode(errors="replace")
    text = "".join(
        web_sites.content(root / "etc/ufw" / name).decode(errors="replace") for name in ("user.rules", "user6.rules")
    )
    allowed = []
    for _verb, protocol, ports, source in TUPLE.findall(text):
        for port in ports.split(","):
            rule = f"{port.replace(':', '-')}{'' if protocol == 'any' else f'/{protocol}'}"
            allowed.append(rule if source in EVERYWHERE else f"{rule} from {source}")
    is_open = bool(re.search(r"^DEFAULT_INPUT_POLICY=[\"']?ACCEPT", defaults, re.MULTILINE))
    return {"name": "ufw", "unit": "ufw.service", "allowed": unique(allowed), "open": is_open}


def firewalld() -> dict[str, Any] | None:
    """The rules of firewalld's zones in use, if it runs."""
    if output("/usr/bin/firewall-cmd", "--state").strip() != "running":
        return None
    zones = re.findall(r"^(\S+)", output("/usr/bin/firewall-cmd", "--get-active-zones"), re.MULTILINE)
    zones = zones or output("/usr/bin/firewall-cmd", "--get-default-zone").split()
    allowed, is_open = [], False
    for zone in zones:
        shown = output("/usr/bin/firewall-cmd", f"--zone={zone}", "--list-all")
        for name, value in re.findall(r"^\s+(\S+): (.+)$", shown, re.MULTILINE):
            if name == "services":
                allowed += [SERVICES.get(service, service) for service in value.split()]
            elif name == "ports":
                allowed += value.split()
            elif name == "target" and value.strip() == "ACCEPT":
                is_open = True
    return {"name": "firewalld", "unit": "firewalld.service", "allowed": unique(allowed), "open": is_open}


def chains(rules: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Chains of any other firewall that drop incoming packets, with what they let in."""
    for table, text in nft_tables(rules.get("nft", "")):
        if table != "inet groundwork" and any(shuts(chain) for chain in text.split("\tchain ")[1:]):
            allowed = [line(row) for row in text.splitlines() if re.search(r"\bdport\b.*\baccept\b", row)]
            yield {"name": f"the nftables table {table}", "unit": "", "allowed": unique(allowed), "open": False}
    for family in ("iptables-legacy", "ip6tables-legacy", *(() if rules.get("nft") else ("iptables", "ip6tables"))):
        text = rules.get(family, "").partition("*filter")[2].partition("COMMIT")[0]
        if re.search(r"^:INPUT DROP|^-A INPUT -j (?:DROP|REJECT)", text, re.MULTILINE):
            allowed = [line(row) for row in text.splitlines() if "--dport" in row and row.endswith("-j ACCEPT")]
            yield {"name": f"the INPUT chain of {family}", "unit": "", "allowed": unique(allowed), "open": False}


def shuts(chain: str) -> bool:
    """Whether a chain of nft's list drops what comes in and no rule of it lets in."""
    if not re.search(r"hook input\b", chain):
        return False
    return "policy drop" in chain or bool(re.search(r"^\s+(?:counter )?(?:drop|reject\b.*)$", chain, re.MULTILINE))


def nft_tables(text: str) -> Iterator[tuple[str, str]]:
    """The tables of nft's list, each with its text."""
    for block in re.split(r"^(?=table )", text, flags=re.MULTILINE):
        if match := re.match(r"table (\S+ \S+) \{", block):
            yield match[1], block


def unique(allowed: list[str]) -> list[str]:
    """Each once, in their order, as many as a message can hold."""
    return list(dict.fromkeys(allowed))[:MOST_ALLOWED]
