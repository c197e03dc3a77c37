"""A look at a host in a directory: each thing that can be wrong is a condition, told once, as is its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host, path
from ansible_collections.groundwork.flask.plugins.module_utils.release import watch
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import Look as Host
from ansible_collections.groundwork.flask.plugins.module_utils.watch import (
    der,
    gather,
    lines,
    look,
    machine,
    outbox,
    requests,
)
from ansible_collections.groundwork.flask.plugins.module_utils.watch.ask import Answer, Question
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Receiver
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Settings as Receivers
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Condition
from ansible_collections.groundwork.flask.plugins.module_utils.watch.requests import Line, Place, Reading
from ansible_collections.groundwork.flask.plugins.module_utils.watch.settings import Settings, Watched, watched
from ansible_collections.groundwork.flask.plugins.module_utils.watch.state import State
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost

NOW = 1_800_000_000.0
RELEASE = "0123456789ab"
LEDGER = f"{on_host('state')}/releases/shop.jsonl"
SERVER, WORKER = f"shop@{RELEASE}.service", f"shop.worker@{RELEASE}.service"
NGINX = {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active"}
ALERTS = Receiver("ops", "webhook", options={"url": "https://ops.example.org"})


class Site(FakeHost):
    """A host with one app, which has a process, a job and a backup, and is well."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.now = NOW
        self.settings = Settings({"shop": Watched("shop", ("shop.example.org",))}, "web1")
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.lines: list[Line] = []
        self.programs = {"/usr/bin/systemctl list-units": ""}
        active = {"LoadState": "loaded", "ActiveState": "active", "NRestarts": "0"}
        self.units = {
            SERVER: active,
            WORKER: active,
            "nginx.service": NGINX,
            "shop.nightly.timer": active,
            "shop.nightly.service": {"LoadState": "loaded", "ActiveState": "inactive", "Result": "success"},
        }
        units = [
            {"name": f"shop@{RELEASE}.socket", "kind": "socket"},
            {"name": SERVER, "kind": "web"},
            {"name": WORKER, "kind": "process", "process": "worker"},
        ]
        self.release("shop", RELEASE, units=units, jobs={"nightly": {}})
        self.write("/proc/stat", "cpu 0\nbtime 1700000000\n")
        self.write("/proc/1/stat", "1 (systemd) S " + " ".join(["0"] * 25))
        self.write("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n")
        self.write(f"{on_host('configuration')}/backup.json", '{"sets": [], "max_age_hours": 36}')
        self.write(f"{on_host('configuration')}/backup.d/shop.json", '{"name": "shop"}')
        self.saved(hours=3, days=2)
        for name in ("watch", "metrics"):
            path(name, root=root).mkdir(parents=True)

    def saved(self, hours: float, days: float, ok: bool = True, error: str | None = None) -> None:
        """The record of the backup program."""
        repository = {"time": clock.timestamp(self.now - hours * 3600)}
        drill = {
            "time": clock.timestamp(self.now - days * 86400),
            "ok": ok,
            "problem": None if ok else "3 files differ",
        }
        one = {"repositories": {"local": repository}, "drills": {"local": drill}, "error": error}
        self.write(f"{on_host('state')}/backup/status.json", json.dumps({"sets": {"shop": one}}))

    def ask(self, questions: Mapping[str, Question], *_seconds: float) -> dict[str, Answer]:
        """Answer as a test says: by app, or by `here` and `there` with it; 200 by default."""
        self.asked += questions
        return {name: replace(self.answers.get(name, Answer(200, 0.01))) for name in questions}

    def read(self, apps: list[str], _place: Place) -> Reading:
        """The proxy's new lines."""
        found, self.lines = self.lines, []
        return Reading(dict.fromkeys(apps, found), Place("", self.now))

    def look_once(self, seconds: float = 30.0) -> list[str]:
        """What a look tells."""
        before = self.put()
        self.now += seconds
        host = Host(self.root, self.run)
        host.now = self.now
        look.once(self.settings, State(self.root), host, Receivers((ALERTS,)))
        return [one for one in self.put() if one not in before]

    def put(self) -> list[str]:
        """All that waits in the outbox, in order."""
        files = sorted((path("watch", root=self.root) / "outbox").glob("*/*.json"))
        changes = [change for file in files for change in json.loads(file.read_text())["changes"]]
        changes.sort(key=lambda one: one["time"])
        return [f"{one['time']:.0f} {one['event']} {key(one['condition'])}" for one in changes]

    def kept(self) -> dict[str, Any]:
        """The last look."""
        return State(self.root).read("look.json")


