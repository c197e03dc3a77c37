"""What the app's command shows: releases and status."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import command, host_warnings, work
from ansible_collections.groundwork.flask.tests.unit.release_app import App
from ansible_collections.groundwork.flask.tests.unit.release_command_host import HOLDER

ROW: dict[str, Any] = {
    "release": "3f9c01d2ab44",
    "state": "good",
    "version": "v1.2 (0123456789)",
    "source": "https://example.org/shop.git v1.2 (0123456789)",
    "by": "ann@laptop",
    "time": "2026-01-02T03:04:05Z",
    "seconds": 7.25,
    "health": 12,
    "migration_heads": ["rev1"],
    "reason": "",
    "kept": True,
}


def call(app: App, *words: str) -> None:
    command.main([app.name, *words], app.root)


class TestTable:
    """The releases as a person reads them."""

    @pytest.mark.parametrize(
        ("change", "cells"),
        [
            ({}, ["good", "v1.2 (0123456789)", "2026-01-02 03:04", "ann@laptop", "7.2 s", "12 ms", "rev1"]),
            ({"migration_heads": ["r1", "r2"]}, [..., ..., ..., ..., ..., ..., "r1, r2"]),
            ({"migration_heads": []}, [..., ..., ..., ..., ..., ..., "none yet"]),
            ({"migration_heads": None, "health": None, "seconds": None}, ["good", ..., ..., "ann@laptop"]),
            ({"state": "bad", "kept": False, "reason": "it broke"}, ["bad, gone", ..., ..., ..., ..., ..., ...]),
        ],
    )
    def test_a_row(self, change: dict[str, Any], cells: list[Any]) -> None:
        lines = command.table([{**ROW, **change}]).splitlines()
        assert re.split(r"\s\s+", lines[0]) == list(command.COLUMNS)
        found = re.split(r"\s\s+", lines[1])
        assert found == [
            "3f9c01d2ab44",
            *(old if new is ... else new for old, new in zip(found[1:], cells, strict=True)),
        ]
        assert lines[2:] == ([f"3f9c01d2ab44 is bad: {change['reason']}"] if "reason" in change else [])

    def test_columns_stand_below_each_other(self) -> None:
        lines = command.table([ROW, {**ROW, "version": "v1.10-with-a-long-name", "by": "b"}]).splitlines()
        assert len({line.index("2026") for line in lines[1:]} | {lines[0].index("when")}) == 1
        assert not [line for line in lines if line != line.rstrip()]

    def test_printed(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        call(host, "releases")
        lines = capsys.readouterr().out.splitlines()
        assert [re.split(r"\s\s+", line)[:2] for line in lines[1:]] == [
            [host.at.live(), "live"],
            [host.ledger.way_back()[0], "good"],
        ]

    def test_as_json(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        call(host, "releases", "--json")
        assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["live", "good"]
        command.main(["-", "releases", "--json"], host.root)
        assert [len(rows) for rows in json.loads(capsys.readouterr().out).values()] == [2]


FACTS: dict[str, Any] = {
    "app": "shop",
    "release": "3f9c01d2ab44",
    "version": "v1.2",
    "deployed": "2026-01-02T03:04:05Z",
    "by": "ann@laptop",
    "unit": "shop@3f9c01d2ab44.service",
    "state": "active",
    "since": "Fri 2026-01-02 03:04:04 UTC",
    "restarts": 0,
    "memory": 100 * 2**20,
    "workers": "5 workers: (2 x 2 cores) + 1",
    "units": [{"name": "shop@3f9c01d2ab44.service", "kind": "web", "state": "active"}],
    "watch": {},
    "at_work": "",
    "warnings": [],
}


def install(host: App, program: str, says: Any) -> None:
    """Put a program of the host in place, which says this of its state."""
    path = host.at.tools / program
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text(says if isinstance(says, str) else json.dumps(says))
    path.write_text(f"#!/bin/sh\n[ \"$*\" = 'status --json' ] && cat {path}.txt\n")
    path.chmod(0o755)
    host_warnings.report.cache_clear()


class TestStatus:
    """How the app stands."""

    @pytest.mark.parametrize(
        ("change", "lines"),
        [
            (
                {},
                [
                    "release   3f9c01d2ab44, v1.2",
                    "deployed  2026-01-02T03:04:05Z by ann@laptop",
                    "state     active since Fri 2026-01-02 03:04:04 UTC",
                    "workers   5 workers: (2 x 2 cores) + 1",
                    "memory    100 MB",
                ],
            ),
            (
                {
                    "memory": None,
                    "workers": "",
                    "units": [{"name": "shop.worker@3f9c01d2ab44.service", "kind": "process", "state": "failed"}],
                },
                [
                    "release   3f9c01d2ab44, v1.2",
                    "deployed  2026-01-02T03:04:05Z by ann@laptop",
                    "state     active since Fri 2026-01-02 03:04:04 UTC",
                    "process   shop.worker@3f9c01d2ab44.service, failed",
                ],
            ),
            (
                {
                    "restarts": 3,
                    "memory": None,
                    "workers": "",
                    "at_work": "a deploy by bob",
                    "warnings": ["the key is short", "backup: none"],
                },
                [
                    "release   3f9c01d2ab44, v1.2",
                    "deployed  2026-01-02T03:04:05Z by ann@laptop",
                    "state     active since Fri 2026-01-02 03:04:04 UTC",
                    "restarts  3",
                    "at work   a deploy by bob",
                    "warning   the key is short",
                    "warning   backup: none",
                ],
            ),
            (
                {"memory": None, "workers": "", "refused": {"release": "b1", "time": "2026-01-03", "reason": "no"}},
                [
                    "release   3f9c01d2ab44, v1.2",
                    "deployed  2026-01-02T03:04:05Z by ann@laptop",
                    "state     active since Fri 2026-01-02 03:04:04 UTC",
                    "refused   b1 on 2026-01-03: no",
                ],
            ),
            (
                dict.fromkeys(FACTS, "") | {"release": None, "state": "no release is live", "memory": None},
                ["release   none", "state     no release is live"],
            ),
        ],
    )
    def test_lines(self, change: dict[str, Any], lines: list[str]) -> None:
        assert command.status_lines({**FACTS, **change}).splitlines() == lines

    @pytest.mark.parametrize(
        ("memory", "found"), [("104857600", 104857600), ("[not set]", None), ("18446744073709551615", None), ("", None)]
    )
    def test_what_systemd_says(
        self, host: App, monkeypatch: pytest.MonkeyPatch, memory: str, found: int | None
    ) -> None:
        live = host.at.live()
        names = {kind: f"{host.name}@{live}.{kind}" for kind in ("socket", "service")}
        shown = (
            f"Id={names['socket']}\nActiveState=active\nNRestarts=0\n\n"
            f"Id={names['service']}\nActiveState=active\nActiveEnterTimestamp=Fri 2026-01-02\nNRestarts=2\n"
            f"MemoryCurrent={memory}\n"
        )
        monkeypatch.setattr(host.system, "systemctl", lambda *_words: type("Done", (), {"stdout": shown}))
        workers = host.root / f"run/{host.name}-{live}/workers"
        workers.parent.mkdir(parents=True)
        workers.write_text("5 workers\n")
        monkeypatch.setattr(work, "active_run", lambda _app: HOLDER)
        host.at.watch.unlink()
        facts = command.status(host.at)
        assert (
            facts["at_work"] == "a deploy of shop by bob@desk since 2026-01-02T03:04:05Z (process 7, at step command)"
        )
        last = host.ledger.events()[-1]
        assert {name: text for name, text in facts.items() if name != "at_work"} == {
            "app": host.name,
            "release": live,
            "version": last["version"],
            "deployed": last["time"],
            "by": "ann@laptop",
            "unit": f"{host.name}@{live}.service",
            "state": "active",
            "since": "Fri 2026-01-02",
            "restarts": 2,
            "memory": found,
            "workers": "5 workers",
            "units": [
                {"name": names["socket"], "kind": "socket", "state": "active"},
                {"name": names["service"], "kind": "web", "state": "active"},
            ],
            "watch": {},
            "warnings": [],
            "refused": {},
        }

    def test_warnings_of_the_live_release_and_of_the_host_s_programs(self, host: App) -> None:
        host.system.facts["session_cookie_secure"] = False
        host.deploy("green")
        own, small = f"The last backup of {host.name} failed: x", "host: its copy is small"
        backup = {
            "sets": {host.name: {"warnings": [own]}, "host": {"warnings": [small]}, "blog": {}},
            "warnings": ["All backups are on this host.", small, own],
        }
        error = f"{host.name}.test: no address\x1b[2J"
        install(host, "backup", backup)
        install(host, "certificate", {"names": {host.name: {"error": error}, "blog": {"error": "late"}}})
        (release, *others) = command.status(host.at)["warnings"]
        assert "SESSION_COOKIE_SECURE" in release
        assert others == [
            f"certificate: {host.name}.test: no address\\x1b[2J",
            "backup: All backups are on this host.",
            f"backup: {own}",
        ]

    @pytest.mark.parametrize("output", ["", "[]", "not JSON"])
    def test_a_program_that_cannot_say_how_it_stands_hides_nothing_else(self, host: App, output: str) -> None:
        install(host, "backup", output)
        assert command.status(host.at)["warnings"] == []

    def test_printed(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        call(host, "status")
        assert capsys.readouterr().out.startswith(f"release   {host.at.live()}, shop (aaaaaaaaaa)\n")
        call(host, "status", "--json")
        assert json.loads(capsys.readouterr().out)["release"] == host.at.live()

    def test_without_a_live_release(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        host.at.current.unlink()
        call(host, "status")
        assert capsys.readouterr().out == "release   none\nstate     no release is live\n"

    def test_of_several_apps(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        (host.root / "srv/blog/releases/A").mkdir(parents=True)
        (host.root / "srv/blog/releases/A/release.json").write_text("{}")
        (host.root / "srv/blog/current").symlink_to("releases/A")
        command.main(["-", "status"], host.root)
        said = capsys.readouterr().out
        assert said.index("blog:\n") < said.index(f"\n\n{host.name}:\n")
        command.main([f"{host.name},blog", "status", "--json"], host.root)
        assert list(json.loads(capsys.readouterr().out)) == [host.name, "blog"]
