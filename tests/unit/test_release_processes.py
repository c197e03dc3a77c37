"""The processes of a release: what their units say, who writes and removes these, and what is refused before."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import service_directives
from ansible_collections.groundwork.flask.plugins.module_utils.release import (
    command,
    process_command,
    process_kinds,
    process_units,
    work,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import Spec
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.plugins.module_utils.release.units import ReleaseUnits, Unit
from ansible_collections.groundwork.flask.tests.unit.patience import wait_until
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed

WORKER: dict[str, Any] = {"command": "run -u $REDIS_URL", "count": 2, "kind": "plain", "stop_timeout": 1800}


def deploy(app: App, colour: str = "red", processes: dict[str, Any] | None = None, **options: Any) -> Result:
    return app.deploy(colour, processes={"worker": WORKER} if processes is None else processes, **options)


def files(app: App) -> dict[str, str]:
    """The unit files of the app on the host, by name."""
    return {path.name: path.read_text() for path in app.at.units.glob("*.*@*.service")}


def units(app: App, release: str) -> set[str]:
    return {f"{app.name}.worker@{release}.service", f"{app.name}.worker.2@{release}.service"}


class TestKinds:
    """Which library a command is of, and what would lose its jobs."""

    @pytest.mark.parametrize(
        ("command", "kind"),
        [
            ("rq worker -u $REDIS_URL", "rq"),
            ("rq worker-pool -n 4", "rq"),
            ("exec celery -A shop worker", "celery"),
            ("A=1 B='x y' celery -A shop beat", "celery"),
            ("env A=1 venv/bin/dramatiq shop.jobs", "dramatiq"),
            ("python -m celery -A shop worker", "celery"),
            ("huey_consumer shop.huey", "huey"),
            ("huey_consumer.py shop.huey", "huey"),
            ("flask rq worker", "plain"),
            ("python worker.py", "plain"),
            ("echo 'not closed", "plain"),
            ("", "plain"),
        ],
    )
    def test_of_a_command(self, command: str, kind: str) -> None:
        assert process_kinds.kind_of(command) == kind

    @pytest.mark.parametrize(
        ("kind", "command", "count", "seconds", "options"),
        [
            ("celery", "celery -A shop beat", 2, 600, ["count"]),
            ("celery", "celery -A shop worker -B", 2, 600, ["count"]),
            ("celery", "celery -A shop beat", 1, 9000, []),
            ("celery", "celery -A shop worker", 4, 9000, []),
            ("dramatiq", "dramatiq shop", 2, 601, ["stop_timeout"]),
            ("dramatiq", "dramatiq shop --worker-shutdown-timeout 900000", 2, 900, []),
            ("dramatiq", "dramatiq shop --worker-shutdown-timeout=900000", 2, 900, []),
            ("dramatiq", "dramatiq shop", 2, 600, []),
            ("plain", "celery beat", 2, 601, []),
        ],
    )
    def test_traps(self, kind: str, command: str, count: int, seconds: int, options: list[str]) -> None:
        found = process_kinds.traps(command, kind, count, seconds)
        assert [option for option, _sentence in found] == options


class TestSet:
    """The units of a specification."""

    def test_one_for_each(self) -> None:
        spec = Spec("shop", processes={"worker": WORKER, "clock": {"command": "celery beat"}})
        found = process_units.release_units(spec, "A")
        assert found.names == [
            "shop@A.socket",
            "shop@A.service",
            "shop.worker@A.service",
            "shop.worker.2@A.service",
            "shop.clock@A.service",
        ]
        assert found.units[-2:] == (
            Unit("shop.worker.2@A.service", "process", "worker", "plain", 1800),
            Unit("shop.clock@A.service", "process", "clock", "celery", 600),
        )

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("a/b", {}, "'a/b': that cannot be a name"),
            ("w" * 250, {}, "longer than the 255 characters"),
            ("worker", {"command": " \n"}, "its command is empty"),
            ("worker", {"kind": "resque"}, "'resque' is no kind of process: it is one of plain, rq, celery"),
        ],
    )
    def test_refused_before_anything_is_done(self, app: App, name: str, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ReleaseError, match=message):
            deploy(app, processes={name: {**WORKER, **change}})
        assert app.at.live() is None
        assert not app.has_run("enable")

    def test_a_library_that_is_not_installed_is_named_before_anything_starts(self, app: App) -> None:
        old = deploy(app).release
        with pytest.raises(ReleaseError, match="'mail' is of kind rq, and the package rq is not among") as error:
            deploy(app, "blue", {"mail": {"command": "rq worker"}}, release_command="migrate")
        assert (error.value.step, app.at.live()) == ("install", old)
        assert not app.has_run("sh -c migrate")
        assert not app.has_run(".mail@")

    def test_one_that_is_installed_is_not(self) -> None:
        process_units.check_packages({"mail": {"command": "rq worker"}}, ["Flask==3", "rq==3.0.0"])


class TestFiles:
    """The unit files."""

    def test_what_they_say(self, app: App) -> None:
        release = deploy(app, processes={"worker": WORKER, "mail": {"command": "x", "kind": "plain"}}).release
        found = files(app)
        assert set(found) == {*units(app, release), f"{app.name}.mail@{release}.service"}
        text = found[f"{app.name}.worker.2@{release}.service"]
        home = f"{on_host('releases', app.name)}/{release}"
        stated = dict(service_directives(text, release))
        assert (
            stated.items()
            >= {
                "ExecStart": f"{home}/processes/worker",
                "EnvironmentFile": f"{home}/env",
                "KillMode": "mixed",
                "KillSignal": "SIGTERM",
                "TimeoutStopSec": "1800",
                "Restart": "always",
                "Type": "exec",
                "User": app.name,
                "PrivateTmp": "yes",  # of the server's unit
                "BindPaths": on_host("data", "shop"),
            }.items()
        )
        assert "WantedBy=multi-user.target" in text
        assert text.count("Type=") == 1, "the life of the server's unit is not that of a process"
        (path,) = app.at.units.glob("*.mail@*")
        assert path.stat().st_mode & 0o777 == 0o644

    def test_huey_finishes_at_another_signal(self, app: App) -> None:
        app.at.release("A").mkdir(parents=True)
        unit = Unit(f"{app.name}.worker@A.service", "process", "worker", "huey", 30)
        assert "\nKillSignal=SIGINT\n" in process_units.text(app.at, "A", unit, "")

    def test_they_are_there_and_read_before_anything_starts(self, app: App) -> None:
        seen: list[dict[str, str]] = []
        app.system.on["daemon-reload"] = lambda: seen.append(files(app))
        release = deploy(app).release
        assert [set(found) for found in seen] == [units(app, release)], "one daemon-reload"
        commands = app.system.commands
        assert commands.index("systemctl daemon-reload") < next(
            number for number, line in enumerate(commands) if "enable --now" in line
        )

    def test_the_command_is_a_file_of_the_release(self, app: App, tmp_path: Path) -> None:
        marked = "printf '%s\\n' \"$PWD\" 'a b' \"$X\""
        release = deploy(app, processes={"worker": {**WORKER, "command": marked}}).release
        path = app.at.release(release) / "processes" / "worker"
        assert path.stat().st_mode & 0o777 == 0o750
        done = subprocess.run(
            [path], env={"GROUNDWORK_DIRECTORY": str(tmp_path), "X": "$HOME"}, capture_output=True, check=True
        )
        assert done.stdout.decode().splitlines() == [str(tmp_path), "a b", "$HOME"]

    @pytest.mark.parametrize(
        "command", ["sleep 600", "A=1 sleep 600", "true && sleep 600", "cd /; sleep 600", "cd /\nsleep 600"]
    )
    def test_no_shell_stays_between_systemd_and_the_worker(self, tmp_path: Path, command: str) -> None:
        path = tmp_path / "worker"
        path.write_text(process_units.command_files({"worker": {"command": command}})["processes/worker"])
        path.chmod(0o755)
        with subprocess.Popen([path], env={"GROUNDWORK_DIRECTORY": "/", "PATH": "/usr/bin:/bin"}) as process:
            try:
                wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
            finally:
                process.terminate()

    def test_a_shell_that_stays_is_a_warning_for_as_long_as_it_is_live(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(app.system), "main_program", lambda _self, _unit: "bash")
        warning = deploy(app).warnings
        assert [line for line in warning if "write `exec` before the worker's program" in line]
        assert deploy(app).warnings == warning


class TestLife:
    """Files go with their release, and come back with it."""

    KEEP: ClassVar[dict[str, Any]] = {"settings": {"keep": 1}}

    def test_pruned_with_their_release(self, app: App) -> None:
        releases = [deploy(app, colour, **self.KEEP).release for colour in ("1", "2", "3", "4")]
        kept = [release for release in releases if app.at.is_complete(release)]
        assert len(kept) < 4
        assert set(files(app)) == set().union(*(units(app, release) for release in kept))

    def test_not_while_one_is_at_its_job(self, app: App) -> None:
        first = deploy(app, "1", **self.KEEP).release
        app.system.busy = units(app, first)
        for colour in ("2", "3", "4"):
            deploy(app, colour, **self.KEEP)
        assert units(app, first) <= set(files(app))
        app.system.ending.clear()
        deploy(app, "5", **self.KEEP)
        assert not units(app, first) & set(files(app))

    def test_removed_with_the_app(self, app: App) -> None:
        deploy(app, "1")
        deploy(app, "2")
        other = app.at.units / f"{app.name}.own@daily.service"
        other.write_text("[Service]\nExecStart=/bin/true\n")
        app.on_host().remove()
        assert set(files(app)) == {other.name}, "and nobody else's"

    def test_a_rollback_writes_those_that_are_missing_from_the_record_of_the_release(self, app: App) -> None:
        first = deploy(app, "1").release
        wanted = files(app)
        deploy(app, "2", {})
        for name in wanted:
            (app.at.units / name).unlink()
        assert app.on_host().roll_back().release == first
        assert files(app) == wanted
        assert app.system.active == app.live_units() >= units(app, first)

    @pytest.mark.parametrize("change", ["missing", "other"])
    def test_what_is_not_as_it_should_be_of_the_live_release_is_put_right(self, app: App, change: str) -> None:
        deploy(app)
        wanted = files(app)
        path = app.at.units / next(iter(wanted))
        if change == "missing":
            path.unlink()
        else:
            path.write_text(f"{path.read_text()}# of an earlier sandbox\n")
        assert not app.on_host().cleanup.is_settled()
        before = app.has_run("daemon-reload")
        assert deploy(app).action == "unchanged"
        assert files(app) == wanted
        assert app.has_run("daemon-reload") == before + 1
        assert app.on_host().cleanup.is_settled()

    def test_a_run_that_was_killed_leaves_none_of_a_release_that_is_gone(self, app: App) -> None:
        deploy(app)
        gone = app.at.units / f"{app.name}.worker@0123456789ab.service"
        gone.write_text(f"{process_units.MARK} for release 0123456789ab\n")
        assert not app.on_host().cleanup.is_settled()
        app.on_host().heal()
        assert not gone.exists()

    def test_an_app_without_processes_asks_the_host_for_nothing_more(self, app: App) -> None:
        before = len(app.system.commands)
        app.deploy()
        app.deploy("blue")
        assert not [line for line in app.system.commands[before:] if "daemon-reload" in line]
        assert not files(app)


class TestEnding:
    """A rollback soon after a deploy finds the old processes at their last job."""

    def test_it_is_not_waited_for(self, app: App) -> None:
        first = deploy(app, "1").release
        app.system.busy = {f"{app.name}.worker@{first}.service"}
        deploy(app, "2")
        assert app.system.ending == app.system.busy
        result = app.on_host().roll_back()
        assert app.has_run(f"enable --now --no-block {app.name}.worker@{first}.service")
        assert app.has_run(f"enable --now {app.name}.worker.2@{first}.service")
        assert [line for line in result.warnings if "finishes its job first" in line]

    def test_a_run_meanwhile_changes_nothing(self, app: App) -> None:
        release = deploy(app, "1").release
        worker = f"{app.name}.worker@{release}.service"
        app.system.active.discard(worker)
        app.system.ending.add(worker)
        assert deploy(app, "1").action == "unchanged"
        app.system.ending.clear()
        assert deploy(app, "1").action == "started"


@pytest.mark.parametrize(("states", "line"), [
    ({}, ""),
    ({"a.w@1.service": "active"}, "1 of 1 run: w"),
    ({"a.w@1.service": "active", "a.w.2@1.service": "activating", "a.c@1.service": "active"}, "2 of 3 run: w (2), c"),
])  # fmt: skip
def test_how_many_run(states: dict[str, str], line: str) -> None:
    found = [Unit(name, "process", name.split("@")[0].split(".")[1]) for name in states]
    assert process_units.shown([*ReleaseUnits.web_only("a", "1").units, *found], states) == line


def test_the_result_says_so(app: App) -> None:
    assert deploy(app).processes == "2 of 2 run: worker (2)"
    assert deploy(app).processes == "2 of 2 run: worker (2)"
    worker = f"{app.name}.worker.2@{app.at.live()}.service"
    app.system.active.discard(worker)
    again: dict[str, Any] = {"environment": {"WSGI_APP": "shop:app", "COLOUR": "red"}, "processes": {"worker": WORKER}}
    found = app.engine(**again).predict()
    assert found.processes == "1 of 2 run: worker (2)"
    assert found.warnings == [f"not every process runs: {worker} is inactive; `{app.name} logs` says why"]


def test_killed_at_every_call_of_the_host(tmp_path: Path, app: App) -> None:
    deploy(app, "red")
    before = app.system.calls
    deploy(app, "blue", {"mail": WORKER})
    for number in range(1, app.system.calls - before + 1):
        other = App(tmp_path / str(number))
        deploy(other, "red")
        other.system.kill_at = other.system.calls + number
        with pytest.raises(Killed):
            deploy(other, "blue", {"mail": WORKER})
        other.on_host().heal()
        assert other.system.active == other.live_units()
        assert other.left_over() == [], f"killed at call {number}"
        kept = [path.name for path in other.at.releases.iterdir() if path.name != other.at.live()]
        assert {process_units.release_of(name) for name in files(other)} <= {*kept, other.at.live()}


class TestRestart:
    """One process of the live release, or its server."""

    def test_a_process_is_told_to_restart_when_it_has_finished(self, app: App) -> None:
        release = deploy(app).release
        before = len(app.system.commands)
        result = app.on_host().restart("worker")
        assert (result.action, result.release, result.processes) == ("restarted", release, "2 of 2 run: worker (2)")
        names = [f"{app.name}.worker@{release}.service", f"{app.name}.worker.2@{release}.service"]
        assert f"systemctl restart --no-block {' '.join(names)}" in app.system.commands[before:]

    def test_the_server_answers_afterwards(self, app: App) -> None:
        release = deploy(app).release
        before = len(app.system.commands)
        app.on_host().restart("web")
        later = app.system.commands[before:]
        assert f"systemctl restart {app.name}@{release}.service" in later
        assert later[-2].startswith("GET ") or later[-1].startswith("GET ")

    def test_one_that_does_not_stay_up_is_reported_with_its_journal(self, app: App) -> None:
        release = deploy(app).release
        app.system.crashing = {f"{app.name}.worker.2@{release}.service"}
        with pytest.raises(ReleaseError, match=r"worker\.2@.* does not stay up: it is activating") as error:
            app.on_host().restart("worker")
        assert error.value.log == "Traceback: no such table"

    def test_one_that_has_just_finished_gets_the_time_to_start(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        release, slept = deploy(app).release, list[float]()
        app.system.crashing = {f"{app.name}.worker.2@{release}.service"}

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                app.system.crashing.clear()

        monkeypatch.setattr(app.system, "sleep", sleep)
        assert app.on_host().restart("worker").action == "restarted"
        assert len(slept) == 3

    @pytest.mark.parametrize("name", ["wroker", ""])
    def test_only_what_there_is(self, app: App, name: str) -> None:
        deploy(app)
        with pytest.raises(ReleaseError, match=f"'{name}' is no process of {app.name}; it has web, worker"):
            app.on_host().restart(name)

    def test_of_nothing_live(self, app: App) -> None:
        with pytest.raises(ReleaseError, match="it has none"):
            app.on_host().restart("worker")


class TestCommand:
    """What the app's command shows and does."""

    def show(self, monkeypatch: pytest.MonkeyPatch, states: dict[str, str]) -> None:
        """Have systemd say of each unit in which state it is."""

        def shown(_self: Any, *words: str, **_options: Any) -> subprocess.CompletedProcess[str]:
            blocks = [
                f"Id={name}\nActiveState={states.get(name, 'inactive')}\nActiveEnterTimestamp=Mon 09:00\nNRestarts=1\n"
                f"MemoryCurrent={50 * 2**20 if name in states else '[not set]'}\n"
                for name in words
                if "@" in name
            ]
            return subprocess.CompletedProcess(words, 0, "\n".join(blocks), "")

        monkeypatch.setattr(System, "systemctl", shown)

    def test_the_live_release_and_what_still_ends(
        self, app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old, new = deploy(app, "1").release, deploy(app, "2").release
        worker = f"{app.name}.worker{{}}@{{}}.service"
        states = {
            f"{app.name}@{new}.service": "active",
            worker.format("", new): "active",
            worker.format(".2", new): "activating",
            worker.format(".2", old): "deactivating",
        }
        self.show(monkeypatch, states)
        command.main([app.name, "processes", "--json"], app.root)
        rows = json.loads(capsys.readouterr().out)
        assert [(row["process"], row["unit"], row["state"]) for row in rows] == [
            ("web", f"{app.name}@{new}.service", "active"),
            ("worker", worker.format("", new), "active"),
            ("worker", worker.format(".2", new), "activating"),
            ("worker", worker.format(".2", old), "deactivating"),
        ]
        command.main([app.name, "processes"], app.root)
        lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
        assert [line[0].strip() for line in lines] == ["process", "web", "worker", "worker", "worker"]
        assert "finishes its job" in " ".join(lines[4])
        assert old in lines[4][-1]
        assert "50 MB" in " ".join(lines[1])

    def test_of_an_app_of_which_nothing_is_live(self, app: App, capsys: pytest.CaptureFixture[str]) -> None:
        app.at.ledger.parent.mkdir(parents=True)
        app.at.ledger.touch()
        command.main([app.name, "processes", "--json"], app.root)
        assert json.loads(capsys.readouterr().out) == []

    def test_restart_is_an_order_to_the_engine(
        self, app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        release = deploy(app).release
        orders: list[work.Order] = []

        def do(order: work.Order) -> Result:
            orders.append(order)
            return Result(release, action="restarted", warnings=["it finishes its job first"])

        monkeypatch.setattr(work, "do", do)
        command.main([app.name, "restart", "worker", "--by", "ann"], app.root)
        assert (orders[0].verb, orders[0].options) == ("restart", {"process": "worker"})
        assert capsys.readouterr().out == f"it finishes its job first\nworker of release {release} was restarted.\n"


def test_a_table_without_a_live_release() -> None:
    assert process_command.table([]) == "Nothing runs, for no release is live."
