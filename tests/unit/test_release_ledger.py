"""What is remembered of an app's releases, and what they say of themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout, apps
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import Ledger, states
from ansible_collections.groundwork.flask.tests.unit.release_app import App


@pytest.fixture
def at(tmp_path: Path) -> Layout:
    return Layout("shop", tmp_path)


def happen(at: Layout, *events: str) -> Ledger:
    """Let releases go live as their events tell: ``deploy A``, ``back A``, ``bad A``, ``removed``, ``gone A``."""
    ledger = Ledger(at)
    for event in events:
        what, _space, release = event.partition(" ")
        directory = at.release(release)
        if what in ("deploy", "back", "bad"):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "release.json").write_text("{}")
        if what in ("deploy", "back"):
            at.current.unlink(missing_ok=True)
            at.current.symlink_to(f"releases/{release}")
            ledger.append("live", release, action="rolled_back" if what == "back" else "deployed")
        elif what == "bad":
            (directory / "bad").touch()
            ledger.append("bad", release, reason="it broke", step="import")
        elif what == "gone":
            (directory / "release.json").unlink()
        else:
            ledger.append(what, release)
    return ledger


class TestWayBack:
    """Where a rollback goes to."""

    @pytest.mark.parametrize(
        ("events", "way"),
        [
            ("", ""),
            ("deploy A", ""),
            ("deploy A, deploy B, deploy C", "BA"),
            ("deploy A, deploy B, deploy C, back B", "A"),
            ("deploy A, deploy B, deploy C, back B, back A", ""),
            ("deploy A, deploy B, deploy C, back B, back A, deploy D", "A"),
            ("deploy A, deploy B, deploy C, back A, deploy D, back A", ""),
            ("deploy A, deploy B, back A, back B", "A"),
            ("deploy A, deploy B, deploy A", "B"),
            ("deploy A, deploy B, deploy B", "A"),
            ("deploy A, deploy B, bad C", "A"),
            ("deploy A, bad B, deploy C", "A"),
            ("deploy A, deploy B, deploy C, bad B", "A"),
            ("deploy A, deploy B, deploy C, gone B", "A"),
            ("deploy A, begin B, deploy B", "A"),
            ("deploy A, deploy B, removed, deploy C", ""),
            ("deploy A, deploy B, removed, deploy C, deploy D", "C"),
        ],
    )
    def test_after(self, at: Layout, events: str, way: str) -> None:
        assert happen(at, *filter(None, events.split(", "))).way_back() == list(way)


class TestLedger:
    """One JSON object a line, for other tools too."""

    def test_lines(self, at: Layout) -> None:
        ledger = happen(at, "begin A", "deploy A")
        lines = [json.loads(line) for line in at.ledger.read_text().splitlines()]
        assert [(line["event"], line["release"]) for line in lines] == [("begin", "A"), ("live", "A")]
        assert lines == ledger.events()
        assert all(len(line["time"]) == 20 for line in lines)

    @pytest.mark.parametrize("torn", [b'{"time": "2026-01', b"\0\0\0\0", b"\xff\xfe", b"{"])
    def test_a_torn_last_line_stays_alone(self, at: Layout, torn: bytes) -> None:
        happen(at, "deploy A", "deploy B")
        with at.ledger.open("ab") as stream:
            stream.write(torn)
        assert len(Ledger(at).events()) == 2
        ledger = happen(at, "deploy C")
        assert [event["release"] for event in ledger.events()] == ["A", "B", "C"]
        assert ledger.way_back() == ["B", "A"]

    def test_texts_of_more_than_one_line(self, at: Layout) -> None:
        Ledger(at).append("bad", "A", log="one\ntwo\r\x85\u2028three ☃")
        assert Ledger(at).events()[0]["log"] == "one\ntwo\r\x85\u2028three ☃"
        assert len(at.ledger.read_bytes().splitlines()) == 1

    def test_the_heads_of_a_release(self, at: Layout) -> None:
        ledger = Ledger(at)
        ledger.append("live", "A", migration_heads={"before": None, "after": ["r1"]})
        ledger.append("live", "A", migration_heads={"before": ["r1"], "after": ["r2"]})
        ledger.append("bad", "A", reason="later")
        ledger.append("live", "B", migration_heads={"before": ["r2"], "after": None})
        ledger.append("live", "C", heads={"before": None, "after": []})
        assert [ledger.migration_heads(release) for release in "ABCD"] == [["r2"], None, [], None]


class TestStates:
    """What is shown of the releases."""

    @pytest.mark.parametrize(
        ("events", "found"),
        [
            ("", []),
            ("deploy A, deploy B", [("B", "live", True), ("A", "good", True)]),
            ("deploy A, deploy B, back A", [("A", "live", True), ("B", "good", True)]),
            ("deploy A, bad B", [("B", "bad", True), ("A", "live", True)]),
            ("deploy A, bad B, gone B", [("B", "bad", False), ("A", "live", True)]),
            ("deploy A, deploy B, gone A", [("B", "live", True)]),
            ("deploy A, removed, deploy B", [("B", "live", True)]),
            ("deploy A, begin B", [("A", "live", True)]),
        ],
    )
    def test_after(self, at: Layout, events: str, found: list[tuple[str, str, bool]]) -> None:
        happen(at, *filter(None, events.split(", ")))
        assert [(row["release"], row["state"], row["kept"]) for row in states(at)] == found

    def test_what_is_known_of_a_release(self, app: App) -> None:
        app.system.facts["migration_heads"] = ["r1"]
        done = app.engine().deploy()
        row = states(app.at)[0]
        assert row["time"] == app.ledger.events()[-1]["time"]
        assert {
            name: row[name] for name in ("release", "state", "version", "source", "by", "seconds", "migration_heads")
        } == {
            "release": done.release,
            "state": "live",
            "version": "shop (aaaaaaaaaa)",
            "source": "shop (aaaaaaaaaa)",
            "by": "ann@laptop",
            "seconds": done.seconds,
            "migration_heads": ["r1"],
        }
        assert row["health"] >= 0

    def test_not_more_than_one_can_read(self, at: Layout) -> None:
        happen(at, *(f"bad {number}" for number in range(30)))
        assert [row["release"] for row in states(at)] == [str(number) for number in range(29, 9, -1)]

    def test_the_live_one_however_many_failed_after_it(self, at: Layout) -> None:
        happen(at, "deploy A", *(f"bad {number}" for number in range(30)))
        assert [(row["release"], row["state"]) for row in states(at)][19:] == [("10", "bad"), ("A", "live")]


def test_the_apps_of_a_host(tmp_path: Path) -> None:
    for name, events in {"shop": ["deploy A"], "blog": ["deploy A", "gone A"], "api": ["deploy A"]}.items():
        happen(Layout(name, tmp_path), *events)
    (tmp_path / "srv/exports").mkdir()
    assert apps(tmp_path) == ["api", "shop"]


@pytest.mark.parametrize(("link", "live"), [("releases/A", "A"), ("releases/B", None), ("elsewhere", None), ("", None)])
def test_what_is_live(at: Layout, link: str, live: Any) -> None:
    happen(at, "deploy A")
    at.current.unlink()
    if link:
        at.current.symlink_to(link)
    assert at.live() == live


class TestWorkers:
    """A file of the app's, which may be anything."""

    @pytest.fixture
    def told(self, at: Layout) -> Path:
        path = at.root / "run/shop-A/workers"
        path.parent.mkdir(parents=True)
        return path

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("5 workers: (2 x 2 cores) + 1\n", "5 workers: (2 x 2 cores) + 1"),
            ("", ""),
            ("one\ntwo\r\x1b[2J\u202e\n", "one two\\r\\x1b[2J\\u202e"),
            ("x" * 300, "x" * 199 + "…"),
            ("x" * 5000, ""),
        ],
        ids=["plain", "empty", "controls", "long", "too long"],
    )
    def test_what_is_shown(self, at: Layout, told: Path, text: str, shown: str) -> None:
        told.write_text(text)
        assert at.workers("A") == shown

    def test_what_is_no_text(self, at: Layout, told: Path) -> None:
        told.write_bytes(b"5 \xff workers\x9b")
        assert at.workers("A") == "5 \ufffd workers\ufffd"

    @pytest.mark.parametrize("link", ["/etc/hostname", "../../secret", "workers", "gone"])
    def test_a_link(self, at: Layout, told: Path, link: str) -> None:
        (at.root / "secret").write_text("secret")
        told.symlink_to(link)
        assert at.workers("A") == ""

    def test_a_directory_that_is_a_link(self, at: Layout, told: Path) -> None:
        told.write_text("5 workers")
        (at.root / "run/shop-B").symlink_to("shop-A")
        assert (at.workers("A"), at.workers("B"), at.workers("C")) == ("5 workers", "", "")

    def test_a_fifo_and_a_directory(self, at: Layout, told: Path) -> None:
        os.mkfifo(told)
        assert at.workers("A") == ""
        told.unlink()
        told.mkdir()
        assert at.workers("A") == ""
