"""Alerts reach their receivers: by the units that send them, with what these may see, and after a time without any."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
import testing
from testinfra.host import Host
from testing import on_host

PROGRAM = f"{on_host('programs')}/watch"
CONFIGURED = f"{on_host('configuration')}/watch.receivers.json"
OUTBOX = f"{on_host('watch')}/outbox"
PORT, ARRIVED, SERVERS = 8210, "/root/arrived", "/root/receivers.py"
URL = f"http://127.0.0.1:{PORT}"
CANARY = "canary-of-a-receiver"
# Waits until what looks and delivers is at its end.
QUIET = """
until ! systemctl show -P ActiveState groundwork-watch.service groundwork-alerts.service \\
    groundwork-alerts-commands.service | grep -q activating
do sleep 0.1; done
"""
SMTP = {"host": "127.0.0.1", "port": PORT + 1, "tls": "none"}
RECEIVERS: list[dict[str, Any]] = [
    {"name": "hook", "type": "webhook", "url": f"{URL}/{CANARY}", "headers": {"X-Key": CANARY}},
    {"name": "chat", "type": "slack", "url": f"{URL}/services/{CANARY}"},
    {"name": "phone", "type": "ntfy", "url": f"{URL}/{CANARY}", "token": CANARY},
    {"name": "mail", "type": "mail", "to": ["ops@example.test"], "from": "web1@example.test", "smtp": SMTP},
    {
        "name": "page",
        "type": "command",
        "command": f"cat > /run/test-page/page; id -un > /run/test-page/page.user; true {CANARY}",
    },
]
# Puts an alert as a look does.
PUT = f"""
import sys
sys.path.insert(0, "{on_host("packages")}")
from groundwork_watch.watch import outbox, receivers
from groundwork_watch.watch.records import Change, Condition
from time import time
now = time()
condition = Condition("test", "host", sys.argv[1], "An alert of a test.", severity="critical", since=now)
outbox.put([Change("alert", condition, "host", now)], receivers.load())
"""


@pytest.fixture(autouse=True)
def _configured(host: Host) -> Iterator[None]:
    """Receivers for a test; no look comes between, and the role's own configuration comes back."""
    source = (testing.scenario_directory() / "files/receivers.py").read_text()
    host.check_output(f"cat > {SERVERS} <<'END'\n{source}END\ncp -p {CONFIGURED} {CONFIGURED}.kept")
    host.check_output(f"systemctl stop groundwork-watch.timer; {QUIET}")
    host.check_output("install -d -o groundwork-alerts /run/test-page")
    configure(host, RECEIVERS)
    listen(host)
    yield
    host.run("systemctl stop test-receivers")
    host.check_output(
        f"mv {CONFIGURED}.kept {CONFIGURED}; rm -rf {ARRIVED} /run/test-page {OUTBOX}/*/*; "
        "systemctl start groundwork-watch.timer"
    )


def configure(host: Host, receivers: list[dict[str, Any]], **settings: object) -> None:
    """Write the configuration in the form of the role's."""
    host.check_output(f"cat > {CONFIGURED} <<'END'\n{json.dumps({'receivers': receivers, **settings})}\nEND")


def listen(host: Host) -> None:
    """Start the servers."""
    server = f"/usr/bin/python3 {SERVERS} {PORT} {ARRIVED}"
    host.check_output(f"systemd-run --quiet --collect --unit=test-receivers {server}")
    assert testing.poll(lambda: host.run(f"ss -ltn | grep -q :{PORT + 1}").rc == 0)


def arrived(host: Host) -> list[dict[str, Any]]:
    """What has come to the servers."""
    return [json.loads(line) for line in host.run(f"cat {ARRIVED}").stdout.split("\n")[:-1]]


def test_each_receiver_gets_a_test_and_no_secret_is_seen(host: Host) -> None:
    gone = {"name": "gone", "type": "slack", "url": f"{URL}/gone/{CANARY}"}
    configure(host, [*RECEIVERS, gone])
    began = time.time()
    result = host.run(f"{PROGRAM} test")
    rows = {line.split()[0]: " ".join(line.split()[3:]) for line in result.stdout.splitlines()}
    assert [rows[name] for name in ("hook", "chat", "phone", "mail")] == ["sent"] * 4, result.stdout
    assert rows["page"].endswith("sent")
    assert rows["gone"] == "It answers HTTP 404. Check its url: it may have been withdrawn."
    assert result.rc == 1
    assert sorted(one["path"] for one in arrived(host)) == sorted(
        ["", f"/{CANARY}", "/", f"/services/{CANARY}", f"/gone/{CANARY}"]
    )
    assert json.loads(host.check_output("cat /run/test-page/page"))["version"] == 1
    assert host.check_output("cat /run/test-page/page.user") == "groundwork-alerts"
    journal = host.check_output(f"journalctl --since=@{began:.3f} --no-pager -o verbose")
    seen = [line for line in journal.splitlines() if CANARY in line and "_AUDIT" not in line and "CMDLINE" not in line]
    assert [line for line in seen if "testinfra" not in line] == []
    assert CANARY not in result.stdout + result.stderr
    assert host.run(f"{PROGRAM} test nobody").stderr.startswith("There is no receiver nobody; there are: hook, chat")


def test_what_a_receiver_does_not_take_waits_and_arrives(host: Host) -> None:
    configure(host, RECEIVERS[:1])
    host.check_output("systemctl stop test-receivers")
    for part in ("one", "two"):
        host.check_output(f"/usr/bin/python3 -I -c {shlex.quote(PUT)} {part}")
        host.check_output("systemctl start groundwork-alerts")
    assert host.check_output(f"ls {OUTBOX}/network").count(".json") == 2
    listen(host)
    host.check_output(f"rm {OUTBOX}/network/hook.state; systemctl start groundwork-alerts")  # in place of the pause
    (one,) = arrived(host)
    assert [change["part"] for change in json.loads(one["body"])["changes"]] == ["one", "two"]
    assert ".json" not in host.check_output(f"ls {OUTBOX}/network")


def test_what_sends_alerts_sees_its_part_of_the_outbox_alone(host: Host) -> None:
    assert host.check_output(f"stat -c '%a %U' {CONFIGURED}.kept") == "600 root"
    assert host.check_output(f"stat -c '%a %U %G' {OUTBOX} {OUTBOX}/*").splitlines() == [
        "700 root root",
        "700 root root",
        "770 groundwork-alerts root",
    ]
    for file in (CONFIGURED, f"{on_host('watch')}/look.json"):
        assert host.run(f"setpriv --reuid=groundwork-alerts --clear-groups cat {file}").rc != 0
    shown = host.check_output("systemd-analyze security --no-pager groundwork-alerts.service")
    assert "MemoryDenyWriteExecute" in shown


@pytest.mark.full
def test_the_playbook_shows_the_outcomes_and_fails_with_what_to_do(host: Host) -> None:
    configure(host, [RECEIVERS[0], {"name": "gone", "type": "webhook", "url": f"{URL}/gone/{CANARY}"}])
    result = testing.play(host, "alert_test.yml")
    assert result.returncode != 0
    said = testing.said(result)
    assert "gone: It answers HTTP 404. Check its url: it may have been withdrawn." in said
    assert CANARY not in said
