"""The requests that the proxy has logged in the apps' journals since the last look."""

from __future__ import annotations

import ast
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch import requests
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import BUCKETS, Requests
from ansible_collections.groundwork.flask.plugins.module_utils.watch.requests import Line, Place
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE

NGINX = {"id": "a" * 32, "method": "GET", "uri": "/p?q=1", "status": "200", "seconds": 0.013}
APACHE = {"id": "b" * 32, "method": "POST", "uri": "/p", "status": "502", "microseconds": 1300000}


def entry(message: Any, app: str = "shop", cursor: str = "c1", name: str = "nginx", at: int = 5_000_000) -> str:
    said = json.dumps(message) if isinstance(message, dict) else message
    fields = {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": str(at), "_NAMESPACE": app, "SYSLOG_IDENTIFIER": name}
    return json.dumps({**fields, "MESSAGE": said}) + "\n"


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    for name in ("id", "id.shop", "id.blog", "id.other"):
        (tmp_path / "journal" / name).mkdir(parents=True)
        (tmp_path / "journal" / name / "system.journal").touch()
    return tmp_path / "journal"


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A program in its place; the file that holds the arguments of its calls."""

    def install(code: str) -> Path:
        calls, program = tmp_path / "calls", tmp_path / "journalctl"
        program.write_text(
            f"#!{sys.executable} -IS\nimport sys, time\nargv = sys.argv[1:]\n"
            f"open({str(calls)!r}, 'a').write(repr(argv) + '\\n')\n{code}\n"
        )
        program.chmod(0o755)
        monkeypatch.setattr(requests, "JOURNALCTL", str(program))
        return calls

    return install


def prints(text: str) -> str:
    return f"sys.stdout.write({text!r})"


@pytest.mark.parametrize(
    ("message", "name", "line"),
    [
        (NGINX, "nginx", Line(5.0, 200, 0.013, "GET", "/p?q=1", "a" * 32)),
        (APACHE, "apache2", Line(5.0, 502, 1.3, "POST", "/p", "b" * 32)),
        # journalctl writes a message as numbers when it is no UTF-8.
        ([*b'{"status":"404","seconds":1,"uri":"/\xff"}'], "nginx", Line(5.0, 404, 1.0, "", "/�")),
        (NGINX, "gunicorn", None),
        ("2026/11/30 06:30:00 [error] 7#7: *1 connect() failed", "nginx", None),
        ("[1]", "nginx", None),
        ("{}", "nginx", None),
        ([999], "nginx", None),
        (None, "nginx", None),
        ({"status": "200"}, "nginx", None),
    ],
)
def test_request_of(message: Any, name: str, line: Line | None) -> None:
    assert requests.request_of(json.loads(entry(message, name=name))) == line


def test_first_look_notes_where_to_begin(journals: Path, journalctl: Callable[[str], Path]) -> None:
    calls = journalctl(prints(entry(NGINX, cursor="here")))
    reading = requests.read(["shop"], Place(), journals)
    assert (reading.lines, reading.place.cursor) == ({"shop": []}, "here")
    assert "--lines=1" in calls.read_text()


def test_each_app_gets_its_own(journals: Path, journalctl: Callable[[str], Path]) -> None:
    said = (
        entry(NGINX, cursor="before")
        + entry(NGINX)
        + entry(APACHE, "blog", name="apache2")
        + entry(NGINX, "other")
        + "no JSON\n"
        + entry(NGINX)
    )
    calls = journalctl(prints(said + entry("an error", cursor="last")))
    reading = requests.read(["shop", "blog", "idle"], Place("before", time.time()), journals)
    assert {app: [line.status for line in lines] for app, lines in reading.lines.items()} == {
        "shop": [200, 200],
        "blog": [502],
        "idle": [],
    }
    assert reading.place.cursor == "last"
    argv = ast.literal_eval(calls.read_text())
    assert "--cursor=before" in argv
    # What the app itself has written is not read, nor what is not asked for.
    assert {"_SYSTEMD_UNIT=nginx.service", "_SYSTEMD_UNIT=apache2.service"} <= set(argv)
    assert [word for word in argv if word.startswith("--file")] == [
        f"--file={journals}/id.{app}/system.journal" for app in ("blog", "shop")
    ]


def test_nothing_new_keeps_the_place(journals: Path, journalctl: Callable[[str], Path]) -> None:
    journalctl("")
    began = time.time()
    reading = requests.read(["shop"], Place("before", 5.0), journals)
    assert (reading.place.cursor, reading.lines, reading.skipped) == ("before", {"shop": []}, ())
    assert reading.place.time >= began


def test_files_that_may_hold_something_newer(journals: Path) -> None:
    for name, changed in {
        "system@1.journal": 1000.0,
        "system@2.journal": 2000.0,
        "user-1000@2.journal": 2000.0,
    }.items():
        (journals / "id.shop" / name).touch()
        os.utime(journals / "id.shop" / name, (changed, changed))
    os.utime(journals / "id.shop/system.journal", (1.0, 1.0))
    found = [Path(path).name for path in requests.changed(["shop"], 2000.0, journals)]
    assert found == ["system.journal", "system@2.journal"]
    assert requests.changed(["gone"], 2000.0, journals) == []
    assert requests.changed(["shop"], 2000.0, journals / "none") == []


def test_failed_attempt_is_made_again_by_the_time(journals: Path, journalctl: Callable[[str], Path]) -> None:
    """A file got another name meanwhile, or the cursor is of a journal that is gone."""
    code = f"if any(word.startswith('--cursor') for word in argv):\n    {prints(entry(NGINX))}\n    sys.exit(1)\n"
    calls = journalctl(code + prints(entry(NGINX) + entry(APACHE, name="apache2")))
    assert len(requests.read(["shop"], Place("gone", 5.0), journals).lines["shop"]) == 2
    assert "--since=@5.000000" in calls.read_text()


def test_failure_is_an_error(journals: Path, journalctl: Callable[[str], Path]) -> None:
    journalctl("sys.exit(1)")
    with pytest.raises(OSError, match="status 1"):
        requests.read(["shop"], Place("before", 5.0), journals)


def test_files_of_one_app_that_come_and_go_hide_no_other(journals: Path, journalctl: Callable[[str], Path]) -> None:
    code = "if any('.shop' in word for word in argv):\n    sys.exit(1)\n"
    journalctl(code + prints(entry(APACHE, "blog", "c2", "apache2")))
    reading = requests.read(["shop", "blog"], Place("before", 5.0), journals)
    assert [line.status for line in reading.lines["blog"]] == [502]
    assert reading.lines["shop"] == []
    assert reading.skipped == ("shop",)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"cursor": 7, "time": "x"}'])
def test_damaged_place_begins_anew(damage: str, tmp_path: Path) -> None:
    (tmp_path / "cursor").write_text(damage)
    assert requests.place_in(tmp_path / "cursor") == requests.place_in(tmp_path / "none") == Place()


def test_place_is_read_as_it_was_kept(tmp_path: Path) -> None:
    (tmp_path / "cursor").write_text('{"cursor": "here", "time": 5.5}')
    assert requests.place_in(tmp_path / "cursor") == Place("here", 5.5)


FLOOD = """
shop = any('.shop' in word for word in argv)
if '--lines=1' in argv:
    sys.stdout.write(LAST)
else:
    if shop:
        sys.stdout.write(SHOP * 1000)
        sys.stdout.flush()
        time.sleep(SLEEP)
    if any('.blog' in word for word in argv):
        sys.stdout.write(BLOG)
"""


@pytest.mark.parametrize("sleep", [0, 600])
def test_flood_of_one_app_hides_no_other(
    sleep: int, journals: Path, journalctl: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bytes, and in time."""
    monkeypatch.setattr(requests, "MOST_BYTES", 100_000 if not sleep else 10_000_000)
    given = {"SHOP": entry(NGINX), "BLOG": entry(APACHE, "blog", name="apache2"), "LAST": entry(NGINX, cursor="end")}
    journalctl("".join(f"{name} = {text!r}\n" for name, text in given.items()) + f"SLEEP = {sleep}\n{FLOOD}")
    # Each app has a half of the time. The second where the machine was too busy for the first.
    for seconds in (4.0, 2 * PATIENCE) if sleep else (2 * PATIENCE,):
        monkeypatch.setattr(requests, "MOST_SECONDS", seconds)
        began = time.monotonic()
        reading = requests.read(["shop", "blog"], Place("before", 5.0), journals)
        assert time.monotonic() - began < 5 * PATIENCE
        if reading.skipped == ("shop",) and reading.lines["shop"] and reading.place.cursor == "end":
            break
    assert [line.status for line in reading.lines["blog"]] == [502]
    assert reading.lines["shop"]
    assert reading.skipped == ("shop",)
    # The next look begins at the end, and is not late too.
    assert reading.place.cursor == "end"


def test_add() -> None:
    counted = Requests()
    requests.add(counted, [Line(1.0, status, 0.02) for status in (200, 204, 301, 404, 499, 500, 502)])
    requests.add(counted, [Line(1.0, 101, 3600.0), Line(1.0, 200, 99.0)])
    assert counted.total == 9
    assert counted.by_class == {"2xx": 3, "3xx": 1, "4xx": 2, "5xx": 2, "other": 1}
    assert dict(zip(BUCKETS, counted.buckets, strict=True))[0.025] == 7
    assert counted.buckets[-1] == 7
    assert counted.buckets[0] == 0
    assert counted.seconds == pytest.approx(99.14)
