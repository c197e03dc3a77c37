# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider `files`: a certificate and key of the user's own."""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path

from ..common import clock
from .base import Provider
from .config import Request, is_covered
from .messages import Refusal
from .processes import run
from .store import OPENSSL, Facts, Pair, blocks


class Files(Provider):
    """The pair is the user's own, put beside the request by the play."""

    remedy_when_late = "Put a new pair in place of the two files and run the play."

    def pair(self, name: str) -> Pair:
        """The two files that the play put beside the request."""
        return Pair(self.host.requests / f"{name}.fullchain.pem", self.host.requests / f"{name}.privkey.pem")

    def objection(self, request: Request) -> str:
        """What is wrong with the pair, before it is served: its key, its chain, its dates, its names."""
        pair = self.pair(request.name)
        place = f"fullchain ({request.fullchain or pair.fullchain})"
        try:
            pair.check()
            check_chain(pair.fullchain)
            facts = Facts.read(pair.fullchain)
        except Refusal as refusal:
            return (
                str(refusal)
                .replace(str(pair.fullchain), place)
                .replace(str(pair.privkey), f"privkey ({request.privkey or pair.privkey})")
            )
        now = time.time()
        if not facts.not_before <= now < facts.not_after:
            begins = f"begins {clock.timestamp(facts.not_before)}"
            when = f"expired on {clock.date(facts.not_after)}" if now > facts.not_before else begins
            return f"{place}: the certificate {when}: bring one that is valid now"
        if missing := [domain for domain in request.domains if not is_covered(domain, facts.domains)]:
            return (
                f"{place}: the certificate is for {', '.join(facts.domains) or 'no domain'} and not for "
                f"{', '.join(missing)}: bring one that is, or take them out of domains"
            )
        return ""


def check_chain(fullchain: Path) -> None:
    """Refusal unless each certificate is issued by the next one. A self-signed one may end the chain."""
    certificates = blocks(fullchain)
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{number}.pem" for number, _block in enumerate(certificates, 1)]
        for path, block in zip(paths, certificates, strict=True):
            path.write_text(block)
        for path, issuer in pairwise(paths):
            if run(
                OPENSSL, "verify", "-partial_chain", "-no_check_time", "-trusted", *map(str, (issuer, path))
            ).returncode:
                raise Refusal(
                    f"{fullchain}: certificate {path.stem} of {len(paths)} is not issued by the one after it",
                    "Write the site's own certificate first, then its issuer's, then that one's.",
                )
        if len(paths) == 1:
            shown = run(OPENSSL, "x509", "-noout", "-subject_hash", "-issuer_hash", "-in", str(paths[0]))
            if len(set(shown.stdout.split())) > 1:
                raise Refusal(
                    f"{fullchain}: the intermediate certificate is missing",
                    "Append the certificate of its issuer, which came with it.",
                )
