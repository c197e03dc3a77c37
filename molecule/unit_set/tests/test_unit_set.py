"""Units on a host, while what is asked of them changes.

Most tests call the modules on the host, as the tasks of converge.yml do; one runs that play, to prove what its reader
sees. Each test leaves the units running, with all loaded that is written.
"""

from __future__ import annotations

import pytest
import testing
import yaml
from testinfra.host import Host

RELOADING, RESTARTING, TIMER = NAMES = ("demo-reloading.service", "demo-restarting.service", "demo.timer")
TASKS = yaml.safe_load((testing.scenario_directory() / "converge.yml").read_text())[0]["tasks"]
UNITS = TASKS[-1]["groundwork.flask.unit_set"]["units"]


def write_text(host: Host, text: str) -> None:
    """Write the set that both services follow, and load it nowhere."""
    files = [{"dest": "/etc/demo.conf", "content": f"{text}\n"}]
    assert testing.module(host, "file_set", name="demo", files=files)["changed"]


def write_units(host: Host, files: list[dict[str, str]]) -> None:
    """Write the set of unit files, which the reloading service does not follow, and load it nowhere."""
    assert testing.module(host, "file_set", name="demo-units", files=files)["changed"]


def update(host: Host, check: bool = False, **changed: object) -> dict[str, list[str]]:
    """Have the units of converge.yml in their states; return what was done to each.

    `changed` is asked of the reloading service beyond what stands there.
    """
    units = [{**unit, **(changed if unit["name"] == RELOADING else {})} for unit in UNITS]
    result = testing.module(host, "unit_set", check=check, units=units)
    assert not result.get("failed"), result["msg"]
    done: dict[str, list[str]] = result["units"]
    assert result["changed"] is bool(done)
    return done


@pytest.fixture(autouse=True)
def _nothing_done(host: Host) -> None:
    """Each test finds an empty record of what the units did."""
    host.check_output("truncate --size=0 /run/demo-reloading /run/demo-restarting")


def did(host: Host, kind: str) -> list[str]:
    """What the unit has done since the test began: the word start or reload, then the text it loaded."""
    return str(host.file(f"/run/demo-{kind}").content_string).split()


def assert_running_and_enabled(host: Host) -> None:
    for name in NAMES:
        unit = host.service(name)
        assert unit.is_running, testing.journal(host, name)
        assert unit.is_enabled, name


def test_units_run_and_start_at_boot(host: Host) -> None:
    assert_running_and_enabled(host)


def test_nothing_to_do_does_nothing(host: Host) -> None:
    assert update(host) == {}
    assert did(host, "reloading") == did(host, "restarting") == []


def test_a_followed_set_that_changed_is_loaded_once(host: Host) -> None:
    write_text(host, "second")
    todo = {RELOADING: ["reload"], RESTARTING: ["restart"]}
    assert update(host, check=True) == todo
    assert did(host, "reloading") == did(host, "restarting") == [], "a dry run loaded it"
    assert update(host) == todo
    assert did(host, "reloading") == ["reload", "second"]
    assert did(host, "restarting") == ["start", "second"]
    assert update(host) == {}


def test_a_changed_unit_file_restarts_who_follows_it(host: Host) -> None:
    paths = [f"/etc/systemd/system/{name}" for name in NAMES]
    declared = [{"dest": path, "content": host.file(path).content_string} for path in paths]
    write_units(host, [{**file, "content": file["content"].replace("Demo", "Another demo")} for file in declared])
    assert update(host) == {RESTARTING: ["restart"], TIMER: ["restart"]}
    assert host.check_output(f"systemctl show -P Description {RESTARTING}") == "Another demonstration, restarting"
    assert host.check_output(f"systemctl show -P NeedDaemonReload {RELOADING}") == "no"
    assert did(host, "restarting")[:1] == ["start"]
    assert did(host, "reloading") == []
    write_units(host, declared)
    update(host)


def test_stopped_and_disabled(host: Host) -> None:
    todo = {RELOADING: ["disable", "stop"]}
    assert update(host, check=True, state="stopped", enabled=False) == todo
    assert_running_and_enabled(host)
    assert update(host, state="stopped", enabled=False) == todo
    assert not host.service(RELOADING).is_running
    assert not host.service(RELOADING).is_enabled
    assert update(host, state="stopped", enabled=False) == {}
    assert update(host) == {RELOADING: ["enable", "start"]}
    assert_running_and_enabled(host)


