# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lineage, as certbot calls a certificate in all its versions with the record that it is renewed by."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..common.files import make_directory, write
from .store import CertificateFiles

SECTION = "[renewalparams]"


@dataclass(frozen=True)
class Lineage:
    """What certbot has of a name.

    :ivar directory: /etc/letsencrypt.
    """

    directory: Path
    name: str

    @property
    def files(self) -> CertificateFiles:
        """The newest version of the certificate."""
        return CertificateFiles.within(self.live)

    @property
    def live(self) -> Path:
        """The directory with links to the newest version."""
        return self.directory / "live" / self.name

    @property
    def record(self) -> Path:
        """Certbot's own record of the certificate."""
        return self.directory / "renewal" / f"{self.name}.conf"

    @property
    def settings(self) -> dict[str, str]:
        """The settings in the record; of equal keys the first counts, because the last section is a map of domains."""
        try:
            lines = self.record.read_text().splitlines()
        except FileNotFoundError:
            return {}
        settings: dict[str, str] = {}
        for line in lines:
            key, equals, value = line.partition(" = ")
            if equals and not line.startswith("#"):
                settings.setdefault(key.strip(), value.strip().rstrip(","))
        return settings

    def amend(self, hours: int, hook: str) -> None:
        """Let certbot renew it so many hours before it expires, and run this deploy hook then."""
        if not self.record.exists():
            return
        before = self.record.read_text()
        after = amended(before, f"{hours} hours", hook)
        if after != before:
            write(self.record, after, self.record.stat().st_mode & 0o777)

    def put_aside(self, aside: Path) -> bool:
        """Move what a killed certbot left to another directory; returns whether there was anything.

        Certbot would name every further certificate NAME-0001. A complete lineage stays, and so does a certificate
        without a record, which certbot did not make.
        """
        paths = [path for path in (self.record, self.live, self.directory / "archive" / self.name) if path.exists()]
        usable, has_record = self.files.exists, self.record.exists()
        if not paths or (usable and (not has_record or self.settings.get("fullchain"))):
            return False
        shutil.rmtree(aside, ignore_errors=True)
        make_directory(aside, 0o700)
        for path in paths:
            shutil.move(path, aside / f"{path.parent.name}-{path.name}")
        return True


def amended(record: str, window: str, hook: str) -> str:
    """Return certbot's record of a certificate with another renewal window and deploy hook.

    Without the first, certbot 2 and 4.0 renew at 30 days, whatever the lifetime is. The second is not stored by a run
    that has nothing to do.
    """
    lines = [line for line in record.splitlines() if not line.startswith(("renew_before_expiry =", "renew_hook ="))]
    if SECTION in lines:
        lines.insert(lines.index(SECTION) + 1, f"renew_hook = {hook}")
    return "\n".join([f"renew_before_expiry = {window}", *lines]) + "\n"
