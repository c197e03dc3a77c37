# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that act for the app in a release: in the app's own sandbox, some with its environment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import checks, probe, sandbox
from .build import Builder
from .context import Context
from .environment import app_environment
from .errors import ReleaseError, tail
from .hints import missing_module_hint, runtime_hint
from .identity import Identity
from .secret_key import SecretKey
from .steps import Step

IMPORT_SECONDS = 300
# Runs its argument. The working directory is not on the path: under a server too, no module of the app is in the way of
# Python's own until the entry puts the code where the app has it.
PROBE = "import sys; del sys.path[: sys.path[0] == '']; exec(sys.argv.pop(1))"


class AppSteps:
    """Runs steps as the app, in the release that a run is about."""

    def __init__(self, context: Context, identity: Identity, builder: Builder, secret_key: SecretKey) -> None:
        self.context, self.identity, self.builder, self.secret_key = context, identity, builder, secret_key

    def execute(
        self,
        name: str,
        *argv: str,
        seconds: float,
        environment: Mapping[str, str],
        cwd: Path = Path("/"),
        writable: Sequence[Path] = (),
    ) -> tuple[int, str]:
        """Run a step in the app's sandbox; its exit status and output.

        :param name: what it does, in one word.
        :param writable: what it may write beside what the app may.
        """
        confined = sandbox.for_app(self.builder.app_sandbox(self.identity.id), writable)
        return self.context.system.step(Step(self.context.app, name, argv, confined, environment, str(cwd), seconds))

    def in_release(self, name: str, *argv: str, seconds: float) -> tuple[int, str]:
        """Run a step as the app would run: in its code, with its environment."""
        environment = app_environment(self.context, self.secret_key, self.identity.id)
        cwd = Path(environment["GROUNDWORK_DIRECTORY"])
        return self.execute(name, *argv, seconds=seconds, environment=environment, cwd=cwd)

    def app_facts(self) -> dict[str, Any]:
        """Import the app alone in a process of its own, and return the facts that ``probe.py`` reports."""
        python = f"{self.context.at.release(self.identity.id)}/venv/bin/python"
        status, output = self.in_release(
            "import", python, "-c", PROBE, inspect.getsource(probe), seconds=IMPORT_SECONDS
        )
        before, mark, answer = output.rpartition(probe.MARK)
        if status or not mark:
            callable_name = self.context.spec.environment.get("WSGI_APP")
            code, below = self.context.at.release(self.identity.id) / "code", self.context.subdirectory
            hint = runtime_hint(self.context.app, output) or missing_module_hint(code, below, output)
            message = f"the app cannot be imported as {callable_name}{hint}"
            raise ReleaseError("import", message, tail(before or output, 60))
        return checks.read(answer)
