# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider `acme`: certbot asks a CA, keeps what it gives below /etc/letsencrypt, and renews it."""

from __future__ import annotations

from .base import LATE_FRACTION, RENEW_FRACTION, Provider
from .ca import ask_directory
from .certbot_program import CertbotProgram
from .config import DAY, HOUR, MINUTE, PROGRAM, Host, Options, Request, address_of
from .lineage import Lineage
from .messages import QUOTE_LIMIT, Refusal, one_line, say
from .store import Facts, Pair, Store

RENEW_TIMEOUT = 25 * MINUTE
# For each request that is refused for its nonce certbot tries once more by itself, and then gives up.
NONCE_ATTEMPTS = 5
LATE = "certbot has not renewed it, and less than a quarter of its lifetime is left"


def deploy_hook(name: str) -> str:
    """The command that certbot runs after it has renewed the name's certificate."""
    return f"{PROGRAM} deploy {name}"


class Acme(Provider):
    """An authority that speaks ACME, through certbot, which renews by its own timer and calls `deploy` when it has."""

    remedy_when_late = "`certbot renew --cert-name {name}` shows why it is not renewed."

    def __init__(self, host: Host, options: Options, store: Store) -> None:
        super().__init__(host, options, store)
        self.certbot = CertbotProgram(self.host, self.options)
        self.reached: Refusal | bool = False

    def lineage(self, name: str) -> Lineage:
        """What certbot has of the name."""
        return Lineage(self.host.letsencrypt, name)

    def pair(self, name: str) -> Pair:
        """The newest version of certbot's certificate."""
        return self.lineage(name).pair

    def objection(self, request: Request) -> str:
        """What certbot cannot obtain: wildcards without dns-01, addresses and profiles without a newer certbot."""
        options, by_dns = self.options, request.challenge == "dns-01"
        wildcards = [domain for domain in request.domains if domain.startswith("*")]
        addresses = [domain for domain in request.domains if address_of(domain)]
        if wildcards and not by_dns:
            return (
                f"{', '.join(wildcards)}: an authority gives wildcards only for a DNS record: set challenge to dns-01"
            )
        if by_dns and not (options.dns_plugin or options.dns_auth_hook):
            return "the challenge dns-01 needs certificate_dns_plugin or certificate_dns_auth_hook"
        if addresses and (by_dns or request.profile != "shortlived"):
            return f"{', '.join(addresses)}: an IP address needs the profile shortlived and the challenge http-01"
        if request.profile and not options.from_pypi:
            return f"the profile {request.profile} needs a newer certbot: set certificate_certbot to pypi"
        return ""

    def ready(self) -> None:
        """Refusal unless the authority answers, asked once in a run, and certbot is there."""
        if self.reached is False:
            try:
                ask_directory(self.options.directory, self.options.ca_bundle)
                self.reached = True
            except Refusal as refusal:
                self.reached = refusal
        if isinstance(self.reached, Refusal):
            raise self.reached
        self.certbot.install()

    def is_asked_over_http(self, request: Request) -> bool:
        """True for http-01."""
        return request.challenge == "http-01"

    def changed_settings(self, request: Request) -> str:
        """How certbot's record differs from the options; certbot alone would go on with the old ones."""
        wanted = {"server": self.options.directory, "key_type": self.options.key_type, **self.challenge(request)[1]}
        has = self.lineage(request.name).settings
        if request.profile or "preferred_profile" in has:
            wanted["preferred_profile"] = request.profile or "None"
        return ", ".join(
            f"{key} is {has.get(key)} instead of {value}" for key, value in wanted.items() if has.get(key) != value
        )

    def challenge(self, request: Request) -> tuple[list[str], dict[str, str]]:
        """Certbot's words for how the authority is convinced, and how its record tells them."""
        options, plugin = self.options, self.options.dns_plugin
        if request.challenge == "http-01":
            return (
                ["--webroot", "--webroot-path", options.webroot],
                {"authenticator": "webroot", "webroot_path": options.webroot},
            )
        if not plugin:
            words = ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", options.dns_auth_hook]
            if options.dns_cleanup_hook:
                words += ["--manual-cleanup-hook", options.dns_cleanup_hook]
            return words, {"authenticator": "manual", "manual_auth_hook": options.dns_auth_hook}
        words = ["--authenticator", f"dns-{plugin}"]
        if self.host.dns_credentials.exists():
            words += [f"--dns-{plugin}-credentials", str(self.host.dns_credentials)]
        if options.dns_propagation_seconds:
            words += [f"--dns-{plugin}-propagation-seconds", str(options.dns_propagation_seconds)]
        return words, {"authenticator": f"dns-{plugin}"}

    def due(self, request: Request, now: float) -> str:
        """The certificate does not exist, expires soon, or differs from the request or the options."""
        pair = self.pair(request.name)
        if not (pair.exists and self.lineage(request.name).settings):
            return "there is none yet"
        if self.store.facts(request.name, pair).has_less_than(LATE_FRACTION, now):
            return LATE
        return self.differences(request) or self.changed_settings(request)

    def obtain(self, request: Request) -> None:
        """Order a certificate; Refusal with what the CA or certbot says."""
        name, lineage = request.name, self.lineage(request.name)
        self.ready()
        aside = self.host.state / name / "unfinished"
        if lineage.put_aside(aside):
            say(f"{name}: what an unfinished run of certbot had left is now in {aside}", "warning")
        if not lineage.record.exists() and lineage.live.exists():
            # certbot would order a certificate, spend the rate limit on it, and then fail to write it.
            raise Refusal(
                f"{lineage.live} exists, but {lineage.record} does not",
                "Move that directory, and the one of the same name in `archive`, away.",
            )
        words = self.order(request)
        for attempt in range(1, NONCE_ATTEMPTS + 1):
            refusal = self.certbot.attempt(*words)
            if refusal is None:
                return
            if self.certbot.shortcoming:  # it may be the reason
                refusal = refusal.after(str(self.certbot.shortcoming))
            if refusal.kind != "badNonce" or attempt == NONCE_ATTEMPTS:
                raise refusal

    def order(self, request: Request) -> list[str]:
        """Certbot's arguments to order a certificate."""
        options, account = self.options, self.host.account_options
        again = self.lineage(request.name).record.exists() and self.changed_settings(request)
        words = [
            *("certonly", "--non-interactive", "--agree-tos", "--no-eff-email"),
            *(("--config", str(account)) if account.exists() else ()),
            *(("--email", options.email) if options.email else ("--register-unsafely-without-email",)),
            *("--server", options.directory, "--cert-name", request.name, "--key-type", options.key_type),
            *(*self.challenge(request)[0], "--deploy-hook", deploy_hook(request.name)),
            *(("--preferred-profile", request.profile) if request.profile else ()),
            *("--renew-with-new-domains", "--force-renewal" if again else "--keep-until-expiring"),
        ]
        for domain in request.domains:
            words += ["--ip-address" if address_of(domain) else "--domain", domain]
        return words

    def renew(self) -> str:
        """Have certbot renew whatever is due; empty if all went well, else what went wrong."""
        try:
            self.certbot.install()
            refusal = self.certbot.attempt("-q", "renew", "--no-random-sleep-on-renew", timeout=RENEW_TIMEOUT)
        except Refusal as error:
            return str(error)
        return " ".join(str(problem) for problem in (refusal, self.certbot.shortcoming) if problem)

    def settle(self, request: Request, facts: Facts) -> None:
        """Let certbot renew when a third of the lifetime is left (half, below ten days), and call `deploy` then."""
        fraction = RENEW_FRACTION if facts.lifetime >= 10 * DAY else 1 / 2
        self.lineage(request.name).amend(round(facts.lifetime * fraction / HOUR), deploy_hook(request.name))

    def forget(self, name: str) -> bool:
        """Delete certbot's certificate, unless it is not ours."""
        if self.lineage(name).settings.get("renew_hook") != deploy_hook(name):
            return False
        self.certbot.install()
        argv = [self.certbot.path, "delete", "--non-interactive", "--cert-name", name]
        output, succeeded = self.certbot.launch(argv)
        if not succeeded:
            raise Refusal(f"certbot did not delete {name}: {one_line(output, QUOTE_LIMIT)}")
        return True
