"""A look that is killed, broken or hindered, and what it tells and keeps all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.watch import (
    look,
    outbox,
)
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Settings as Receivers
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
