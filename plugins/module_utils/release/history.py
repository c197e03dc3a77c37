# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history that a build may ask git for: what a version, or the list of a package's files, is made of.

While a release is built, its code is a git work tree: the commit with all of its files, the commits before it without
the contents of theirs, and the tags among them. Of a git source the fetch makes it (``source_git.py``), of a directory
the controller sends it (``plugin_utils/history.py``). It is taken away before the release is complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..common import trees
from .errors import ReleaseError, tail

if TYPE_CHECKING:
    from .build import Builder

# What the controller sends, beside the code: the pack of the objects, the refs, the commit, those that are shallow, and
# the file `clean` if no file differs from the commit.
SENT = ".groundwork-history"

# The files are taken as they are on the controller, whatever filters (Git LFS, line ends) would make of them here.
RESTORE = f"""
sent={SENT}
if [ -x /usr/bin/git ]; then
    git init --quiet
    git index-pack --stdin < $sent/pack >/dev/null
    cp $sent/packed-refs .git/packed-refs
    if [ -s $sent/shallow ]; then cp $sent/shallow .git/shallow; fi
    git update-ref --no-deref HEAD "$(cat $sent/head)"
    git read-tree HEAD
    git update-index -q --refresh || :
    if [ -e $sent/clean ]; then git ls-files -z | git update-index -z --assume-unchanged --stdin; fi
fi
rm -rf $sent
"""

# What `git archive` would put into a file that asks for it (export-subst) is put there, unless the file was changed.
FINISH = """
if [ -x /usr/bin/git ]; then
    git ls-files -z -- ':(attr:export-subst)' | while IFS= read -r -d '' name; do
        git --literal-pathspecs diff --quiet HEAD -- "$name" || continue
        git --literal-pathspecs archive HEAD -- "$name" | tar -x --no-same-owner
    done || :
fi
find . -name .git -prune -exec rm -rf {} +
"""


LARGEST = 2**24  # bytes of packed refs


def script(text: str, name: str) -> tuple[str, ...]:
    """The command line of a script that ends at the first error."""
    return ("/bin/bash", "-e", "-o", "pipefail", "-c", text, name)


def tags(code: Path) -> str:
    """The tags that a build may ask git for, as git packs them; "" without a history."""
    try:
        return trees.read_text(code, ".git/packed-refs", LARGEST)
    except OSError:
        return ""


def restore(build: Builder, code: Path) -> tuple[int, str]:
    """Make a work tree of what the controller sent; exit status and output."""
    if not trees.names(code, SENT):
        return 0, ""
    return build.execute("history", *script(RESTORE, "history"), cwd=code)


def finish(build: Builder, code: Path) -> None:
    """Take the history away: the code is as a release has it."""
    if not trees.names(code, ".git"):
        return
    status, output = build.execute("finish", *script(FINISH, "finish"), cwd=code)
    if status:
        raise ReleaseError("install", "the history of the code could not be removed from it", tail(output))
