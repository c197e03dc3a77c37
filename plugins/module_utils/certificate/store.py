# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates with their keys: reading and checking them, and installing them in /etc/ssl/groundwork."""

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
from ..common.files import has_mode, make_directory, write
from .config import address_of
from .messages import CertificateError
from .processes import run

OPENSSL = "/usr/bin/openssl"
PEM_LIMIT = 2**20  # bytes of a certificate with its chain
KEPT_CERTIFICATES = 2  # the current one and the one before
CHECK_ERRORS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short for any browser",
}


@dataclass(frozen=True)
class CertificateFiles:
    """The file of a certificate with its chain, and the file of its private key."""

    fullchain: Path
    privkey: Path

    @classmethod
    def within(cls, directory: Path) -> CertificateFiles:
        """Return the two files of a directory under their usual names."""
        return cls(directory / "fullchain.pem", directory / "privkey.pem")

    @property
    def exists(self) -> bool:
        """Whether both files exist."""
        return self.fullchain.is_file() and self.privkey.is_file()

    @property
    def fingerprint(self) -> str:
        """Identifies the certificate with its chain."""
        return hashlib.sha256(self.fullchain.read_bytes()).hexdigest()[:20]

    def check(self) -> None:
        """Check that a web server can use them.

        :raises CertificateError: with the reason why not.
        """
        for path in (self.fullchain, self.privkey):
            if not path.is_file():
                raise CertificateError(f"{path} does not exist")
            if path.stat().st_size > PEM_LIMIT:
                raise CertificateError(f"{path} is too large for a certificate or key")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.fullchain, self.privkey, password=lambda: "")
        except ssl.SSLError as error:
            unreadable = f"cannot be read as PEM certificate and unencrypted key ({error})"
            reason = CHECK_ERRORS.get(error.reason or "", unreadable)
            raise CertificateError(f"{self.fullchain} and {self.privkey}: {reason}") from error


@dataclass(frozen=True)
class CertificateFacts:
    """What a certificate says; times are POSIX times."""

    issuer: str
    domains: tuple[str, ...]
    not_before: float
    not_after: float

    @property
    def lifetime(self) -> float:
        """How long it is valid, in seconds."""
        return self.not_after - self.not_before

    def has_less_than(self, fraction: float, now: float) -> bool:
        """Whether less than this fraction of its lifetime is left."""
        return self.not_after - now < self.lifetime * fraction

    @classmethod
    def read(cls, fullchain: Path) -> CertificateFacts:
        """Read the first certificate of a PEM file.

        :raises CertificateError: there is none.
        """
        shown = run(
            *(OPENSSL, "x509", "-noout", "-in", str(fullchain), "-dates", "-issuer"),
            *("-nameopt", "sep_multiline,sname,utf8", "-ext", "subjectAltName"),
        )
        if shown.returncode:
            raise CertificateError(f"{fullchain} holds no certificate: {shown.stderr}")
        return cls.parse(shown.stdout)

    @classmethod
    def parse(cls, shown: str) -> CertificateFacts:
        """Read the output of ``openssl x509``."""
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
class InstalledCertificate:
    """A certificate and key in /etc/ssl/groundwork, and the provider that they came from."""

    directory: Path
    provider: str
    facts: CertificateFacts

    @property
    def files(self) -> CertificateFiles:
        """The two files in this directory."""
        return CertificateFiles.within(self.directory)

    @property
    def fingerprint(self) -> str:
        """Identifies the certificate with its chain."""
        return self.directory.name

    @classmethod
    def load(cls, directory: Path) -> InstalledCertificate | None:
        """Read an installed certificate; None if a web server cannot use it."""
        try:
            given = json.loads((directory / "certificate.json").read_text())
            CertificateFiles.within(directory).check()
            first, last = clock.parse(given["not_before"]), clock.parse(given["not_after"])
            return cls(
                directory, given["provider"], CertificateFacts(given["issuer"], tuple(given["domains"]), first, last)
            )
        except (CertificateError, OSError, ValueError, TypeError, KeyError):
            return None

    def save(self) -> None:
        """Write certificate.json, so that the next runs need not start openssl."""
        facts = self.facts
        text = {
            "provider": self.provider,
            "issuer": facts.issuer,
            "domains": facts.domains,
            "not_before": clock.timestamp(facts.not_before),
            "not_after": clock.timestamp(facts.not_after),
        }
        write(self.directory / "certificate.json", (json.dumps(text, indent=2) + "\n").encode(), 0o644)


