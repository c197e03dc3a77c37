# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A git repository as the source of an app."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ReleaseError, tail
from .git_access import GitAccess
from .history import script

if TYPE_CHECKING:
    from .build import Builder

# Brings a commit into the app's copy of the repository, and makes the working directory a work tree of it, which has
# what a checkout has: no file is left out, attributes are heeded, submodules and the files of Git LFS are there.
FETCH = """
repository=$1 commit=$2 url=$3 large=$4
git init --quiet --bare "$repository"
if ! git -C "$repository" cat-file -e "$commit^{commit}" 2>/dev/null; then
    git -C "$repository" fetch --quiet --prune --force "$url" '+refs/*:refs/*'
else  # a commit may get a tag later than it was fetched first
    git -C "$repository" fetch --quiet --prune --force "$url" '+refs/tags/*:refs/tags/*' 2>/dev/null || :
fi
git init --quiet
git remote add origin "$url"
git config lfs.storage "$large"
{
    git -C "$repository" rev-list --objects "$commit^{tree}" | cut -d' ' -f1
    git -C "$repository" rev-list --objects --filter=blob:none "$commit" | cut -d' ' -f1
    git -C "$repository" for-each-ref --merged="$commit" --format='%(objectname)' refs/tags
} | git -C "$repository" pack-objects --quiet --stdout | git index-pack --stdin >/dev/null
git -C "$repository" for-each-ref --merged="$commit" --format='%(objectname) %(refname)' refs/tags > .git/packed-refs
git update-ref --no-deref HEAD "$commit"
export GIT_LFS_SKIP_SMUDGE=1
git checkout --quiet --force "$commit" --
if git cat-file -e "$commit:.gitmodules" 2>/dev/null; then
    git submodule --quiet update --init --recursive
fi
if command -v git-lfs >/dev/null; then
    pull='git lfs install --local --skip-repo >/dev/null && git lfs pull'
    eval "$pull"
    git submodule --quiet foreach --recursive "$pull"
fi
"""


class Git:
    """A repository that the host can read, by an SSH key if there is one. Its objects are kept for the next fetch."""

    on_host = True

    @property
    def is_pinned(self) -> bool:
        """Whether the version is a whole commit."""
        return re.fullmatch(r"[0-9a-f]{40}", self.wanted) is not None

    def __init__(self, url: str, version: str, build: Builder) -> None:
        self.url, self.wanted, self.build = url, version, build
        self.access = GitAccess(build)
        self.repository = str(build.at.source_cache / "repository.git")
        self.commit = ""

    def resolve(self) -> str:
        """The exact code."""
        if self.is_pinned:
            self.commit = self.wanted
            return self.commit
        with self.access.credentials() as environment:
            asked = ("/usr/bin/git", "ls-remote", "--", self.url, self.wanted, f"{self.wanted}^{{}}")
            status, output = self.access.step("resolve", environment, *asked, url=self.url)
        if status:
            raise ReleaseError("fetch", f"{self.url} cannot be read; {self.access.remedy(output)}", tail(output))
        refs = {name: commit for commit, name in re.findall(r"^([0-9a-f]{40})\t(\S+)$", output, re.MULTILINE)}
        tag = f"refs/tags/{self.wanted}"
        for name in (f"{tag}^{{}}", tag, f"refs/heads/{self.wanted}", self.wanted):
            if name in refs:
                self.commit = refs[name]
                return self.commit
        raise ReleaseError(
            "fetch",
            f"{self.url} has no branch or tag {self.wanted!r}; correct source.version (a commit is named by all of its "
            "40 characters)",
        )

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return resolved[:10] if self.wanted == resolved else f"{self.wanted} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        with self.access.credentials() as environment:
            fetch, large = script(FETCH, "fetch"), str(self.build.at.source_cache / "large")
            return self.access.step(
                "fetch", environment, *fetch, self.repository, self.commit, self.url, large, url=self.url, cwd=code
            )
