# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``outgoing`` of a host: loads the outgoing policies of its apps, and compares them with the kernel's."""

from __future__ import annotations

import argparse
import grp
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..common import programs
from ..common.on_host import on_host
from . import policies
from .rules import TABLE, table

NFT, UNSHARE, SYSTEMCTL = "/usr/sbin/nft", "/usr/bin/unshare", "/usr/bin/systemctl"
UNIT = "groundwork-outgoing.service"
RESOLVER = Path("/etc/resolv.conf")
SECONDS = 30  # that nft may take
LOADS = 5  # in a row, while what is wanted changes
LIST = ("--stateless", "list", "table", "inet", TABLE)


def wanted() -> tuple[str, list[str]]:
    """The table that the policies of this host ask for, and what is wrong with any of them."""
    found, problems = policies.read_all(Path(on_host("outgoing")), policies.number_of)
    try:
        servers = policies.name_servers(RESOLVER.read_text(errors="replace"))
    except OSError:  # at boot, before the network; groundwork-outgoing-names.path loads it again
        servers = []
    return table(found, servers, build_group()), problems


def build_group() -> int | None:
    """The number of the group that builds run as; None where there is none."""
    try:
        return grp.getgrnam(on_host("build_group")).gr_gid
    except KeyError:
        return None


def nft(*arguments: str, payload: str = "") -> subprocess.CompletedProcess[str]:
    """Run nft."""
    return programs.run((NFT, *arguments), seconds=SECONDS, payload=payload.encode())


def complain(*sentences: str) -> None:
    """Print sentences as errors."""
    for sentence in sentences:
        sys.stderr.write(f"{sentence}\n")


def load() -> int:
    """Load the table. What is wrong with one policy is printed, and keeps no other from being loaded.

    Once more where a name server or a policy has changed meanwhile: as long as this runs, systemd does not look at
    the file of the name servers.
    """
    for _load in range(LOADS):
        text, problems = wanted()
        result = nft("--file", "-", payload=text)
        if result.returncode or wanted()[0] == text:
            break
    complain(*problems, *result.stderr.splitlines())
    return result.returncode or bool(problems)


def is_loaded() -> bool:
    """Whether the kernel's table is the one that is wanted.

    What the kernel makes of it is asked in a network namespace that is gone afterwards. Where none can be made, that
    the table is there has to do.
    """
    live = nft(*LIST)
    if live.returncode:
        return False
    script = f"{NFT} --file - && exec {NFT} {' '.join(LIST)}"
    argv = (UNSHARE, "--net", "/bin/sh", "-c", script)
    declared = programs.run(argv, seconds=SECONDS, payload=wanted()[0].encode())
    return bool(declared.returncode) or declared.stdout == live.stdout


def hold(dry_run: bool) -> int:
    """Say so and load the table again where the kernel's is another; print nothing where it is not."""
    if is_loaded():
        return 0
    sys.stdout.write(
        f"The rules of the table inet {TABLE} are not those that the policies in {on_host('outgoing')} ask for.\n"
    )
    if dry_run:
        return 0
    result = programs.run((SYSTEMCTL, "reload-or-restart", UNIT), seconds=SECONDS)
    if result.returncode or not is_loaded():
        complain(f"They could not be loaded: see `journalctl -u {UNIT}`.")
        return 1
    sys.stdout.write("They were loaded again.\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; its exit status."""
    parser = argparse.ArgumentParser(prog="outgoing", description="The outgoing policies of the apps of this host.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("show", help="print the table that the policies ask for")
    verbs.add_parser("load", help="load it")
    held = verbs.add_parser("hold", help="load it again where the kernel has another one")
    held.add_argument("--dry-run", action="store_true", help="say whether it has")
    given = parser.parse_args(arguments)
    if given.verb == "show":
        text, problems = wanted()
        sys.stdout.write(text)
        complain(*problems)
        return 0
    if not os.access(NFT, os.X_OK):
        return without_nft()
    return load() if given.verb == "load" else hold(given.dry_run)


def without_nft() -> int:
    """A host without nftables can hold no app to a policy; 0 where none has one."""
    if not list(Path(on_host("outgoing")).glob("*.json")):
        return 0
    complain(f"{NFT} is missing, and no app is held to its outgoing policy: install the package nftables.")
    return 1
