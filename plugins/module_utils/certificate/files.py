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
from .config import CertificateRequest, is_covered
from .messages import CertificateError
from .processes import run
from .store import OPENSSL, CertificateFacts, CertificateFiles, blocks


class OwnFiles(Provider):
    """A certificate and key that the play copied to the host beside the request."""

    remedy_when_late = "Replace the two files on the controller and run the play."

    def files(self, name: str) -> CertificateFiles:
        """Return the two files that the play wrote."""
        return CertificateFiles(
            self.paths.requests / f"{name}.fullchain.pem", self.paths.requests / f"{name}.privkey.pem"
        )

    def objection(self, request: CertificateRequest) -> str:
        """Return what is wrong with the key, the chain, the dates or the domains; empty if nothing is."""
        files = self.files(request.name)
        place = f"fullchain ({request.fullchain or files.fullchain})"
        try:
            files.check()
            check_chain(files.fullchain)
            facts = CertificateFacts.read(files.fullchain)
        except CertificateError as error:
            return (
                str(error)
                .replace(str(files.fullchain), place)
                .replace(str(files.privkey), f"privkey ({request.privkey or files.privkey})")
            )
        now = time.time()
        if not facts.not_before <= now < facts.not_after:
            begins = f"begins {clock.timestamp(facts.not_before)}"
            when = f"expired on {clock.date(facts.not_after)}" if now > facts.not_before else begins
            return f"{place}: the certificate {when}: replace it by one that is valid now"
        if missing := [domain for domain in request.domains if not is_covered(domain, facts.domains)]:
            return (
                f"{place}: the certificate is for {', '.join(facts.domains) or 'no domain'} and not for "
                f"{', '.join(missing)}: replace it by one that is, or remove them from domains"
            )
        return ""


def check_chain(fullchain: Path) -> None:
    """Check that each certificate is issued by the next one; a self-signed one may end the chain.

    :raises CertificateError: the chain is broken or incomplete.
    """
    certificates = blocks(fullchain)
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{number}.pem" for number, _block in enumerate(certificates, 1)]
        for path, block in zip(paths, certificates, strict=True):
            path.write_text(block)
        for path, issuer in pairwise(paths):
            if run(
                OPENSSL, "verify", "-partial_chain", "-no_check_time", "-trusted", *map(str, (issuer, path))
            ).returncode:
                raise CertificateError(
                    f"{fullchain}: certificate {path.stem} of {len(paths)} is not issued by the one after it",
                    "Write the site's own certificate first, then its issuer's, then that one's.",
                )
        if len(paths) == 1:
            shown = run(OPENSSL, "x509", "-noout", "-subject_hash", "-issuer_hash", "-in", str(paths[0]))
            if len(set(shown.stdout.split())) > 1:
                raise CertificateError(
                    f"{fullchain}: the intermediate certificate is missing",
                    "Append the certificate of its issuer, which came with it.",
                )
