# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this process is root, and what to do where it is not."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

from . import programs


def is_root() -> bool:
    """Whether this process may do all that the roles need."""
    return os.geteuid() == 0


def may_become_root() -> bool:
    """Whether sudo would let this process become root: it may ask a person, or needs no password."""
    if sys.stdin.isatty():
        return True
    try:
        return programs.run(("/usr/bin/sudo", "-n", "true"), seconds=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def not_root() -> str:
    """Who this process runs as, and what to do."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return (
        f"this runs as {user} on the host and needs root: set `ansible_become: true` for the host, or call "
        "ansible-playbook with `--become` (and `--ask-become-pass` where sudo asks for a password); in a play of your "
        "own, `become: true`. The user to become (`ansible_become_user`) is root. Nothing was changed."
    )
