# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider `self_signed`, which also makes the temporary certificates."""

from __future__ import annotations

import shutil
from typing import ClassVar

from ..common.files import make_directory
from .base import RENEW_FRACTION, Provider
from .config import DAY, PROGRAM, CertificateRequest, address_of
from .messages import CertificateError
from .processes import run
from .store import OPENSSL, CertificateFiles

SELF_SIGNED_LIFETIME = 365 * DAY


class SelfSigned(Provider):
    """A self-signed certificate: for tests, for inner networks, and until the CA has issued one."""

    remedy_when_late = f"Run `{PROGRAM} reconcile`: it renews the certificate, or says why it cannot."
    key_options: ClassVar = {"ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa:2048",)}

    def files(self, name: str) -> CertificateFiles:
        """Return the two files, which are kept beside the state."""
        return CertificateFiles.within(self.paths.state / name / "self_signed")

    def due(self, request: CertificateRequest, now: float) -> str:
        """Return why: there is none, less than a third of its lifetime is left, or the domains have changed."""
        files = self.files(request.name)
        try:
            files.check()
        except CertificateError:
            return "there is none yet"
        if self.store.facts(request.name, files).has_less_than(RENEW_FRACTION, now):
            return "less than a third of its lifetime is left"
        return self.differences(request)

    def obtain(self, request: CertificateRequest) -> None:
        """Make a key and a certificate."""
        files = self.files(request.name)
        make_directory(files.privkey.parent, 0o700)
        new = CertificateFiles(files.fullchain.with_suffix(".new"), files.privkey.with_suffix(".new"))
        names = ",".join(map(alternative, request.domains))
        made = run(
            *(OPENSSL, "req", "-x509", "-nodes", "-newkey", *self.key_options[self.options.key_type]),
            *("-keyout", str(new.privkey), "-out", str(new.fullchain), "-days", str(SELF_SIGNED_LIFETIME // DAY)),
            *("-subj", f"/O=Self-signed/CN={request.domains[0][:64]}"),
            *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", "extendedKeyUsage=serverAuth"),
        )
        if made.returncode:
            raise CertificateError(f"openssl made no certificate: {made.stderr}")
        new.privkey.rename(files.privkey)
        new.fullchain.rename(files.fullchain)

    def forget(self, name: str) -> bool:
        """Delete the certificate and key."""
        found = self.files(name).exists
        shutil.rmtree(self.paths.state / name / "self_signed", ignore_errors=True)
        return found


def alternative(domain: str) -> str:
    """Return a domain in the form of openssl's subjectAltName."""
    return f"IP:{domain}" if address_of(domain) else f"DNS:{domain}"
