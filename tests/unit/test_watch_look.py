"""A look at a host in a directory: each thing that can be wrong is a condition, told once, as is its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.release import watch
from ansible_collections.groundwork.flask.plugins.module_utils.watch import (
    der,
    gather,
    lines,
    look,
    machine,
)
from ansible_collections.groundwork.flask.plugins.module_utils.watch.ask import Answer, Question
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Condition
from ansible_collections.groundwork.flask.plugins.module_utils.watch.requests import Line
from ansible_collections.groundwork.flask.plugins.module_utils.watch.settings import watched
from ansible_collections.groundwork.flask.plugins.module_utils.watch.state import State
from ansible_collections.groundwork.flask.tests.unit.watch_site import (
    LEDGER,
    NGINX,
    NOW,
    RELEASE,
    WORKER,
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


def dead(site: Site) -> None:
    site.answers["shop"] = Answer(None, 0.0, "Connection refused")


def broken_site(site: Site) -> None:
    site.answers["here/shop"] = site.answers["there/shop"] = Answer(502, 0.1)


def dead_nginx(site: Site) -> None:
    site.units["nginx.service"] = {**NGINX, "ActiveState": "failed"}
    site.answers["here/shop"] = site.answers["there/shop"] = Answer(None, 0.0, "Connection refused")


def failed_unit(site: Site) -> None:
    site.programs["/usr/bin/systemctl list-units"] = "cron.service loaded failed failed Regular background programs"
    site.units["cron.service"] = {"LoadState": "loaded", "ActiveState": "failed", "Result": "exit-code"}


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


def test_a_web_server_that_was_stopped_is_told_by_the_first_look(site: Site) -> None:
    site.look_once()
    site.units["nginx.service"] = {**NGINX, "ActiveState": "inactive"}
    site.answers["here/shop"] = site.answers["there/shop"] = Answer(None, 0.0, "Connection refused")
    assert [one.partition(" ")[2] for one in site.look_once(5.0)] == ["alert host proxy"]


def test_a_backup_that_failed_is_told_of_its_set_and_not_of_its_unit_too(site: Site) -> None:
    site.look_once()
    failed_backup(site)
    row = "groundwork-backup.service loaded failed failed Back up every backup set"
    site.programs["/usr/bin/systemctl list-units"] = row
    assert [one.partition(" ")[2] for _look in range(3) for one in site.look_once()] == ["alert shop backup"]
    site.saved(hours=0, days=2)  # what else the unit does has failed
    told = [one.partition(" ")[2] for one in site.look_once()]
    assert told == ["alert host unit groundwork-backup.service"]


def test_a_timer_that_a_deploy_has_stopped_has_missed_nothing(site: Site) -> None:
    site.units["shop.nightly.timer"] = {"LoadState": "loaded", "ActiveState": "inactive"}
    site.units["groundwork-release@shop.service"] = {"LoadState": "loaded", "ActiveState": "active"}
    assert [one for _look in range(5) for one in site.look_once()] == []
    assert site.kept()["apps"]["shop"]["jobs"]["nightly"]["result"] == ""
    del site.units["groundwork-release@shop.service"]
    assert [one.partition(" ")[2] for _look in range(2) for one in site.look_once()] == ["alert shop job nightly"]


def test_an_app_whose_server_was_stopped_is_told_with_how_to_start_it(site: Site) -> None:
    site.look_once()
    site.answers["shop"] = Answer(None, 0.0, "Connection refused")
    site.units[f"shop@{RELEASE}.service"] = {"LoadState": "loaded", "ActiveState": "inactive"}
    site.look_once()
    (told,) = site.kept()["conditions"]
    assert told["message"] == "The app does not run: its server is stopped."
    assert told["command"] == f"systemctl start shop@{RELEASE}.service; shop status; shop logs"


@pytest.mark.parametrize(
    ("wrong", "command"),
    [
        (wrong_dns, "getent ahosts shop.example.org; ip -br address; nft list ruleset"),
        (broken_site, "shop logs; journalctl -u nginx -u apache2 -n 20"),
    ],
)
def test_what_to_try_is_on_every_host(site: Site, wrong: Callable[[Site], None], command: str) -> None:
    wrong(site)
    site.look_once()
    (told,) = site.kept()["conditions"]
    assert told["command"] == command  # curl, for one, is not
