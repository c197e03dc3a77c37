# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look from outside says of where DNS leads the names of a site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import State
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside import Said, Seen, Site

# Top-level names that are in no public DNS: RFC 6761, RFC 6762, RFC 8375, and ICANN's decision on `internal` of 2024.
RESERVED = ("test", "example", "invalid", "localhost", "local", "internal")


def judge_names(site: Site, seen: Seen, unreached: State) -> Iterator[Said]:
    """Where DNS leads each name; names that lead to the same place are one finding.

    :param unreached: the state of a name by which nobody arrives.
    """
    right: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for domain in site.asked:
        strange = seen.strange(domain)
        if not seen.is_in_dns(domain):
            missing.setdefault(why_missing(seen, domain), []).append(domain)
        elif strange:
            yield elsewhere(seen, domain, strange)
        else:
            right.setdefault(", ".join(seen.addresses(domain)), []).append(domain)
    for reason, domains in missing.items():
        yield unaddressed(seen, domains, reason, unreached)
    for where, domains in right.items():
        lead = "leads" if len(domains) == 1 else "lead"
        yield Said("ok", f"{shortened(domains)} {lead} to {where}.")


def why_missing(seen: Seen, domain: str) -> str:
    """Why a name has no address; "" for one that can have none in the public DNS."""
    if domain.rpartition(".")[2] in RESERVED or domain.endswith(".home.arpa"):
        return ""
    found = seen.names.get(domain)
    return line(found.error) if found else "the resolver did not answer in time"


def unaddressed(seen: Seen, domains: Sequence[str], reason: str, unreached: State) -> Said:
    """Names without an address."""
    has, names = ("have" if len(domains) > 1 else "has"), shortened(domains)
    if not reason:
        asked = " and ".join(seen.direct)
        how = f"asked for at {asked}" if asked else "not asked, because no address of the host is known"
        text = f"{names}, for tests and inner networks alone, {has} no address in DNS: {how}."
        return Said("unchecked", text)
    where = " or ".join(sorted(seen.direct)) or seen.host.address or "the host"
    return Said(
        unreached,
        f"{names} {has} no address ({reason}), so no visitor arrives.",
        f"Create an A record that leads to {where}, and an AAAA record if the host has IPv6.",
    )


def elsewhere(seen: Seen, domain: str, strange: Sequence[str]) -> Said:
    """A name with addresses that nobody knows."""
    to = " and ".join(strange)
    if len(strange) < len(seen.addresses(domain)):
        kind = "AAAA" if all(":" in one for one in strange) else "address"
        return Said(
            "warning",
            f"{domain} leads to this host and also to {to}, which is none of its addresses.",
            f"Some visitors arrive there. Remove that {kind} record, or correct it.",
        )
    where = " or ".join(sorted(seen.direct)) or seen.host.address
    return Said(
        "warning",
        f"{domain} leads to {to}, not to this host ({where}): a CDN or balancer in front of it, or another server.",
        f"If it is a CDN or a balancer, name its networks in proxy_trusted_addresses; if not, have {domain} lead "
        f"to {where}.",
    )


def shortened(names: Sequence[str]) -> str:
    """Names for a sentence; of many the first two."""
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more"
    return " and ".join(names)
