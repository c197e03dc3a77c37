# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a provider, which obtains certificates."""

from __future__ import annotations

from dataclasses import dataclass

from .config import CertificateRequest, HostOptions, Paths
from .store import CertificateFacts, CertificateFiles, CertificateStore

RENEW_FRACTION, LATE_FRACTION = 1 / 3, 1 / 4


@dataclass
class Provider:
    """A source of certificates. It keeps its files in a directory of its own and never changes what is served.

    :ivar remedy_when_late: what the operator can do when a certificate was not renewed in time.
    """

    paths: Paths
    options: HostOptions
    store: CertificateStore

    remedy_when_late = ""

    def files(self, name: str) -> CertificateFiles:
        """Return where the provider keeps the certificate and key of a name; they need not exist."""
        raise NotImplementedError

    def objection(self, request: CertificateRequest) -> str:
        """Return why the provider can never fulfil the request; empty if it can."""
        del request
        return ""

    def due(self, request: CertificateRequest, now: float) -> str:
        """Return why a new certificate is needed; empty if none is."""
        del request, now
        return ""

    def ready(self) -> None:
        """Check that the provider is available.

        :raises CertificateError: it is not.
        """

    def is_validated_over_http(self, request: CertificateRequest) -> bool:
        """Whether a CA will fetch a file from port 80 of each domain."""
        del request
        return False

    def domains(self, name: str) -> tuple[str, ...]:
        """Return the domains of the provider's certificate; none if there is no certificate."""
        files = self.files(name)
        return self.store.facts(name, files).domains if files.exists else ()

    def obtain(self, request: CertificateRequest) -> None:
        """Obtain a new certificate and key.

        :raises CertificateError: with the reason why that failed.
        """

    def settle(self, request: CertificateRequest, facts: CertificateFacts) -> None:
        """Do what remains once the certificate is installed."""

    def forget(self, name: str) -> bool:
        """Delete what the provider has of a name; returns whether there was anything."""
        del name
        return False

    def differences(self, request: CertificateRequest) -> str:
        """Return how the domains of the provider's certificate differ from the request; empty if they do not."""
        has = set(self.store.facts(request.name, self.files(request.name)).domains)
        wants = set(request.domains)
        changes = [f"+{domain}" for domain in sorted(wants - has)] + [f"-{domain}" for domain in sorted(has - wants)]
        return f"the names have changed ({' '.join(changes)})" if changes else ""
