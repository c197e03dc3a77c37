"""A look that is killed, broken or hindered, and what it tells and keeps all the same."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.watch import cli, look, outbox, validate
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Settings as Receivers
from ansible_collections.groundwork.flask.plugins.module_utils.watch.settings import Settings, SettingsError
from ansible_collections.groundwork.flask.plugins.module_utils.watch.state import State
from ansible_collections.groundwork.flask.tests.unit.watch_site import (
    ALERTS,
    NOW,
    Site,
    down,
    failed_job,
    key,
    well,
    wrong_dns,
)


@pytest.fixture(name="site")
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return well(tmp_path, monkeypatch)


@pytest.mark.parametrize("when", ["before the outbox", "in the outbox", "after the outbox", "at the look"])
def test_a_look_that_is_killed_loses_nothing_and_tells_nothing_twice(
    site: Site, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.look_once()
    down(site)
    put, write = outbox.put, State.write
    writes = []

    def killed(*arguments: Any) -> None:
        if when != "before the outbox":
            put(*arguments)
        raise KeyboardInterrupt

    def write_and_die(state: State, name: str, content: object) -> None:
        writes.append(name)
        if when == "after the outbox" and writes == ["memory.json", "memory.json"]:
            raise KeyboardInterrupt
        if when == "at the look" and name == "look.json":
            raise KeyboardInterrupt
        write(state, name, content)

    with monkeypatch.context() as patched:
        if when in ("before the outbox", "in the outbox"):
            patched.setattr(outbox, "put", killed)
        patched.setattr(State, "write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            site.look_once()
    site.look_once()
    site.look_once()
    assert [one.partition(" ")[2] for one in site.put()] == ["alert shop health"]


def test_an_outbox_that_cannot_be_written_holds_up_no_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.look_once()
    down(site)

    def refused(*_arguments: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "put", refused)
        site.look_once()
        assert site.kept()["time"] == site.now
    assert [one.partition(" ")[2] for one in site.look_once()] == ["alert shop health"]


def test_a_set_of_which_nothing_is_there_yet_needs_no_backup(site: Site) -> None:
    exports = {"name": "exports", "optional": True, "paths": ["/srv/exports"]}
    site.write(f"{on_host('configuration')}/backup.json", json.dumps({"sets": [exports], "max_age_hours": 36}))
    site.file_set("backup", changed_at=NOW - 20 * 86400)
    assert site.look_once() + site.look_once() == []
    site.write("/srv/exports/one.csv", "")
    told = [one.partition(" ")[2] for _look in range(2) for one in site.look_once()]
    assert told == ["alert host backup exports", "alert host drill exports"]


def test_a_look_that_breaks_is_told_and_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_job(site)
    site.look_once()
    state, receivers = State(site.root), Receivers((ALERTS,))
    monkeypatch.setattr(clock, "now", lambda: site.now)
    for _look in range(4):
        site.now += 30
        look.broken(site.settings, state, receivers, RuntimeError("a\nbug"))
    assert [one.partition(" ")[2] for one in site.put()] == ["alert shop job nightly", "alert host watch look"]
    told = [one.partition(" ")[2] for _look in range(4) for one in site.look_once()]
    assert told == ["resolved host watch look"]
    assert [key(one) for one in site.kept()["conditions"]] == ["shop job nightly"]


def test_what_follows_from_something_else_does_not_end_with_its_beginning(site: Site) -> None:
    site.look_once()
    wrong_dns(site)
    assert [one.partition(" ")[2] for _look in range(2) for one in site.look_once()] == ["alert shop outside"]
    down(site)
    assert [one.partition(" ")[2] for _look in range(4) for one in site.look_once()] == ["alert shop health"]
    site.answers.clear()
    told = [one.partition(" ")[2] for _look in range(4) for one in site.look_once()]
    assert sorted(told) == ["resolved shop health", "resolved shop outside"]


def test_a_unit_that_has_failed_while_systemd_does_not_answer_is_told_later(site: Site) -> None:
    site.look_once()
    unit = "groundwork-backup.service"
    site.write(f"{on_host('watch')}/failed/{unit}", "")
    site.units[unit] = {"LoadState": "loaded", "ActiveState": "inactive"}
    programs, site.programs = site.programs, {"/usr/bin/systemctl": TimeoutError("it hangs")}
    units, site.units = site.units, {}
    assert site.look_once() == []
    site.programs, site.units = programs, units
    assert [one.partition(" ")[2] for one in site.look_once()] == [f"alert host unit {unit}"]


def test_a_disk_without_any_space_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is given up for it, and put back when there is room again."""
    reserve = State(site.root).directory / "reserve"
    real, free = os.statvfs(site.root), 2**30

    def statvfs(_path: object) -> os.statvfs_result:
        fields = list(real)
        fields[1], fields[3] = 4096, free // 4096
        return os.statvfs_result(fields)

    monkeypatch.setattr("os.statvfs", statvfs)
    site.look_once()
    assert sum(file.stat().st_size for file in reserve.iterdir()) == 2**20
    free = 0
    site.look_once()
    assert list(reserve.iterdir()) == []
    site.look_once()
    assert list(reserve.iterdir()) == []
    free = 2**30
    site.look_once()
    assert len(list(reserve.iterdir())) == 8


