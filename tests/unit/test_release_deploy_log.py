"""The lines of a deploy in the app's own journal."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import deploy_log, probe, work
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy_log import DeployLog
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System

CANARY = "canary-of-a-secret"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of the app's journal."""
    directory = tmp_path / "systemd/journal.shop"
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(directory / "socket"))
        sock.settimeout(0.2)
        yield sock


def entries(journal: socket.socket) -> list[dict[str, str]]:
    """What has come since."""
    found = []
    try:
        while True:
            rows = journal.recv(2**16).decode().splitlines()
            found.append(dict(row.split("=", 1) for row in rows))
    except TimeoutError:
        return found


def messages(journal: socket.socket) -> list[str]:
    return [entry["MESSAGE"] for entry in entries(journal)]


@pytest.fixture
def log(tmp_path: Path) -> DeployLog:
    return DeployLog("shop", lambda: {CANARY, KEY, "no"}, str(tmp_path))


def test_what_an_entry_says(log: DeployLog, journal: socket.socket) -> None:
    log.say("a deploy begins")
    log.release = "3f9c01d2ab44"
    log.say("it failed:\nbadly", deploy_log.ERROR)
    common = {"SYSLOG_IDENTIFIER": "shop.deploy"}
    of_release = {**common, "PRIORITY": "3", "GROUNDWORK_RELEASE": "3f9c01d2ab44"}
    assert entries(journal) == [
        {**common, "MESSAGE": "a deploy begins", "PRIORITY": "6"},
        {**of_release, "MESSAGE": "it failed:"},
        {**of_release, "MESSAGE": "badly"},
    ]


def test_the_output_of_a_step_line_by_line_as_it_comes(log: DeployLog, journal: socket.socket) -> None:
    take = log.output("command")
    take(b"one\ntw")
    assert messages(journal) == ["command: one"]
    take(b"o\r\n\n\x1b[31mred\0\nPRIORITY=0")
    take(b"")
    assert messages(journal) == ["command: two", r"command: \x1b[31mred\x00", "command: PRIORITY=0"]


def test_no_secret(log: DeployLog, journal: socket.socket) -> None:
    take = log.output("install")
    take(f"token {CANARY[:5]}".encode())  # a block may end in the midst of one
    take(f"{CANARY[5:]}\n{KEY}\nhttps://bob:hunter22@git.example.org/x\n".encode())
    log.say(f"failed with {CANARY}")
    assert messages(journal) == [
        "install: token ********",
        "install: ********", "install: ********", "install: ********",
        "install: https://bob:********@git.example.org/x",
        "failed with ********",
    ]  # fmt: skip


def test_a_line_without_end_is_bounded(log: DeployLog, journal: socket.socket) -> None:
    take = log.output("build")
    for _block in range(3):
        take(b"x" * 5000)
    assert [len(message) for message in messages(journal)] == [deploy_log.LINE_LIMIT] * 3


@pytest.mark.parametrize("begun", [1, 5, len(CANARY) - 1])
def test_no_part_of_a_secret_where_a_line_without_end_is_cut(
    begun: int, log: DeployLog, journal: socket.socket
) -> None:
    take = log.output("build")
    take(b"x" * 4000 + CANARY[:begun].encode())
    take(f"{CANARY[begun:]} done\n".encode())
    told = messages(journal)
    assert told[-1].endswith("x******** done")
    assert not any(CANARY[begun:] in message for message in told)


def test_what_only_the_engine_reads(log: DeployLog, journal: socket.socket) -> None:
    log.output("resolve")(b"refs/heads/main\n")
    log.output("import")(b"hello\n" + f'{probe.MARK}{{"a": 1}}\n'.encode())
    assert messages(journal) == ["import: hello"]
    assert deploy_log.FACTS == probe.MARK


def test_a_journal_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    log = DeployLog("shop", set, str(tmp_path))
    log.say("\n".join("x" * 1000))
    assert log.failed == deploy_log.TRIES


def test_nothing_is_written_where_the_secrets_are_not_known(tmp_path: Path, journal: socket.socket) -> None:
    def unknown() -> set[str]:
        raise OSError

    log = DeployLog("shop", unknown, str(tmp_path))
    log.say("a")
    log.output("build")(b"b\n")
    assert messages(journal) == []


def test_a_system_without_a_log_writes_none() -> None:
    System().log.say("nothing")


class TestOfARun:
    """What a run says of itself."""

    @pytest.mark.parametrize(("verb", "logs"), [("deploy", True), ("roll_back", True), ("remove", False)])
    def test_which_have_the_journal(self, verb: work.Verb, logs: bool) -> None:
        order = work.Order(verb, {"name": "shop"})
        assert work.logs_to_app(order) is logs
        assert ("Wants=systemd-journald@shop.socket" in work.command(order)) is logs

    def test_its_end(self, log: DeployLog, journal: socket.socket) -> None:
        done = Result("3f9c01d2ab44", action="deployed", seconds=4.21, warnings=["slow"])
        work.tell(log, work.Order("deploy", {"name": "shop"}, {"by": "ann"}), done)
        assert [(entry["PRIORITY"], entry["MESSAGE"]) for entry in entries(journal)] == [
            ("6", "a deploy of shop by ann has ended: deployed: release 3f9c01d2ab44 in 4.2 s"),
            ("4", "slow"),
        ]
