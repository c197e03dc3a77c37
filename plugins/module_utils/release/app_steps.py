# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that act for the app in a release: in the app's own sandbox, some with its environment."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.text import line
from . import checks, import_watch, probe, sandbox
from .build import Builder
from .context import Context
from .environment import app_environment
from .errors import ReleaseError, tail
from .hints import missing_module_hint, runtime_hint
from .identity import Identity
from .secret_key import SecretKey
from .steps import Step

# An import may take twice as long as a server that starts (health_timeout), for it compiles, and makes tables; but at
# least so many seconds.
IMPORT_SECONDS = 120.0
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
        """Run a step as the app would run: in its code, with its environment, and past a pooler.

        What changes a database needs a session of its own, as for locks.
        """
        environment = app_environment(self.context, self.secret_key, self.identity.id, direct=True)
        cwd = Path(environment["GROUNDWORK_DIRECTORY"])
        return self.execute(name, *argv, seconds=seconds, environment=environment, cwd=cwd)

    def app_facts(self) -> dict[str, Any]:
        """Import the app alone in a process of its own, and return the facts that ``probe.py`` reports."""
        directory = self.context.at.release(self.identity.id)
        seconds = max(IMPORT_SECONDS, 2 * float(self.context.spec.health.get("timeout", 0)))
        program = (PROBE, inspect.getsource(import_watch), f"{seconds:.0f}", inspect.getsource(probe))
        # The watch ends the import itself, and says where it was.
        status, output = self.in_release("import", f"{directory}/venv/bin/python", "-c", *program, seconds=seconds + 10)
        before, mark, answer = output.rpartition(probe.MARK)
        if status or not mark:
            callable_name = self.context.spec.environment.get("WSGI_APP")
            message = f"the app cannot be imported as {callable_name}"
            if why := no_return(output, f"{directory}/code", seconds):
                raise ReleaseError("import", f"{message}: {why}", tail(output.partition(import_watch.BLOCKED)[0], 60))
            hint = runtime_hint(self.context.app, output)
            hint = hint or missing_module_hint(directory / "code", self.context.subdirectory, output)
            raise ReleaseError("import", message + hint, tail(before or output, 60))
        return checks.read(answer)


def no_return(output: str, code: str, seconds: float) -> str:
    """Why an import did not return, where it was, and the remedy; "" for one that failed otherwise.

    :param output: what it printed, and the watch after it.
    :param code: the directory of the app's code.
    :param seconds: what it might take.
    """
    remedy = 'put the call below `if __name__ == "__main__":`, for the server imports the app and serves it itself'
    if found := re.search(rf'{import_watch.BLOCKED}{{"file": "([^"]*)", "line": (\d{{1,9}})}}', output):
        where = line(found[1].removeprefix(f"{code}/"))
        return f"line {found[2]} of {where} starts a server and does not return: {remedy}"
    if import_watch.TIMED_OUT not in output and "(killed after " not in output:
        return ""
    frame = re.search(rf'^  File "{re.escape(code)}/([^"]*)", line (\d+) in ', output, re.MULTILINE)
    where = f"; it was at line {frame[2]} of {line(frame[1])}" if frame else ""
    return (
        f"the import did not return within {seconds:.0f} s{where}. Where something in it waits, or never ends, "
        f"{remedy}; for an app that needs longer raise health_timeout, of which an import may take twice the time"
    )
