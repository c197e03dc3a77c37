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
from . import subdirectory
from .build import Builder, is_own
from .context import Context
from .errors import ReleaseError, tail
from .git_dependencies import GitDependencies
from .hints import build_hint
from .python import PythonTools, pip_wheels
from .requirements import Recipe, read, requirement_files


class Installer:
    """Makes the environments of one app."""

    def __init__(self, context: Context, builder: Builder, tools: PythonTools) -> None:
        self.context, self.builder, self.python = context, builder, tools
        self.spec, self.at = context.spec, context.at

    def named(self, name: str) -> str:
        """The path in the source of a file of the code directory, by which root may open it."""
        return os.path.join(self.context.subdirectory, name)

    def recipe(self, code: Path) -> Recipe:
        """What the source asks for, and the server. Hashes are enforced where there are any."""
        server, extras = list(self.spec.requirements), ",".join(self.spec.extras)
        own = f".[{extras}]" if extras else "."
        if requirement := self.spec.source.get("package"):
            return Recipe([[requirement, *server]], [requirement, *server])
        if trees.is_file(code, self.named("uv.lock")) and self.context.settings.installer == "uv" and self.python.uv():
            calls = [self.exported(code), server]
            packaged = "[build-system]" in read(code, self.named("pyproject.toml"))
            if packaged:
                calls.append(["--no-deps", "."])
            return Recipe(calls, [read(code, self.named("uv.lock")), extras, *server], own=packaged)
        if trees.is_file(code, self.named("requirements.txt")):
            texts, local = requirement_files(code, self.named("requirements.txt"))
            more, inputs = ([own] if extras else []), [*texts, extras, *server]
            if any("--hash=" in text for text in texts):  # pip wants hashes for all of a call, or for none
                return Recipe(
                    [["--require-hashes", "-r", "requirements.txt"], [*more, *server]], inputs, local or bool(extras)
                )
            return Recipe([["-r", "requirements.txt", *more, *server]], inputs, local or bool(extras))
        if trees.is_file(code, self.named("pyproject.toml")):
            return Recipe([[own, *server]], [extras, *server], own=True)
        raise ReleaseError(
            "install",
            "the source has neither requirements.txt, pyproject.toml nor uv.lock: add one that names Flask"
            + subdirectory.hint(code, self.context.subdirectory),
        )

    def exported(self, code: Path) -> list[str]:
        """The packages of uv.lock, as arguments for the installer."""
        path = self.builder.scratch("lock") / "locked.txt"
        extras = [word for extra in self.spec.extras for word in ("--extra", extra)]
        status, output = self.builder.execute(
            "export", self.python.uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project",
            "--python", self.python.path(), *extras, f"--output-file={path}", cwd=code / self.context.subdirectory,
        )  # fmt: skip
        if status:
            raise ReleaseError("install", "uv.lock could not be read", tail(output))
        return ["--no-deps", "-r", str(path)]

    def key(self, recipe: Recipe, commit: str) -> str:
        """The name of the environment that a recipe makes."""
        parts = [
            self.python.version(),
            recipe.inputs,
            commit + self.context.subdirectory if recipe.own else "",
            self.spec.wheels_tree,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def install(self, code: Path, commit: str) -> Path:
        """The environment that the code needs: one that is there already, or a new one."""
        recipe = self.recipe(code)
        venv = self.at.environments / self.key(recipe, commit)
        if is_whole(venv):
            return venv
        trees.remove(venv)
        self.at.environments.mkdir(mode=0o711, parents=True, exist_ok=True)
        venv.mkdir(mode=0o750)
        self.builder.give(venv)
        command = [*self.make(venv), *self.only_wheels()]
        if not self.spec.wheels_archive:
            GitDependencies(self.builder).provide(code)
        for arguments in recipe.calls:
            status, output = self.builder.execute("install", *command, *arguments, cwd=code / self.context.subdirectory)
            if status:
                hint = build_hint(self.spec.name, output)
                raise ReleaseError("install", f"the app's packages could not be installed{hint}", tail(output))
        self.builder.compile(venv, venv / "lib")
        self.builder.take(venv)
        (venv / "complete").touch()
        return venv

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
    return os.path.lexists(venv) and is_own(venv) and (venv / "complete").exists()
