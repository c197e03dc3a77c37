# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``database`` of a host, which the role and the playbook of that name call; results are JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..common import privileges
from ..common.files import make_directory
from ..common.on_host import path
from . import operate, upgrade
from .errors import DatabaseError
from .reconcile import Wanted, reconcile

OF_AN_APP: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "show": operate.show,
    "forget": operate.forget,
    "last-dump": operate.last_dump,
    "drop": operate.drop,
}


def parser() -> argparse.ArgumentParser:
    """The verbs and their arguments."""
    top = argparse.ArgumentParser(prog="database", description="The databases of the apps of this host.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")

    all_apps = verb("reconcile", "create roles and databases, and set the server up")
    all_apps.add_argument("wanted", help="a map as JSON: apps, cluster, settings, restart")
    all_apps.add_argument("--dry-run", action="store_true", help="say what would be done")
    newer = verb("upgrade", "upgrade PostgreSQL to the newest version that is installed")
    newer.add_argument("--shared", action="store_true", help="also databases that are no app's")
    newer.add_argument("--dry-run", action="store_true", help="say what would be done")
    for name, text in (
        ("show", "show size, tables and connections"),
        ("load", "load a dump into an empty database"),
        ("dump", "take a dump"),
        ("forget", "drop what a load has kept"),
        ("last-dump", "keep a last dump"),
        ("drop", "drop all databases and the role"),
    ):
        one = verb(name, text)
        one.add_argument("app")
        if name in ("load", "dump"):
            one.add_argument("file")
        if name == "load":
            one.add_argument("--replace", action="store_true", help="keep what is there under another name")
    return top


def answer(given: argparse.Namespace) -> dict[str, Any]:
    """Do what a verb says."""
    if given.verb == "reconcile":
        return asdict(reconcile(Wanted(**json.loads(given.wanted)), dry_run=given.dry_run))
    if given.verb == "upgrade":
        return upgrade.answer(given.shared, given.dry_run)
    if given.verb == "load":
        return operate.load(given.app, given.file, replace=given.replace)
    if given.verb == "dump":
        return operate.dump(given.app, Path(given.file))
    return OF_AN_APP[given.verb](given.app)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result, as JSON unless a person looks on; a failure is exit status 1 with a sentence on stderr."""
    given = parser().parse_args(argv)
    if not privileges.is_root():
        sys.stderr.write(f"{privileges.not_root()}\n")
        return 1
    make_directory(path("state"))
    try:
        found = answer(given)
    except DatabaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{shown(found) if given.verb in OF_AN_APP and sys.stdout.isatty() else json.dumps(found)}\n")
    return 0


def shown(found: Mapping[str, Any]) -> str:
    """What was found or done, for a terminal."""
    return "\n".join(found.get("lines") or found.get("changed") or ["there was nothing to do"])