def test_a_unit_that_died_is_started_again(host: Host) -> None:
    host.check_output(f"systemctl kill --signal=KILL {RELOADING}")
    assert testing.poll(lambda: not host.service(RELOADING).is_running)
    assert update(host) == {RELOADING: ["start"]}
    assert host.service(RELOADING).is_running, testing.journal(host, RELOADING)


def test_a_play_that_ends_early_says_which_unit_failed_and_why_and_the_next_play_heals(host: Host) -> None:
    """The text is written as by a play that was killed before its unit_set; the next one ends where a service fails."""
    write_text(host, "written")
    failed = testing.play(host, text="written", broken="bad")
    assert failed.returncode != 0
    assert f"`systemctl restart {RESTARTING}` failed" in testing.said(failed)
    assert "the configuration is bad" in testing.said(failed), "the unit's journal is missing"
    assert did(host, "reloading") == did(host, "restarting") == []
    healed = testing.play(host, text="written")
    assert healed.returncode == 0, healed.stdout
    assert did(host, "reloading") == ["reload", "written"]
    assert did(host, "restarting") == ["start", "written"]
    assert update(host) == {}


def test_after_a_reboot_nothing_is_left_to_do(host: Host) -> None:
    testing.restart_host(host)
    assert_running_and_enabled(host)
    assert update(host) == {}


def mark(path: str) -> dict[str, object]:
    """A command that makes a file, and says that it has changed something if the file was not there."""
    look = f"test -e {path} && new=false || new=true"
    tell = """printf '{"changed": %s}' $new"""
    return {
        "name": "mark",
        "argv": ["sh", "-c", f"{look}; touch {path}; {tell}"],
        "check_argv": ["sh", "-c", f"{look}; {tell}"],
    }


def in_one_call(host: Host, text: str, check: bool = False, **options: object) -> dict[str, object]:
    """Write the set that both services follow, bring the units into their states, run a command, all in one call."""
    files = [{"dest": "/etc/demo.conf", "content": f"{text}\n"}]
    wanted = {"name": "demo", "files": files, "units": UNITS, "commands": [mark("/run/demo-mark")]}
    return testing.module(host, "file_set", check=check, **{**wanted, **options})


def test_files_units_and_a_command_in_one_call(host: Host) -> None:
    host.check_output("rm -f /run/demo-mark")
    foretold = in_one_call(host, "one call", check=True)
    assert (foretold["changed_files"], foretold["outputs"]) == (["/etc/demo.conf"], {"mark": {"changed": True}})
    assert not host.file("/run/demo-mark").exists
    assert did(host, "reloading") == did(host, "restarting") == []
    done = in_one_call(host, "one call")
    assert done["units"] == foretold["units"] == {RELOADING: ["reload"], RESTARTING: ["restart"]}
    assert done["outputs"] == foretold["outputs"]
    assert done["changed"] is foretold["changed"] is True
    assert did(host, "reloading")[0] == "reload"
    again = in_one_call(host, "one call")
    assert (again["changed"], again["units"], again["outputs"]) == (False, {}, {"mark": {"changed": False}})
    assert_running_and_enabled(host)


def test_a_command_that_fails_leaves_files_and_units_as_wanted(host: Host) -> None:
    bad = {"name": "bad", "argv": ["sh", "-c", "echo the queue is full >&2; exit 1"]}
    failed = in_one_call(host, "before the command", commands=[bad, mark("/run/demo-never")])
    assert failed["failed"]
    assert "the queue is full" in str(failed["msg"])
    assert failed["units"] == {RELOADING: ["reload"], RESTARTING: ["restart"]}
    assert not host.file("/run/demo-never").exists
    assert did(host, "reloading") == ["reload", "before", "the", "command"]
    healed = in_one_call(host, "before the command")
    assert (healed["changed_files"], healed["units"]) == ([], {})


def test_a_call_killed_before_its_units_is_healed_by_the_next(host: Host) -> None:
    killing = "sh -c 'kill -9 $PPID; sleep 5'"
    with pytest.raises(AssertionError):  # the module ends without a result
        in_one_call(host, "killed", apply=killing)
    assert host.file("/etc/demo.conf").content_string == "killed\n", "the kill came too early to prove anything"
    assert did(host, "reloading") == []
    assert in_one_call(host, "killed")["units"] == {RELOADING: ["reload"], RESTARTING: ["restart"]}


def test_files_that_fail_their_test_keep_units_and_command_from_running(host: Host) -> None:
    host.check_output("rm -f /run/demo-mark")
    failed = in_one_call(host, "refused", validate="sh -c '! grep refused /etc/demo.conf'")
    assert failed["failed"]
    assert did(host, "reloading") == did(host, "restarting") == []
    assert not host.file("/run/demo-mark").exists
