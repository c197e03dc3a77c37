# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel of a host has loaded, and what it runs on: a machine, a virtual one, or a container of either."""

from __future__ import annotations

import re
from pathlib import Path

from .files import read_text

# The flag that hypervisors set for their guests on x86. Other processors have none: their guests pass for machines.
HYPERVISOR = re.compile(r"^flags\s*:.*\bhypervisor\b", re.MULTILINE)


def container(root: Path = Path("/")) -> str:
    """The kind of container that the host is, as systemd has found it; empty for a machine of its own."""
    return read_text(root / "run/systemd/container").strip()


def loaded_modules(root: Path = Path("/")) -> list[str]:
    """The names of the loaded modules, with underscores; none where the kernel has no modules."""
    return sorted(line.split()[0] for line in read_text(root / "proc/modules").splitlines() if line)


def is_virtual(root: Path = Path("/")) -> bool:
    """Whether the machine is a virtual one, as its processor tells."""
    return bool(HYPERVISOR.search(read_text(root / "proc/cpuinfo")))