@pytest.mark.parametrize(
    "broken", ['{"known": []}', '{"known": {"a": 7}}', '{"known": {"a": {"condition": []}}}', "[]"]
)
def test_a_memory_that_is_broken_begins_anew(site: Site, broken: str) -> None:
    site.write(f"{on_host('watch')}/memory.json", broken)
    down(site)
    assert [one.partition(" ")[2] for one in site.look_once()] == ["alert shop health"]


def undelivered(at: float, reason: str = "exit status 7") -> dict[str, str]:
    text = f"Not delivered since {clock.timestamp(at).replace('T', ' ')}: {reason}"
    return {"LoadState": "loaded", "ActiveState": "active", "StatusText": text}


def test_a_journal_that_is_not_shipped_is_told_after_ten_minutes(site: Site) -> None:
    site.look_once()
    for name in ("shop", "host"):
        site.write(f"/etc/systemd/system/multi-user.target.wants/groundwork-ship@{name}.service", "")
    site.units["groundwork-ship@shop.service"] = undelivered(site.now, "no\x1b[2Jroute")
    told = {round(site.now - NOW): site.look_once() for _look in range(23)}
    assert [at for at, found in told.items() if found] == [630]
    assert told[630][0].endswith("alert shop ship")
    assert "has not been shipped since" in site.kept()["conditions"][0]["message"]
    assert "\x1b" not in site.kept()["conditions"][0]["message"]
    site.units["groundwork-ship@host.service"] = undelivered(NOW)
    site.units["groundwork-ship@shop.service"] = {"StatusText": "Lines are delivered."}
    told_then = sorted(one.partition(" ")[2] for _look in range(4) for one in site.look_once())
    assert told_then == ["alert host ship", "resolved shop ship"]


@pytest.mark.parametrize(("name", "value"), [("interval", 0), ("interval", "60"), ("disk_percent", 101)])
def test_a_number_that_cannot_be_meant_is_refused_by_its_variable(name: str, value: object) -> None:
    validate.check(Settings())
    with pytest.raises(SettingsError, match=f"watch_{name} is .*: give it a whole number from"):
        validate.check(replace(Settings(), **{name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argv", "remedy"), [(["status"], True), (["deliver"], True), (["deliver", "network", "--directory", "/x"], False)]
)
def test_who_may_not_read_is_told_to_be_root_but_for_what_never_is(
    argv: list[str], remedy: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_arguments: object) -> int:
        raise PermissionError(13, "Permission denied", "/var/lib/x")

    monkeypatch.setattr(cli, "verb", lambda _name: refuse)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(argv) == cli.EXIT_FAILED
    error = capsys.readouterr().err
    assert "Permission denied: '/var/lib/x'" in error
    assert ("Run it as root: sudo " in error) == remedy
    assert "become" not in error


@pytest.mark.parametrize(("shell", "is_taken"), [("/usr/sbin/nologin", True), ("/bin/bash", False)])
def test_alerts_are_not_sent_by_the_account_of_a_person(shell: str, is_taken: bool) -> None:
    account = pwd.struct_passwd(("groundwork-alerts", "x", 1000, 1000, "", "/home/groundwork-alerts", shell))
    validate.check_account(None)
    if is_taken:
        validate.check_account(account)
        return
    with pytest.raises(SettingsError, match=r"account groundwork-alerts .*shell /bin/bash.* rename or remove it"):
        validate.check_account(account)
