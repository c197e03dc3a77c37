"""A run of the engine as a unit of systemd: who asks for it, who waits, what is reported when it ends."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.programs import ENVIRONMENT
from ansible_collections.groundwork.flask.plugins.module_utils.release import work
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.plugins.module_utils.release.work import Order

AT_WORK = """MainPID=7
Description=a deploy of shop by bob@desk
StatusText=command
ActiveState=active
ExecMainStartTimestamp=Fri 2026-01-02 03:04:05 UTC
"""


NOBODY = "ActiveState=inactive\nDescription=groundwork-release@shop.service\nMainPID=0\n"


BOB = "a deploy of shop by bob@desk since 2026-01-02T03:04:05Z (process 7, at step command)"


TAKEN = "Failed to start transient service unit: Unit groundwork-release@shop.service was already loaded or has a frag"


UNHEALED = {"step": "start", "message": "it is full", "log": ""}


Run = Callable[[Order], tuple[int, str]]


class FakeSystemd(System):
    """systemd with one unit.

    :ivar shown: what it says of the unit, each time one asks; nobody is at work after that.
    :ivar runs: what happens when the unit is started, each time; its exit status and stderr.
    :ivar started: the command lines that started it, with their environments.
    """

    def __init__(self, at: Layout) -> None:
        super().__init__()
        self.at = at
        self.shown: list[str] = []
        self.runs: list[Run] = []
        self.started: list[tuple[list[str], Mapping[str, str]]] = []
        self.asked: list[tuple[str, ...]] = []
        self.naps = 0

    def systemctl(self, *arguments: str, **_options: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(arguments)
        return subprocess.CompletedProcess(arguments, 0, self.shown.pop(0) if self.shown else NOBODY, "")

    def sleep(self, _seconds: float) -> None:
        self.naps += 1
        assert self.naps < 1000, "it waits for ever"

    def systemd_run(self, argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """What ``subprocess.run`` does in place of systemd-run."""
        self.started.append((argv, options["env"]))
        status, said = self.runs.pop(0)(Order(**json.loads(options["input"])))
        return subprocess.CompletedProcess(argv, status, "", said)

    def in_background(self, argv: list[str], **options: Any) -> SimpleNamespace:
        """What ``subprocess.Popen`` does in place of systemd-run; it ends when nobody is at work any more."""
        self.started.append((argv, options["env"]))
        status, said = self.runs.pop(0)(Order(**json.loads(options["stdin"].read())))
        options["stderr"].write(said.encode())
        return SimpleNamespace(poll=lambda: None if self.shown else status)

    def ended(self, **result: Any) -> None:
        """Leave what a run leaves."""
        self.at.run.mkdir(parents=True, exist_ok=True)
        (self.at.run / "result.json").write_text(json.dumps(result))


def without_seconds(warnings: list[str]) -> list[str]:
    """Without how long it was waited: no time passes here but the machine's own."""
    return [re.sub(r"^waited \d+ s for", "waited for", warning) for warning in warnings]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    found = FakeSystemd(Layout("shop", tmp_path))
    monkeypatch.setattr(work, "Layout", partial(Layout, root=tmp_path))
    replaced = SimpleNamespace(run=found.systemd_run, Popen=found.in_background, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(work, "subprocess", replaced)
    return found


def order(verb: work.Verb = "deploy", **more: Any) -> Order:
    return Order(verb, {"name": "shop"}, asdict(DeploySettings(by="ann@laptop")), **more)


def works(systemd: FakeSystemd, **result: Any) -> Run:
    """A run that ends as it should."""

    def run(given: Order) -> tuple[int, str]:
        systemd.ended(order=given.id, description=given.description, result=asdict(Result(**result)))
        return 0, ""

    return run


def fails(status: int = 1, said: str = "", then: Callable[[Order], object] = lambda _given: None) -> Run:
    """A run that ends before it begins, or is ended."""

    def run(given: Order) -> tuple[int, str]:
        then(given)
        return status, said

    return run


class TestHolder:
    """Who is at work, as systemd tells it."""

    @pytest.mark.parametrize(
        ("shown", "said"),
        [
            (AT_WORK, BOB),
            (AT_WORK.replace("=active", "=activating"), BOB),
            (AT_WORK.replace("=active", "=deactivating"), BOB),
            (AT_WORK.replace("=command", "="), BOB.replace(", at step command", "")),
            (AT_WORK.replace("=command", "=\x1b[2J"), BOB.replace("command", "\\x1b[2J")),
            # Before systemd 253, `show` tells the time of the host's zone whatever it is asked for.
            (
                AT_WORK.replace("03:04:05 UTC", "04:04:05 CET"),
                BOB.replace("2026-01-02T03:04:05Z", "Fri 2026-01-02 04:04:05 CET"),
            ),
            (AT_WORK.replace("ann", "a=b"), BOB),
            (AT_WORK.replace("=7", "="), BOB.replace("process 7", "process 0")),
            (AT_WORK.replace("=active", "=inactive"), None),
            (AT_WORK.replace("=active", "=failed"), None),
            (NOBODY, None),
            ("", None),
        ],
    )
    def test_as_it_is_said(self, systemd: FakeSystemd, shown: str, said: str | None) -> None:
        systemd.shown = [shown]
        found = work.active_run("shop", systemd)
        assert (str(found) if found else None) == said
        assert systemd.asked[0][-1] == "groundwork-release@shop.service"

    def test_stop(self, systemd: FakeSystemd) -> None:
        assert work.stop("shop", systemd) is None
        systemd.asked.clear()
        systemd.shown = [AT_WORK]
        assert str(work.stop("shop", systemd)) == BOB
        assert systemd.asked[1:] == [("stop", "groundwork-release@shop.service")]


class TestCommand:
    """What systemd is asked for."""

    def test_one_unit_for_each_app(self) -> None:
        command = work.command(Order("deploy", {"name": "shop"}, {"by": "ann"}), ("/bin/echo", "%h", "a"))
        assert command == [
            "/usr/bin/systemd-run", "--quiet",
            "--unit=groundwork-release@shop.service", "--description=a deploy of shop by ann",
            "--pipe", "--wait", "--collect",
            "-p", "Type=exec", "-p", "NotifyAccess=main", "-p", "TimeoutStopSec=5", "-p", "OOMPolicy=continue",
            "-p", "Wants=systemd-journald@shop.socket", "-p", "After=systemd-journald@shop.socket",
            "--", "/bin/echo", "%h", "a",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("verb", "words"),
        [("deploy", "a deploy"), ("roll_back", "a rollback"), ("remove", "a removal"), ("heal", "an unlock")],
    )
    def test_who_does_what(self, verb: work.Verb, words: str) -> None:
        assert order(verb).description == f"{words} of shop by ann@laptop"
        assert Order(verb, {"name": "shop"}).description == f"{words} of shop by root"
        assert callable(getattr(Engine, verb))

    def test_no_list_of_processes_shows_a_secret(self, systemd: FakeSystemd) -> None:
        systemd.runs = [works(systemd)]
        work.do(order(secret={"TOKEN": "hunter22"}, deploy_key="PRIVATE"), systemd)
        ((argv, environment),) = systemd.started
        assert "hunter22" not in str(argv)
        assert "PRIVATE" not in str(argv)
        assert environment == ENVIRONMENT


class TestDo:
    """From an order to what came of it."""

    def test_the_result(self, systemd: FakeSystemd) -> None:
        systemd.runs = [works(systemd, release="A", action="deployed", steps={"fetch": 1.5}, warnings=["b"])]
        found = work.do(order(), systemd)
        assert found == Result("A", action="deployed", steps={"fetch": 1.5}, warnings=["b"])
        assert systemd.naps == 0

    def test_an_error(self, systemd: FakeSystemd) -> None:
        error = {"step": "import", "message": "it breaks", "log": "Traceback"}
        systemd.runs = [fails(0, then=lambda given: systemd.ended(order=given.id, error=error))]
        with pytest.raises(ReleaseError) as raised:
            work.do(order(), systemd)
        assert vars(raised.value).items() >= error.items()

    def test_a_host_without_the_engine(self, systemd: FakeSystemd) -> None:
        systemd.runs = [fails(1, "Traceback …\nModuleNotFoundError: No module named 'groundwork_release'")]
        with pytest.raises(ReleaseError, match=r"the release engine is not on this host: run groundwork\.flask\.site"):
            work.do(order(), systemd)

    @pytest.mark.parametrize("left", [{}, {"order": "another", "result": asdict(Result())}])
    def test_a_run_that_was_ended(self, systemd: FakeSystemd, left: dict[str, Any]) -> None:
        if left:
            systemd.ended(**left)
        systemd.runs = [fails(137, "Killed \x1b[2J")]
        with pytest.raises(ReleaseError) as error:
            work.do(order(), systemd)
        assert str(error.value) == (
            "a deploy of shop by ann@laptop was ended before it was done, by an unlock or by the system; what is live "
            "serves on, the next run heals\n  Killed \\x1b[2J"
        )
        assert (error.value.step, len(systemd.started)) == ("engine", 1)

    @pytest.mark.parametrize(
        ("note", "heals", "text"),
        [
            ("paused", works, "the release that was stopped for it has been started again"),
            (
                "paused",
                lambda systemd: fails(0, then=lambda given: systemd.ended(order=given.id, error=UNHEALED)),
                "the release that was stopped for it could not be started again (it is full), and nothing serves",
            ),
            ("jobs", works, "by the system; what is live serves on"),
            (
                "jobs",
                lambda systemd: fails(0, then=lambda given: systemd.ended(order=given.id, error=UNHEALED)),
                "what is live serves on, and its jobs may not start: it is full",
            ),
        ],
    )
    def test_a_run_that_was_ended_in_the_pause_or_may_have_stopped_timers(
        self, systemd: FakeSystemd, note: str, heals: Callable[[FakeSystemd], Run], text: str
    ) -> None:
        """Of an app whose releases never run at once: whoever waited for it starts what it had stopped."""
        left = getattr(systemd.at, note)
        left.parent.mkdir(parents=True)
        left.touch()
        verbs: list[str] = []
        healing = heals(systemd)

        def heal(given: Order) -> tuple[int, str]:
            verbs.append(given.verb)
            return healing(given)

        systemd.runs = [fails(137), heal]
        with pytest.raises(
            ReleaseError, match=r"was ended before it was done, by an unlock or by the system; "
        ) as error:
            work.do(order(), systemd)
        assert text in str(error.value)
        assert verbs == ["heal"]

    @pytest.mark.parametrize(
        ("left", "how"),
        [
            ({}, "it was ended before it was done"),
            ({"description": "a rollback of shop by ann"}, "it was ended before it was done"),
            ({"result": {"release": "A", "action": "deployed"}}, "it ended well, with release A"),
            ({"result": {"action": "removed"}}, "it ended well, with release none"),
            ({"error": {"step": "save", "message": "disk full", "log": "x"}}, "it failed at step save: disk full"),
        ],
    )
    def test_another_that_was_waited_for(self, systemd: FakeSystemd, left: dict[str, Any], how: str) -> None:
        systemd.shown = [AT_WORK, AT_WORK, AT_WORK]
        systemd.runs = [works(systemd, release="B", warnings=["own"])]
        if left:
            systemd.ended(**{"order": "another", "description": "a deploy of shop by bob@desk", **left})
        found = work.do(order(), systemd)
        assert found.release == "B"
        assert without_seconds(found.warnings) == [f"waited for {BOB}; {how}", "own"]
        assert systemd.naps == 3

    def test_another_that_goes_on_too_long(self, systemd: FakeSystemd) -> None:
        systemd.shown = [AT_WORK] * 3
        with pytest.raises(ReleaseError) as error:
            work.do(order(), systemd, wait=-1)
        assert error.value.step == "lock"
        assert str(error.value) == (
            f"another run is at work: {BOB}. Wait for it; or, if it is stuck, end it with "
            "`ansible-playbook groundwork.flask.unlock -e app=shop`, then run again"
        )
        assert systemd.started == []

    def test_another_that_was_quicker(self, systemd: FakeSystemd) -> None:
        systemd.shown = [NOBODY, AT_WORK, AT_WORK]
        systemd.runs = [fails(1, TAKEN), works(systemd, release="B")]
        found = work.do(order(), systemd)
        assert (found.release, len(systemd.started)) == ("B", 2)
        assert without_seconds(found.warnings) == [f"waited for {BOB}; it was ended before it was done"]

    def test_another_that_was_quicker_and_has_ended_since(self, systemd: FakeSystemd) -> None:
        systemd.runs = [fails(1, TAKEN), fails(1, TAKEN), works(systemd, release="B")]
        assert work.do(order(), systemd).release == "B"
        assert len(systemd.started) == 3

    def test_a_unit_that_systemd_does_not_let_go_of(self, systemd: FakeSystemd) -> None:
        """A step of a run that was killed keeps it; what has failed is forgotten, and nobody waits for ever."""
        systemd.runs = [fails(1, TAKEN)] * 100
        with pytest.raises(ReleaseError, match="already loaded") as error:
            work.do(order(), systemd, wait=0)
        assert error.value.step == "lock"
        assert ("reset-failed", "groundwork-release@shop.*") in systemd.asked

    def test_a_run_that_goes_on_without_who_asked_is_not_done_twice(self, systemd: FakeSystemd) -> None:
        """Twice the rollback would go back two releases."""
        systemd.shown = [NOBODY, AT_WORK, AT_WORK]
        given = order("roll_back")

        def end() -> None:
            systemd.ended(order=given.id, description=given.description, result=asdict(Result("A")))

        systemd.runs = [fails(1, "Connection reset", lambda _given: setattr(systemd, "sleep", lambda _seconds: end()))]
        assert work.do(given, systemd).release == "A"
        assert len(systemd.started) == 1

    def test_a_run_that_an_unlock_has_ended_is_not_begun_again(self, systemd: FakeSystemd) -> None:
        """While the unlock cleans up after it, there is a run at work."""
        unlock = AT_WORK.replace("a deploy of shop", "an unlock of shop")
        systemd.shown = [NOBODY, unlock, unlock]
        systemd.runs = [fails(1, "Job canceled")]
        with pytest.raises(ReleaseError, match="was ended before it was done, by an unlock or by the system"):
            work.do(order(), systemd)
        assert len(systemd.started) == 1

    def test_an_unlock_that_was_quicker_is_waited_for(self, systemd: FakeSystemd) -> None:
        unlock = AT_WORK.replace("a deploy of shop", "an unlock of shop")
        systemd.shown = [NOBODY, unlock, unlock]
        systemd.runs = [fails(1, TAKEN), works(systemd, release="A")]
        assert work.do(order(), systemd).release == "A"


class TestBegin:
    """A deploy that is waited for in two parts."""

    def test_it_is_left_when_the_release_starts(self, systemd: FakeSystemd) -> None:
        systemd.shown = [
            NOBODY,
            AT_WORK.replace("=command", "=install"),
            AT_WORK.replace("=command", "=start"),
            AT_WORK,
        ]
        systemd.runs = [fails(0)]
        assert work.begin(order(), systemd)
        assert systemd.naps == 2

    def test_one_that_has_ended_before_is_not(self, systemd: FakeSystemd) -> None:
        error = {"step": "fetch", "message": "there is no such tag", "log": ""}
        systemd.shown = [AT_WORK.replace("=command", "=fetch")]
        systemd.runs = [fails(1, then=lambda given: systemd.ended(order=given.id, error=error))]
        assert not work.begin(order(), systemd)

    def test_one_that_could_not_begin_is_not(self, systemd: FakeSystemd) -> None:
        systemd.shown = [AT_WORK]
        systemd.runs = [fails(1, TAKEN)]
        assert not work.begin(order(), systemd)

    def test_one_that_was_unlocked_does_not_begin_again(self, systemd: FakeSystemd) -> None:
        systemd.shown = [AT_WORK]
        systemd.runs = [fails(1, "Job canceled")]
        with pytest.raises(ReleaseError, match="was ended before it was done, by an unlock"):
            work.begin(order(), systemd)

    def test_what_came_of_it_is_told_as_if_it_had_been_waited_for(self, systemd: FakeSystemd) -> None:
        systemd.shown = [AT_WORK.replace("=command", "=start")]
        given = order()
        systemd.runs = [works(systemd, release="A", action="deployed", warnings=["own"])]
        assert work.begin(given, systemd)
        systemd.shown = [AT_WORK, AT_WORK]
        assert work.do(given, systemd) == Result("A", action="deployed", warnings=["own"])
        assert len(systemd.started) == 1

    def test_an_error_too(self, systemd: FakeSystemd) -> None:
        error = {"step": "start", "message": "it does not stay up", "log": "Traceback"}
        systemd.shown = [AT_WORK.replace("=command", "=start")]
        given = order()
        systemd.runs = [fails(0, then=lambda given: systemd.ended(order=given.id, error=error))]
        assert work.begin(given, systemd)
        with pytest.raises(ReleaseError, match="it does not stay up"):
            work.do(given, systemd)

    def test_one_that_was_killed_is_done_again(self, systemd: FakeSystemd) -> None:
        systemd.shown = [AT_WORK.replace("=command", "=start")]
        given = order()
        systemd.runs = [fails(0), works(systemd, release="A")]
        assert work.begin(given, systemd)
        assert work.do(given, systemd).release == "A"

    def test_no_list_of_processes_shows_a_secret(self, systemd: FakeSystemd) -> None:
        systemd.runs = [works(systemd)]
        work.begin(order(secret={"TOKEN": "hunter22"}), systemd)
        assert "hunter22" not in str(systemd.started)

    def test_the_steps_after_the_build_are_steps_of_a_deploy(self) -> None:
        assert [step for step in STEPS if step in work.BUILT] == list(STEPS[STEPS.index("start") :])
        assert set(STEPS) >= work.BUILT
