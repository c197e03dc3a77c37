# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the apps and the host, and reports what has changed: the program, whose verbs stand in ``VERBS``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from .settings import SettingsError

# Each verb is a function of a module of its own, which takes the arguments and returns the exit status.
VERBS: Mapping[str, tuple[str, str, str]] = {
    "look": ("look", "main", "look at the apps and the host once"),
    "deliver": ("deliver", "main", "send the messages that wait"),
    "failed": ("failed", "main", "note that a unit has failed, and look: failed UNIT"),
    "test": ("alert_test", "main", "send one message through each receiver"),
    "status": ("status", "main", "show what the last look has found: status [--json]"),
    "validate": ("validate", "main", "check the configuration"),
}
EXIT_FAILED, EXIT_USAGE = 1, 2


def verb(name: str) -> Callable[[Sequence[str]], int]:
    """The function of a verb; only its module is read, because a look is to be cheap."""
    module, function, _text = VERBS[name]
    found: Callable[[Sequence[str]], int] = getattr(import_module(f".{module}", __package__), function)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The program."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] not in VERBS:
        known = "".join(f"  {name:9} {text}\n" for name, (_module, _function, text) in VERBS.items())
        sys.stderr.write(f"usage: watch VERB\n{known}")
        return EXIT_USAGE
    os.umask(0o077)  # as its units have it
    try:
        return verb(argv[0])(argv[1:])
    except (SettingsError, OSError) as error:
        from ..common.text import escaped

        # The unit that delivers runs as an account of its own, which is not to become root.
        is_by_hand = argv[0] != "deliver" or len(argv) == 1
        denied = isinstance(error, PermissionError) and os.geteuid() and is_by_hand
        remedy = f". Run it as root: sudo {sys.argv[0]} {' '.join(argv)}" if denied else ""
        sys.stderr.write(f"FAILED: {escaped(str(error) + remedy)}\n")
        return EXIT_FAILED
