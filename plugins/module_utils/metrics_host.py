# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has already of Prometheus and its exporters, and by which of its addresses others reach it."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import in_words, listeners

# The units that the role gives arguments to, by their Debian packages.
UNITS: Mapping[str, str] = MappingProxyType(
    {
        "prometheus": "prometheus.service",
        "prometheus-alertmanager": "prometheus-alertmanager.service",
        "prometheus-blackbox-exporter": "prometheus-blackbox-exporter.service",
        "prometheus-node-exporter": "prometheus-node-exporter.service",
    }
)
OWN = "groundwork.conf"  # the drop-in that the role gives each of these units
UNIT_FILES = "etc/systemd/system"
DPKG_QUERY = "/usr/bin/dpkg-query"
ANY_PORT = 9  # a datagram socket that is connected sends nothing: the port does not matter


def conflicts(wanted: Mapping[str, int], take_over: bool, root: Path = Path("/")) -> list[str]:
    """What others have set up in the place of these packages, a sentence for what it is and one for what to do.

    :param wanted: the port of each package. What has the role's drop-in already is the role's.
    :param take_over: whether a unit of Debian's may be given other arguments although it runs, or was configured.
    """
    new = {package: port for package, port in wanted.items() if not (drop_ins(package, root) / OWN).exists()}
    if not new:
        return []
    problems = []
    for one in listeners(set(new.values()), root):
        package = next(name for name, port in new.items() if port == one["port"])
        if one["protocol"] != "tcp" or (take_over and one["unit"] == UNITS[package]):
            continue
        problems.append(
            f"Port {one['port']} is taken by {in_words(one)}, which this role has not set up. " + remedy(one, package)
        )
    if not take_over:
        for package in new:
            problems += [
                f"{package} has been configured on this host: {path} is not as Debian has it. The role would leave the "
                "file, and give the unit other arguments: set metrics_take_over to true for that, or leave this host "
                "out of the playbook."
                for path in configured(package, root)
            ]
    return problems


def remedy(one: Mapping[str, object], package: str) -> str:
    """What to do about a program at a port of the role's."""
    if one["unit"] == UNITS[package]:
        return "Set metrics_take_over to true if its arguments may change, or leave this host out of the playbook."
    variable = f"metrics_{package.removeprefix('prometheus-').partition('-')[0]}_port"
    return f"Stop it, or give {package} another port by {variable}."


def configured(package: str, root: Path = Path("/")) -> Iterator[str]:
    """The files by which a package has been configured: conffiles that were changed, units and drop-ins of root's."""
    for path, checksum in conffiles(package):
        file = root / path.lstrip("/")
        if file.is_file() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != checksum:
            yield path
    unit = root / UNIT_FILES / UNITS[package]
    if unit.is_file() and not unit.is_symlink():
        yield f"/{unit.relative_to(root)}"
    for file in sorted(drop_ins(package, root).glob("*.conf")):
        yield f"/{file.relative_to(root)}"


def drop_ins(package: str, root: Path) -> Path:
    """Where drop-ins of a package's unit lie."""
    return root / UNIT_FILES / f"{UNITS[package]}.d"


def conffiles(package: str) -> Iterator[tuple[str, str]]:
    """The configuration files of an installed package with the checksums that they were delivered with."""
    argv = [DPKG_QUERY, "--show", "--showformat=${Conffiles}\n", package]
    for row in programs.run(argv, seconds=20).stdout.splitlines():
        fields = row.split()
        if len(fields) == 2 and not fields[0].startswith("/etc/init.d/"):
            yield fields[0], fields[1]


def own_addresses(others: Iterable[str]) -> tuple[list[str], list[str]]:
    """The addresses by which this host reaches others, each once, without loopback; and whom it does not reach.

    :param others: addresses and networks. Nothing is sent to any.
    :raises ValueError: for what is neither.
    """
    found: list[str] = []
    unreached: list[str] = []
    for other in others:
        network = ipaddress.ip_network(other, strict=False)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((str(network.network_address), ANY_PORT))
                address = str(probe.getsockname()[0])
        except OSError:
            unreached.append(other)
            continue
        if not ipaddress.ip_address(address).is_loopback and address not in found:
            found.append(address)
    return found, unreached
