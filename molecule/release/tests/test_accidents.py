"""Deploys that are killed, cut off by a reboot or by a full disk: the old release serves, the next run heals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import testing
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS
from stranger import MORTAL, REPOSITORY, App
from testinfra.host import Host
from testing import on_host

ATTIC_HOME = on_host("home", "attic")
KILLED = "was ended before it was done"
KEEP = 2  # few, so that there are some to prune
# From the end of this step on, the new release is live.
SWITCH = STEPS.index("switch")


@pytest.fixture(scope="module")
def kiosk(host: Host) -> App:
    app = App(host, "kiosk", release_command="flask migrate", proxy={"static": {"/static/": "static"}})
    app.settings = {"keep": KEEP}
    app.deploy()
    return app


def change(app: App, version: str, turn: str) -> None:
    """Define a release that is not there yet (files/repository.sh says which versions have a new environment)."""
    app.options["source"] = {"git": REPOSITORY, "version": version}
    app.options["environment"] = {"TURN": turn}


def kill_and_heal(app: App, number: int, moment: str, again: Callable[[], object]) -> None:
    """Kill a deploy at a step, then deploy again.

    The environment is new where the step is one that proves or prunes it; the others share one: it is what a build
    spends its time on.
    """
    old = app.live
    change(app, f"v{number + 3}", f"{moment} of {STEPS[number]}")
    assert KILLED in app.with_accident(STEPS[number], moment).stderr
    answer = app.ask().json
    switched = number >= SWITCH if moment == "end" else number > SWITCH
    assert (answer["release"] != old) == switched

    again()
    answer, found = app.ask().json, app.look()
    assert answer == {"version": f"v{number + 3}", "release": found["live"], "scheme": "https"}
    assert found["leftovers"] == []
    assert switched or len(found["releases"]) == KEEP, "what is live already is pruned by the next deploy"
    commands = app.sh(f"cat {on_host('data', 'kiosk')}/migrations").split()
    assert len(set(commands)) == len(commands), "a release command has run twice"
    assert commands[-1] == found["live"]


@pytest.mark.parametrize("number", range(len(STEPS)), ids=STEPS)
def test_a_deploy_killed_before_a_step_is_healed(kiosk: App, number: int) -> None:
    kill_and_heal(kiosk, number, "begin", kiosk.by_play if number == SWITCH else kiosk.deploy)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=step, marks=[] if number == SWITCH else [pytest.mark.full])
        for number, step in enumerate(STEPS)
    ],
)
def test_a_deploy_killed_after_a_step_is_healed(kiosk: App, number: int) -> None:
    """A step is killed before the next one too; behind the switch the new release is live and the old one runs."""
    kill_and_heal(kiosk, number, "end", kiosk.deploy)


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.full)])
def test_a_deploy_killed_while_it_installs_leaves_nothing_at_work(kiosk: App, installer: str) -> None:
    kiosk.settings["installer"] = installer
    change(kiosk, "slow", installer)
    kiosk.given()
    begun = kiosk.host.run(
        f"{MORTAL} >/dev/null 2>&1 & "
        "for turn in $(seq 900); do pgrep -u kiosk -x sleep && break; sleep 0.1; done; "
        "systemctl kill --signal=KILL groundwork-release@kiosk.service; wait"
    )
    # By itself the build would go on for ten minutes.
    at_work = "pgrep -a -u kiosk -f '^sleep|pip |/uv '"
    testing.poll(lambda: not kiosk.host.run(at_work).stdout)
    left = kiosk.host.run(at_work).stdout
    kiosk.host.run("pkill -KILL -u kiosk -x sleep")
    assert begun.stdout, "the build has never begun"
    del kiosk.settings["installer"]
    change(kiosk, "v14", f"{installer} was killed")
    kiosk.deploy()
    assert kiosk.look()["leftovers"] == []
    assert left == ""


def test_a_reboot_in_the_middle(kiosk: App) -> None:
    old = kiosk.live
    change(kiosk, "v14", "a reboot")
    assert KILLED in kiosk.with_accident("start", "end").stderr
    testing.restart_host(kiosk.host)
    assert testing.poll(lambda: kiosk.ask().json["release"], 60) == old
    kiosk.deploy()
    found = kiosk.look()
    assert kiosk.ask().json["release"] == found["live"] != old
    assert found["leftovers"] == []


@pytest.fixture
def attic(host: Host) -> Iterator[App]:
    """An app with a small disk of its own."""
    app = App(host, "attic")
    app.sh(f"mount -t tmpfs -o size=400m,mode=711 tmpfs {ATTIC_HOME}")
    app.deploy()
    yield app
    app.sh(f"systemctl stop 'attic@*' && umount {ATTIC_HOME}")


def test_a_full_disk(attic: App) -> None:
    # 64 MB stay free for everything else; a new environment is estimated by the last one.
    attic.sh(f"fallocate -l 330m {ATTIC_HOME}/filler")
    change(attic, "v7", "a full disk")
    attic.refused("step fetch: the disk is too full", "this build is estimated to need", "MB are free")
    assert len(attic.look()["releases"]) == 1
    attic.sh(f"rm {ATTIC_HOME}/filler")

    before = attic.live
    result = attic.with_accident("install", "full")
    assert result.returncode == 1
    assert "step install" in result.stderr
    assert "No space left on device" in result.stderr or "os error 28" in result.stderr
    assert "Traceback" not in result.stderr
    assert attic.ask().json["release"] == before
    attic.sh(f"rm {ATTIC_HOME}/filler")
    attic.deploy()
    found = attic.look()
    assert attic.ask().json["release"] == found["live"] != before
    assert found["leftovers"] == []
