# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs what the source asks for into a virtual environment, which releases with the same packages share."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from ..common import trees
from ..common.files import is_own_directory, make_directory, write
from . import error_tracking, history, own_code
from .build import Builder
from .context import Context
from .errors import ReleaseError, tail
from .git_dependencies import GitDependencies
from .hints import build_hint, conflict_hint, reason
from .locks import Locks
from .python import PythonTools, pip_wheels
from .recipes import Recipes
from .requirements import Recipe, read


class Installer:
    """Makes the environments of one app.

    :ivar own: whether the environment that was installed last is of this code alone.
    """

    def __init__(self, context: Context, builder: Builder, tools: PythonTools) -> None:
        self.context, self.builder, self.python = context, builder, tools
        self.spec, self.at = context.spec, context.at
        self.own = False

    def recipe(self, code: Path) -> Recipe:
        """What the source asks for, the server, and what sends errors."""
        recipe = Recipes(self.context, self.python, Locks(self.builder, self.prepare)).of(code)
        recipe.inputs += error_tracking.requirements(self.context)
        return recipe

    def key(self, recipe: Recipe, commit: str, release: str = "") -> str:
        """The name of the environment that a recipe makes.

        :param release: the one that has it for itself; without, all that need the same share it.
        """
        parts = [
            self.python.version(),
            recipe.inputs,
            commit + self.context.subdirectory if recipe.own else "",
            self.spec.wheels_tree,
            *([release] if release else []),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def install(self, code: Path, commit: str, release: str) -> Path:
        """The environment that the code needs: one that is there already, or a new one.

        An environment may lead into the code of the release that it was made for, as editable packages do: then that
        release alone has it, and it is made anew whenever that is.
        """
        recipe = self.recipe(code)
        self.own = recipe.own
        commit += history.tags(code)  # of which the project's version may be made
        venv = self.at.environments / self.key(recipe, commit)
        if is_whole(venv):
            into = {lead.release for lead in own_code.leads(venv, self.at.releases)}
            if not into:
                self.context.warnings.extend(read(venv, "complete").splitlines())
                return venv
            if into != {release}:
                venv = self.at.environments / self.key(recipe, commit, release)
        trees.remove(venv)
        make_directory(self.at.environments, 0o711)
        make_directory(venv, 0o750)
        self.builder.give(venv)
        command = self.prepare(venv)
        if not self.spec.wheels_archive:
            GitDependencies(self.builder).provide(code)
        for arguments in recipe.calls:
            if output := self.failure(code, *command, *arguments):
                conflict = conflict_hint(self.spec.name, self.spec.requirements, recipe.inputs, output)
                hint = conflict or build_hint(self.spec.name, output)
                raise ReleaseError("install", f"the app's packages could not be installed{hint}", tail(output))
        warning = self.install_project(code, command, recipe)
        self.install_sdk(code, venv, command)
        self.refuse_others(venv, release)
        self.builder.compile(venv, venv / "lib")
        self.builder.take(venv)
        write(venv / "complete", warning, 0o644)
        return venv

    def failure(self, code: Path, *command: str) -> str:
        """Run the installer in the app's directory of the source; its output if it has failed, else ""."""
        cwd = code / self.context.subdirectory
        status, output = self.builder.execute("install", *command, cwd=cwd, environment={"PROJECT_ROOT": str(cwd)})
        return (output.strip() or f"exit status {status}") if status else ""

    def install_project(self, code: Path, command: list[str], recipe: Recipe) -> str:
        """Install the project itself; a warning if that cannot be done, "" otherwise."""
        output = self.failure(code, *command, *recipe.project) if recipe.project else ""
        if not output:
            return ""
        warning = (
            "its packages are installed, its own project is not, so its console scripts and what lies below src/ are "
            f"missing: {reason(output).rstrip('.')}. If the app needs neither, say so in pyproject.toml: `[tool.uv]` "
            "with `package = false`"
        )
        self.context.warnings.append(warning)
        return warning

    def install_sdk(self, code: Path, venv: Path, command: list[str]) -> None:
        """Install what sends errors, where it is wanted and the app does not bring it itself."""
        wanted = error_tracking.requirements(self.context)
        if wanted and not error_tracking.is_installed(venv) and (output := self.failure(code, *command, *wanted)):
            hint = error_tracking.failure_hint(self.context)
            raise ReleaseError("install", f"the SDK of the error tracker could not be installed{hint}", tail(output))

    def refuse_others(self, venv: Path, release: str) -> None:
        """Refuse an environment that leads into another release, which may be removed: raises ReleaseError."""
        for lead in own_code.leads(venv, self.at.releases):
            if lead.release != release:
                raise ReleaseError(
                    "install",
                    f"the environment's {lead.file} leads to {lead.target}, which is not of this release and will be "
                    "removed: have the app's requirements name code of its own source, by a relative path",
                )

    def prepare(self, venv: Path) -> list[str]:
        """Make an empty environment; the command that installs into it, from where this app's packages come."""
        return [*self.make(venv), *self.only_wheels()]

    def make(self, venv: Path) -> list[str]:
        """Make an empty environment; the command that installs into it.

        Without uv it gets the distribution's own pip: unpacking it takes a tenth of `ensurepip`.
        """
        python, uv = self.python.path(), self.python.uv()
        steps: list[tuple[str, ...]]
        install = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile"]
        wheels = pip_wheels() if not self.spec.python else []
        if uv:
            steps = [(uv, "venv", "--quiet", "--allow-existing", "--no-project", "--python", python, str(venv))]
            install = [uv, "pip", "install", "--quiet", "--python", f"{venv}/bin/python"]
        elif wheels:
            packages = f"{venv}/lib/python{self.python.version()}/site-packages"
            steps = [
                (python, "-m", "venv", "--without-pip", str(venv)),
                (python, "-m", "zipfile", "-e", str(wheels[-1]), packages),
            ]
        else:
            steps = [(python, "-m", "venv", str(venv))]
        for step in steps:
            status, output = self.builder.execute("venv", *step, cwd=venv)
            if status:
                raise ReleaseError("install", f"no virtual environment could be made with {python}", tail(output))
        return install

    def only_wheels(self) -> list[str]:
        """What keeps the installer to the wheels that the controller sent."""
        if not self.spec.wheels_archive:
            return []
        directory = self.builder.scratch("wheels")
        wheels = os.open(self.spec.wheels_archive, os.O_RDONLY | os.O_NOFOLLOW)
        status, output = self.builder.unpack(wheels, directory, strip=False)
        if status:
            raise ReleaseError("install", "the wheels could not be unpacked", tail(output))
        return ["--no-index", "--find-links", str(directory)]


def is_whole(venv: Path) -> bool:
    """Whether an environment was built to its end; until then it belongs to the app, which could say anything."""
    return is_own_directory(venv) and (venv / "complete").exists()
