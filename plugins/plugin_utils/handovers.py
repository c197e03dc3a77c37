# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that a site of another inventory, or of an app's former name, serves on the host: refused, or handed over.

What the host serves comes from the module ``host_facts``. Sites of one list may exchange domains as they like.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.host_sites import NO_DOMAIN, ServedSite
from ansible_collections.groundwork.flask.plugins.plugin_utils.sites import Named, address_of


@dataclass(frozen=True)
class Overlap:
    """Domains of a site that are answered, as a whole or in part, by a site that the play does not know.

    :ivar domains: those of ``site``.
    :ivar lost: those of ``former`` that it has to give up.
    :ivar is_settled: the host has served the site under these domains before, and it is the one that answers.
    :ivar is_asked_for: the site is to take over from the other one.
    """

    site: Named
    former: ServedSite
    domains: tuple[str, ...]
    lost: tuple[str, ...]
    is_settled: bool
    is_asked_for: bool

    @property
    def kept(self) -> list[str]:
        """The domains that stay with the former site."""
        return [domain for domain in self.former.domains if domain not in self.lost]


def read_served(given: Iterable[Mapping[str, Any]]) -> list[ServedSite]:
    """The sites of a host, as ``host_facts`` returns them."""
    lists = ("domains", "addresses", "lines")
    return [ServedSite(**{**one, **{key: tuple(one[key]) for key in lists}}) for one in given]


def covers(wide: str, domain: str) -> bool:
    """Whether a site under the first name also gets visitors who ask for the second."""
    return wide == domain or (wide.startswith("*.") and domain.endswith(wide[1:]))


def is_first(site: str, other: str) -> bool:
    """Whether a proxy that has a name twice takes the first site: it loads their files in the order of their names."""
    return f"{site}.conf" < f"{other}.conf"


def overlaps(sites: Sequence[Named], served: Sequence[ServedSite], absent: Collection[str] = ()) -> Iterator[Overlap]:
    """Each pair of a site of the play and one of the host that both answer for a domain.

    :param absent: sites that leave the host in this play.
    """
    known = {site.name for site in sites} | set(absent)
    before = {one.name: one for one in served if one.name in known}
    unlisted = [one for one in served if one.name not in known]
    for site in sites:
        for former in unlisted:
            if former.owner in known and (former.owner, former.prefix) != (site.owner, site.site.prefix):
                continue  # it goes on below its prefix, under whatever domains the owner has
            if former.owner not in known and site.owner != site.name:
                continue  # the owner of the domains takes them over, for all that share them
            shared = replace(former, domains=site.domains) if former.owner in known else former
            pairs = [(a, b) for a in site.domains for b in shared.domains if covers(a, b) or covers(b, a)]
            own = before[site.name].domains if site.name in before else ()
            settled = all(a in own and (a != b or is_first(site.name, former.name)) for a, b in pairs)
            domains, lost = ordered(a for a, _b in pairs), ordered(b for a, b in pairs if covers(a, b))
            asked = any(former.name in other.replaces for other in sites if other.owner == site.owner)
            if pairs:
                yield Overlap(site, shared, domains, lost, settled, asked)


def ordered(domains: Iterable[str]) -> tuple[str, ...]:
    """The domains without repetition, in their order."""
    return tuple(dict.fromkeys(domains))


def problems(
    sites: Sequence[Named], served: Sequence[ServedSite], absent: Collection[str] = (), provider: str = ""
) -> Iterator[str]:
    """Domains that cannot be served, because another app of the host has them and is not to give them up.

    :param provider: the proxy that is to serve the sites; "" for any.
    """
    successors: dict[str, str] = {}
    for one in overlaps(sites, served, absent):
        site, former = one.site.name, one.former.name
        if not one.is_asked_for and not one.is_settled:
            yield (
                f"{site}: domains: {', '.join(map(repr, one.domains))}: served by the app {former} on this host, which "
                f"is not among the apps of this inventory. Two remedies: have {site} take over without a lost request, "
                f"by `replaces: {former}` below {site}; or take {former} off the host first, by `ansible-playbook "
                f"groundwork.flask.remove -e app={former}`. If both are to stay, give one of them another domain"
            )
        if not one.is_asked_for or not one.lost:
            continue
        if successors.setdefault(former, site) != site:
            yield (
                f"{site}: replaces: {former!r} is replaced by {successors[former]} too: in one run one app takes over "
                f"from it; add the domains of {site} in the next"
            )
        if provider not in ("", one.former.provider) and one.kept:
            yield (
                f"{site}: replaces: {former!r} is served by {one.former.provider} and keeps {', '.join(one.kept)}: "
                f"{provider} cannot run beside it. Run the inventory of {former} with proxy_provider {provider} first, "
                f"or have {site} take over all of its domains"
            )
    yield from address_problems(sites, served, absent)


def address_problems(sites: Sequence[Named], served: Sequence[ServedSite], absent: Collection[str]) -> Iterator[str]:
    """Who asks for an address names no site in the handshake, so a host has one certificate for all addresses."""
    known = {site.name for site in sites} | set(absent)
    before = {one.name: one for one in served if one.name in known}
    asking = [
        (site, domain)
        for site in sites
        for domain in site.domains
        if address_of(domain) and (site.name not in before or domain not in before[site.name].domains)
    ]
    for site, address in asking:
        for former in served:
            others = former.addresses
            if former.name in {*known, *site.replaces} or not others or address in others:
                continue
            yield (
                f"{site.name}: domains: {address!r}: the app {former.name} on this host, which is not among the apps "
                f"of this inventory, is served under {others[0]}, and a host has one certificate for visitors who ask "
                f"for an address. Two remedies: `replaces: {former.name}` below {site.name}, with {others[0]} among "
                f"its domains; or take {former.name} off the host first, by `ansible-playbook groundwork.flask.remove "
                f"-e app={former.name}`"
            )


def plan(sites: Sequence[Named], served: Sequence[ServedSite], absent: Collection[str] = ()) -> list[dict[str, Any]]:
    """The handovers, as the module ``file_set`` takes them."""
    return [
        {
            "part": one.site.name,
            "former": one.former.name,
            "lines": without(one.former, one.lost) if one.kept else {},
            "socket": one.site.socket,
        }
        for one in overlaps(sites, served, absent)
        # A site below a prefix has what its owner keeps.
        if one.is_asked_for and one.lost and (not one.kept or one.former.owner == one.former.name)
    ]


def without(site: ServedSite, lost: Collection[str]) -> dict[str, str]:
    """The lines of a site that name some domains, and the same without these."""
    found = {}
    for line in site.lines:
        keyword, *words = line.rstrip(";").split()
        kept = [word for word in words if word.strip("[]").lower() not in lost]
        if kept != words:
            end = ";" if line.endswith(";") else ""
            found[line] = f"{keyword} {' '.join(kept) or site.name + NO_DOMAIN}{end}"
    return found
