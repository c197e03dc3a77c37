# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys one app, rolls it back, takes it off the host. Every run begins by healing what a killed one left.

It runs in a unit of its own (``work.py``), which is what keeps it from running twice. What acts for the app, or builds
it, is a step: a unit with a sandbox, as the app's user (``steps.py``, ``sandbox.py``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from . import process_units, source, watch
from .app_command import command_warnings, install_command
from .app_steps import AppSteps
from .build import Builder
from .cleanup import Cleanup
from .context import Context
from .databases import SavedDatabases
from .deploy import STEPS, STEPS_BACK, Deployment
from .errors import ReleaseError
from .exchange import Exchange
from .identity import Identity
from .installer import Installer
from .jobs import Jobs
from .jobs_command import coming
from .layout import Layout
from .ledger import LOG_KEPT, Ledger
from .pause import Pause, is_exclusive
from .python import PythonTools
from .release_command import ReleaseCommand
from .release_directory import ReleaseDirectory
from .removal import Removal
from .restart import restart
from .result import Result
from .rollback import Rollback
from .secret_key import SecretKey
from .services import SITE_FIRST, SITE_MAKES_IT, Services
from .settings import DeploySettings
from .setup_command import SetupCommand
from .spec import Spec
from .standstill import Standstill
from .supervisor import Supervisor
from .system import System
from .units import ReleaseUnits


