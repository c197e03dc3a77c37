"""The unit pair with a stranger's server in it: the socket, the sandbox, the journal."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest
import testing
from testinfra.backend.base import CommandResult
from testinfra.host import Host
from testing import on_host

ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("x")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.settimeout(60)
connection.sock.connect(sys.argv[1])
connection.request("GET", sys.argv[2])
print(connection.getresponse().read().decode())
"""


@pytest.fixture(autouse=True)
def running(host: Host) -> None:
    """Both instances run; the role itself starts nothing."""
    host.check_output("systemctl start shop@r1.socket shop@r1.service jit@r1.socket jit@r1.service")


def socket_of(app: str) -> str:
    return f"{on_host('releases', app)}/r1/app.sock"


def ask_as(host: Host, user: str, app: str, path: str = "/") -> CommandResult:
    return host.run(f"runuser -u {user} -- python3 -c %s %s %s", ASK, socket_of(app), path)


def ask(host: Host, app: str, path: str = "/") -> dict[str, Any]:
    result = ask_as(host, "www-data", app, path)
    assert result.rc == 0, result.stderr + testing.journal(host, f"{app}@r1.service", namespace=f"+{app}")
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_the_proxys_group_gets_an_answer_and_nobody_else(host: Host) -> None:
    facts = ask(host, "shop")
    assert facts["user"] == "shop"
    assert facts["colour"] == 'red and "blue"'
    assert "Permission denied" in ask_as(host, "jit", "shop").stderr


def test_the_app_sees_itself_only(host: Host) -> None:
    assert ask(host, "shop")["possible"] == [f"{on_host('data', 'shop')}*", "/tmp*"]


# Writes a line into another app's journal, if it may.
FORGE = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for name in ("socket", "dev-log", "stdout"):
    try:
        sock.connect(f"/run/systemd/journal.{sys.argv[1]}/{name}")
        sock.send(b"MESSAGE=forged\\n")
    except OSError as error:
        print(error.strerror)
"""


def test_nobody_else_writes_into_its_journal(host: Host) -> None:
    for user in ("jit", "nobody"):
        said = host.check_output(f"runuser -u {user} -- python3 -c %s shop", FORGE)
        assert said.splitlines() == ["Permission denied"] * 3


def test_the_proxy_writes_into_it_when_nothing_of_the_app_runs(host: Host) -> None:
    """By syslog's protocol, by which a client says nothing of a line but its text."""
    assert host.check_output("systemctl is-active systemd-journald@shop.socket") == "active"
    said = host.check_output("runuser -u www-data -- python3 -c %s shop", FORGE)
    assert said.splitlines() == ["Permission denied"] * 2
    # The app itself may; the third of them wants another kind of socket.
    assert host.check_output("runuser -u shop -- python3 -c %s shop", FORGE) == "Protocol wrong type for socket"
    shown = "journalctl --namespace=shop --no-pager --output=cat _UID=$(id -u %s)"
    # The journal reads what it was sent by one protocol before or after what it was sent by the other.
    expected = {"www-data": {"MESSAGE=forged"}, "shop": {"forged", "MESSAGE=forged"}}

    def last_lines() -> dict[str, set[str]]:
        found = {user: host.check_output(shown, user).splitlines() for user in expected}
        return {user: set(lines[-len(expected[user]) :]) for user, lines in found.items()}

    assert testing.poll(lambda: last_lines() == expected), last_lines()


def test_a_directive_is_loosened_for_the_app_that_asked(host: Host) -> None:
    assert not ask(host, "shop")["writes_and_executes"]
    assert ask(host, "jit")["writes_and_executes"]


def test_exposure(host: Host) -> None:
    for app in ("shop", "jit"):
        said = host.check_output(f"systemd-analyze security --no-pager {app}@r1.service | tail -n 1")
        assert float(re.findall(r"(\d+\.\d)", said)[-1]) <= 1.2, said


def test_a_killed_server_comes_back_while_visitors_wait(host: Host) -> None:
    before = ask(host, "shop")["pid"]
    host.check_output(f"kill -KILL {before}")
    assert ask(host, "shop")["pid"] != before


def test_what_it_prints_is_in_its_own_journal(host: Host) -> None:
    def prints(app: str, line: str) -> bool:
        return f"asked /{line}" in host.check_output(f"journalctl --namespace={app} --no-pager --output=cat")

    for app in ("shop", "jit"):
        ask(host, app, f"/to-{app}")
        assert testing.poll(partial(prints, app, f"to-{app}"))
    assert not prints("jit", "to-shop")
    assert not prints("shop", "to-jit")
    everything_else = host.check_output("journalctl --no-pager --output=cat")
    assert "systemd" in everything_else
    assert "asked /to-" not in everything_else


def test_a_stopped_instance_refuses_connections(host: Host) -> None:
    """The file stays: in an exclusive deploy the socket that visitors wait at takes its place by a rename."""
    ask(host, "shop")
    host.check_output("systemctl stop shop@r1.service shop@r1.socket")
    refused = ask_as(host, "www-data", "shop")
    assert refused.rc != 0, refused.stdout
    assert "ConnectionRefusedError" in refused.stderr


def test_units_of_an_app_that_goes_are_removed(host: Host) -> None:
    """The last one: the host is left without the app."""
    host.check_output("systemctl stop jit@r1.service jit@r1.socket")
    result = testing.play(host, apps=[{"name": "shop"}], gone=["jit"])
    assert result.returncode == 0, result.stdout
    for kind in ("socket", "service"):
        assert host.run(f"systemctl cat jit@r1.{kind}").rc != 0
        assert host.run(f"systemctl cat shop@r1.{kind}").rc == 0
    assert not host.file("/etc/systemd/journald@jit.conf").exists
    assert host.file("/etc/systemd/journald@shop.conf").exists
