"""What a look reads of the host: connections of databases, workers, log lines without secrets, notes of failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock, programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host, path
from ansible_collections.groundwork.flask.plugins.module_utils.verify.parts import ReleaseParts
from ansible_collections.groundwork.flask.plugins.module_utils.watch import (
    cli,
    connections,
    failed,
    lines,
    outside,
    running,
    settings,
    status,
    validate,
)
from ansible_collections.groundwork.flask.plugins.module_utils.watch.ask import Answer
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import App, Condition, Look
from ansible_collections.groundwork.flask.plugins.module_utils.watch.state import State
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost

UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 100 /var/run/postgresql/.s.PGSQL.5432
0000000000000000: 00000003 00000000 00000000 0001 03 101 /var/run/postgresql/.s.PGSQL.5432
0000000000000000: 00000003 00000000 00000000 0001 03 102 /var/run/postgresql/.s.PGSQL.5432
0000000000000000: 00000003 00000000 00000000 0001 03 103 /run/other.sock
0000000000000000: 00000003 00000000 00000000 0001 03 104
"""


def test_connections_of_a_database_server_are_counted_without_asking_it(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.write("/proc/net/unix", UNIX)
    noted = {"provider": "postgresql", "socket": "/run/postgresql", "port": 5432}
    for app in ("shop", "blog"):
        host.write(f"{on_host('services', app)}/database.json", json.dumps(noted))
    host.write("/etc/postgresql/15/main/postgresql.conf", "port = 5432\nmax_connections = 100\n")
    host.write("/etc/postgresql/15/main/conf.d/groundwork.conf", "max_connections = '50'\n")
    host.write("/etc/postgresql/14/old/postgresql.conf", "port = 5433\nmax_connections = 7\n")
    (server,) = connections.read(["shop", "blog", "none"], host.look)
    assert (server.name, server.used, server.most, server.apps) == ("PostgreSQL", 2, 50, ("shop", "blog"))


def test_workers_are_the_processes_of_the_servers_control_group(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    group = {"ControlGroup": "/system.slice/shop@1.service"}
    host.write("/sys/fs/cgroup/system.slice/shop@1.service/cgroup.procs", "10\n11\n12\n")
    host.write(f"{on_host('releases', 'shop')}/1/server.json", '{"provider": "gunicorn"}')
    host.write(f"{on_host('releases', 'shop')}/2/server.json", '{"provider": "waitress"}')
    assert running.workers(ReleaseParts("shop", "1"), group, host.look) == 2
    assert running.workers(ReleaseParts("shop", "2"), group, host.look) is None
    assert running.workers(ReleaseParts("shop", "1"), {}, host.look) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("login failed for key s3cr3t-canary", "login failed for key [secret]"),
        ("connect postgresql://shop:hunter2@db/shop", "connect postgresql://shop:[secret]@db/shop"),
        ("debug is on", "debug is on"),
        ("abc stays: it is too short for a secret", "abc stays: it is too short for a secret"),
    ],
)
def test_a_line_is_told_without_what_the_environment_keeps_secret(tmp_path: Path, said: str, told: str) -> None:
    file = path("current", "shop", tmp_path) / "env"
    file.parent.mkdir(parents=True)
    file.write_text('API_TOKEN="s3cr3t-canary"\nSECRET_KEY=abc\nDEBUG=debug is on\n')
    assert lines.without_secrets(said, "shop", tmp_path) == told


def test_a_line_is_bounded_and_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "\x1b[2J<script>" + "x" * 10_000 + "\nValueError: \u202eevil\n\n"
    answer = subprocess.CompletedProcess([], 0, hostile, "")
    monkeypatch.setattr(programs, "run", lambda *_argv, **_options: answer)
    assert lines.of(Condition("health", "shop")) == "ValueError: \\u202eevil"


def test_a_secret_at_the_end_of_a_long_line_is_taken_out_before_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "x" * (lines.LIMIT - 10) + " s3cr3t-canary-of-many-characters"
    answer = subprocess.CompletedProcess([], 0, said, "")
    monkeypatch.setattr(programs, "run", lambda *_argv, **_options: answer)
    monkeypatch.setattr(lines, "read_text", lambda _path: "API_TOKEN=s3cr3t-canary-of-many-characters\n")
    told = lines.of(Condition("health", "shop"))
    assert "s3cr3t" not in told
    assert len(told) <= lines.LIMIT