class Engine:
    """Deploys one app.

    :param spec: what the release is made of.
    :param secret: the app's secrets, part of its environment.
    :param settings: how to deploy.
    :param deploy_key: private SSH key for the repository.
    :param system: the host; tests put another in its place.
    :param root: where the host's file system is; / but in tests.
    :param shared_key: the SECRET_KEY that all hosts of the app share; "" if they share none.
    """

    def __init__(
        self,
        spec: Spec,
        secret: Mapping[str, str] | None = None,
        settings: DeploySettings | None = None,
        deploy_key: str = "",
        system: System | None = None,
        root: Path = Path("/"),
        shared_key: str = "",
    ) -> None:
        at = Layout(spec.name, root)
        self.context = context = Context(
            spec,
            settings or DeploySettings(),
            system or System(),
            at,
            Ledger(at),
            secret or {},
            shared_key,
            deploy_key,
            set(spec.skip_checks),
        )
        self.secret_key = SecretKey(context)
        self.builder = Builder(context)
        self.python = PythonTools(context, self.builder)
        self.installer = Installer(context, self.builder, self.python)
        self.source = source.of(spec.source, self.builder) if spec.source else None
        self.identity = Identity(context, self.secret_key, self.python, self.source)
        self.supervisor = Supervisor(context)
        self.jobs = Jobs(context)
        self.standstill = Standstill(context, self.supervisor, self.jobs)
        self.app_steps = AppSteps(context, self.identity, self.builder, self.secret_key)
        self.databases = SavedDatabases(context, self.app_steps)
        self.exchange = Exchange(context, self.databases, self.standstill)
        self.cleanup = Cleanup(context, self.supervisor, self.exchange, self.jobs)
        self.setup = SetupCommand(context, self.app_steps)
        self.command = ReleaseCommand(context, self.app_steps, self.databases)
        # The units of a release that is built.
        self.units_of: Callable[[str], ReleaseUnits] = lambda release: process_units.release_units(spec, release)

    def deploy(self, through: str = STEPS[-1], rotate: bool = False) -> Result:
        """Make the release that the spec describes live.

        :param through: the last step to take; after one before ``switch`` the release is prepared and not live. Of an
            app whose releases may not run at once the live one is not stopped for that, so ``install`` is the last.
        :param rotate: make a new SECRET_KEY first.
        :raises ReleaseError: it did not go live; the old one serves on.
        """
        began, at = time.time(), self.context.at
        try:
            self.secret_key.read(create=True, rotate=rotate)
            self.builder.prepare()
            release = self.identity.determine()
        finally:
            self.cleanup.heal(self.identity.id)
        live = at.live()
        result = self.result(live)
        if live != release and self.context.spec.watch and (refusal := watch.refusal(at, release)):
            raise ReleaseError("watch", refusal, str(self.context.ledger.taken_back(release).get("log", "")))
        if live != release:
            self.jobs.check()
        if live == release:
            install_command(at)
            result.warnings += self.standing(release)
            self.context.ledger.skip(release, self.context.spec.skip_checks)
            if not self.supervisor.is_active(release):
                self.supervisor.start(release)
                result.action = "started"
            elif self.supervisor.process_units.write(release):
                self.context.system.systemctl("daemon-reload")
            if self.jobs.has_acted:
                result.action = "started"
        elif not at.is_good(release) and self.lacks_archive():
            result.action, result.needs_archive = "needs_archive", True
            return result
        else:
            steps = STEPS[: STEPS.index(self.last_step(through, live)) + 1]
            result.action = "deployed" if "switch" in steps else "prepared"
            deployment, watching = self.deployment(live, result), watch.Watching(self.context, live)
            deployment.take(steps)
            result.seconds = round(time.time() - began, 2)
            if "switch" in steps:
                self.context.ledger.append("live", release, **deployment.outcome())
                result.warnings += watching.begin(release, result.steps["start"])
        return self.described(result)

    def predict(self) -> Result:
        """What :meth:`deploy` would do, without touching the host."""
        live = self.context.at.live()
        try:
            key = self.secret_key.read()
            release = self.identity.determine()
        except (ReleaseError, KeyError, OSError) as error:
            why = str(error).replace(SITE_FIRST, SITE_MAKES_IT)  # site.yml itself may be asking
            return Result("", live or "", "to deploy", warnings=[f"what would be deployed is not known: {why}"])
        result = self.result(live)
        if live != release or not key:
            result.action = "to deploy"
            if self.context.spec.watch:
                result.warnings += filter(None, (watch.refusal(self.context.at, release),))
            if not key:
                result.release = ""  # the SECRET_KEY that goes into it is yet to be made
            if self.setup.is_due():
                result.commands.append(self.context.spec.setup_command)
            if self.command.is_due(release):
                result.commands.append(self.context.spec.release_command)
        elif not (self.supervisor.is_active(release) and self.jobs.is_settled(release)):
            result.action = "to start"
        result.warnings += self.standing(release)
        return self.described(result)

    def roll_back(
        self, to: str = "", data: str = "", dry_run: bool = False, blame: tuple[str, str] | None = None
    ) -> Result:
        """Make an earlier release live again.

        :param to: its id; by default the one that was live before, and is good.
        :param data: where a migration lies between: ``keep`` leaves the database as it is, ``saved`` puts back the copy
            made before the migration. Without, such a rollback is refused.
        :param blame: what is wrong with the live release, and its log; it is marked as bad then.
        :raises ReleaseError: it did not go live; what was live serves on.
        """
        began, at = time.time(), self.context.at
        live = at.live()
        if not dry_run:
            self.cleanup.heal()
        rollback = Rollback(self.context, self.databases, self.standstill, self.exchange)
        release = rollback.choose(to, live)
        rollback.check_migration(release, live, data)
        self.identity.adopt(release)
        self.context.skip_checks.add("stable")  # it has been live before, and someone is waiting
        result = self.result(live)
        result.action = "rolled_back"
        if dry_run:
            return result
        deployment = self.deployment(live, result)
        deployment.blame = blame
        deployment.brings_back = data != "saved"  # not before it has its own data again
        if deployment.pause:
            deployment.pause.stands_still = data == "saved"
        self.jobs.stop_timers()  # until the switch, which starts those of the release that is live then
        try:
            with rollback.saved_data(release) if data == "saved" else contextlib.nullcontext():
                deployment.take(STEPS_BACK)
        except Exception:
            if self.exchange.is_settled():
                self.jobs.start_timers()
            raise
        result.warnings += [notice for notice in self.context.notices if notice not in result.warnings]
        result.seconds = round(time.time() - began, 2)
        self.context.ledger.append("live", release, **deployment.outcome())
        known = self.context.ledger.warnings(release)
        result.warnings += [warning for warning in known if warning not in result.warnings]
        return self.described(result)

    def take_back(self, release: str, reason: str, log: str, command: bool) -> Result:
        """Go back from a release that is not well after its switch, and mark it as bad; or note why that cannot be.

        :param release: it; if another one is live by now, nothing is done.
        :param command: a release command has run for it, so the code before may not fit the data any more.
        """
        at, result = self.context.at, Result(release, release)
        if at.live() != release:
            return result
        why = "its release command has run, and the code before may not fit the data as it has left them"
        if not command:
            try:
                return self.roll_back(blame=(reason, log))
            except ReleaseError as error:
                why = error.message
        masked = self.secret_key.masked
        facts = {"reason": masked(reason), "why": masked(why), "log": masked(log)[-LOG_KEPT:]}
        if at.live() == release:
            self.context.ledger.append("kept", release, by=self.context.settings.by, **facts)
        return result

    def restart(self, process: str) -> Result:
        """Restart one process of the live release; ``web`` is its server.

        :raises ReleaseError: there is no such process, or it does not stay up.
        """
        live = self.context.at.live()
        restart(self.supervisor, live, process)
        return self.described(Result(live or "", action="restarted", warnings=list(self.context.notices)))

    def remove(self, purge: bool = False) -> Result:
        """Take the app off the host, with ``purge`` also data, cache, secrets, account.

        :raises ReleaseError: naming what could not be removed; the rest is gone.
        """
        watch.end(self.context)
        return Removal(self.context, self.supervisor, self.jobs).remove(purge)

    def pause(self) -> Result:
        """Keep everything of the app stopped until whoever asked for it lets go, or is killed.

        :raises ReleaseError: the live release could not be started again.
        """
        self.cleanup.heal()
        with self.standstill.block():
            self.context.system.status("paused")
            self.context.system.await_caller(self.context.notices)
        return Result(self.context.at.live() or "", warnings=list(self.context.notices))

    def standing(self, release: str) -> list[str]:
        """The warnings that hold for as long as nothing is changed: of the release if it is live, and of the app."""
        known = self.context.ledger.warnings(release, self.context.spec.skip_checks)
        live = known if release == self.context.at.live() else []
        return list(dict.fromkeys([*live, *filter(None, (self.setup.changed(),))]))

    def heal(self) -> None:
        """Clean up after a run that was killed.

        :raises ReleaseError: the release that it had stopped could not be started again.
        """
        self.cleanup.heal()
        if notices := self.context.notices:
            raise ReleaseError("start", "; ".join(notices))

    def last_step(self, through: str, live: str | None) -> str:
        """The last step to take of those through one; see :meth:`deploy`."""
        is_prepared = STEPS.index("install") < STEPS.index(through) < STEPS.index("switch")
        return "install" if is_prepared and live and is_exclusive(self.context, live, self.identity.id) else through

    def lacks_archive(self) -> bool:
        """Whether the controller has yet to send what this build needs of it."""
        spec = self.context.spec
        code = self.source and not self.source.on_host and not spec.archive
        return bool(code or (spec.wheels_tree and not spec.wheels_archive))

    def result(self, live: str | None) -> Result:
        """The result of a run that has done nothing yet."""
        release = self.identity.id
        differences = self.identity.changes(live) if live != release else []
        changes = [name for name, _old, _new in differences]
        warnings = [*watch.warnings(self.context.at, release), *command_warnings(self.context.at)]
        description = self.identity.description()
        return Result(
            release, live or "", source=description, changes=changes, differences=differences, warnings=warnings
        )

    def described(self, result: Result) -> Result:
        """A result with what runs of its release."""
        result.workers = self.context.at.workers(result.release)
        result.processes, down = self.supervisor.processes(result.release)
        result.warnings += down if result.release == self.context.at.live() else []
        result.database = Services(self.context).described(self.context.at.release(result.release) / "venv")
        result.jobs = coming(self.jobs)
        result.warnings += self.jobs.warnings()
        return result

    def deployment(self, live: str | None, result: Result) -> Deployment:
        """The steps of a run for the release that was determined or chosen."""
        directory = ReleaseDirectory(self.context, self.identity, self.builder, self.installer, self.secret_key)
        return Deployment(
            self.context,
            self.identity,
            self.secret_key,
            directory,
            self.app_steps,
            self.setup,
            self.command,
            self.supervisor,
            self.jobs,
            self.cleanup,
            self.units_of(self.identity.id),
            live,
            result,
            Pause(self.context, self.supervisor, live, self.identity.id)
            if is_exclusive(self.context, live, self.identity.id)
            else None,
        )
