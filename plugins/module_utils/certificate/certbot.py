# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider `acme`: certbot orders certificates from a CA and renews them, in /etc/letsencrypt."""

from __future__ import annotations

from .asking import ask_directory
from .base import LATE_FRACTION, RENEW_FRACTION, Provider
from .certbot_program import CertbotProgram
from .config import DAY, HOUR, MINUTE, PROGRAM, CertificateRequest, HostOptions, Paths, address_of
from .lineage import Lineage
from .messages import QUOTE_LIMIT, CertificateError, one_line, say
from .store import CertificateFacts, CertificateFiles, CertificateStore

RENEW_TIMEOUT = 25 * MINUTE
# Certbot (2.1 to 5.8) repeats a request once when its nonce is refused; if that is refused too, the order fails.
NONCE_ATTEMPTS = 5
LATE = "certbot has not renewed it, and less than a quarter of its lifetime is left"


def deploy_hook(name: str) -> str:
    """Return the command that certbot runs after it has renewed a certificate."""
    return f"{PROGRAM} deploy {name}"


class Acme(Provider):
    """A CA, by way of certbot, which renews by a timer of its own and then runs this program's command `deploy`."""

    remedy_when_late = "`certbot renew --cert-name {name}` shows why it is not renewed."

    def __init__(self, paths: Paths, options: HostOptions, store: CertificateStore) -> None:
        super().__init__(paths, options, store)
        self.certbot = CertbotProgram(self.paths, self.options)
        self.reached: CertificateError | bool = False

    def lineage(self, name: str) -> Lineage:
        """Return what certbot has of a name."""
        return Lineage(self.paths.letsencrypt, name)

    def files(self, name: str) -> CertificateFiles:
        """Return the newest version of certbot's certificate."""
        return self.lineage(name).files

    def ready(self) -> None:
        """Check that the CA answers, once in a run, and that certbot is installed.

        :raises CertificateError: the CA does not answer, or certbot cannot be installed.
        """
        if self.reached is False:
            try:
                ask_directory(self.options.directory, self.options.ca_bundle)
                self.reached = True
            except CertificateError as error:
                self.reached = error
        if isinstance(self.reached, CertificateError):
            raise self.reached
        self.certbot.install()

    def is_validated_over_http(self, request: CertificateRequest) -> bool:
        """Whether the challenge is http-01."""
        return request.challenge == "http-01"

    def changed_settings(self, request: CertificateRequest) -> str:
        """Return how certbot's record differs from the options; certbot alone would keep the old ones."""
        wanted = {"server": self.options.directory, "key_type": self.options.key_type, **self.challenge(request)[1]}
        has = self.lineage(request.name).settings
        if request.profile or "preferred_profile" in has:
            wanted["preferred_profile"] = request.profile or "None"
        return ", ".join(
            f"{key} is {has.get(key)} instead of {value}" for key, value in wanted.items() if has.get(key) != value
        )

    def challenge(self, request: CertificateRequest) -> tuple[list[str], dict[str, str]]:
        """Return certbot's arguments for the challenge, and the settings that its record then has."""
        options, plugin = self.options, self.options.dns_plugin
        if request.challenge == "http-01":
            return (
                ["--webroot", "--webroot-path", options.webroot],
                {"authenticator": "webroot", "webroot_path": options.webroot},
            )
        if not plugin:
            arguments = ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", options.dns_auth_hook]
            if options.dns_cleanup_hook:
                arguments += ["--manual-cleanup-hook", options.dns_cleanup_hook]
            return arguments, {"authenticator": "manual", "manual_auth_hook": options.dns_auth_hook}
        arguments = ["--authenticator", f"dns-{plugin}"]
        if self.paths.dns_credentials.exists():
            arguments += [f"--dns-{plugin}-credentials", str(self.paths.dns_credentials)]
        if options.dns_propagation_seconds:
            arguments += [f"--dns-{plugin}-propagation-seconds", str(options.dns_propagation_seconds)]
        return arguments, {"authenticator": f"dns-{plugin}"}

    def due(self, request: CertificateRequest, now: float) -> str:
        """Return why: there is none, it was not renewed in time, or it differs from the request or the options."""
        files = self.files(request.name)
        if not (files.exists and self.lineage(request.name).settings):
            return "there is none yet"
        if self.store.facts(request.name, files).has_less_than(LATE_FRACTION, now):
            return LATE
        return self.differences(request) or self.changed_settings(request)

    def obtain(self, request: CertificateRequest) -> None:
        """Order a certificate.

        :raises CertificateError: with the error of the CA or certbot.
        """
        name, lineage = request.name, self.lineage(request.name)
        self.ready()
        aside = self.paths.state / name / "unfinished"
        if lineage.put_aside(aside):
            say(
                f"{name}: an interrupted run of certbot left an unfinished certificate, which is now in {aside}",
                "warning",
            )
        if not lineage.record.exists() and lineage.live.exists():
            # certbot would order a certificate, spend the rate limit on it, and then fail to write it.
            raise CertificateError(
                f"{lineage.live} exists, but {lineage.record} does not",
                "Move that directory, and the one of the same name in `archive`, away.",
            )
        arguments = self.arguments(request)
        for attempt in range(1, NONCE_ATTEMPTS + 1):
            error = self.certbot.attempt(*arguments)
            if error is None:
                return
            if self.certbot.shortcoming:  # it may be the reason
                error = error.after(str(self.certbot.shortcoming))
            if error.kind != "badNonce" or attempt == NONCE_ATTEMPTS:
                raise error

    def arguments(self, request: CertificateRequest) -> list[str]:
        """Return certbot's arguments to order a certificate."""
        options, account = self.options, self.paths.account_options
        again = self.lineage(request.name).record.exists() and self.changed_settings(request)
        arguments = [
            *("certonly", "--non-interactive", "--agree-tos", "--no-eff-email"),
            *(("--config", str(account)) if account.exists() else ()),
            *(("--email", options.email) if options.email else ("--register-unsafely-without-email",)),
            *("--server", options.directory, "--cert-name", request.name, "--key-type", options.key_type),
            *(*self.challenge(request)[0], "--deploy-hook", deploy_hook(request.name)),
            *(("--preferred-profile", request.profile) if request.profile else ()),
            *("--renew-with-new-domains", "--force-renewal" if again else "--keep-until-expiring"),
        ]
        for domain in request.domains:
            arguments += ["--ip-address" if address_of(domain) else "--domain", domain]
        return arguments

    def renew(self) -> str:
        """Let certbot renew whatever is due; returns the error, empty if there is none."""
        try:
            self.certbot.install()
            failure = self.certbot.attempt("-q", "renew", "--no-random-sleep-on-renew", timeout=RENEW_TIMEOUT)
        except CertificateError as error:
            return str(error)
        return " ".join(str(problem) for problem in (failure, self.certbot.shortcoming) if problem)

    def settle(self, request: CertificateRequest, facts: CertificateFacts) -> None:
        """Let certbot renew when a third of the lifetime is left (half below ten days), and run `deploy` then."""
        fraction = RENEW_FRACTION if facts.lifetime >= 10 * DAY else 1 / 2
        self.lineage(request.name).amend(round(facts.lifetime * fraction / HOUR), deploy_hook(request.name))

    def forget(self, name: str) -> bool:
        """Delete certbot's certificate if this program has ordered it."""
        if self.lineage(name).settings.get("renew_hook") != deploy_hook(name):
            return False
        self.certbot.install()
        argv = [self.certbot.path, "delete", "--non-interactive", "--cert-name", name]
        output, succeeded = self.certbot.launch(argv)
        if not succeeded:
            raise CertificateError(f"certbot did not delete {name}: {one_line(output, QUOTE_LIMIT)}")
        return True
