# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server in front: its configuration as its own user reads it, whose default server answers, a reload due."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils import web_sites

from ..common import clock
from ..common.programs import explanation
from ..common.text import line
from .expected import SITES, Expected, files_of
from .finding import Finding
from .look import Look, number, started_at

SERVERS = {"nginx": web_sites.NGINX, "apache": web_sites.APACHE}
# The test of the configuration; nginx's is the one that the role makes, as the account that nginx runs as.
TESTS = {
    "nginx": ("/etc/nginx/groundwork/test-configuration",),
    "apache": ("/usr/sbin/apachectl", "configtest"),
}
PORTS = (80, 443)  # at other ports nothing of ours is in competition
SLACK = 2.0  # seconds: when the host was started is known in whole ones
ENDING = "shutting down"  # what nginx calls a worker that finishes its last requests


def proxy(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the web server can load its configuration, has done so, and answers unknown names as it should."""
    if expected.proxy not in SITES:
        return
    found = [*refused(expected.proxy, look), *second_default(expected.proxy, look), *reload_due(expected.proxy, look)]
    yield from found
    if not found:
        yield Finding("proxy", "host", "ok", f"{expected.proxy} runs with its configuration, which passes its test.")


def refused(provider: str, look: Look) -> Iterator[Finding]:
    """A configuration that the next reload, and a boot, would refuse."""
    tested = look.run(*TESTS[provider])
    if tested.returncode:
        command = " ".join(TESTS[provider])
        text = f"{provider} would refuse its configuration: {explanation(tested, 300)}."
        remedy = f"The sites are served on until a restart. Correct what it names; `{command}` tests it."
        yield Finding("proxy", "host", "problem", text, remedy)


def second_default(provider: str, look: Look) -> Iterator[Finding]:
    """A server of others that answers whoever asks for an unknown name, in place of ours."""
    own = set(files_of(SITES[provider], look))
    main = look.root / SERVERS[provider].main
    defaults = nginx_defaults(main) if provider == "nginx" else apache_defaults(main)
    for file, listen in defaults:
        shown = f"/{Path(file).relative_to(look.root)}"
        if shown not in own and port_of(listen) in PORTS:
            text = f"{line(shown)} has a second default server ({line(listen, 80)}), which answers unknown names."
            remedy = (
                "Remove default_server from it."
                if provider == "nginx"
                else "Give it a ServerName of its own, or remove it."
            )
            yield Finding(
                "proxy", "host", "problem", text, f"{remedy} Then `systemctl reload {SERVERS[provider].unit}`."
            )


def port_of(listen: str) -> int:
    """The port of an address as either server writes it; 0 of a Unix socket."""
    address = listen.split()[0]
    port = address if address.isdigit() else address.rpartition("]")[2].rpartition(":")[2]
    return 0 if address.startswith("unix:") else int(port) if port.isdigit() else PORTS[0]


def nginx_defaults(main: Path) -> Iterator[tuple[str, str]]:
    """The ``listen`` lines that make a server the default one, with their files."""
    for path in nginx_files(main):
        for words, end in web_sites.statements(web_sites.content(path).decode(errors="replace")):
            if end == ";" and words[:1] == ["listen"] and {"default_server", "default"} & set(words[2:]):
                yield str(path), " ".join(words[1:])


def nginx_files(main: Path) -> Iterator[Path]:
    """Nginx's main file and all that it includes."""
    todo = [main]
    for path in web_sites.each_once(todo):
        yield path
        for words, end in web_sites.statements(web_sites.content(path).decode(errors="replace")):
            if end == ";" and words[:1] == ["include"]:
                todo += [file for word in words[1:] for file in web_sites.included(word, main.parent)]


def apache_defaults(main: Path) -> Iterator[tuple[str, str]]:
    """The virtual hosts that Apache takes for unknown names: the first of each address."""
    seen: set[str] = set()
    for site in web_sites.apache_sites(main):
        for address in site.listen:
            if address not in seen:
                seen.add(address)
                yield site.file, address


def reload_due(provider: str, look: Look) -> Iterator[Finding]:
    """Files that were changed after the running server has read them."""
    unit = SERVERS[provider].unit
    main = number(look.units([unit])[unit], "MainPID")
    loaded = loaded_at(main, look) if main else 0.0
    if not loaded:
        return
    file, changed = newest(provider, look)
    if changed > loaded + SLACK:
        at, since = clock.timestamp(changed), clock.timestamp(loaded)
        text = f"{file} was changed at {at}, and {provider} runs with what it read at {since}."
        yield Finding("proxy", "host", "warning", text, f"`systemctl reload {unit}`, once the test passes.")


def newest(provider: str, look: Look) -> tuple[str, float]:
    """The file of the configuration that was changed last, and when."""
    main = look.root / SERVERS[provider].main
    files = (
        list(nginx_files(main)) if provider == "nginx" else [Path(site.file) for site in web_sites.apache_sites(main)]
    )
    files += [look.path(path) for path in files_of(SITES[provider], look) if path.endswith(".conf")]
    found = {path: changed_at(path) for path in files if "/systemd/" not in str(path)}
    last = max(found, key=lambda path: found[path], default=main)
    return line(f"/{last.relative_to(look.root)}"), found.get(last, 0.0)


def changed_at(path: Path) -> float:
    """When a file was changed; 0 for one that is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def loaded_at(main: int, look: Look) -> float:
    """When a server has read its configuration last: a reload starts its workers anew; 0 where it is not known."""
    children = look.read(f"/proc/{main}/task/{main}/children").split()
    workers = [pid for pid in children if ENDING not in look.read(f"/proc/{pid}/cmdline", 4096)]
    return min((began for pid in workers if (began := started_at(pid, look))), default=0.0)
