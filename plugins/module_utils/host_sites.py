# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sites the host serves, from the files that the role proxy has written: whichever inventory they came from.

The record of the proxy's file set says which files are a site's, the files say under which names it answers. So hosts
of every version of the collection are read alike.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import SYSTEMCTL
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet, Manifest
from ansible_collections.groundwork.flask.plugins.module_utils.web_sites import APACHE, NGINX

UNITS = {"nginx": NGINX.unit, "apache": APACHE.unit}
PROVIDERS = tuple(UNITS)
NAMES = re.compile(r"^[ \t]*((?:server_name|ServerName|ServerAlias)[ \t]+([^;\n]*?);?)[ \t]*$", re.MULTILINE)
CERTIFICATE = re.compile(
    r'^[ \t]*(?:ssl_certificate|SSLCertificateFile)[ \t]+"?([^";\n]*)/fullchain\.pem', re.MULTILINE
)
# A site that shares the domains of another one has its paths in a file of its own.
SHARED = re.compile(r"/groundwork/locations/([^/]+)/[^/]+\.conf")
OWNED = re.compile(r"/groundwork/(?:sites|wildcards)/[^/]+\.conf")
PATH = re.compile(r'^[ \t]*(?:location (?:= |\^~ )?|<Location ")(/[^\s"]*)', re.MULTILINE)
# The end of what stands in the place of names that another site has taken over: no visitor asks for it (RFC 6761).
NO_DOMAIN = ".invalid"


@dataclass(frozen=True)
class ServedSite:
    """A site that the host serves.

    :ivar provider: the proxy whose files it stands in.
    :ivar owner: the site whose domains it answers under: itself, or another one, below a prefix.
    :ivar prefix: the path below which it lives, of a site that is not the owner; else "".
    :ivar domains: the names it answers under; of a site that is not the owner, those of the owner.
    :ivar addresses: those of them that are IP addresses.
    :ivar lines: the lines of its files that name them, as they stand there.
    :ivar certificate: the directory of its certificate; "" where it has none of its own.
    """

    name: str
    provider: str
    owner: str
    prefix: str
    domains: tuple[str, ...]
    addresses: tuple[str, ...]
    lines: tuple[str, ...]
    certificate: str


def sites(root: Path = Path("/")) -> list[dict[str, object]]:
    """All sites that the host serves, as a module returns them."""
    of_each = {provider: list(of_provider(provider, root)) for provider in PROVIDERS}
    found = [site for provider in serving(of_each) for site in of_each[provider]]
    domains = {(site.provider, site.name): site.domains for site in found}
    return [{**asdict(site), "domains": domains.get((site.provider, site.owner), ())} for site in found]


def serving(of_each: Mapping[str, Sequence[ServedSite]]) -> list[str]:
    """The proxies whose sites count: of several that have any, as after a change that failed, those that run."""
    having = [provider for provider in PROVIDERS if of_each[provider]]
    if len(having) < 2:
        return having
    return [provider for provider in having if is_active(UNITS[provider])] or having


def is_active(unit: str) -> bool:
    """Whether a unit runs."""
    return not programs.run([SYSTEMCTL, "is-active", "--quiet", unit], seconds=30).returncode


def of_provider(provider: str, root: Path) -> Iterator[ServedSite]:
    """The sites of one proxy; those that are not the owners of their domains have none yet."""
    file_set = FileSet(f"proxy_{provider}", path("state", root=root) / "file_sets")
    # A run that was killed while it replaced files is undone by the next one.
    unfinished = {where: found.content if found else None for where, found in file_set.unfinished().items()}
    for name, files in sorted(Manifest.load(file_set.manifest_path).parts.items()):
        texts = {file: text for file in files if name and (text := text_of(file, unfinished, root))}
        if site := of_files(name, provider, texts):
            yield site


def text_of(file: str, unfinished: Mapping[str, bytes | None], root: Path) -> str:
    """The text of a file of the set; empty where there is none."""
    try:
        content = unfinished[file] if file in unfinished else (root / file.lstrip("/")).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return (content or b"").decode(errors="replace")


def of_files(name: str, provider: str, texts: Mapping[str, str]) -> ServedSite | None:
    """What the files of a site say of it; None where none of them is a site."""
    for file, text in texts.items():
        if shared := SHARED.search(file):
            prefix = min((one.rstrip("/") for one in PATH.findall(text)), key=len, default="")
            return ServedSite(name, provider, shared[1], prefix, (), (), (), "")
        if OWNED.search(file):
            lines = {line: words.split() for line, words in NAMES.findall(text)}
            named = (domain.strip("[]").lower() for words in lines.values() for domain in words)
            domains = tuple(dict.fromkeys(domain for domain in named if not domain.endswith(NO_DOMAIN)))
            directory = certificate[1] if (certificate := CERTIFICATE.search(text)) else ""
            return ServedSite(
                name, provider, name, "", domains, tuple(filter(is_address, domains)), tuple(lines), directory
            )
    return None


def is_address(domain: str) -> bool:
    """Whether a name of a site is an IP address."""
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        return False
    return True
