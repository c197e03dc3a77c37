# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers to a look from outside mean: findings, with who stands between a visitor and the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding, State
from ansible_collections.groundwork.flask.plugins.plugin_utils import wire
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside import Said, Seen, Site
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside_certificate import judge_certificate, renewal
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside_names import judge_names, shortened
from ansible_collections.groundwork.flask.plugins.plugin_utils.wire import Visit

SLOW_SECONDS = 3.0
MAINTENANCE_TITLE = "<title>Back soon</title>"  # of roles/proxy/templates/maintenance.html.j2
PERMANENT = (301, 308)


class Judge:
    """Judges the answers of one site.

    :param lenient: whether the host has just been set up: names that do not lead to it yet, and connections that
        something in between does not let through, are warnings then. An answer of the host itself is judged alike.
    """

    def __init__(self, site: Site, seen: Seen, lenient: bool = False) -> None:
        self.site, self.seen, self.lenient = site, seen, lenient
        self.unreached: State = "warning" if lenient else "problem"

    def finding(self, check: str, state: State, message: str, remedy: str = "") -> Finding:
        """A finding about the app."""
        return Finding(f"public_{check}", self.site.app, state, message, remedy)

    def said(self, check: str, said: Said) -> Finding:
        """A finding about the app, of what was said elsewhere."""
        return self.finding(check, said.state, said.message, said.remedy)

    def findings(self) -> Iterator[Finding]:
        """All findings, in the order in which a visitor meets what they are about."""
        if self.site.is_owner:
            for one in judge_names(self.site, self.seen, self.unreached):
                yield self.said("dns", one)
        visits = self.visits()
        answered = next((one for one in visits if one.status), None)
        if not answered:
            yield self.nobody(visits)
            return
        yield from self.silent_addresses(visits)
        if self.site.is_owner:
            yield from self.redirects()
            yield self.said(
                "certificate", judge_certificate(self.site, answered.certificate, self.seen.host.private_ca)
            )
        yield self.health(answered)
        if self.site.is_owner:
            yield from self.hsts(answered)
            yield from self.other_names()

    # --- whether there is an answer ----------------------------------------

    def visits(self) -> list[Visit]:
        """Those to the canonical name: by DNS, or at the host's own address where DNS has none."""
        domain = self.site.domains[0]
        addresses = self.seen.addresses(domain) or self.seen.direct
        return self.seen.of("https", domain, self.site.path, addresses)

    def direct(self) -> list[Visit]:
        """Those to the canonical name at the host's own addresses."""
        addresses = [*self.seen.direct, *sorted(self.seen.here)]
        return self.seen.of("https", self.site.domains[0], self.site.path, addresses)

    def nobody(self, visits: Sequence[Visit]) -> Finding:
        """No address answers: what is known of who is in between."""
        domain, host = self.site.domains[0], self.seen.host
        if not visits:
            if self.seen.is_in_dns(domain):
                reason = "This machine has no route to its addresses (IPv6 alone?), or none answered in time"
                return self.finding("answer", "unchecked", f"{reason}: {domain} could not be asked.")
            return self.finding(
                "answer", "unchecked", f"Neither a name nor an address leads to {host.name}: {domain} was not asked."
            )
        tried = " and ".join(dict.fromkeys(f"{one.address} ({one.reason})" for one in visits))
        message = f"https://{domain} does not answer at {tried}"
        other = [one for one in self.direct() if one.status]
        if self.seen.is_in_dns(domain) and not self.seen.leads_here(domain) and other:
            return self.finding(
                "answer",
                self.unreached,
                f"{message}, where DNS leads; the host itself answers {other[0].status} at {other[0].address}.",
                f"Have {domain} lead to {other[0].address}, or look at the server that DNS names.",
            )
        if visits[0].failure == "rejected":
            return self.finding(
                "answer",
                "problem",
                f"{message}: TLS is refused for this name.",
                f"The proxy has no site of this name: run site.yml, and look at `journalctl -u {host.proxy_unit}`.",
            )
        if visits[0].failure == "garbled":
            remedy = "Another program holds port 443 there: `ss -tlnp` on the host names it."
            return self.finding("answer", "problem", f"{message}.", remedy)
        if self.seen.is_forwarded and not self.seen.is_in_dns(domain) and 443 in (host.listening or {443}):
            way = f"Ansible reaches the host by a port that is forwarded to it ({host.address})"
            text = f"{message}. {way}, and visitors may come by another way."
            return self.finding("answer", "unchecked", text)
        between, remedy = self.in_between(visits)
        return self.finding("answer", self.unreached, f"{message}: {between}.", remedy)

    def in_between(self, visits: Sequence[Visit]) -> tuple[str, str]:
        """Who may be between here and a host that does not answer, and what to do."""
        host = self.seen.host
        verb = "refuses" if all(one.failure == "refused" for one in visits) else "drops"
        if host.reached is False:
            return "Ansible does not reach the host either", "Look at it by the provider's console: it may be down."
        if host.firewalls:
            names = " and ".join(host.firewalls)
            return (
                f"{names} is at work on the host and may be what {verb} it",
                "Open ports 80 and 443 there, or have the role firewall take over (`firewall_take_over: true`).",
            )
        if host.listening is not None and 443 not in host.listening:
            return (
                "nothing listens on port 443 of the host",
                f"`systemctl start {host.proxy_unit}`; where that fails, `journalctl -u {host.proxy_unit}` says why.",
            )
        if host.reached and (host.listening or self.lenient):
            return (
                f"the host listens, so something in between {verb} it: the provider's firewall (security group), or "
                "one that this machine is behind",
                "Open TCP 80 and 443 to the host in the provider's console.",
            )
        return (
            "the host is down, or a firewall is in between",
            "Look whether the proxy listens on the host (`ss -tln`), then at the provider's firewall.",
        )

    def silent_addresses(self, visits: Sequence[Visit]) -> Iterator[Finding]:
        """Some addresses of the canonical name answer, others do not."""
        silent = [one for one in visits if not one.status and one.failure != "unroutable"]
        if silent:
            where = " and ".join(f"{one.address} ({one.reason})" for one in silent)
            yield self.finding(
                "answer",
                self.unreached,
                f"{self.site.domains[0]} does not answer at {where}, where DNS leads some visitors.",
                "Have that address answer, or remove its record from DNS.",
            )

    # --- what the answer says ----------------------------------------

    def redirects(self) -> Iterator[Finding]:
        """Port 80 leads to the canonical name over https, at once."""
        wrong = False
        for domain in self.site.asked:
            visits = self.seen.of("http", domain, self.site.path, self.seen.addresses(domain)[:1] or self.seen.direct)
            for one in visits[:1]:
                if trouble := self.redirect_trouble(f"http://{domain}", one):
                    wrong = True
                    yield trouble
        if not wrong:
            yield self.finding("redirect", "ok", f"http leads to https://{self.site.domains[0]} at once.")

    def redirect_trouble(self, url: str, one: Visit) -> Finding | None:
        """What is wrong with an answer that is to be a redirect to the canonical name."""
        canonical = self.site.domains[0]
        remedy = "Run site.yml; if a balancer or CDN answers there, have it pass http on or redirect to https itself."
        if not one.status:
            remedy = "Open TCP port 80: browsers begin there, and a CA that checks the name does."
            text = f"{url} does not answer at {one.address} ({one.reason})."
            return self.finding("redirect", self.unreached, text, remedy)
        to = urlsplit(one.location) if readable_url(one.location) else None
        if not one.location or not to:
            return self.finding("redirect", "problem", f"{url} answers {one.status} instead of a redirect.", remedy)
        if to.scheme != "https" or (to.hostname or "") != canonical.lower():
            shown = line(one.location, 120)
            text = (
                f"{url} redirects to {shown}, not to https://{canonical}: visitors take one more hop, or none arrives."
            )
            return self.finding("redirect", "problem", text, remedy)
        if one.status not in PERMANENT:
            text = f"{url} redirects with {one.status}, which browsers do not remember."
            return self.finding("redirect", "warning", text, "Answer 301 or 308.")
        return None

    def health(self, one: Visit) -> Finding:
        """What the health path answers."""
        url = f"https://{self.site.domains[0]}{line(self.site.path, 80)}"
        took = f"in {one.seconds * 1000:.0f} ms"
        if one.status == 503 and MAINTENANCE_TITLE in one.body:
            remedy = f"Open it again: ansible-playbook groundwork.flask.maintenance -e app={self.site.app} -e state=off"
            return self.finding("health", "warning", f"{url} is in maintenance: visitors get our page (503).", remedy)
        if one.status == 421:
            remedy = "The host serves no site of this name: run site.yml."
            return self.finding("health", "problem", f"{url} answers 421 (misdirected request).", remedy)
        if one.status >= 500:
            remedy = f"Look at `{self.site.app} logs` and `{self.site.app} status` on the host."
            return self.finding("health", "problem", f"{url} answers {one.status} {took}.", remedy)
        if one.seconds > SLOW_SECONDS:
            remedy = (
                "The first visitors may only wait for workers to load; if it stays, look at the app and at the load."
            )
            return self.finding("health", "warning", f"{url} answers {one.status}, but {took}.", remedy)
        return self.finding("health", "ok", f"{url} answers {one.status} {took}.")

    def hsts(self, one: Visit) -> Iterator[Finding]:
        """Whether browsers are told to come by https alone."""
        if self.site.hsts and not one.headers.get("strict-transport-security"):
            remedy = "Run site.yml; if a CDN answers there, have it pass the header on."
            text = f"{self.site.domains[0]} sends no Strict-Transport-Security."
            yield self.finding("hsts", "warning", text, remedy)

    def other_names(self) -> Iterator[Finding]:
        """The other names redirect to the canonical one, with a certificate that is theirs too."""
        right = []
        for domain in self.site.asked[1:]:
            for one in self.seen.of(
                "https", domain, self.site.path, self.seen.addresses(domain)[:1] or self.seen.direct
            )[:1]:
                if one.certificate and one.certificate.code in wire.WRONG_NAME:
                    text = f"https://{domain} has a certificate that is not for this name."
                    yield self.finding("redirect", "problem", text, renewal(self.site.certificate))
                elif trouble := self.redirect_trouble(f"https://{domain}", one):
                    yield trouble
                else:
                    right.append(domain)
        if right:
            yield self.finding("redirect", "ok", f"{shortened(right)} to https://{self.site.domains[0]}.")


def readable_url(url: str) -> bool:
    """Whether a URL can be taken apart."""
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def judge(sites: Sequence[Site], seen: Seen, lenient: bool = False) -> list[Finding]:
    """The findings about all sites; see :class:`Judge`."""
    return [finding for site in sites for finding in Judge(site, seen, lenient).findings()]
