# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for: where it stands, what holds for the host, and the certificate of each name."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .messages import Refusal

PROGRAM = "/usr/local/lib/groundwork/certificate"
MINUTE, HOUR, DAY = 60, 3600, 86400
PROVIDERS = ("acme", "self_signed", "files")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)*(?=.*[a-z]){LABEL}")


@dataclass(frozen=True)
class Host:
    """Where things are on this host; another ``root`` is for tests."""

    root: Path = Path("/")

    @property
    def options(self) -> Path:
        """What holds for the host, see Options."""
        return self.root / "etc/groundwork/certificate.json"

    @property
    def requests(self) -> Path:
        """A directory with a file for each name, see Request."""
        return self.root / "etc/groundwork/certificates"

    @property
    def served(self) -> Path:
        """The certificates and keys that web servers read."""
        return self.root / "etc/ssl/groundwork"

    @property
    def state(self) -> Path:
        """What the program remembers, and the self-signed certificates; root's alone."""
        return self.root / "var/lib/groundwork/certificates"

    def state_of(self, name: str) -> Path:
        """What the program remembers of a name."""
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
        """Certbot from PyPI: a symlink to the environment that is in use."""
        return self.root / "usr/local/lib/groundwork/certbot"

    @property
    def account_options(self) -> Path:
        """Certbot's options with the credentials of an external account binding; there only if they are given."""
        return self.options.with_name("certificate-account.ini")

    @property
    def dns_credentials(self) -> Path:
        """The credentials of certbot's plugin for dns-01; root's alone."""
        return self.options.with_name("certificate-dns.ini")

    @property
    def pinned(self) -> Path:
        """What certbot from PyPI is made of, as a requirements file with hashes; empty if the user chose a version."""
        return self.options.with_name("certificate-certbot.txt")

    @property
    def install_environment(self) -> Path:
        """Environment variables for pip, as a JSON object; root's alone."""
        return self.options.with_name("certificate-install.json")

    @property
    def troubles(self) -> Path:
        """What was wrong the last time anybody looked."""
        return self.state / "troubles.json"

    @property
    def unseen(self) -> Path:
        """Is there while something is new that the check has not looked at."""
        return self.root / "run/groundwork/certificate.unseen"

    @property
    def lock(self) -> Path:
        """Held by a run that changes anything."""
        return self.root / "run/groundwork/certificate/lock"


@dataclass(frozen=True)
class Options:
    """What holds for the host, from /etc/groundwork/certificate.json.

    :param check_address: HOST:PORT at which the served certificate is looked at; empty for nowhere.
    :param pinned: certbot is from PyPI, in an environment of its own, as the file of requirements pins it.
    :param requirements: what is installed there by the user's choice: plugins, or another version of certbot.
    :param dns_plugin: certbot's plugin for dns-01, without `dns-`; else the two hooks are its commands.
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
        """True when certbot is to be from PyPI."""
        return self.pinned or bool(self.requirements)

    @classmethod
    def load(cls, path: Path) -> Options:
        """Read them; Refusal if they cannot be used."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise Refusal(f"{path}: {error}", "Run the play again.") from error


@dataclass(frozen=True)
class Request:
    """One name: the domains it is for, the first being the canonical one, and who brings the certificate.

    :param fullchain: where the provider `files` has it from, for messages; and privkey.
    """

    name: str
    domains: tuple[str, ...]
    provider: str
    challenge: str = "http-01"
    profile: str = ""
    fullchain: str = ""
    privkey: str = ""

    @classmethod
    def load(cls, path: Path) -> Request:
        """Read a request; Refusal names the file and what is wrong with it."""
        try:
            given = json.loads(path.read_text())
            domains = (address_of(domain) or domain.lower() for domain in given["domains"])
            request = cls(**{**given, "domains": tuple(dict.fromkeys(domains))})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Refusal(f"{path}: {type(error).__name__}: {error}") from error
        if not NAME.fullmatch(request.name) or f"{request.name}.json" != path.name:
            raise Refusal(f"{path}: the name {request.name!r} is not usable, or not the file's")
        if request.provider not in PROVIDERS:
            raise Refusal(f"{path}: there is no provider {request.provider!r}; there are {', '.join(PROVIDERS)}")
        if not request.domains:
            raise Refusal(f"{path}: there is no domain", "Give at least one, the canonical one first.")
        if wrong := [
            domain
            for domain in request.domains
            if not address_of(domain) and (len(domain) > 253 or not DOMAIN.fullmatch(domain))
        ]:
            raise Refusal(f"{path}: {', '.join(wrong)}: no domain name", "Write letters beyond ASCII in the xn-- form.")
        return request


def load_requests(directory: Path) -> tuple[dict[str, Request], list[str]]:
    """All requests that can be read, by name, and what is wrong with the others."""
    requests, problems = {}, []
    for path in sorted(directory.glob("*.json")):
        try:
            requests[path.stem] = Request.load(path)
        except Refusal as refusal:
            problems.append(str(refusal))
    return requests, problems


def address_of(text: str) -> str:
    """The IP address that the text is, in its usual form; empty if it is none."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def is_covered(domain: str, by: Sequence[str]) -> bool:
    """True when one of the names, of which some may be wildcards, is valid for the domain."""
    if address_of(domain):
        return domain in by
    parent = domain.partition(".")[2]
    return domain in by or f"*.{parent}" in by
