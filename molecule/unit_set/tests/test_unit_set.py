"""Units on a host, while what is asked of them changes. Each test leaves the host in order for the next.

Either it does so itself, or it asks for the fixture `in_order_afterwards`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import testing
from testinfra.host import Host

RELOADING = "demo-reloading.service"
RESTARTING = "demo-restarting.service"


@pytest.fixture(autouse=True)
def _nothing_done(host: Host) -> None:
    """Each test finds an empty record of what the units did."""
    host.check_output("truncate --size=0 /run/demo-reloading /run/demo-restarting")


@pytest.fixture
def in_order_afterwards(host: Host) -> Iterator[None]:
    """Whatever a test asked for, the next one finds the units as converge.yml has them."""
    yield
    run(host)


def did(host: Host, kind: str) -> list[str]:
    """What the unit has done since the test began: the word start or reload, then the text it loaded."""
    return str(host.file(f"/run/demo-{kind}").content_string).split()


def run(host: Host, *options: str, **variables: object) -> testing.Outcome:
    """Run the play and insist that it succeeds."""
    outcome = testing.play(host, "converge.yml", *options, **variables)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome


def test_units_run_and_start_at_boot(host: Host) -> None:
    for name in (RELOADING, RESTARTING, "demo.timer"):
        unit = host.service(name)
        assert unit.is_running, testing.journal(host, name)
        assert unit.is_enabled, name


def test_nothing_to_do_does_nothing(host: Host) -> None:
    assert "changed=0" in run(host).stdout
    assert did(host, "reloading") == did(host, "restarting") == []


@pytest.mark.usefixtures("in_order_afterwards")
def test_a_followed_set_that_changed_is_loaded(host: Host) -> None:
    run(host, text="second")
    assert did(host, "reloading") == ["reload", "second"]
    assert did(host, "restarting") == ["start", "second"]


def test_a_changed_unit_file_restarts_who_follows_it(host: Host) -> None:
    host.check_output("sed -i 's/^Description=.*/Description=By hand/' /etc/systemd/system/demo-restarting.service")
    run(host)
    assert host.check_output(f"systemctl show -P Description {RESTARTING}") == "Demonstration, restarting"
    assert host.check_output(f"systemctl show -P NeedDaemonReload {RESTARTING}") == "no"
    assert did(host, "restarting")[:1] == ["start"]
    assert did(host, "reloading") == []


@pytest.mark.usefixtures("in_order_afterwards")
def test_a_play_killed_before_the_reload_is_healed_by_the_next(host: Host) -> None:
    run(host, text="written", only_files=True)
    assert host.file("/etc/demo.conf").content_string == "written\n"
    assert did(host, "reloading") == []
    run(host, text="written")
    assert did(host, "reloading") == ["reload", "written"]
    assert did(host, "restarting") == ["start", "written"]
    assert "changed=0" in run(host, text="written").stdout


@pytest.mark.usefixtures("in_order_afterwards")
def test_stopped_and_disabled(host: Host) -> None:
    run(host, demo_state="stopped", enabled=False)
    assert not host.service(RELOADING).is_running
    assert not host.service(RELOADING).is_enabled
    assert "changed=0" in run(host, demo_state="stopped", enabled=False).stdout


def test_a_unit_that_died_is_started_again(host: Host) -> None:
    host.check_output(f"systemctl kill --signal=KILL {RELOADING}")
    assert testing.poll(lambda: not host.service(RELOADING).is_running)
    run(host)
    assert host.service(RELOADING).is_running, testing.journal(host, RELOADING)


@pytest.mark.usefixtures("in_order_afterwards")
def test_a_failing_unit_tells_why(host: Host) -> None:
    outcome = testing.play(host, broken="bad")
    assert outcome.returncode != 0
    said = outcome.stdout + outcome.stderr
    assert RESTARTING in said
    assert "the configuration is bad" in said, "the unit's journal is missing"


def test_a_dry_run_tells_and_touches_nothing(host: Host) -> None:
    outcome = run(host, "--check", "--diff", text="second", demo_state="stopped")
    assert "changed: " in outcome.stdout
    assert host.service(RELOADING).is_running
    assert did(host, "reloading") == did(host, "restarting") == []


def test_after_a_reboot_nothing_is_left_to_do(host: Host) -> None:
    testing.restart_host(host)
    assert host.service(RELOADING).is_running, testing.journal(host, RELOADING)
    assert "changed=0" in run(host).stdout
