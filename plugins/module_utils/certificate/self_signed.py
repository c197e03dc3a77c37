# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider `self_signed`, which also makes the temporary certificates."""

from __future__ import annotations

import shutil
from typing import ClassVar

from .base import RENEW_FRACTION, Provider
from .config import DAY, PROGRAM, Request, address_of
from .messages import Refusal
from .processes import run
from .store import OPENSSL, Pair

SELF_SIGNED_LIFETIME = 365 * DAY


class SelfSigned(Provider):
    """A certificate that vouches for itself: for trials, inner networks, and until the real one is there."""

    remedy_when_late = f"`{PROGRAM} tend` renews it; its message says why it has not."
    key_options: ClassVar = {"ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa:2048",)}

    def pair(self, name: str) -> Pair:
        """Where it is kept beside the state."""
        return Pair.within(self.host.state / name / "self_signed")

    def due(self, request: Request, now: float) -> str:
        """There is none, a third of its lifetime is left, or the names have changed."""
        pair = self.pair(request.name)
        try:
            pair.check()
        except Refusal:
            return "there is none yet"
        if self.store.facts(request.name, pair).has_less_than(RENEW_FRACTION, now):
            return "less than a third of its lifetime is left"
        return self.differences(request)

    def obtain(self, request: Request) -> None:
        """Make a key and a certificate that it signs itself."""
        pair = self.pair(request.name)
        pair.privkey.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Pair(pair.fullchain.with_suffix(".new"), pair.privkey.with_suffix(".new"))
        names = ",".join(map(alternative, request.domains))
        made = run(
            *(OPENSSL, "req", "-x509", "-nodes", "-newkey", *self.key_options[self.options.key_type]),
            *("-keyout", str(new.privkey), "-out", str(new.fullchain), "-days", str(SELF_SIGNED_LIFETIME // DAY)),
            *("-subj", f"/O=Self-signed/CN={request.domains[0][:64]}"),
            *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", "extendedKeyUsage=serverAuth"),
        )
        if made.returncode:
            raise Refusal(f"openssl made no certificate: {made.stderr}")
        new.privkey.rename(pair.privkey)
        new.fullchain.rename(pair.fullchain)

    def forget(self, name: str) -> bool:
        """Remove the pair."""
        found = self.pair(name).exists
        shutil.rmtree(self.host.state / name / "self_signed", ignore_errors=True)
        return found


def alternative(domain: str) -> str:
    """The name as openssl takes it in subjectAltName."""
    return f"IP:{domain}" if address_of(domain) else f"DNS:{domain}"