@pytest.mark.parametrize(
    ("condition", "unit", "asked"),
    [
        (
            Condition("unit", "host", "x.service"),
            "x.service",
            [["_SYSTEMD_UNIT=x.service"], ["UNIT=x.service", "_PID=1"]],
        ),
        (
            Condition("process", "shop", "web"),
            "shop@1.service",
            [["UNIT=shop@1.service", "_PID=1"], ["--namespace=shop", "_SYSTEMD_UNIT=shop@1.service"]],
        ),
        (Condition("disk", "host", "/"), "", []),
        (Condition("certificate", "shop"), "", []),
        (Condition("outside", "shop"), "", []),
        (
            Condition("health", "shop"),
            "",
            [["--namespace=shop", "--priority=err", lines.PRINTED], ["--namespace=shop", lines.PRINTED]],
        ),
    ],
)
def test_which_lines_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, condition: Condition, unit: str, asked: list[list[str]]
) -> None:
    found: list[list[str]] = []

    def run(argv: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        assert "--reverse" in argv  # the last one: --since alone gives the first
        assert "--lines=8" in argv if "_PID=1" in argv else "--lines=1" in argv
        found.append(list(argv[7:]))
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(programs, "run", run)
    assert lines.of(condition, unit) == ""
    assert found == asked


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("main process exited, code=killed, status=9/KILL", "x: main process exited, code=killed, status=9/KILL"),
        ("A process of this unit has been killed by the OOM killer.\nx: Main process exited, code=killed", "the OOM"),
        ("Main process exited, code=exited, status=1/FAILURE", "no broker"),
    ],
)
def test_a_process_that_was_killed_has_not_said_why(monkeypatch: pytest.MonkeyPatch, said: str, told: str) -> None:
    order = ["x: Triggering OnFailure= dependencies.", "x: Failed with result 'y'.", *reversed(said.split("\n"))]
    systemd = "\n".join(one if one.startswith("x: ") else f"x: {one}" for one in order)

    def run(argv: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, systemd if "_PID=1" in argv else "no broker", "")

    monkeypatch.setattr(programs, "run", run)
    assert told in lines.of(Condition("process", "shop", "web"), "x")


def test_systemds_words_on_what_it_does_next_are_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    end = "x: Main process exited, code=exited, status=1/FAILURE"
    said = f"x: Triggering OnFailure= dependencies.\nx: Failed with result 'y'.\n{end}"

    def run(argv: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, said if "_PID=1" in argv else "", "")

    monkeypatch.setattr(programs, "run", run)
    for condition in (Condition("job", "shop", "nightly"), Condition("unit", "host", "x")):
        assert lines.of(condition, "x") == end


@pytest.mark.parametrize("unit", ["../../etc/passwd", "a b.service", "", "x" * 300 + ".service", ".service"])
def test_what_is_no_unit_is_not_noted(tmp_path: Path, unit: str) -> None:
    failed.note(unit, tmp_path / "failed")
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]


def test_units_are_noted_up_to_a_limit(tmp_path: Path) -> None:
    for number in range(150):
        failed.note(f"shop.nightly-{number}.service", tmp_path / "failed")
    assert len(list((tmp_path / "failed").iterdir())) == 100


@pytest.mark.parametrize(
    ("domain", "answer", "there"),
    [
        ("shop.test", Answer(error="no address", unresolved=True), False),
        ("shop.example.org", Answer(error="no address", unresolved=True), True),
        ("shop.test", Answer(error="Connection refused"), True),
    ],
)
def test_where_a_name_leads(domain: str, answer: Answer, there: bool) -> None:
    apps = {"shop": settings.Watched("shop", (domain,))}
    questions = outside.questions_of(apps)
    answers = {name: Answer(200) if name.startswith("here") else answer for name in questions}
    assert ("shop" in outside.sorted_by_way(apps, answers).there) is there
    assert questions["here/shop"].address == ("127.0.0.1", 443)


def test_a_broken_configuration_names_the_directory_and_the_remedy(tmp_path: Path) -> None:
    file = path("configuration", root=tmp_path) / "watch.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(settings.SettingsError, match=r"etc/groundwork cannot be used: .*Run the play again"):
        settings.Settings.load(tmp_path)


def test_a_broken_state_begins_anew(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.directory.mkdir(parents=True)
    (state.directory / "memory.json").write_text('{"known": ')
    assert state.read("memory.json") == {}


def test_the_state_as_a_person_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(1_800_000_000.0, "web1", 0.25)
    monkeypatch.setattr(clock, "now", lambda: look.time + 60)
    assert list(status.lines(look.plain())) == ["Looked at 2027-01-15T08:00:00Z, for 0.2 s.", "Nothing is wrong."]
    look.conditions = [Condition("disk", "host", "/", "/ is full.", command="du", since=1_800_000_000.0)]
    assert list(status.lines(look.plain()))[1:] == [
        "warning: host: / is full. (since 2027-01-15T08:00:00Z)",
        "  try: du",
    ]
    monkeypatch.setattr(clock, "now", lambda: look.time + 1200)
    assert "THAT IS 20 MINUTES AGO" in list(status.lines(look.plain()))[1]
    look.apps["shop"] = App("up", status=200, answered=0.005, outside_error="Connection refused")
    assert "shop: up, answers 200 in 5 ms; visitors meet Connection refused" in status.lines(look.plain())
    assert "no look yet" in next(iter(status.lines({})))


def test_each_verb_has_a_function() -> None:
    for name in cli.VERBS:
        assert callable(cli.verb(name))


def test_the_program_is_compiled_for_all_who_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.py").write_text("ONE = 1\n")
    monkeypatch.setattr(validate, "PACKAGE", tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(settings.Settings, "load", settings.Settings)
    os.umask(0o077)  # as the program has it
    assert validate.main([]) == 0
    (compiled,) = (tmp_path / "__pycache__").iterdir()
    assert compiled.stat().st_mode & 0o777 == 0o644
    (tmp_path / "two.py").write_text("<<<<<<< HEAD\n")
    assert validate.main([]) == 1
