# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: paths, the options of the host, and the certificate request of each name."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.on_host import path
from .messages import CertificateError

PROGRAM = str(path("programs") / "certificate")
MINUTE, HOUR, DAY = 60, 3600, 86400
PROVIDERS = ("acme", "self_signed", "files")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)*(?=.*[a-z]){LABEL}")


@dataclass(frozen=True)
class Paths:
    """The paths on the host.

    :ivar root: another directory in tests.
    """

    root: Path = Path("/")

    @property
    def options(self) -> Path:
        """The options of the host, see :class:`HostOptions`."""
        return path("configuration", root=self.root) / "certificate.json"

    @property
    def requests(self) -> Path:
        """The directory with one file for each name, see :class:`CertificateRequest`."""
        return path("configuration", root=self.root) / "certificates"

    @property
    def served(self) -> Path:
        """The certificates and keys that web servers read."""
        return path("certificates", root=self.root)

    @property
    def state(self) -> Path:
        """The program's own state and the self-signed certificates; only root can read it."""
        return path("state", root=self.root) / "certificates"

    def state_of(self, name: str) -> Path:
        """The state of a name, see state.py."""
        return self.state / name / "state.json"

    @property
    def letsencrypt(self) -> Path:
        """The directory that every certbot on the host shares."""
        return self.root / "etc/letsencrypt"

    @property
    def certbot_log(self) -> Path:
        """The log of certbot."""
        return self.root / "var/log/letsencrypt/letsencrypt.log"

    @property
    def certbot(self) -> Path:
        """Certbot from PyPI: a symlink to the virtual environment in use."""
        return path("programs", root=self.root) / "certbot"

    @property
    def account_options(self) -> Path:
        """Certbot's options with the credentials of an external account binding; absent if none are set."""
        return self.options.with_name("certificate-account.ini")

    @property
    def dns_credentials(self) -> Path:
        """The credentials of certbot's plugin for dns-01; only root can read them."""
        return self.options.with_name("certificate-dns.ini")

    @property
    def pinned(self) -> Path:
        """The pinned requirements of certbot from PyPI, with hashes; absent if the user chose a version."""
        return self.options.with_name("certificate-certbot.txt")

    @property
    def install_environment(self) -> Path:
        """Environment variables for pip, as a JSON object; only root can read them."""
        return self.options.with_name("certificate-install.json")

    @property
    def warnings(self) -> Path:
        """The warnings of the last run, as a JSON list."""
        return self.state / "warnings.json"

    @property
    def unchecked(self) -> Path:
        """Exists while there is a change that the check has not seen."""
        return path("runtime", root=self.root) / "certificate.unchecked"

    @property
    def lock(self) -> Path:
        """The lock that each run holds which changes anything."""
        return path("runtime", root=self.root) / "certificate/lock"


@dataclass(frozen=True)
class HostOptions:
    """The options of the host, from /etc/groundwork/certificate.json; the role's README describes them.

    :ivar check_address: HOST:PORT where the served certificate is checked; empty for no check.
    :ivar pinned: certbot comes from PyPI, at the pinned version.
    :ivar requirements: requirements that the user chose for certbot from PyPI: plugins, or another version.
    :ivar dns_plugin: certbot's plugin for dns-01, without ``dns-``; if empty, the two hooks are its commands.
    """

    email: str
    directory: str
    ca_bundle: str
    key_type: str
    key_group: str
    webroot: str
    deploy_command: str
    check_address: str = ""
    pinned: bool = False
    requirements: tuple[str, ...] = ()
    dns_plugin: str = ""
    dns_propagation_seconds: int = 0
    dns_auth_hook: str = ""
    dns_cleanup_hook: str = ""

    @property
    def from_pypi(self) -> bool:
        """Whether certbot comes from PyPI."""
        return self.pinned or bool(self.requirements)

    @classmethod
    def load(cls, path: Path) -> HostOptions:
        """Read them from a JSON file.

        :raises CertificateError: they cannot be used.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise CertificateError(f"{path}: {error}", "Run the play again.") from error


@dataclass(frozen=True)
class CertificateRequest:
    """What certificate a name is to have.

    :ivar domains: at least one; the first is the canonical one.
    :ivar provider: one of :data:`PROVIDERS`.
    :ivar challenge: ``http-01`` or ``dns-01``, for ``acme``.
    :ivar profile: the CA's certificate profile; empty for its default.
    :ivar fullchain: the path on the controller that ``files`` read it from, for messages; likewise ``privkey``.
    """

    name: str
    domains: tuple[str, ...]
    provider: str
    challenge: str = "http-01"
    profile: str = ""
    fullchain: str = ""
    privkey: str = ""

    @classmethod
    def load(cls, path: Path) -> CertificateRequest:
        """Read a request from a JSON file.

        :raises CertificateError: with the file and what is wrong with it.
        """
        try:
            given = json.loads(path.read_text())
            domains = (address_of(domain) or domain.lower() for domain in given["domains"])
            request = cls(**{**given, "domains": tuple(dict.fromkeys(domains))})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CertificateError(f"{path}: {type(error).__name__}: {error}") from error
        if not NAME.fullmatch(request.name) or f"{request.name}.json" != path.name:
            raise CertificateError(f"{path}: the name {request.name!r} is not usable, or not the file's")
        if request.provider not in PROVIDERS:
            raise CertificateError(
                f"{path}: there is no provider {request.provider!r}; there are {', '.join(PROVIDERS)}"
            )
        if not request.domains:
            raise CertificateError(f"{path}: there is no domain", "Give at least one, the canonical one first.")
        if wrong := [
            domain
            for domain in request.domains
            if not address_of(domain) and (len(domain) > 253 or not DOMAIN.fullmatch(domain))
        ]:
            raise CertificateError(
                f"{path}: {', '.join(wrong)}: no domain name", "Write letters beyond ASCII in the xn-- form."
            )
        return request


def load_requests(directory: Path) -> tuple[dict[str, CertificateRequest], list[str]]:
    """Read all requests; those that are valid, by name, and an error message for each of the others."""
    requests, problems = {}, []
    for file in sorted(directory.glob("*.json")):
        try:
            requests[file.stem] = CertificateRequest.load(file)
        except CertificateError as error:
            problems.append(str(error))
    return requests, problems


def address_of(text: str) -> str:
    """Return an IP address in its canonical form; empty for any other text."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def is_covered(domain: str, by: Sequence[str]) -> bool:
    """Whether one of a certificate's names, some of which may be wildcards, is valid for the domain."""
    if address_of(domain):
        return domain in by
    parent = domain.partition(".")[2]
    return domain in by or f"*.{parent}" in by
