# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a release live: the symlink ``current``, and static files of earlier releases."""

from __future__ import annotations

import os
import re

from ..common import trees
from ..common.files import fsync_directory, make_parents
from .layout import Layout

# A name with a hash in it, as bundlers make them: its content never changes, so an old one may stay reachable.
HASHED_NAME = re.compile(r"[.\-_](?=[\w-]*(?:\d|[a-z][\w-]*[A-Z]))[0-9A-Za-z_-]{8,64}\.\w+")


def switch(at: Layout, release: str) -> None:
    """Point ``current`` to a release by a rename over it, safe on the disk. From here on the release is live."""
    temporary = at.home / ".current.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(f"releases/{release}")
    os.rename(temporary, at.current)
    fsync_directory(at.home)


def inherit_static(at: Layout, release: str) -> None:
    """Keep the other releases' hashed static files reachable: a page from before the switch still asks for them."""
    public = at.release(release) / "public"
    for other in at.releases.iterdir():
        for name in at.facts(other.name).get("static", []) if other.name != release else []:
            target = public / name
            if not os.path.lexists(target) and trees.is_file(other / "public", name):
                make_parents(target)
                trees.link(other / "public", name, target)
