# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites that a host's nginx or Apache is set up to serve, read from its files; what Debian ships is none.

This only reads: nginx's and Apache's own ways to show their configuration make files and take a second.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.paths import regular
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import output

MOST_FILES = 500
MOST_BYTES = 2**20  # that are read of one file
WEBROOT = "var/www/html"
DEFAULT_PAGE = re.compile(rb"Welcome to nginx|Apache2 (?:Debian|Ubuntu) Default Page")
WORD = re.compile(r"#[^\n]*|[{};]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|(?:\\.|[^\s{};\"'\\])+|\s+", re.DOTALL)


@dataclass
class Site:
    """A site in a server's configuration.

    :param file: where it stands.
    :param names: the names that it answers to; empty for a site without any.
    :param listen: the addresses and ports that it says it listens on, in the server's words.
    """

    file: str
    names: list[str] = field(default_factory=list)
    listen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Server:
    """A program whose sites can be read: its unit, its main file, and the packages that bring its sample sites."""

    unit: str
    main: str
    packages: tuple[str, ...]


NGINX = Server("nginx.service", "etc/nginx/nginx.conf", ("nginx", "nginx-common"))
APACHE = Server("apache2.service", "etc/apache2/apache2.conf", ("apache2",))


def others_sites(server: Server, root: Path = Path("/")) -> list[dict[str, Any]]:
    """The sites of a server, but for those that its package ships and nobody has changed."""
    if not (root / server.main).is_file():
        return []
    shipped = shipped_files(server.packages)
    found, default = [], False
    for site in (nginx_sites if server is NGINX else apache_sites)(root / server.main):
        if is_shipped(Path(site.file), shipped, root):
            default = True
        else:
            found.append(site)
    if default and (own := own_pages(root / WEBROOT)):
        found.append(Site(f"/{WEBROOT}", [], own[:3]))
    return [asdict(site) for site in found]


def shipped_files(packages: Sequence[str]) -> Mapping[str, str]:
    """The configuration files of packages that are installed, with the MD5 sum of each as it was shipped."""
    listed = output("/usr/bin/dpkg-query", "--show", "--showformat", "${Conffiles}\\n", "--", *packages)
    return {row[0]: row[1] for row in map(str.split, listed.splitlines()) if len(row) >= 2}


def is_shipped(path: Path, shipped: Mapping[str, str], root: Path) -> bool:
    """Whether a file, or what it links to, is as its package ships it."""
    real = path.resolve()
    name = f"/{real.relative_to(root.resolve())}" if real.is_relative_to(root.resolve()) else str(real)
    return shipped.get(name) == hashlib.md5(content(real), usedforsecurity=False).hexdigest()


def own_pages(webroot: Path) -> list[str]:
    """What lies where the default site looks, but for the pages that the packages put there."""
    try:
        entries = sorted(webroot.iterdir())
    except OSError:
        return []
    return [
        line(f"/{WEBROOT}/{entry.name}")
        for entry in entries
        if not (entry.name.startswith("index.") and entry.is_file() and DEFAULT_PAGE.search(content(entry)))
    ]


def content(path: Path) -> bytes:
    """The beginning of a regular file; nothing of what cannot be read. A FIFO in a web root does not block this."""
    try:
        descriptor = regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path.name)
    except OSError:
        return b""
    with open(descriptor, "rb") as stream:
        return stream.read(MOST_BYTES)


def included(pattern: str, base: Path) -> list[Path]:
    """The files that an include names, relative to the directory of the main file."""
    at = Path(pattern)
    try:
        above = base if not at.is_absolute() else Path(at.anchor)
        # A host that is looked at below another root has its absolute paths there.
        if at.is_absolute() and base.parent.parent != Path("/"):
            above = base.parent.parent
        return sorted(path for path in above.glob(str(at.relative_to(at.anchor))) if path.is_file())
    except (OSError, ValueError, NotImplementedError):
        return []


def each_once(todo: list[Path]) -> Iterator[Path]:
    """The files of a list that grows meanwhile, each once, and no more than :data:`MOST_FILES`."""
    seen: set[Path] = set()
    while todo and len(seen) < MOST_FILES:
        path = todo.pop(0)
        if path not in seen:
            seen.add(path)
            yield path


def nginx_sites(main: Path) -> Iterator[Site]:
    """The ``server`` blocks of nginx's main file and of all that it includes."""
    todo = [main]
    for path in each_once(todo):
        blocks: list[str] = []
        site: Site | None = None
        for words, end in statements(content(path).decode(errors="replace")):
            name = words[0] if words else ""
            if end == "{":
                blocks.append(name)
                site = Site(str(path)) if name == "server" else site
            elif end == "}":
                if blocks and blocks.pop() == "server" and site:
                    yield site
                    site = None
            elif name == "include" and site is None:
                todo += [file for word in words[1:] for file in included(word, main.parent)]
            elif site and blocks[-1] == "server" and name == "server_name":
                site.names += [line(word, 253) for word in words[1:] if word not in ("_", "")]
            elif site and blocks[-1] == "server" and name == "listen":
                site.listen.append(line(words[1] if words[1:] else "", 100))


def statements(text: str) -> Iterator[tuple[list[str], str]]:
    """The statements of a configuration of nginx's: their words, and what ended each."""
    words: list[str] = []
    for match in WORD.finditer(text):
        word = match[0]
        if word in ("{", "}", ";"):
            yield words, word
            words = []
        elif not word.isspace() and not word.startswith("#"):
            words.append(word.strip("\"'"))


def apache_sites(main: Path) -> Iterator[Site]:
    """The virtual hosts of Apache's main file and of all that it includes."""
    todo = [main]
    for path in each_once(todo):
        site: Site | None = None
        for words in map(str.split, content(path).decode(errors="replace").splitlines()):
            name = words[0].lower() if words else ""
            if name == "<virtualhost":
                site = Site(str(path), [], [line(word.strip("<>"), 100) for word in words[1:]])
            elif name == "</virtualhost>" and site:
                yield site
                site = None
            elif name in ("include", "includeoptional") and words[1:]:
                todo += included(words[1].strip('"'), main.parent)
            elif site and name in ("servername", "serveralias"):
                site.names += [line(word, 253) for word in words[1:]]
