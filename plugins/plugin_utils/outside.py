# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the sites of a host from the controller, as a visitor would: names, ports, TLS, redirects, health.

:func:`look` asks, all sites at the same time; ``outside_findings`` says what the answers mean. Nothing is asked of the
host itself.
"""

from __future__ import annotations

import functools
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import State
from ansible_collections.groundwork.flask.plugins.plugin_utils import wire
from ansible_collections.groundwork.flask.plugins.plugin_utils.in_time import in_time
from ansible_collections.groundwork.flask.plugins.plugin_utils.wire import Resolved, Visit

RESOLVE_SECONDS = 4.0
VISIT_SECONDS = 12.0  # for all of them; one takes at most wire.ANSWER_SECONDS
MOST_ADDRESSES, MOST_DOMAINS = 4, 20  # of a name; of an app


@dataclass(frozen=True)
class Site:
    """What visitors are to find of an app.

    :param domains: the first is the canonical one, to which the others redirect.
    :param path: its health path, with its prefix.
    :param hsts: whether the proxy is to send the header Strict-Transport-Security.
    :param owner: the app that owns the domains: itself, or one with which it shares them.
    :param certificate: the provider.
    """

    app: str
    domains: tuple[str, ...]
    path: str = "/"
    hsts: bool = True
    owner: str = ""
    certificate: str = "acme"

    @property
    def asked(self) -> tuple[str, ...]:
        """The names that are asked for: a wildcard has none."""
        return tuple(domain for domain in self.domains if not domain.startswith("*."))[:MOST_DOMAINS]

    @property
    def is_owner(self) -> bool:
        """Whether redirects, certificate and headers are this app's."""
        return self.owner in ("", self.app)


@dataclass(frozen=True)
class Host:
    """What is known of the host.

    :param address: where Ansible reaches it: a name or an address.
    :param addresses: its own, as it says.
    :param others: where Ansible reaches the other hosts of the inventory, which may serve the same apps.
    :param fronts: addresses of balancers or CDNs that visitors come by (``proxy_trusted_addresses``).
    :param reached: whether Ansible has reached it in this run; None if it has not tried.
    :param listening: ports on which it listens for everybody; None if that is not known.
    :param firewalls: others than ours that are at work on it, such as ``ufw``.
    :param proxy: its provider: ``nginx`` or ``apache``.
    :param private_ca: whether its certificates are from a CA of its own (``certificate_acme_ca_bundle``).
    """

    name: str
    address: str = ""
    addresses: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    fronts: tuple[str, ...] = ()
    reached: bool | None = None
    listening: frozenset[int] | None = None
    firewalls: tuple[str, ...] = ()
    private_ca: bool = False
    proxy: str = ""

    @property
    def proxy_unit(self) -> str:
        """The unit of its proxy."""
        return "apache2" if self.proxy == "apache" else "nginx"


@dataclass(frozen=True)
class Ask:
    """One request: a site's name and path, asked at one address."""

    scheme: str
    domain: str
    address: str
    path: str


@dataclass(frozen=True)
class Seen:
    """What came of it.

    :param names: where each name leads; those that took too long are not in it.
    :param here: addresses of the host. Empty if none is known.
    :param others: addresses of the other hosts.
    :param direct: addresses at which the host itself is asked where a name does not lead to it.
    """

    host: Host
    names: Mapping[str, Resolved] = field(default_factory=dict)
    visits: Mapping[Ask, Visit] = field(default_factory=dict)
    here: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    direct: tuple[str, ...] = ()

    @property
    def is_forwarded(self) -> bool:
        """Whether Ansible reaches the host by a port of the controller's, as with Vagrant and containers."""
        found = self.names.get(self.host.address, Resolved()).addresses
        return bool(found) and all(is_loopback(address) for address in found)

    def addresses(self, domain: str) -> tuple[str, ...]:
        """Where a name leads."""
        return self.names.get(domain, Resolved()).addresses

    def is_in_dns(self, domain: str) -> bool:
        """Whether the name leads anywhere."""
        return bool(self.addresses(domain))

    def leads_here(self, domain: str) -> bool:
        """Whether the name leads to this host or another of the inventory, or to the balancer in front of them."""
        known = self.here | self.others
        return any(address in known or self.is_front(address) for address in self.addresses(domain))

    def strange(self, domain: str) -> list[str]:
        """Addresses of the name that belong to nobody known."""
        known = self.here | self.others
        found = self.addresses(domain) if self.here else ()
        return [address for address in found if address not in known and not self.is_front(address)]

    def is_front(self, address: str) -> bool:
        """Whether an address is one of the declared balancers or CDNs."""
        return any(within(address, network) for network in self.host.fronts)

    def of(self, scheme: str, domain: str, path: str, addresses: Sequence[str]) -> list[Visit]:
        """The visits to these addresses, in their order."""
        asks = (Ask(scheme, domain, address, path) for address in addresses)
        return [self.visits[ask] for ask in asks if ask in self.visits]


