# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from nothing to a live release, in order; a rollback takes the last ones of them.

Each step may be killed; the next run begins by cleaning up after it (``cleanup.py``) and finishes the work.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.files import write
from . import checks, watch
from .app_command import install_command
from .app_steps import AppSteps
from .cleanup import Cleanup
from .context import Context
from .errors import ReleaseError
from .identity import Identity
from .jobs import Jobs
from .ledger import LOG_KEPT
from .pause import Pause
from .release_command import ReleaseCommand
from .release_directory import ReleaseDirectory
from .result import Result
from .secret_key import SecretKey
from .setup_command import SetupCommand
from .supervisor import Supervisor
from .switch import inherit_static, switch
from .units import ReleaseUnits

STEPS = ("fetch", "install", "stop", "setup", "import", "save", "command", "start", "switch", "drain", "prune")
# A kept release has passed its checks already: it is started, asked for its health, and made live.
STEPS_BACK = ("stop", "start", "switch", "drain")


@dataclass
class Deployment:
    """One deploy or rollback.

    :ivar units: the units of a release that is built.
    :ivar live: the release that was live before.
    :ivar result: what the run has done so far.
    :ivar pause: stops the old release before the new one is imported; None where both may run at once.
    :ivar blame: why the live release is left, and its log, if it is for its own faults; it is marked as bad then.
    :ivar brings_back: start the old release again if a step fails after that.
    :ivar migration_heads: those of the database before and after the run, as far as they are known.
    """

    context: Context
    identity: Identity
    secret_key: SecretKey
    directory: ReleaseDirectory
    app_steps: AppSteps
    setup: SetupCommand
    command: ReleaseCommand
    supervisor: Supervisor
    jobs: Jobs
    cleanup: Cleanup
    units: ReleaseUnits
    live: str | None
    result: Result
    pause: Pause | None = None
    blame: tuple[str, str] | None = None
    brings_back: bool = True
    migration_heads: dict[str, list[str] | None] = field(default_factory=lambda: {"before": None, "after": None})

    def take(self, steps: Sequence[str]) -> None:
        """Take the steps. If one fails, the old release serves on, and the new one is marked as bad.

        :raises ReleaseError: the step that failed and why.
        """
        self.cleanup.forget_steps()
        by, action = self.context.settings.by, self.result.action
        self.context.ledger.append("begin", self.identity.id, by=by, previous=self.live, action=action)
        log = self.context.system.log
        log.release = self.identity.id
        log.say(
            f"{action}: release {self.identity.id} ({self.identity.description()}) {self.identity.version()}".rstrip()
        )
        for step in steps:
            self.context.system.status(step)
            log.say(f"step {step}")
            began = time.monotonic()
            try:
                getattr(self, f"step_{step}")()
            except Exception as error:
                came_back = self.abandon(step, error)
                if not isinstance(error, (ReleaseError, OSError, http.client.HTTPException)):
                    raise
                raise self.masked(failure(step, error, came_back)) from error
            self.result.steps[step] = round(time.monotonic() - began, 3)
        self.result.warnings += [*self.context.notices, *self.context.warnings]

    def step_fetch(self) -> None:
        """Put the code into the release's directory."""
        self.directory.fetch(self.live)

    def step_install(self) -> None:
        """Install its packages, publish its static files, write its settings.

        From here on a person can run a command in it, be it bad or not.
        """
        self.directory.install(self.units)
        install_command(self.context.at)

    def step_stop(self) -> None:
        """Stop the old release if the app says that the new one may not run beside it; its visitors wait from now."""
        if self.pause:
            self.jobs.stop_timers()  # until the switch, which starts those of the release that is live then
            self.pause.begin()

    def step_setup(self) -> None:
        """Run the setup command of a new app, before its first import: many need their tables or settings for that."""
        self.setup.run_once(self.identity.id)

    def step_import(self) -> None:
        """Import the app once, alone: a traceback is clearest here, and tables made at import meet no race."""
        spec, skipped = self.context.spec, self.context.skip_checks
        literal = list(checks.of_environment(spec.environment))
        try:
            facts = self.app_steps.app_facts()
        except ReleaseError as error:
            message = "; ".join((error.message, *checks.judge(literal, skipped)[1]))  # one of these may be why
            raise ReleaseError(error.step, message, error.log) from error
        debug = spec.environment.get("GROUNDWORK_DEBUG") == "1"
        former = bool(self.secret_key.former(self.identity.id))
        is_compared = facts.get("own_key") and "secret_key" not in skipped
        found = (
            *literal,
            *checks.of_app(facts, spec.body_limit, former, debug),
            *checks.of_imports(facts, self.app_steps.app_facts() if is_compared else facts),
        )
        errors, warnings = checks.judge(found, skipped)
        self.context.warnings.extend(warnings)
        if errors:
            raise ReleaseError("import", "; ".join(errors))
        now = facts.get("migration_heads")
        before = self.context.ledger.migration_heads(self.live) if self.live else None
        self.migration_heads = {"before": now if before is None else before, "after": now}

    def step_save(self) -> None:
        """Save the app's databases before a command that may change them."""
        if self.command.is_due(self.identity.id):
            changed = self.migration_heads["before"] != self.migration_heads["after"]
            self.command.save(self.identity.id, keep_copy=changed)

    def step_command(self) -> None:
        """Run the release command, unless it has already succeeded for this release."""
        if not self.command.is_due(self.identity.id):
            return
        self.command.run(self.identity.id)
        if self.migration_heads["after"] is not None:
            self.migration_heads["after"] = self.app_steps.app_facts().get("migration_heads")

    def step_start(self) -> None:
        """Start the release's units, beside those of the old one unless that was stopped, and check them."""
        # Of two releases that may not run at once a boot starts the old one until the switch.
        self.supervisor.start(self.identity.id, check=True, enable=not self.pause)

    def step_switch(self) -> None:
        """Turn the symlink. From here on the new release is live."""
        at, release = self.context.at, self.identity.id
        inherit_static(at, release)
        self.context.ledger.append("switch", release, **self.outcome())
        if self.blame and self.live:
            facts = at.facts(self.live)
            self.note_bad(self.live, "watch", *self.blame, facts.get("source", ""), facts.get("version", ""))
        if self.pause:
            self.supervisor.enable(release)  # last: until the old one is disabled, a boot starts both
        switch(at, release)
        if self.pause:
            self.pause.hand_over()
        watch.end(self.context)
        self.jobs.settle(release)
        install_command(at)

    def step_drain(self) -> None:
        """Let the old socket's queue empty, then stop the old release's units, which finish what they have begun."""
        if self.live and self.live != self.identity.id:
            self.context.system.drain(self.context.at.release(self.live) / "app.sock")
            self.supervisor.stop(self.live, wait=False)
        if self.pause:
            self.pause.end()

    def step_prune(self) -> None:
        """Remove what is not needed any more."""
        self.cleanup.prune(self.identity.id, self.live)

    def abandon(self, step: str, error: Exception) -> str:
        """Stop the new release's units, mark it as bad, and note why; but not if it is live by now.

        :returns: what became of the old release, if it had been stopped.
        """
        at, release = self.context.at, self.identity.id
        if at.live() == release:
            return ""
        self.supervisor.stop(release)
        came_back = ""
        if self.pause and self.pause.has_begun and self.brings_back:
            came_back = self.pause.bring_back()
            self.jobs.start_timers()
        reason, log = (error.message, error.log) if isinstance(error, ReleaseError) else (str(error), "")
        self.note_bad(release, step, reason, log, self.identity.description(), self.identity.version())
        return came_back

    def note_bad(self, release: str, step: str, reason: str, log: str, source: str, version: str) -> None:
        """Mark a release as bad, and note why."""
        mask = self.secret_key.masked
        with contextlib.suppress(OSError):
            write(self.context.at.release(release) / "bad", "", 0o644)
        with contextlib.suppress(OSError):  # the disk may be full, which is no reason to hide the first error
            self.context.ledger.append(
                "bad", release, by=self.context.settings.by, previous=self.live, source=source, version=version,
                step=step, reason=mask(reason), log=mask(log)[-LOG_KEPT:],
            )  # fmt: skip

    def masked(self, error: ReleaseError) -> ReleaseError:
        """The error without the app's secrets."""
        mask = self.secret_key.masked
        return ReleaseError(error.step, mask(error.message), mask(error.log))

    def outcome(self) -> dict[str, Any]:
        """What the ledger keeps of a run that has made its release live, or is about to."""
        heads, ledger = self.migration_heads, self.context.ledger
        if self.result.action == "rolled_back":
            before = ledger.migration_heads(self.live) if self.live else None
            heads = {"before": before, "after": ledger.migration_heads(self.identity.id)}
        return {
            "action": self.result.action,
            "by": self.context.settings.by,
            "previous": self.live,
            "source": self.identity.description(),
            "version": self.identity.version(),
            "seconds": self.result.seconds,
            "steps": self.result.steps,
            "health": self.supervisor.health_ms,
            "migration_heads": heads,
            "changes": self.result.changes,
            "warnings": self.context.warnings,
        }


def failure(step: str, error: Exception, came_back: str) -> ReleaseError:
    """The error of a step as it is reported, with what became of a release that was stopped before it."""
    if not isinstance(error, ReleaseError):
        error = ReleaseError(step, f"{step}: {error}")
    return ReleaseError(error.step, "; ".join(filter(None, (error.message, came_back))), error.log)
