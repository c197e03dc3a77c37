"""The apps of a host: releases, workers, jobs and backups, by what the engine and systemd say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host, path
from ansible_collections.groundwork.flask.plugins.module_utils.release import watch
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.verify import apps, checks
from ansible_collections.groundwork.flask.plugins.module_utils.verify.backups import PROGRAM, backups
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, ExpectedApp
from ansible_collections.groundwork.flask.plugins.module_utils.verify.facts import facts
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

ID = "0123456789ab"
RUNS = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "MainPID": "40"}
WEB, SOCKET, WORKER = f"shop@{ID}.service", f"shop@{ID}.socket", f"shop.worker@{ID}.service"
RECORD = [
    {"name": SOCKET, "kind": "socket"},
    {"name": WEB, "kind": "web"},
    {"name": WORKER, "kind": "process", "process": "worker"},
]
JOB = {"LoadState": "loaded", "ActiveState": "inactive", "Result": "success", "UnitFileState": "static"}
TIMER = {**RUNS, "NextElapseUSecRealtime": "Tue 2026-12-01 02:37:13 UTC"}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    found = FakeHost(tmp_path)
    found.release("shop", ID, units=RECORD, jobs={"nightly": {"on": "first"}})
    found.units = {
        **dict.fromkeys((WEB, SOCKET, WORKER), RUNS),
        "shop.nightly.service": JOB,
        "shop.nightly.timer": TIMER,
    }
    return found


def ledger(host: FakeHost, *events: dict[str, Any]) -> None:
    where = f"/{Layout('shop', host.root).ledger.relative_to(host.root)}"
    times = ({"time": f"2026-11-0{number}T00:00:00Z", **event} for number, event in enumerate(events, 1))
    host.write(where, "".join(f"{json.dumps(event)}\n" for event in times))


class TestRelease:
    def test_live_and_running(self, host: FakeHost) -> None:
        (found,) = host.found(apps.apps)
        assert (found.state, found.subject, found.message) == ("ok", "shop", f"Release {ID} is live and runs.")

    @pytest.mark.parametrize("unit", [WEB, SOCKET, WORKER])
    def test_a_unit_of_it_that_does_not_run(self, host: FakeHost, unit: str) -> None:
        host.units[unit] = {**RUNS, "ActiveState": "inactive"}
        assert bad(host.found(apps.apps)) == [f"problem: {unit} is stopped."]

    def test_nothing_is_live(self, host: FakeHost) -> None:
        host.look = type(host.look)(host.root, host.run)
        expected = Expected.of({"apps": {"blog": {}}}, host.look)
        assert "problem: No release of blog is live." in bad(host.found(apps.apps, expected))

    def test_it_is_paused(self, host: FakeHost) -> None:
        at = Layout("shop", host.root).paused
        host.write(f"/{at.relative_to(host.root)}", "")
        host.units[WEB] = {**RUNS, "ActiveState": "inactive"}
        (text,) = bad(host.found(apps.apps))
        assert text.startswith("problem: shop is stopped, by `shop pause`")

    def test_other_processes_and_jobs_than_the_inventory_has(self, host: FakeHost) -> None:
        raw = {"apps": {"shop": {"processes": {"worker": 2, "mail": 1}, "jobs": ["nightly"]}}}
        (text,) = bad(host.found(apps.apps, Expected.of(raw, host.look)))
        assert text == ("warning: The live release has the processes worker, and the inventory has mail, worker (2).")

    def test_a_newer_one_was_refused(self, host: FakeHost) -> None:
        ledger(
            host,
            {"event": "live", "release": ID, "warnings": ["the app has no SECRET_KEY"]},
            {"event": "bad", "release": "ffff", "reason": "it answers 500\nok forged"},
        )
        texts = bad(host.found(apps.apps))
        assert "warning: The app has no SECRET_KEY." in texts
        assert "warning: Release ffff of 2026-11-02T00:00:00Z was refused: it answers 500 ok forged." in texts

    def test_one_that_the_watch_took_back(self, host: FakeHost) -> None:
        ledger(
            host,
            {"event": "live", "release": "ffff"},
            {"event": "bad", "release": "ffff", "step": "watch", "reason": "9 of 9 requests failed"},
            {"event": "live", "release": ID, "previous": "ffff", "by": watch.BY},
        )
        assert any("release ffff was rolled back automatically" in text.lower() for text in bad(host.found(apps.apps)))


class TestWorkers:
    @pytest.fixture(autouse=True)
    def server(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(apps, "PAUSE", 0)
        self.settings(host, "gunicorn", None)
        self.running(host, 3)
        host.write(f"/run/shop-{ID}/workers", "3 workers: (2 x 1 core) + 1")

    def settings(self, host: FakeHost, provider: str, workers: int | None) -> None:
        text = json.dumps({"provider": provider, "workers": workers})
        host.write(f"{on_host('releases', 'shop')}/{ID}/server.json", text)

    def running(self, host: FakeHost, count: int) -> None:
        host.write("/proc/40/task/40/children", " ".join(map(str, range(50, 50 + count))))

    def test_as_many_as_were_started(self, host: FakeHost) -> None:
        assert [one.message for one in host.found(apps.workers)] == ["3 workers run."]

    def test_fewer(self, host: FakeHost) -> None:
        self.running(host, 1)
        assert bad(host.found(apps.workers)) == ["problem: 1 of 3 workers run."]

    def test_another_number_than_is_declared(self, host: FakeHost) -> None:
        expected = Expected.of({"apps": {"shop": {"workers": 5}}}, host.look)
        assert bad(host.found(apps.workers, expected)) == ["warning: 3 workers run, and the inventory has 5."]

    def test_the_host_has_fewer_cores_now(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
        self.running(host, 9)
        host.write(f"/run/shop-{ID}/workers", "9 workers: (2 x 4 cores) + 1")
        assert "when the host had more cores" in bad(host.found(apps.workers))[0]

    def test_a_server_without_countable_workers(self, host: FakeHost) -> None:
        self.settings(host, "waitress", None)
        assert host.found(apps.workers) == []

    def test_what_the_app_writes_is_no_more_than_a_number(self, host: FakeHost) -> None:
        file = host.write(f"/run/shop-{ID}/workers", "999999999999999 workers\n")
        assert [one.state for one in host.found(apps.workers)] == ["ok"]
        file.unlink()
        file.symlink_to("/dev/zero")
        assert [one.state for one in host.found(apps.workers)] == ["ok"]


class TestJobs:
    def test_the_next_run_is_told(self, host: FakeHost) -> None:
        assert [one.message for one in host.found(apps.jobs)] == ["The job nightly: next run at 2026-12-01T02:37:13Z."]

    def test_one_that_failed(self, host: FakeHost) -> None:
        failed = {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}
        host.units["shop.nightly.service"] = {**JOB, **failed, "ExecMainExitTimestamp": "Mon 2026-11-30 02:00:09 UTC"}
        assert bad(host.found(apps.jobs)) == [
            "problem: The last run of the job nightly failed at 2026-11-30T02:00:09Z: exit status 3."
        ]

    def test_a_stopped_timer(self, host: FakeHost) -> None:
        host.units["shop.nightly.timer"] = {**TIMER, "ActiveState": "inactive"}
        assert bad(host.found(apps.jobs)) == ["problem: The timer of the job nightly is stopped, so it does not run."]

    def test_a_timer_that_no_boot_starts(self, host: FakeHost) -> None:
        host.units["shop.nightly.timer"] = {**TIMER, "UnitFileState": "disabled"}
        assert "does not start at boot" in bad(host.found(apps.jobs))[0]

    @pytest.mark.parametrize("where", ["maintenance", "another host"])
    def test_where_no_timer_is_to_run(self, host: FakeHost, where: str) -> None:
        del host.units["shop.nightly.timer"]
        if where == "maintenance":
            host.write(f"/{path('maintenance', 'shop', host.root).relative_to(host.root)}", "")
        else:
            at = Layout("shop", host.root).jobs
            host.write(f"/{at.relative_to(host.root)}", '{"run_jobs": false}')
        assert bad(host.found(apps.jobs)) == []


class TestBackups:
    EXPECTED = Expected({"shop": ExpectedApp("shop", backup=True)})

    def report(self, host: FakeHost, hours: float = 1, warnings: tuple[str, ...] = (), **one: Any) -> None:
        last = clock.timestamp(host.look.now - hours * 3600)
        host.write(PROGRAM, "", 0o755)
        said = {
            "sets": {"shop": {"drill": None, "error": None, "warnings": [], "last": last, **one}},
            "warnings": list(warnings),
        }
        host.programs[f"{PROGRAM} status --json"] = json.dumps(said)

    def test_a_recent_one(self, host: FakeHost) -> None:
        self.report(host)
        (found,) = host.found(backups, self.EXPECTED)
        assert found.state == "ok"
        assert "no restore drill was due yet" in found.message

    def test_a_stale_one(self, host: FakeHost) -> None:
        self.report(host, hours=40)
        assert bad(host.found(backups, self.EXPECTED)) == ["problem: The last backup is 40 hours old, and may be 36."]

    def test_none_and_an_error(self, host: FakeHost) -> None:
        self.report(host, last=None, error="no {space} left")
        assert bad(host.found(backups, self.EXPECTED)) == [
            "problem: The last backup failed: no {space} left",
            "problem: There is no backup yet.",
        ]

    def test_drills(self, host: FakeHost) -> None:
        old = clock.timestamp(host.look.now - 12 * clock.DAY)
        self.report(host, drill={"time": old, "ok": True})
        assert bad(host.found(backups, self.EXPECTED)) == [
            "warning: The last restore drill is 12 days ago; it may be 9."
        ]
        host.look = type(host.look)(host.root, host.run)
        self.report(host, drill={"time": old, "ok": False, "problem": "2 files differ"})
        assert bad(host.found(backups, self.EXPECTED)) == [
            f"problem: The last restore drill failed at {old}: 2 files differ"
        ]

    def test_a_drill_that_never_was(self, host: FakeHost) -> None:
        self.report(host)
        host.file_set("backup", parts={"": []}, changed_at=host.look.now - 20 * clock.DAY)
        assert "there was none in the 20 days since the setup" in bad(host.found(backups, self.EXPECTED))[0]

    def test_an_app_that_is_no_set_and_a_host_without_the_program(self, host: FakeHost) -> None:
        assert "this host has no backup program" in bad(host.found(backups, self.EXPECTED))[0]
        self.report(host)
        expected = Expected({"blog": ExpectedApp("blog", backup=True)})
        assert "problem: blog is to be backed up, and is no set" in bad(host.found(backups, expected))[0]

    def test_what_the_program_warns_of(self, host: FakeHost) -> None:
        self.report(host, warnings=("All backups are on this host", "stale"))
        assert bad(host.found(backups, self.EXPECTED))[0] == "warning: All backups are on this host"

    def test_a_program_that_is_broken_is_unchecked(self, host: FakeHost) -> None:
        self.report(host)
        host.programs[f"{PROGRAM} status --json"] = "1\tTraceback"
        assert "says: Traceback" in bad(host.found(backups, self.EXPECTED))[0]


def test_the_facts_of_an_app(host: FakeHost) -> None:
    ledger(host, {"event": "live", "release": ID, "version": "v1.2", "by": "ann@192.0.2.7"})
    host.units[WEB] = {
        **RUNS,
        "NRestarts": "2",
        "MemoryCurrent": "1000",
        "ActiveEnterTimestamp": "Mon 2026-11-30 01:00:00 UTC",
    }
    host.units[WORKER] = {**RUNS, "MemoryCurrent": "500"}
    host.write(f"{on_host('releases', 'shop')}/{ID}/server.json", '{"provider": "gunicorn"}')
    host.write("/proc/40/task/40/children", "50 51 52")
    host.programs["/usr/bin/openssl"] = "1\tno certificate"
    found = facts(Expected.of({}, host.look), host.look)["apps"]["shop"]
    assert {name: found[name] for name in ("version", "by", "state", "started", "restarts", "workers", "memory")} == {
        "version": "v1.2",
        "by": "ann@192.0.2.7",
        "state": "active",
        "started": "2026-11-30T01:00:00Z",
        "restarts": 2,
        "workers": 3,
        "memory": 1500,
    }
    assert found["processes"] == {"worker": {"running": 1, "wanted": 1}}
    assert found["jobs"] == {"nightly": {"last": "", "result": "", "next": "2026-12-01T02:37:13Z"}}
    assert found["certificate"]["until"] == ""


def test_facts_where_systemd_does_not_answer(host: FakeHost) -> None:
    host.units = {}
    host.programs = {"/usr/bin/systemctl": "1\tConnection refused", "/usr/bin/openssl": "1\t"}
    assert facts(Expected.of({}, host.look), host.look)["apps"]["shop"]["state"] == ""


def test_ten_apps_cost_no_more_programs_than_one(tmp_path: Path) -> None:
    """All units are asked for at once, and a certificate that is as it was installed takes none."""
    calls = {}
    for number in (1, 10):
        host = FakeHost(tmp_path / str(number))
        names = [f"app{one}" for one in range(number)]
        host.programs = dict.fromkeys(("/usr/bin/", "/usr/sbin/"), "")
        for name in names:
            host.release(name, ID)
            host.units |= dict.fromkeys((f"{name}@{ID}.service", f"{name}@{ID}.socket"), RUNS)
        expected = Expected({name: ExpectedApp(name) for name in names})
        found = checks.look_at(expected, host.look)
        assert {one.subject for one in found if one.check == "release"} == set(names)
        calls[number] = len(host.calls)
    assert calls[10] == calls[1]
