# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed for an app: the first of these that its source has says it.

uv.lock, requirements.txt, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock, and at last the project file alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from ..common import trees
from ..common.files import make_directory, write
from . import subdirectory
from .context import Context
from .errors import ReleaseError
from .locks import EXPORTERS, Locks
from .python import PythonTools
from .requirements import (
    INSTALLABLE,
    OF_POETRY,
    UV_SOURCES,
    Recipe,
    has_project,
    local_path,
    outside,
    read,
    requirement_files,
    split,
)

NOTHING = (
    "the source has neither requirements.txt, pyproject.toml nor a lock (uv.lock, pylock.toml, poetry.lock, pdm.lock, "
    "Pipfile.lock): add one that names Flask"
)
POETRY = (
    "pyproject.toml names its packages for Poetry ([tool.poetry.dependencies]) and has no [build-system], so no other "
    "installer reads them: commit poetry.lock"
)
PIP_INSTALLS = (
    "and pip installs here: set release_installer to uv, or commit a requirements.txt, which takes precedence"
)


class Recipes:
    """Reads what the source of one app asks for, and adds its server.

    :ivar below: the directory of the source that has the app.
    """

    def __init__(self, context: Context, python: PythonTools, locks: Locks) -> None:
        self.spec, self.at, self.python, self.locks = context.spec, context.at, python, locks
        self.below, self.warnings = context.subdirectory, context.warnings
        self.server, self.extras = list(self.spec.requirements), ",".join(self.spec.extras)
        self.own = f".[{self.extras}]" if self.extras else "."

    def named(self, name: str) -> str:
        """The path in the source of a file of the code directory, by which root may open it."""
        return os.path.join(self.below, name)

    def of(self, code: Path) -> Recipe:
        """The recipe of a source. Hashes are enforced where there are any."""
        if requirement := self.spec.source.get("package"):
            return Recipe([[requirement, *self.server]], [requirement, *self.server])
        readers: dict[str, Callable[[Path, str], Recipe]] = {
            **({"uv.lock": self.of_uv_lock} if self.python.uv() else {}),
            "requirements.txt": self.of_requirements,
            "pylock.toml": self.of_pylock,
            **dict.fromkeys(EXPORTERS, self.of_lock),
            "pyproject.toml": self.of_project,
            "setup.py": self.of_project,
        }
        for name, reader in readers.items():
            if trees.is_file(code, self.named(name)):
                return reader(code, name)
        raise ReleaseError("install", NOTHING + subdirectory.hint(code, self.below))

    def of_uv_lock(self, code: Path, name: str, root: str = "") -> Recipe:
        """All that uv.lock has, the project and the other members of its workspace included.

        :param root: the directory of the source that has it, if it is not the app's.
        """
        exported = self.locks.uv(code / self.below, self.python.uv(), self.python.path())
        return self.of_export(code, os.path.join(root or self.below, name), exported)

    def of_lock(self, code: Path, name: str) -> Recipe:
        """All that the lock of another program has, and the project."""
        exported = self.locks.other(code / self.below, name)
        return self.with_project(code, self.of_export(code, self.named(name), exported))

    def of_export(self, code: Path, path: str, exported: str) -> Recipe:
        """An exported lock: its packages, the server, which need not be the locked one, and code of the source."""
        index, apart = split(exported)
        local = [target for line in apart if (target := local_path(line))]
        root = os.path.dirname(path)
        self.refuse_outside(code, path, root, local)
        lines = [f"{code / root}/{line}" if line.startswith(".") else line for line in apart]
        calls = [["--no-deps", "-r", self.written("locked.txt", index)]] if index else []
        calls += [self.server] if self.server else []
        calls += [["--no-deps", "-r", self.written("local.txt", lines)]] if lines else []
        return Recipe(calls, [read(code, path), self.extras, *self.server], own=bool(local))

    def of_requirements(self, code: Path, name: str) -> Recipe:
        """What requirements.txt names, and the project."""
        found = requirement_files(code, self.named(name))
        self.refuse_outside(code, self.named(name), self.below, found.local)
        more, inputs = ([self.own] if self.extras else []), [*found.texts, self.extras, *self.server]
        own = found.own or bool(self.extras)
        if any("--hash=" in text for text in found.texts):  # pip wants hashes for all of a call, or for none
            second = [*more, *self.server]
            recipe = Recipe([["--require-hashes", "-r", name], *([second] if second else [])], inputs, own)
        else:
            recipe = Recipe([["-r", name, *more, *self.server]], inputs, own)
        return recipe if more or found.has_project else self.with_project(code, recipe)

    def of_pylock(self, code: Path, name: str) -> Recipe:
        """What pylock.toml has, and the project if it is not among it."""
        if not self.python.uv():
            raise ReleaseError("install", f"pylock.toml is read by uv alone, {PIP_INSTALLS}")
        text = read(code, self.named(name))
        local = re.findall(r"""\bpath\s*=\s*["']([^"']*)""", text)
        self.refuse_outside(code, self.named(name), self.below, local)
        extras = [word for extra in self.spec.extras for word in ("--extra", extra)]
        calls = [["-r", name, *extras], *([self.server] if self.server else [])]
        recipe = Recipe(calls, [text, self.extras, *self.server], own=bool(local))
        return recipe if "." in local else self.with_project(code, recipe)

    def of_project(self, code: Path, name: str) -> Recipe:
        """The project, which names what it needs, unless it is a member of a workspace that has a lock."""
        if self.python.uv():
            for above in map(str, Path(self.below).parents if self.below else ()):
                is_workspace = "[tool.uv.workspace]" in read(code, os.path.join(above, "pyproject.toml"))
                if is_workspace and trees.is_file(code, os.path.join(above, "uv.lock")):
                    return self.of_uv_lock(code, "uv.lock", above)
        elif UV_SOURCES.search(read(code, self.named(name))):
            # pip would take packages of the same names from the index, whoever has put them there.
            raise ReleaseError(
                "install",
                "pyproject.toml takes packages from the source ([tool.uv.sources]), which uv alone can do, "
                + PIP_INSTALLS,
            )
        elif trees.is_file(code, self.named("uv.lock")):
            self.warnings.append(
                f"uv.lock is not read, so its packages are the newest that pyproject.toml allows, {PIP_INSTALLS}"
            )
        if OF_POETRY.search(text := read(code, self.named(name))) and not INSTALLABLE.search(text):
            raise ReleaseError("install", POETRY)
        return Recipe([[self.own, *self.server]], [self.extras, *self.server], own=True)

    def with_project(self, code: Path, recipe: Recipe) -> Recipe:
        """The recipe with the project itself, if it can be installed; what it needs is in the recipe."""
        if has_project(code, self.below):
            recipe.project, recipe.own = ["--no-deps", "."], True
        return recipe

    def written(self, name: str, lines: list[str]) -> str:
        """A file of root's that the build reads; its path. The engine clears it away."""
        directory = self.at.releases / ".locked"
        make_directory(directory)
        write(directory / name, "".join(f"{line}\n" for line in lines), 0o644)
        return str(directory / name)

    def refuse_outside(self, code: Path, name: str, root: str, local: list[str]) -> None:
        """Refuse local code outside of the source, which the release would not contain: raises ReleaseError."""
        if path := outside(code, root, self.at.releases, local):
            raise ReleaseError(
                "install",
                f"{name} asks for {path}, which is not in the source of the app: a release has the code of its source "
                "alone. Put it there, or take a source that has both and name the app's directory of it by "
                "source.subdirectory",
            )