class CertificateStore:
    """The installed certificates, /etc/ssl/groundwork.

    :param group: the group that can read private keys; root's if the group does not exist.
    """

    def __init__(self, directory: Path, group: str) -> None:
        self.directory = directory
        try:
            self.gid = grp.getgrnam(group).gr_gid
        except KeyError:
            self.gid = 0

    def current(self, name: str) -> InstalledCertificate | None:
        """Return the certificate at the name's stable path; None if there is no usable one."""
        link = self.directory / name / "current"
        return InstalledCertificate.load(link.parent / os.readlink(link)) if link.is_symlink() else None

    def facts(self, name: str, files: CertificateFiles) -> CertificateFacts:
        """Read a certificate; if it is installed already, without starting openssl."""
        served = InstalledCertificate.load(self.directory / name / files.fingerprint)
        return served.facts if served else CertificateFacts.read(files.fullchain)

    def install(self, name: str, files: CertificateFiles, provider: str) -> bool:
        """Install a copy of a certificate and key.

        :returns: whether anything changed.
        :raises CertificateError: they cannot be used; nothing changed.
        """
        served = self.current(name)
        if served and (served.fingerprint, served.provider) == (files.fingerprint, provider):
            return self.protect(served.files)
        base = self.directory / name
        staging = base / ".new"
        shutil.rmtree(staging, ignore_errors=True)
        make_directory(staging.parent)
        make_directory(staging)
        try:
            target = base / self.stage(files, provider, staging)
            if InstalledCertificate.load(target):
                os.replace(staging / "certificate.json", target / "certificate.json")
            else:
                shutil.rmtree(target, ignore_errors=True)
                staging.rename(target)
        except OSError as error:
            raise CertificateError(f"{name}: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self.turn(base, target)
        return True

    def stage(self, files: CertificateFiles, provider: str, directory: Path) -> str:
        """Copy a certificate and key into a directory, check the copy, and return its fingerprint."""
        copy = CertificateFiles.within(directory)
        write(copy.fullchain, files.fullchain.read_bytes(), 0o644)
        write(copy.privkey, files.privkey.read_bytes(), 0o600)
        copy.check()
        self.protect(copy)
        InstalledCertificate(directory, provider, CertificateFacts.read(copy.fullchain)).save()
        return copy.fingerprint

    @staticmethod
    def turn(base: Path, target: Path) -> None:
        """Point `current` at the target in one step, and remove all but the previous certificate."""
        link = base / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.rename(base / "current")
        os.utime(target)
        kept = [path for path in base.iterdir() if path.is_dir() and not path.is_symlink()]
        for path in sorted(kept, key=os.path.getmtime)[:-KEPT_CERTIFICATES]:
            shutil.rmtree(path)

    def protect(self, files: CertificateFiles) -> bool:
        """Set the owner, group and mode of the key, and the mode of its directories; whether they were different."""
        closed = [path for path in (files.privkey.parent.parent, files.privkey.parent) if not has_mode(path, 0o755)]
        for path in closed:
            make_directory(path)
        status = files.privkey.stat()
        if (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (os.getuid(), self.gid, 0o640):
            return bool(closed)
        os.chown(files.privkey, os.getuid(), self.gid)
        files.privkey.chmod(0o640)
        return True

    def remove(self, name: str) -> bool:
        """Remove all certificates of a name; returns whether there were any."""
        found = (self.directory / name).is_dir()
        shutil.rmtree(self.directory / name, ignore_errors=True)
        return found


def blocks(fullchain: Path) -> list[str]:
    """Return the certificates of a PEM file."""
    return re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", fullchain.read_text(), re.S)
