# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the code of an app comes from: a record for each option below ``source``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import DIRECTORY_BELOW, NAME

PINNED = re.compile(rf"(?P<name>{NAME}(?:\[{NAME}(?:,{NAME})*\])?)==(?P<version>[0-9A-Za-z][0-9A-Za-z.!+_-]*)")
VERSION = re.compile(r"(?!-)[^\s~^:?*\[\\]+")  # what git allows in a branch or tag, and no option of git
URL = re.compile(r"https?://", re.IGNORECASE)
# git takes what has a colon before any slash for host:path.
SSH = re.compile(r"(?:git\+)?ssh://|(?![\w+.-]+://)[^/:]+:", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Where the code comes from: one of :data:`SOURCES`."""

    git: str = option(
        "",
        doc="Address of a repository that the host can read; a private one has its key in `flask_deploy_keys`.",
        example="https://example.org/other.git",
        roles=("release",),
        defines=True,
    )
    version: str = option(
        "HEAD",
        pattern=VERSION.pattern,
        remedy="is not a branch, tag or commit: write it exactly and in quotes, as v1.2",
        doc="Branch, tag or commit of `git`.",
        example="v1.3",
        roles=("release",),
        defines=True,
    )
    directory: str = option(
        "",
        doc="Directory on the controller, of which is sent what git tracks or does not ignore, uncommitted work too.",
        example="../shop",
        roles=("release",),
        defines=True,
    )
    archive: str = option(
        "",
        doc="Tar or zip archive: a path on the controller, or an http or https URL, which needs `checksum`.",
        example="shop-1.2.tar.gz",
        roles=("release",),
        defines=True,
    )
    checksum: str = option(
        "",
        pattern=r"sha256:[0-9a-fA-F]{64}",
        remedy="is not a checksum: write sha256: and 64 hexadecimal digits",
        doc="`sha256:` and what `sha256sum` prints of `archive`.",
        example="sha256:" + "0" * 64,
        roles=("release",),
        defines=True,
    )
    subdirectory: str = option(
        "",
        pattern=DIRECTORY_BELOW,
        remedy="is not a directory below the top of the source: write it as backend or apps/shop",
        doc="Directory of the source that has the app: what is installed and imported, and where it runs. All of the "
        "source is in the release, so that `../shared` is there too.",
        example="backend",
        roles=("release",),
        defines=True,
    )
    package: str = option(
        "",
        pattern=PINNED.pattern,
        remedy="is not a package with its exact version, as a release needs it: write shop==1.4",
        doc="Requirement with its exact version, from the package index.",
        example="shop==1.4",
        roles=("release",),
        defines=True,
    )

    @property
    def is_ssh(self) -> bool:
        """Whether git fetches it by SSH."""
        return bool(SSH.match(self.git))

    @property
    def given(self) -> dict[str, str]:
        """The keys of its one kind that say something."""
        kind = next(kind for kind in SOURCES if getattr(self, kind))
        return {key: value for key in SOURCES[kind] if (value := getattr(self, key))}


# The kinds of source, each with the keys that belong to it.
SOURCES = {
    "git": ("git", "version", "subdirectory"),
    "directory": ("directory", "subdirectory"),
    "archive": ("archive", "checksum", "subdirectory"),
    "package": ("package",),
}
