# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock files that no installer reads: how the program that wrote each exports it as requirements with hashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common import trees
from .build import Builder
from .errors import ReleaseError, tail
from .requirements import read


@dataclass(frozen=True)
class Exporter:
    """The program of a lock file, which is installed for the export alone.

    :ivar packages: what is installed to have it.
    :ivar commands: what exports; each is tried where the one before has failed.
    :ivar extra: the option that adds an optional group of dependencies.
    :ivar by_hand: what exports the lock on the machine of a developer.
    """

    packages: Sequence[str]
    commands: Sequence[Sequence[str]]
    extra: str
    by_hand: str

    def arguments(self, extras: Sequence[str]) -> list[list[str]]:
        """The commands with their options."""
        chosen = [f"{self.extra}{extra}" for extra in extras] if self.extra else []
        return [[*command, *chosen] for command in self.commands]


PDM = ("pdm", "export", "--prod", "--format=requirements")
EXPORTERS = {
    "poetry.lock": Exporter(
        ("poetry>=2,<3", "poetry-plugin-export>=1.9,<2"),
        [("poetry", "export", "--format=requirements.txt", "--only=main", "--no-interaction", "--no-ansi")],
        "--extras=",
        "poetry export --output requirements.txt",
    ),
    "pdm.lock": Exporter(
        ("pdm>=2.20,<3",),
        # There are no hashes of a directory, and where one is locked pdm exports all or none.
        [PDM, (*PDM, "--no-hashes")],
        "--group=",
        "pdm export --prod --output requirements.txt",
    ),
    "Pipfile.lock": Exporter(
        ("pipenv>=2023.12",), [("pipenv", "requirements", "--hash")], "", "pipenv requirements --hash >requirements.txt"
    ),
}
# Neither looks for updates, nor makes an environment of its own.
ENVIRONMENT = {
    "PDM_CHECK_UPDATE": "false",
    "PDM_IGNORE_SAVED_PYTHON": "1",
    "PDM_USE_VENV": "false",
    "PIPENV_IGNORE_VIRTUALENVS": "1",
    "POETRY_VIRTUALENVS_CREATE": "false",
}
# Runs the arguments with standard output to a file: warnings on standard error are not part of the export.
TO_FILE = 'out=$1; shift; exec "$@" >"$out"'


class Locks:
    """Exports the locks of one app.

    :param make: makes an empty environment; the command that installs into it.
    """

    def __init__(self, builder: Builder, make: Callable[[Path], list[str]]) -> None:
        self.builder, self.make = builder, make
        self.spec = builder.spec

    def uv(self, code: Path, uv: str, python: str) -> str:
        """What uv.lock says, of which an editable package is to be installed by a copy as well."""
        extras = [word for extra in self.spec.extras for word in ("--extra", extra)]
        command = [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-editable", "--python", python, *extras]
        return self.export("uv.lock", code, [command], {})

    def other(self, code: Path, name: str) -> str:
        """What the lock of another program says, which is installed for that."""
        exporter = EXPORTERS[name]
        tool = self.builder.scratch("tool")
        status, output = self.builder.execute("tool", *self.make(tool), *exporter.packages, cwd=code)
        if status:
            raise ReleaseError(
                "install",
                f"{name} is installed by way of {exporter.packages[0]}, which could not be installed; alternatively "
                f"commit a requirements.txt, which takes precedence: `{exporter.by_hand}`",
                tail(output),
            )
        commands = [[f"{tool}/bin/{command[0]}", *command[1:]] for command in exporter.arguments(self.spec.extras)]
        text = self.export(name, code, commands, {**ENVIRONMENT, "PATH": f"{tool}/bin:/usr/bin:/bin"})
        trees.remove(tool)
        self.builder.own.remove(tool)
        return text

    def export(self, name: str, code: Path, commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> str:
        """Run the first command that succeeds; what it prints."""
        output, directory = "", self.builder.scratch("lock")
        for command in commands:
            script = ("/bin/sh", "-c", TO_FILE, "export", str(directory / "locked.txt"))
            status, printed = self.builder.execute("export", *script, *command, cwd=code, environment=environment)
            output += printed
            if not status:
                return read(directory, "locked.txt")
        raise ReleaseError("install", f"{name} could not be read: lock again, and commit it", tail(output))
