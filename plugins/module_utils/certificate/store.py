# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates with their keys, and the copies that are served from /etc/ssl/groundwork."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import re
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path

from ..common import clock
from ..common.files import write
from .config import address_of
from .messages import Refusal
from .processes import run

OPENSSL = "/usr/bin/openssl"
PEM_LIMIT = 2**20  # bytes of a certificate with its chain
KEPT_PAIRS = 2  # the current one and the one before
PAIR_ERRORS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short for any browser",
}


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its private key."""

    fullchain: Path
    privkey: Path

    @classmethod
    def within(cls, directory: Path) -> Pair:
        """The usual two names in a directory."""
        return cls(directory / "fullchain.pem", directory / "privkey.pem")

    @property
    def exists(self) -> bool:
        """True when both files are there."""
        return self.fullchain.is_file() and self.privkey.is_file()

    @property
    def fingerprint(self) -> str:
        """Names the bytes to be served."""
        return hashlib.sha256(self.fullchain.read_bytes()).hexdigest()[:20]

    def check(self) -> None:
        """Refusal unless a web server can use it."""
        for path in (self.fullchain, self.privkey):
            if not path.is_file():
                raise Refusal(f"{path} does not exist")
            if path.stat().st_size > PEM_LIMIT:
                raise Refusal(f"{path} is too large for a certificate or key")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.fullchain, self.privkey, password=lambda: "")
        except ssl.SSLError as error:
            unreadable = f"cannot be read as PEM certificate and unencrypted key ({error})"
            reason = PAIR_ERRORS.get(error.reason or "", unreadable)
            raise Refusal(f"{self.fullchain} and {self.privkey}: {reason}") from error


@dataclass(frozen=True)
class Facts:
    """What stands in a certificate; times are POSIX times."""

    issuer: str
    domains: tuple[str, ...]
    not_before: float
    not_after: float

    @property
    def lifetime(self) -> float:
        """Seconds from the first to the last moment that it is valid."""
        return self.not_after - self.not_before

    def has_less_than(self, fraction: float, now: float) -> bool:
        """True when less than this fraction of its lifetime is left."""
        return self.not_after - now < self.lifetime * fraction

    @classmethod
    def read(cls, fullchain: Path) -> Facts:
        """Ask openssl about the first certificate of the file."""
        shown = run(
            *(OPENSSL, "x509", "-noout", "-in", str(fullchain), "-dates", "-issuer"),
            *("-nameopt", "sep_multiline,sname,utf8", "-ext", "subjectAltName"),
        )
        if shown.returncode:
            raise Refusal(f"{fullchain} holds no certificate: {shown.stderr}")
        return cls.parse(shown.stdout)

    @classmethod
    def parse(cls, shown: str) -> Facts:
        """Read what `openssl x509` printed."""
        times = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", shown, re.M))
        issuer = dict(re.findall(r"^\s+(O|CN)=(.+)$", shown, re.M))
        organization, common = issuer.get("O", ""), issuer.get("CN", "")
        return cls(
            issuer=f"{organization} ({common})" if organization and common else organization or common,
            domains=tuple(
                address_of(name) or name.lower() for name in re.findall(r"(?:DNS|IP Address):([^,\s]+)", shown)
            ),
            not_before=ssl.cert_time_to_seconds(times["notBefore"]),
            not_after=ssl.cert_time_to_seconds(times["notAfter"]),
        )


@dataclass(frozen=True)
class Served:
    """A pair in place below /etc/ssl/groundwork, with the provider that brought it."""

    directory: Path
    provider: str
    facts: Facts

    @property
    def pair(self) -> Pair:
        """The two files in this directory."""
        return Pair.within(self.directory)

    @property
    def fingerprint(self) -> str:
        """Names the bytes that are served."""
        return self.directory.name

    @classmethod
    def load(cls, directory: Path) -> Served | None:
        """Names the bytes that are served."""
        """What is in that directory if a web server can use it, else None."""
        try:
            given = json.loads((directory / "certificate.json").read_text())
            Pair.within(directory).check()
            first, last = clock.parse(given["not_before"]), clock.parse(given["not_after"])
            return cls(directory, given["provider"], Facts(given["issuer"], tuple(given["domains"]), first, last))
        except (Refusal, OSError, ValueError, TypeError, KeyError):
            return None

    def save(self) -> None:
        """Write certificate.json, which spares the next runs a process."""
        facts = self.facts
        text = {
            "provider": self.provider,
            "issuer": facts.issuer,
            "domains": facts.domains,
            "not_before": clock.timestamp(facts.not_before),
            "not_after": clock.timestamp(facts.not_after),
        }
        write(self.directory / "certificate.json", (json.dumps(text, indent=2) + "\n").encode(), 0o644)


class Store:
    """The pairs that are served, /etc/ssl/groundwork.

    :param group: the group that may read private keys; root if there is no such group.
    """

    def __init__(self, directory: Path, group: str) -> None:
        self.directory = directory
        try:
            self.gid = grp.getgrnam(group).gr_gid
        except KeyError:
            self.gid = 0

    def current(self, name: str) -> Served | None:
        """The pair that the name's stable path leads to, or None if there is none that can be used."""
        link = self.directory / name / "current"
        return Served.load(link.parent / os.readlink(link)) if link.is_symlink() else None

    def facts(self, name: str, pair: Pair) -> Facts:
        """What stands in a certificate; without a process if it is already in place."""
        served = Served.load(self.directory / name / pair.fingerprint)
        return served.facts if served else Facts.read(pair.fullchain)

    def install(self, name: str, pair: Pair, provider: str) -> bool:
        """Serve a copy of the pair; True if that changed anything. Refusal, and no change, if it does not match."""
        served = self.current(name)
        if served and (served.fingerprint, served.provider) == (pair.fingerprint, provider):
            return self.protect(served.pair)
        base = self.directory / name
        staging = base / ".new"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o755, parents=True)
        copy = Pair.within(staging)
        try:
            for source, target, mode in ((pair.fullchain, copy.fullchain, 0o644), (pair.privkey, copy.privkey, 0o600)):
                write(target, source.read_bytes(), mode)
            copy.check()
            self.protect(copy)
            Served(staging, provider, Facts.read(copy.fullchain)).save()
            target = base / copy.fingerprint
            if Served.load(target):
                os.replace(staging / "certificate.json", target / "certificate.json")
            else:
                shutil.rmtree(target, ignore_errors=True)
                staging.rename(target)
        except OSError as error:
            raise Refusal(f"{name}: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self.turn(base, target)
        return True

    @staticmethod
    def turn(base: Path, target: Path) -> None:
        """Let `current` lead to the target, in one step, and remove what is older than the pair before it."""
        link = base / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.rename(base / "current")
        os.utime(target)
        pairs = [path for path in base.iterdir() if path.is_dir() and not path.is_symlink()]
        for path in sorted(pairs, key=os.path.getmtime)[:-KEPT_PAIRS]:
            shutil.rmtree(path)

    def protect(self, pair: Pair) -> bool:
        """Give the key its owner, group and mode; True if they were different."""
        status = pair.privkey.stat()
        if (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (os.getuid(), self.gid, 0o640):
            return False
        os.chown(pair.privkey, os.getuid(), self.gid)
        pair.privkey.chmod(0o640)
        return True

    def remove(self, name: str) -> bool:
        """Remove all pairs of the name; True if there were any."""
        found = (self.directory / name).is_dir()
        shutil.rmtree(self.directory / name, ignore_errors=True)
        return found


def blocks(fullchain: Path) -> list[str]:
    """The certificates of a PEM file."""
    return re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", fullchain.read_text(), re.S)