def key(condition: Mapping[str, str]) -> str:
    """A condition as the tests write it."""
    return " ".join(filter(None, (condition["subject"], condition["kind"], condition["part"])))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The host, on which nothing takes time."""
    site = Site(tmp_path)
    monkeypatch.setattr(gather, "ask", site.ask)
    monkeypatch.setattr(requests, "read", site.read)
    monkeypatch.setattr(gather, "PAUSE", 0.0)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setattr(lines, "of", lambda _condition, unit="": f"the last line of {unit or 'the app'}")
    monkeypatch.setattr(machine, "clock_synchronized", lambda _host: site.programs.get("clock") != "wrong")
    return site


def down(site: Site) -> None:
    site.answers["shop"] = Answer(500, 0.02)


def dead(site: Site) -> None:
    site.answers["shop"] = Answer(None, 0.0, "Connection refused")


def wrong_dns(site: Site) -> None:
    site.answers["there/shop"] = Answer(None, 5.0, "Connection timed out")


def broken_site(site: Site) -> None:
    site.answers["here/shop"] = site.answers["there/shop"] = Answer(502, 0.1)


def dead_nginx(site: Site) -> None:
    site.units["nginx.service"] = {**NGINX, "ActiveState": "failed"}
    site.answers["here/shop"] = site.answers["there/shop"] = Answer(None, 0.0, "Connection refused")


def failed_unit(site: Site) -> None:
    site.programs["/usr/bin/systemctl list-units"] = "cron.service loaded failed failed Regular background programs"
    site.units["cron.service"] = {"LoadState": "loaded", "ActiveState": "failed", "Result": "exit-code"}


def failed_job(site: Site) -> None:
    exit_at = "Tue 2026-12-01 02:37:13 UTC"
    site.units["shop.nightly.service"] = {
        "LoadState": "loaded",
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "1",
        "ExecMainExitTimestamp": exit_at,
    }


def stopped_timer(site: Site) -> None:
    site.units["shop.nightly.timer"] = {"LoadState": "loaded", "ActiveState": "inactive"}


def stopped_process(site: Site) -> None:
    site.units[WORKER] = {"LoadState": "loaded", "ActiveState": "inactive", "NRestarts": "0"}


def old_backup(site: Site) -> None:
    site.saved(hours=40, days=2)


def failed_backup(site: Site) -> None:
    site.saved(hours=3, days=2, error="the disk is full")


def failed_drill(site: Site) -> None:
    site.saved(hours=3, days=2, ok=False)


def old_drill(site: Site) -> None:
    site.saved(hours=3, days=12)


def little_memory(site: Site) -> None:
    site.write("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 20 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n")


def much_swap(site: Site) -> None:
    site.write("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\nSwapTotal: 100 kB\nSwapFree: 5 kB\n")


def reboot_due(site: Site) -> None:
    site.write("/run/reboot-required", "")


def taken_back(site: Site) -> None:
    at = {"time": "2027-01-15T08:00:00Z"}
    events = [
        {"event": "live", "release": "bad0bad0bad0", "by": "ada", **at},
        {"event": "bad", "release": "bad0bad0bad0", "step": "watch", "reason": "it answers 500", **at},
        {"event": "live", "release": RELEASE, "previous": "bad0bad0bad0", "by": watch.BY, **at},
    ]
    site.write(LEDGER, "".join(f"{json.dumps(one)}\n" for one in events))


def wrong_clock(site: Site) -> None:
    site.programs["clock"] = "wrong"


CASES: list[tuple[Callable[[Site], None], str]] = [
    (down, "shop health"),
    (dead, "shop health"),
    (wrong_dns, "shop outside"),
    (broken_site, "shop outside"),
    (dead_nginx, "host proxy"),
    (failed_unit, "host unit cron.service"),
    (failed_job, "shop job nightly"),
    (stopped_timer, "shop job nightly"),
    (stopped_process, "shop process worker"),
    (old_backup, "shop backup"),
    (failed_backup, "shop backup"),
    (failed_drill, "shop drill"),
    (old_drill, "shop drill"),
    (little_memory, "host memory"),
    (much_swap, "host swap"),
    (reboot_due, "host reboot"),
    (wrong_clock, "host clock"),
    (taken_back, "shop release"),
]


@pytest.mark.parametrize(("breaks", "condition"), CASES, ids=[one.__name__ for one, _condition in CASES])
def test_what_is_wrong_is_told_once_and_its_end_once(
    site: Site, breaks: Callable[[Site], None], condition: str, tmp_path: Path
) -> None:
    assert site.look_once() + site.look_once() == []
    before = Site(tmp_path / "as-it-was")
    breaks(site)
    told = [one for _look in range(14) for one in site.look_once()]  # longer than what is read every five minutes
    assert [one.partition(" ")[2] for one in told] == [f"alert {condition}"]
    assert [key(one) for one in site.kept()["conditions"]] == [condition]
    assert site.kept()["conditions"][0]["line"].startswith("the last line of")
    site.answers, site.units, site.programs = before.answers, before.units, before.programs
    site.saved(hours=1, days=1)
    site.write("/proc/meminfo", (before.root / "proc/meminfo").read_text())
    for file in ("/run/reboot-required", LEDGER):
        (site.root / file.lstrip("/")).unlink(missing_ok=True)
    told = [one for _look in range(14) for one in site.look_once()]
    assert [one.partition(" ")[2] for one in told] == [f"resolved {condition}"]
    assert site.kept()["conditions"] == []


def test_an_app_that_answers_500_is_told_by_the_first_look(site: Site) -> None:
    site.look_once()
    down(site)
    assert [one.partition(" ")[2] for one in site.look_once()] == ["alert shop health"]
    assert site.kept()["apps"]["shop"]["state"] == "down"
    site.answers.clear()
    assert [one.partition(" ")[2] for one in site.look_once()] == ["resolved shop health"]


def test_an_app_that_is_bad_for_a_moment_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.look_once()
    statuses = iter([500, 200])

    def ask(questions: Mapping[str, Question], _seconds: float) -> dict[str, Answer]:
        return {**dict.fromkeys(questions, Answer(200, 0.1)), "shop": Answer(next(statuses), 0.1)}

    monkeypatch.setattr(gather, "ask", ask)
    assert site.look_once() == []
    assert site.kept()["apps"]["shop"]["status"] == 200


def test_one_that_hangs_keeps_the_look_from_telling_of_others_for_a_few_seconds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of_look = [0.0]
    asked: list[set[str]] = []

    def ask(questions: Mapping[str, Question], seconds: float) -> dict[str, Answer]:
        asked.append(set(questions))
        clock_of_look[0] += seconds
        return {**dict.fromkeys(questions, Answer(200, 0.1)), "shop": Answer(error="no answer", seconds=seconds)}

    monkeypatch.setattr(gather, "ask", ask)
    monkeypatch.setattr("time.monotonic", lambda: clock_of_look[0])
    assert [one.partition(" ")[2] for one in site.look_once()] == ["alert shop health"]
    # Its socket and its site at the same time, or the time would count twice.
    assert asked == [{"shop", "here/shop", "there/shop"}, {"shop"}]
    assert clock_of_look[0] <= gather.MOST_ASKING


def test_log_lines_that_are_slow_to_find_keep_nothing_from_being_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of_look = [0.0]

    def of(_condition: Condition, unit: str = "") -> str:
        clock_of_look[0] += 2 * lines.SECONDS
        return f"the last line of {unit}"

    monkeypatch.setattr("time.monotonic", lambda: clock_of_look[0])
    monkeypatch.setattr(lines, "of", of)
    failed = [f"{name}.service" for name in "abcdefgh"]
    site.programs["/usr/bin/systemctl list-units"] = "".join(f"{one} loaded failed failed x\n" for one in failed)
    assert len(site.look_once()) == len(failed)
    assert clock_of_look[0] <= look.SECONDS_OF_LINES + 2 * lines.SECONDS


def test_what_an_earlier_version_has_kept_of_a_ledger_is_read_again(site: Site) -> None:
    site.look_once()
    state = State(site.root)
    memory = state.read("memory.json")
    del memory["ledgers"]["shop"]["warnings"]
    state.write("memory.json", memory)
    assert site.look_once() + site.look_once() == []


def test_errors_that_visitors_met_are_told_and_a_few_are_not(site: Site) -> None:
    site.look_once()
    good, bad = Line(NOW, 200, 0.05), Line(NOW, 500, 0.05)
    site.lines = [good] * 15 + [bad] * 4
    assert site.look_once() + site.look_once() == []
    site.lines = [good] * 60 + [bad] * 6
    assert [one.partition(" ")[2] for one in site.look_once() + site.look_once()] == ["alert shop error_rate"]
    shop = site.kept()["apps"]["shop"]
    assert (shop["requests"]["total"], shop["recent"], round(shop["error_rate"], 2)) == (85, 85, 0.12)


def test_the_errors_of_an_outage_are_not_told_after_it(site: Site) -> None:
    site.look_once()
    down(site)
    site.lines = [Line(NOW, 500, 0.05)] * 100
    site.look_once()
    site.answers.clear()
    told = [one.partition(" ")[2] for _look in range(5) for one in site.look_once()]
    assert told == ["resolved shop health"]


def test_slow_answers_are_told_where_a_limit_is_set(site: Site) -> None:
    for limit, told in ((0, []), (300, ["alert shop latency"])):
        site.settings = replace(site.settings, apps={"shop": watched({"name": "shop", "alerts": {"p95_ms": limit}})})
        found = []
        for _look in range(3):
            site.lines = [Line(NOW, 200, 0.9)] * 40
            found += site.look_once()
        assert [one.partition(" ")[2] for one in found] == told


def test_a_process_that_restarts_is_told(site: Site) -> None:
    site.look_once()
    told = []
    for restarts in range(1, 6):
        site.units[WORKER] = {**site.units[WORKER], "NRestarts": str(restarts)}
        told += site.look_once()
    assert [one.partition(" ")[2] for one in told] == ["alert shop process worker"]
    assert "restarted it 5 times" in site.kept()["conditions"][0]["message"]


@pytest.mark.parametrize(("share", "severity"), [(0.89, ""), (0.91, "warning"), (0.99, "critical")])
def test_a_full_disk_is_told(site: Site, share: float, severity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = {"mount": "/", "size": 1000, "free": round(1000 * (1 - share)), "inodes": 100, "inodes_free": 50}
    monkeypatch.setattr(machine, "disks", lambda _apps, _host: [disk])
    told = [one.partition(" ")[2] for _look in range(3) for one in site.look_once()]
    assert told == (["alert host disk /"] if severity else [])
    assert [one["severity"] for one in site.kept()["conditions"]] == [severity] * bool(severity)


@pytest.mark.parametrize(
    ("lifetime", "left", "severity"),
    [(90, 30, ""), (90, 20, "warning"), (90, 2, "critical"), (90, -1, "critical"), (365, 60, ""), (365, 29, "warning")],
)
def test_a_certificate_near_its_end_is_told(
    site: Site, lifetime: int, left: int, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = NOW + left * 86400
    monkeypatch.setattr(der, "validity", lambda _raw: (ends - lifetime * 86400, ends))
    site.answers["here/shop"] = Answer(200, 0.1, certificate=b"1")
    site.look_once()
    site.look_once()
    assert [(key(one), one["severity"]) for one in site.kept()["conditions"]] == [
        ("shop certificate", severity)
    ] * bool(severity)
    assert site.kept()["apps"]["shop"]["certificate_expires"] == ends


@pytest.mark.parametrize("where", ["maintenance", "paused"])
def test_an_app_in_maintenance_or_stopped_by_the_engine_is_not_told_of(site: Site, where: str) -> None:
    site.look_once()
    file = on_host("maintenance", "shop") if where == "maintenance" else f"{on_host('runtime')}/release/shop/paused"
    there = site.write(file, "")
    dead(site)
    site.asked.clear()
    assert [one for _look in range(5) for one in site.look_once()] == []
    assert "shop" not in site.asked
    there.unlink()
    assert [one.partition(" ")[2] for one in site.look_once()] == ["alert shop health"]


def test_a_running_deploy_has_patience(site: Site) -> None:
    site.look_once()
    site.units["groundwork-release@shop.service"] = {"LoadState": "loaded", "ActiveState": "activating"}
    dead(site)
    told = [site.look_once() for _look in range(4)]
    assert [len(one) for one in told] == [0, 0, 0, 1]


def test_what_one_part_cannot_read_is_told_and_ends_nothing(site: Site) -> None:
    failed_job(site)
    site.look_once()
    units, site.units = site.units, {}
    site.programs = {"/usr/bin/systemctl": TimeoutError("it hangs")}
    told = [one.partition(" ")[2] for _look in range(6) for one in site.look_once()]
    assert told == ["alert host watch units"]
    site.units, site.programs = units, {"/usr/bin/systemctl list-units": ""}
    assert [one.partition(" ")[2] for _look in range(6) for one in site.look_once()] == ["resolved host watch units"]


def test_an_app_of_which_nobody_is_to_be_told(site: Site) -> None:
    site.settings = replace(site.settings, apps={"shop": watched({"name": "shop", "alerts": {"enabled": False}})})
    dead(site)
    assert site.look_once() + site.look_once() == []
    assert site.kept()["apps"]["shop"]["state"] == "down"


def test_a_unit_that_has_failed_and_runs_again_is_told(site: Site) -> None:
    site.look_once()
    for unit in ("groundwork-backup.service", "groundwork-blah-step-1.service", "gone.service", "groundwork-x.service"):
        site.write(f"{on_host('watch')}/failed/{unit}", "")
    loaded = {"LoadState": "loaded", "ActiveState": "inactive"}
    site.units["groundwork-backup.service"] = site.units["groundwork-blah-step-1.service"] = loaded
    site.units["groundwork-x.service"] = {**loaded, "FragmentPath": "/run/systemd/transient/groundwork-x.service"}
    told = [one.partition(" ")[2] for _look in range(6) for one in site.look_once()]
    assert told == ["alert host unit groundwork-backup.service", "resolved host unit groundwork-backup.service"]
    assert list(State(site.root).noted.iterdir()) == []


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
