"""Deploys that are killed, cut off by a reboot or by a full disk: the old release serves, the next run heals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import testing
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import STEPS
from stranger import REPOSITORY, App
from testinfra.host import Host

bookworm, trixie = pytest.mark.suite("bookworm"), pytest.mark.suite("trixie")
KILLED = 137
# From the end of this step on, the new release is live.
SWITCH = STEPS.index("switch")
# Healed by the play, as a user does it; the other accidents are healed by the same engine without one.
BY_PLAY = ("fetch", "start", "switch")


@pytest.fixture(scope="module")
def kiosk(host: Host) -> App:
    app = App(host, "kiosk", release_command="flask migrate", proxy={"static": {"/static/": "static"}})
    app.settings = {"release_keep": 2}
    app.deploy()
    return app


def change(app: App, version: str, turn: str) -> None:
    """Define a release that is not there yet (files/repository.sh says which versions have a new environment)."""
    app.options["source"] = {"git": REPOSITORY, "version": version}
    app.options["environment"] = {"TURN": turn}


def kill_and_heal(app: App, number: int, moment: str, again: Callable[[], object]) -> None:
    """Kill a deploy at a step, then deploy again.

    The environment is new where the step is one that makes, proves or prunes it; the others share one: it is what a
    build spends its time on.
    """
    old = app.live
    change(app, f"v{number + 3}", f"{moment} of {STEPS[number]}")
    assert app.with_accident(STEPS[number], moment).returncode == KILLED
    answer = app.ask().json
    switched = number >= SWITCH if moment == "end" else number > SWITCH
    assert (answer["release"] != old) == switched

    again()
    answer, found = app.ask().json, app.look()
    assert answer == {"version": f"v{number + 3}", "release": found["live"], "scheme": "https"}
    assert found["leftovers"] == []
    commands = app.sh("cat /var/lib/kiosk/migrations").split()
    assert len(set(commands)) == len(commands), "a release command has run twice"
    assert commands[-1] == found["live"]


@bookworm
@pytest.mark.parametrize("number", range(len(STEPS)), ids=STEPS)
def test_a_deploy_killed_before_a_step_is_healed(kiosk: App, number: int) -> None:
    kill_and_heal(kiosk, number, "begin", kiosk.deploy if STEPS[number] in BY_PLAY else kiosk.deploy_by_engine)


@trixie
@pytest.mark.parametrize("number", range(len(STEPS)), ids=STEPS)
def test_a_deploy_killed_after_a_step_is_healed(kiosk: App, number: int) -> None:
    kill_and_heal(kiosk, number, "end", kiosk.deploy_by_engine)


def kill_while_it_installs(app: App) -> None:
    """Kill a deploy while the installer builds a package, then deploy by the play as ever."""
    change(app, "slow", "killed")
    app.given()
    begun = app.host.run(
        "PYTHONPATH=/usr/local/lib/groundwork python3 /usr/local/lib/mortal.py /root/mortal.json >/dev/null 2>&1 & "
        "for turn in $(seq 200); do pgrep -u %s -x sleep && break; sleep 0.1; done; kill -KILL $!; sleep 0.5",
        app.name,
    )
    left = app.host.run("pgrep -a -u %s -f '^sleep|pip |/uv '", app.name).stdout
    app.host.run("pkill -KILL -u %s -x sleep", app.name)
    assert begun.stdout, "the build has never begun"
    change(app, "v2", "killed")
    app.deploy()
    assert app.look()["leftovers"] == []
    assert left == ""


@bookworm
def test_a_deploy_killed_while_uv_installs_leaves_nothing_at_work(kiosk: App) -> None:
    kill_while_it_installs(kiosk)


@trixie
def test_a_deploy_killed_while_pip_installs_leaves_nothing_at_work(kiosk: App) -> None:
    kiosk.installer = "pip"
    kill_while_it_installs(kiosk)


@bookworm
def test_a_reboot_in_the_middle(kiosk: App) -> None:
    old = kiosk.live
    change(kiosk, "v3", "a reboot")
    assert kiosk.with_accident("start", "end").returncode == KILLED
    testing.restart_host(kiosk.host)
    assert testing.poll(lambda: kiosk.ask().json["release"], 20) == old
    kiosk.deploy()
    found = kiosk.look()
    assert kiosk.ask().json["release"] == found["live"] != old
    assert found["leftovers"] == []


@pytest.fixture
def attic(host: Host) -> Iterator[App]:
    """An app with a small disk of its own."""
    app = App(host, "attic")
    app.sh("mount -t tmpfs -o size=400m,mode=711 tmpfs /srv/attic")
    app.deploy()
    yield app
    app.sh("systemctl stop 'attic@*' && umount /srv/attic")


@trixie
def test_a_full_disk(attic: App) -> None:
    # 64 MB stay free for everybody else; a new environment is reckoned by the last one.
    attic.sh("fallocate -l 330m /srv/attic/filler")
    change(attic, "v3", "a full disk")
    attic.refused("step fetch: the disk is too full", "this build is reckoned to need", "MB are free")
    assert len(attic.look()["releases"]) == 1
    attic.sh("rm /srv/attic/filler")

    before = attic.live
    result = attic.with_accident("install", "full")
    assert result.returncode == 1
    assert "step install" in result.stderr
    assert "No space left on device" in result.stderr or "os error 28" in result.stderr
    assert "Traceback" not in result.stderr
    assert attic.ask().json["release"] == before
    attic.sh("rm /srv/attic/filler")
    attic.deploy()
    found = attic.look()
    assert attic.ask().json["release"] == found["live"] != before
    assert found["leftovers"] == []
