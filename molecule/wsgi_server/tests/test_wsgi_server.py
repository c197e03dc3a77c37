"""The unit pair with a stranger's server in it: the socket, the sandbox, the journal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import testing
from testinfra.host import Host

ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("x")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.settimeout(10)
connection.sock.connect(f"/srv/{sys.argv[1]}/releases/r1/app.sock")
connection.request("GET", sys.argv[2])
print(connection.getresponse().read().decode())
"""


@pytest.fixture(autouse=True)
def running(host: Host) -> Iterator[None]:
    """Both instances run; the role itself starts nothing."""
    host.check_output("systemctl start shop@r1.socket shop@r1.service jit@r1.socket jit@r1.service")
    yield
    host.run("systemctl stop shop@r1.service shop@r1.socket jit@r1.service jit@r1.socket")


def ask(host: Host, app: str, path: str = "/") -> dict[str, Any]:
    result = host.run("runuser -u www-data -- python3 -c %s %s %s", ASK, app, path)
    assert result.rc == 0, result.stderr + testing.journal(host, f"{app}@r1.service", namespace=f"+{app}")
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_the_proxys_group_gets_an_answer_and_nobody_else(host: Host) -> None:
    facts = ask(host, "shop")
    assert facts["user"] == "shop"
    assert facts["colour"] == 'red and "blue"'
    refused = host.run("runuser -u jit -- python3 -c %s shop /", ASK)
    assert "Permission denied" in refused.stderr


def test_the_app_sees_itself_only(host: Host) -> None:
    assert ask(host, "shop")["possible"] == ["/var/lib/shop*", "/tmp*"]


def test_a_directive_is_loosened_for_the_app_that_asked(host: Host) -> None:
    assert not ask(host, "shop")["writes_and_executes"]
    assert ask(host, "jit")["writes_and_executes"]


@pytest.mark.parametrize("app", ["shop", "jit"])
def test_exposure(host: Host, app: str) -> None:
    said = host.check_output(f"systemd-analyze security --no-pager {app}@r1.service | tail -n 1")
    assert float(re.findall(r"(\d+\.\d)", said)[-1]) <= 1.2, said


def test_a_killed_server_comes_back_while_visitors_wait(host: Host) -> None:
    before = ask(host, "shop")["pid"]
    host.check_output(f"kill -KILL {before}")
    assert ask(host, "shop")["pid"] != before


def test_what_it_prints_is_in_its_own_journal(host: Host) -> None:
    ask(host, "shop", "/special")
    shown = testing.poll(lambda: "asked /special" in host.run("journalctl --namespace=shop --no-pager -o cat").stdout)
    assert shown
    assert "asked /special" not in host.check_output("journalctl --no-pager -o cat -u 'shop@*' || true")
    assert "asked /special" not in host.run("journalctl --namespace=jit --no-pager -o cat").stdout


def test_a_stopped_instance_takes_its_socket_along(host: Host) -> None:
    host.check_output("systemctl stop shop@r1.service shop@r1.socket")
    assert host.run("ls /srv/shop/releases/r1/app.sock").rc != 0


def test_units_of_an_app_that_goes_are_removed(host: Host) -> None:
    host.check_output("systemctl stop jit@r1.service jit@r1.socket")
    result = testing.play(host, apps=[{"name": "shop"}], gone=["jit"])
    assert result.returncode == 0, result.stdout
    assert host.run("systemctl cat jit@r1.service").rc != 0
    assert host.run("systemctl cat shop@r1.service").rc == 0
    assert testing.play(host).returncode == 0