@dataclass(frozen=True)
class Said:
    """What a finding will say; see ``module_utils/verify/finding.py``."""

    state: State
    message: str
    remedy: str = ""


def within(address: str, network: str) -> bool:
    """Whether an address lies in a network; not in one that cannot be read."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


Resolver = Callable[[str], Resolved]
Visitor = Callable[[str, str, str, "ssl.SSLContext | None"], Visit]


def look(
    sites: Sequence[Site],
    host: Host,
    trusted: ssl.SSLContext,
    resolver: Resolver = wire.resolve,
    visitor: Visitor = wire.visit,
    ipv6: bool | None = None,
) -> Seen:
    """Resolve all names, then ask for all sites, each at the same time.

    :param trusted: see :func:`wire.trust`.
    :param ipv6: whether this machine has a route for it; looked up if None.
    """
    reachable_by_6 = wire.has_ipv6() if ipv6 is None else ipv6
    wanted = {host.address, *host.others, *(domain for site in sites for domain in site.asked)} - {""}
    names = in_time({name: functools.partial(resolver, name) for name in wanted}, RESOLVE_SECONDS)
    inventory = names.get(host.address, Resolved()).addresses
    own = tuple(address for address in host.addresses if is_public_way(address))
    there = tuple(address for address in inventory if not is_loopback(address))  # a forwarded port leads to sshd alone
    seen = Seen(
        host,
        names,
        here=frozenset((*inventory, *host.addresses)),
        others=frozenset(address for other in host.others for address in names.get(other, Resolved()).addresses),
        direct=tuple(one for one in there or own or inventory if reachable_by_6 or ":" not in one)[:2],
    )
    visits = {}
    for ask in {ask for site in sites for ask in asks(site, seen)}:
        if reachable_by_6 or ":" not in ask.address:
            secured = trusted if ask.scheme == "https" else None
            visits[ask] = functools.partial(visitor, ask.domain, ask.address, ask.path, secured)
    return Seen(host, names, in_time(visits, VISIT_SECONDS), seen.here, seen.others, seen.direct)


def asks(site: Site, seen: Seen) -> Iterator[Ask]:
    """What is asked for a site: its health path at each address, the other names once, and port 80 of each name."""
    for number, domain in enumerate(site.asked):
        by_name = seen.addresses(domain)[:MOST_ADDRESSES]
        addresses = by_name if number == 0 else by_name[:1]
        if not by_name or seen.strange(domain):
            addresses = (*addresses, *seen.direct)
        if number and not site.is_owner:
            continue
        for address in addresses:
            yield Ask("https", domain, address, site.path)
        if site.is_owner:
            for address in addresses[:1] if by_name else seen.direct:
                yield Ask("http", domain, address, site.path)


def is_loopback(address: str) -> bool:
    """Whether an address is the machine itself."""
    return within(address, "127.0.0.0/8") or within(address, "::1")


def is_public_way(address: str) -> bool:
    """Whether a host can be reached by one of its addresses: not by those of the machine itself, or of one cable."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast)


def read_sites(apps: Mapping[str, Any], only: Sequence[str] = ()) -> list[Site]:
    """The sites of ``apps`` as :func:`expected.of_app` makes them; an app without domains has none."""
    found = []
    for name, app in apps.items():
        public = app.get("public") or {}
        if (not only or name in only) and app.get("domains"):
            site = Site(
                app=name,
                domains=tuple(app["domains"]),
                path=str(public.get("path") or "/"),
                hsts=bool(public.get("hsts", True)),
                owner=str(public.get("owner") or name),
                certificate=str(app.get("certificate") or "acme"),
            )
            found.append(site)
    return found
