# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``validate``: whether the configuration can be used."""

from __future__ import annotations

import compileall
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from .settings import Settings

PACKAGE = Path(__file__).parents[1]


def main(_arguments: Sequence[str]) -> int:
    """Check the configuration; and compile the program, which its units have not the right to do."""
    Settings.load()
    os.umask(0o022)  # the account that sends alerts reads them too
    with redirect_stdout(io.StringIO()) as said:
        is_sound = compileall.compile_dir(PACKAGE, quiet=1)
    if not is_sound:
        sys.stderr.write(said.getvalue())
    return 0 if is_sound else 1
