# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of the program ``logs`` of a host."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def complain(*sentences: str) -> None:
    """Print sentences as errors."""
    for sentence in sentences:
        sys.stderr.write(f"{sentence}\n")


def hold(dry_run: bool) -> int:
    """Bring readers and shippers in line with the configuration; print what was changed, and nothing if nothing was."""
    from . import config, readers, shippers

    try:
        journals = config.read_all()
        for sentence in itertools.chain(readers.hold(journals, dry_run), shippers.hold(journals, dry_run)):
            sys.stdout.write(f"{sentence}\n")
    except (ValueError, OSError, readers.ReadersError, shippers.ShippersError) as error:
        complain(str(error))
        return 1
    # An account that this very run would make is missing in check mode.
    wrong = [] if dry_run else readers.unknown(journals)
    complain(*wrong)
    return 1 if wrong else 0


def ship(name: str) -> int:
    """Ship a journal until told to stop; its unit starts this."""
    from .ship import Cursor, ShipError, Shipper

    try:
        command, state = os.environ.pop("GROUNDWORK_SHIP"), Path(os.environ["STATE_DIRECTORY"])
        Shipper(name, command, Cursor(state / "cursor")).run()
    except KeyError as error:
        complain(f"{error} is not set: start this by systemctl start groundwork-ship@{name}.service.")
        return 1
    except (ShipError, OSError, ValueError) as error:
        complain(str(error))
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; its exit status."""
    parser = argparse.ArgumentParser(prog="logs", description="The journals of the apps of this host.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    held = verbs.add_parser("hold", help="bring readers and shippers in line with what is asked for")
    held.add_argument("--dry-run", action="store_true", help="say what would be changed")
    shipping = verbs.add_parser("ship", help="feed a journal to its command; for the unit groundwork-ship@NAME.service")
    shipping.add_argument("name", metavar="NAME", help="an app, or host")
    given = parser.parse_args(arguments)
    return ship(given.name) if given.verb == "ship" else hold(given.dry_run)
