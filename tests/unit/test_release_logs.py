"""``shop logs``: what is asked of the journal, what is refused, and how a line is shown."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import privileges, programs
from ansible_collections.groundwork.flask.plugins.module_utils.release import (
    command,
    log_lines,
    logs_choice,
    logs_command,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.log_lines import Line
from ansible_collections.groundwork.flask.plugins.module_utils.release.logs_choice import Choice

LIVE = "3f9c01d2ab44"
WEB, WORKER, SECOND = f"shop@{LIVE}.service", f"shop.worker@{LIVE}.service", f"shop.worker.2@{LIVE}.service"
UNITS = [WEB, "shop@aaaaaaaaaaaa.service", WORKER, SECOND, "shop.nightly.service", "shop.redis-cache.service"]
ENGINE = "groundwork-release@shop.service"
REQUEST = "0f8fad5bd9cb469fa16570867728950e"
LATER = 4_000_000_000.0


def timestamps(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
    """What ``systemd-analyze timestamp`` and a listing of journalctl print."""
    if argv[0] == logs_choice.JOURNALCTL:
        return subprocess.CompletedProcess(argv, 0, "\n".join([*UNITS, "\x1b[31m.service"]), "")
    moments = {"-1h": "@1790000000.5", "-2h": "@1789996400", "tomorrow": f"@{LATER}"}
    found = moments.get(argv[-1])
    said = f"  Original form: {argv[-1]}\n   UNIX seconds: {found}\n" if found else ""
    return subprocess.CompletedProcess(argv, 0 if found else 1, said, "")


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", timestamps)


def options(*words: str) -> argparse.Namespace:
    """The options of a command line."""
    return command.parser("shop").parse_args(logs_command.with_times(["logs", *words]))


def choice(*words: str) -> Choice:
    return logs_command.choice_of("shop", options(*words), UNITS)


def asked(*words: str) -> list[str]:
    """What journalctl is asked for, without what is the same each time."""
    argv = logs_choice.command(choice(*words), UNITS)
    assert argv[:6] == [
        "/usr/bin/journalctl", "--namespace=+shop", "--quiet", "--all", "--output=json", "--no-pager",
    ]  # fmt: skip
    return argv[7:]


OF_SYSTEMD = ["_PID=1", *(f"UNIT={unit}" for unit in [*UNITS, ENGINE])]
EVERYTHING = ["_NAMESPACE=shop", "+", *OF_SYSTEMD]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["--reverse", "--lines=100", *EVERYTHING]),
        (("-f", "-n", "5"), ["--follow", "--lines=5", *EVERYTHING]),
        (("--since", "-1h"), ["--since=@1790000000.500000", "--lines=all", *EVERYTHING]),
        (
            ("-S", "-2h", "-U", "-1h", "-n", "7"),
            ["--since=@1789996400.000000", "--until=@1790000000.500000", "--reverse", "--lines=7", *EVERYTHING],
        ),
        (
            ("--process", "worker"),
            ["--reverse", "--lines=100", "_NAMESPACE=shop", f"_SYSTEMD_UNIT={WORKER}", f"_SYSTEMD_UNIT={SECOND}", "+",
             "_PID=1", f"UNIT={WORKER}", f"UNIT={SECOND}"],
        ),
        (
            ("--process", "deploy"),
            ["--reverse", "--lines=100", "_NAMESPACE=shop", f"_SYSTEMD_UNIT={ENGINE}", "+", "_PID=1", f"UNIT={ENGINE}"],
        ),
        (
            ("--process", "proxy"),
            ["--reverse", "--lines=100", "_NAMESPACE=shop", "_SYSTEMD_UNIT=nginx.service",
             "_SYSTEMD_UNIT=apache2.service"],
        ),
        (
            ("--process", "redis,nightly", "--level", "WARNING"),
            ["--reverse", "--lines=100",
             "_NAMESPACE=shop", "_SYSTEMD_UNIT=shop.nightly.service", "_SYSTEMD_UNIT=shop.redis-cache.service",
             *(f"PRIORITY={number}" for number in range(5)), "+",
             "_PID=1", "UNIT=shop.nightly.service", "UNIT=shop.redis-cache.service",
             *(f"PRIORITY={number}" for number in range(5))],
        ),
        (
            ("--release", LIVE, "--process", "web,deploy"),
            ["--reverse", "--lines=100", "_NAMESPACE=shop", f"_SYSTEMD_UNIT={WEB}", "+",
             "_NAMESPACE=shop", "_UID=0", f"GROUNDWORK_RELEASE={LIVE}", "+", "_PID=1", f"UNIT={WEB}"],
        ),
        (
            ("--grep", "Zero.*"),
            ["--reverse", "--lines=100", "--case-sensitive=yes", "--grep=Zero.*", *EVERYTHING],
        ),
        (
            ("--grep", "zero", "--request", REQUEST),
            ["--lines=all", "--case-sensitive=yes", rf"--grep=(?s)^(?=.*{REQUEST})(?=.*(?:(?i:zero)))", *EVERYTHING],
        ),
    ],
)  # fmt: skip
def test_what_the_journal_is_asked_for(words: tuple[str, ...], expected: list[str]) -> None:
    assert asked(*words) == expected


def test_how_bad_a_line_of_the_proxy_is_says_its_status_which_the_journal_cannot_match() -> None:
    argv = asked("--level", "error")
    worse = [f"PRIORITY={number}" for number in range(4)]
    proxy = ["_NAMESPACE=shop", "_SYSTEMD_UNIT=nginx.service", "_SYSTEMD_UNIT=apache2.service"]
    assert argv == ["--reverse", "_NAMESPACE=shop", *worse, "+", *OF_SYSTEMD, *worse, "+", *proxy]
    assert "--lines=100" in asked("--level", "debug"), "all lines are of that level"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--process", "wroker"],
            "shop has no process 'wroker' in its log; known are: web, proxy, deploy, nightly, redis, worker. "
            "Did you mean worker?",
        ),
        (["--release", "f27"], "shop has no release 'f27' in its log; known are: 3f9c01d2ab44, aaaaaaaaaaaa"),
        (["--release", LIVE, "--process", "nightly"], f"nightly did not run in release {LIVE}: leave one out"),
        (
            ["--level", "bad"],
            "--level 'bad' is none of emerg, alert, critical, error, warning, notice, info, debug, nor a number from 0 "
            "to 7",
        ),
        (
            ["--request", "a b"],
            "--request 'a b' is no id of a request: take it from the error page, or from the answer's header "
            "X-Request-ID",
        ),
        (
            ["--since", "teatime\x1b"],
            r"--since 'teatime\\x1b' is no time: write it as -1h, '10 min ago', yesterday, '2026-11-30 03:00'",
        ),
        (["--since", "-1h", "--until", "-2h"], "--until -2h is before --since -1h"),
        (["--since", "tomorrow"], "--since tomorrow lies in the future: for an hour ago write -1h"),
    ],
)  # fmt: skip
def test_refused(words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logs_command, "entries", lambda *_argv: pytest.fail("the journal was read"))
    assert time.time() < LATER
    with pytest.raises(SystemExit) as end:
        logs_command.act(Layout("shop", tmp_path), options(*words))
    assert str(end.value.code) == f"shop logs: {said}"


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        (WEB, ("web", LIVE)),
        (SECOND, ("worker", LIVE)),
        ("shop.nightly.service", ("nightly", "")),
        ("shop.redis.service", ("redis", "")),
        ("shop.pooler.service", ("pooler", "")),
        (f"shop.redis@{LIVE}.service", ("redis", LIVE)),
        ("groundwork-release@shop.build.1-2.service", ("deploy", "")),
        ("groundwork-release@shop-two.service", ("", "")),
        ("nginx.service", ("proxy", "")),
        ("shop-two@3f9c01d2ab44.service", ("", "")),
        ("shop.service", ("", "")),
        ("ssh.service", ("", "")),
    ],
)
def test_whose_a_unit_is(unit: str, found: tuple[str, str]) -> None:
    assert logs_choice.process_of("shop", unit) == found


def entry(message: Any, unit: str = WEB, at: float = 1_790_000_000.25, **fields: str) -> dict[str, Any]:
    """An entry as ``journalctl --output=json`` prints it."""
    stamp = str(int(at * 1e6))
    return {"MESSAGE": message, "PRIORITY": "6", "_SYSTEMD_UNIT": unit, "__REALTIME_TIMESTAMP": stamp, **fields}


def shown(message: Any, **fields: Any) -> str:
    return Line.of("shop", entry(message, **fields)).shown()


NGINX = {
    "time": "2026-09-21T14:13:20+00:00", "id": REQUEST, "client": "203.0.113.7", "host": "shop.example.org",
    "method": "GET", "uri": "/cart?page=2", "status": "502", "seconds": 1.25,
}  # fmt: skip
APACHE = {name: value for name, value in NGINX.items() if name != "seconds"} | {"microseconds": 1250000}


class TestShown:
    """A line as a person reads it."""

    def test_of_the_app(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as here:
            here.setenv("TZ", "UTC")
            time.tzset()
            found = shown("red", PRIORITY="3")
        time.tzset()
        assert found == "2026-09-21 14:13:20.250  web       error     red"
        assert shown("x", unit=SECOND, PRIORITY="4").endswith("  worker    warning   x")

    @pytest.mark.parametrize(
        ("message", "text"),
        [
            ("\x1b[2J\nforged\r\u202e", r"\x1b[2J\nforged\r\u202e"),
            ([104, 105, 0, 255], r"hi\x00\xff"),
            (["one", "two"], "one two"),
            (None, ""),
            ({"a": 1}, ""),
        ],
    )
    def test_what_is_no_plain_text(self, message: Any, text: str) -> None:
        assert shown(message).endswith(f"info      {text}")

    @pytest.mark.parametrize("request_line", [NGINX, APACHE])
    def test_of_the_proxy(self, request_line: dict[str, Any]) -> None:
        expected = f"GET shop.example.org/cart?page=2 502 in 1.250 s from 203.0.113.7, request {REQUEST}"
        assert shown(json.dumps(request_line), unit="nginx.service").endswith(f"  proxy     error     {expected}")

    def test_bytes_that_are_no_text_hide_no_request_of_the_proxy(self) -> None:
        message = json.dumps(NGINX | {"uri": "/STRAY\\x41\\"}).encode().replace(b"STRAY", b"\xff")
        expected = rf"GET shop.example.org/\xff\x41\ 502 in 1.250 s from 203.0.113.7, request {REQUEST}"
        assert shown([*message], unit="nginx.service").endswith(f"  proxy     error     {expected}")

    @pytest.mark.parametrize(
        "message",
        ['{"status": ', "[1]", '{"a": 1}', '{"status": "500", "seconds": "nan", "uri": ["\\u001b"], "id": null}'],
    )
    def test_what_a_visitor_puts_into_a_line_of_the_proxy(self, message: str) -> None:
        line = Line.of("shop", entry(message, unit="nginx.service"))
        assert line.process == "proxy"
        assert line.text.isprintable()
        assert 0 <= line.seconds < 1e7

    def test_an_app_cannot_pass_a_line_off_as_the_proxys_or_the_deploys_or_systemds(self) -> None:
        for identifier in ("nginx", "shop.deploy", "systemd"):
            line = Line.of("shop", entry(json.dumps(NGINX), SYSLOG_IDENTIFIER=identifier, UNIT=ENGINE, _PID="77"))
            assert (line.process, line.level, line.text) == ("web", 6, json.dumps(NGINX))

    def test_of_systemd(self) -> None:
        line = Line.of("shop", entry("Started it.", unit="init.scope", UNIT=WORKER, _PID="1"))
        assert (line.process, line.text) == ("worker", "systemd: Started it.")

    def test_raw(self) -> None:
        found = log_lines.raw(Line.of("shop", entry("\x1b\x9b\u202e")))
        assert found.isascii()
        assert json.loads(found)["MESSAGE"] == "\x1b\x9b\u202e"


TRACEBACK = [
    f"[2026-09-21 14:13:20,100] ERROR in app [{REQUEST}]: Exception on /cart [GET]",
    "Traceback (most recent call last):",
    '  File "shop.py", line 3, in cart',
    "    1 / 0",
    "    ~~^~~",
    "ZeroDivisionError: division by zero",
]


class TestOfARequest:
    """The proxy's line and the app's lines of one request together."""

    def lines(self, *messages: str, pid: str = "7", unit: str = WEB) -> list[Line]:
        return [Line.of("shop", entry(one, unit=unit, _PID=pid, _STREAM_ID="a")) for one in messages]

    def test_the_rest_of_a_traceback_has_no_id_and_belongs_to_it(self) -> None:
        other = self.lines("GET / by another worker", "  indented", pid="8")
        ours = self.lines(*TRACEBACK)
        after = self.lines("[2026-09-21 14:13:21,000] INFO in app [other]: next", "  of the next")
        mixed = [*ours[:3], other[0], ours[3], other[1], *ours[4:], *after]
        assert log_lines.of_request(REQUEST, mixed) == ours

    def test_a_record_that_follows_an_indented_line_at_once(self) -> None:
        ours = self.lines(*TRACEBACK[:4])
        after = self.lines("[2026-09-21 14:13:21,000] INFO in app [other]: next", "plain")
        assert log_lines.of_request(REQUEST, [*ours, *after]) == ours

    def journal(self, monkeypatch: pytest.MonkeyPatch, *lines: dict[str, Any]) -> list[list[str]]:
        """A journal with these lines; what it is asked for."""
        asked: list[list[str]] = []

        def entries(argv: list[str]) -> Iterator[dict[str, Any]]:
            asked.append(argv)
            pattern = next((word.partition("=")[2] for word in argv if word.startswith("--grep=")), "")
            newest_first = "--reverse" in argv
            found = [line for line in lines if pattern in line["MESSAGE"]]
            yield from reversed(found) if newest_first else found

        monkeypatch.setattr(logs_command, "entries", entries)
        return asked

    def test_together(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = [entry(one, at=10.0, _PID="7") for one in TRACEBACK]
        asked = self.journal(monkeypatch, *app, entry(json.dumps(NGINX), "nginx.service", 10.2), entry("later", at=11))
        assert logs_command.act(Layout("shop", tmp_path), options("--request", REQUEST)) == 0
        said = capsys.readouterr()
        assert [line[25:].split()[0] for line in said.out.splitlines()] == ["web"] * len(TRACEBACK) + ["proxy"]
        assert said.err == ""
        assert [word for word in asked[1] if word.startswith(("--since", "--until"))] == [
            "--since=@8.900000", "--until=@12.200000"  # the request took 1.25 s
        ]  # fmt: skip

    def test_where_the_app_has_a_format_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = [entry("own format", at=10.0), entry("job", "shop.nightly.service", 10.1)]
        self.journal(monkeypatch, *lines, entry(json.dumps(NGINX), "nginx.service", 10.2), entry("later", at=11))
        logs_command.act(Layout("shop", tmp_path), options("--request", REQUEST))
        said = capsys.readouterr()
        assert [line.split()[-1] for line in said.out.splitlines()] == ["format", REQUEST]
        assert "no line of the app has the id of the request" in said.err

    def test_of_none(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.journal(monkeypatch)
        logs_command.act(Layout("shop", tmp_path), options("--request", REQUEST))
        assert f"no line of shop has the request {REQUEST}" in capsys.readouterr().err


def journalctl(tmp_path: Path, *lines: str, status: int = 0) -> list[str]:
    """A program in place of journalctl."""
    output = tmp_path / "output"
    output.write_text("".join(f"{line}\n" for line in lines))
    return ["/bin/sh", "-c", f'cat {output}; [ {status} = 0 ] || {{ echo "Bad pattern" >&2; exit {status}; }}']


def test_an_entry_that_is_too_long_is_said_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_command, "ENTRY_LIMIT", 200)
    huge = '{"__REALTIME_TIMESTAMP": "7000000", "MESSAGE": "' + "x" * 5000 + '"}'
    found = list(logs_command.entries(journalctl(tmp_path, huge, "no JSON", '{"MESSAGE": "b"}')))
    assert [one["MESSAGE"] for one in found] == ["(an entry of more than 200 bytes is not shown)", "b"]
    assert Line.of("shop", found[0]).at == 7.0


def test_what_journalctl_refuses(tmp_path: Path) -> None:
    with pytest.raises(logs_command.RefusalError, match="Bad pattern"):
        list(logs_command.entries(journalctl(tmp_path, status=1)))


def test_the_last_lines_that_are_bad_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [entry(json.dumps(NGINX | {"status": status}), "nginx.service") for status in ("200", "500", "404")]
    monkeypatch.setattr(
        logs_command, "entries", lambda _argv: iter([entry(one, PRIORITY="3") for one in "ab"] + answers)
    )
    logs_command.act(Layout("shop", tmp_path), options("--level", "error", "-n", "2"))
    assert [line[-1] for line in capsys.readouterr().out.splitlines()] == ["b", "a"]
    logs_command.act(Layout("shop", tmp_path), options("--level", "error", "-n", "9"))
    first, *rest = capsys.readouterr().out.splitlines()
    assert " 500 in " in first
    assert len(rest) == 2


class TestReader:
    """Who may read the journal of the app needs no root."""

    def test_may_read(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        assert not logs_command.may_read("shop", tmp_path)
        (tmp_path / "etc/machine-id").write_text("abc\n")
        assert not logs_command.may_read("shop", tmp_path)
        journal = tmp_path / "var/log/journal/abc.shop/system.journal"
        journal.parent.mkdir(parents=True)  # everybody may look into it
        assert not logs_command.may_read("shop", tmp_path)
        journal.touch()
        assert logs_command.may_read("shop", tmp_path)

    def test_who_may_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(privileges, "may_become_root", lambda: False)
        with pytest.raises(SystemExit, match=r"may not read this log\. Use `sudo shop logs`, or add \w+ to the app's"):
            command.main(["shop", "logs"], tmp_path)

    def test_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(os, "execv", lambda *_argv: pytest.fail("it became root"))
        monkeypatch.setattr(logs_command, "may_read", lambda *_app: True)
        monkeypatch.setattr(logs_command, "entries", lambda _argv: iter([entry("a")]))
        with pytest.raises(SystemExit) as end:
            command.main(["shop", "logs", "--since", "-1h"], tmp_path)
        assert end.value.code == 0
        assert capsys.readouterr().out.endswith("  a\n")
