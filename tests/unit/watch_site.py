"""A host in a directory for tests of the look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host, path
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import Look as Host
from ansible_collections.groundwork.flask.plugins.module_utils.watch import (
    gather,
    lines,
    look,
    machine,
    requests,
)
from ansible_collections.groundwork.flask.plugins.module_utils.watch.ask import Answer, Question
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Receiver
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Settings as Receivers
from ansible_collections.groundwork.flask.plugins.module_utils.watch.requests import Line, Place, Reading
from ansible_collections.groundwork.flask.plugins.module_utils.watch.settings import Settings, Watched
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


def well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The host, which is well and on which nothing takes time."""
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


def wrong_dns(site: Site) -> None:
    site.answers["there/shop"] = Answer(None, 5.0, "Connection timed out")


def failed_job(site: Site) -> None:
    exit_at = "Tue 2026-12-01 02:37:13 UTC"
    site.units["shop.nightly.service"] = {
        "LoadState": "loaded",
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "1",
        "ExecMainExitTimestamp": exit_at,
    }
