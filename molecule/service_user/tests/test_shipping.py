"""The examples of docs/logs.md: a journal that is shipped to rsyslog over TLS, and to systemd-journal-remote."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from testing import on_host

pytestmark = pytest.mark.full

PAGE = Path(__file__).parents[3] / "docs/logs.md"
UNIT = "groundwork-ship@shop.service"
HOLD = f"{on_host('programs')}/logs hold"
RECEIVER = """
global(workDirectory="/root/ship" maxMessageSize="256k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="/root/ship/ca.pem" defaultNetstreamDriverCertFile="/root/ship/logs.pem"
  defaultNetstreamDriverKeyFile="/root/ship/logs.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="message" type="string" string="%msg:::drop-last-lf%\\n")
input(type="imtcp" address="127.0.0.1" port="6514" ruleset="in")
ruleset(name="in") { action(type="omfile" file="/root/ship/received" template="message") }
"""
# A CA, and a certificate of it for logs.example.org.
CERTIFICATES = """
set -e; mkdir -p /root/ship; cd /root/ship
openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=ca -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=logs.example.org -keyout logs.key -out logs.csr
echo subjectAltName=DNS:logs.example.org >extensions
openssl x509 -req -in logs.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3 -extfile extensions -out logs.pem
cp ca.pem /etc/ssl/ship-ca.pem
"""


def block(first: str) -> str:
    """A block of the page, by how it begins."""
    found = re.search(rf"```\w*\n({re.escape(first)}.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, first
    return found[1]


def install(host: Host, *packages: str) -> None:
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
    host.check_output(f"{apt} update; {apt} install --no-install-recommends {' '.join(packages)} >/dev/null 2>&1")


def write(host: Host, path: str, text: str) -> None:
    host.check_output(f"printf %%s %s >{path}", text)


def log(host: Host, text: str) -> None:
    """A line in the journal of the shop, in which something runs."""
    unit = "systemd-run --quiet --unit=in-shop --property=LogNamespace=shop sleep infinity"
    host.check_output(f"systemctl is-active in-shop.service || {unit}")
    host.check_output("logger --socket /run/systemd/journal.shop/dev-log --tag test --size 64KiB %s", text)


def test_rsyslog_gets_lines_over_tls_and_keeps_them_while_the_receiver_is_down(host: Host) -> None:
    install(host, "rsyslog", "rsyslog-gnutls", "openssl")
    host.check_output("sh -c %s 2>&1; echo '127.0.0.1 logs.example.org' >>/etc/hosts", CERTIFICATES)
    write(host, "/root/ship/receiver.conf", RECEIVER)
    sender = block("# /etc/rsyslog.d/groundwork-ship.conf").replace(on_host("ca_bundle"), "/etc/ssl/ship-ca.pem")
    write(host, "/etc/rsyslog.d/groundwork-ship.conf", sender)
    write(host, "/etc/tmpfiles.d/groundwork-ship.conf", block("# /etc/tmpfiles.d/groundwork-ship.conf"))
    receiver = (
        "systemd-run --quiet --collect --unit=receiver rsyslogd -n -f /root/ship/receiver.conf -i /run/receiver.pid"
    )
    host.check_output(f"systemd-tmpfiles --create; {receiver}; systemctl restart rsyslog")
    file, before = f"{on_host('logs')}/shop", {}
    (command,) = re.findall(r"^      ship: (.*)$", PAGE.read_text(), re.MULTILINE)
    try:
        before = {kind: host.file(f"{file}.{kind}").content_string for kind in ("json", "env")}
        write(host, f"{file}.json", json.dumps({"readers": ["ada"], "ship": command}))
        write(host, f"{file}.env", 'GROUNDWORK_SHIP="' + command.replace('"', '\\"').replace("$", "\\$") + '"\n')
        host.check_output(HOLD)
        first, second, third = (uuid.uuid4().hex for _line in range(3))
        log(host, first + "x" * 20_000)
        assert testing.poll(lambda: first in messages(host), 180), testing.journal(host, UNIT)
        host.check_output("systemctl stop receiver")
        log(host, second)
        host.check_output("systemctl stop rsyslog syslog.socket")
        log(host, third)
        assert testing.poll(lambda: "Not delivered" in host.check_output(f"systemctl show -P StatusText {UNIT}"), 180)
        host.check_output(f"{receiver}; systemctl start rsyslog")
        assert testing.poll(lambda: {second, third} <= set(messages(host)), 180), testing.journal(host, UNIT)
    finally:
        host.run("systemctl stop receiver rsyslog syslog.socket; rm /etc/rsyslog.d/groundwork-ship.conf")
        for kind, text in before.items():
            write(host, f"{file}.{kind}", text)
        host.run(HOLD)


def messages(host: Host) -> list[str]:
    """The beginnings of the messages that the receiver has; a line that is being written does not count yet."""
    lines = host.run("cat /root/ship/received").stdout.split("\n")[:-1]
    return [str(json.loads(line)["MESSAGE"])[:32] for line in lines if line.strip().startswith("{")]


def test_journal_upload_has_what_was_logged_while_the_receiver_was_down(host: Host) -> None:
    install(host, "systemd-journal-remote")
    unit = block("# /etc/systemd/system/upload-shop.service").replace("https://logs.example.org", "http://127.0.0.1")
    if testing.host_name(host).endswith("bookworm"):
        directory = f"/var/log/journal/{host.check_output('cat /etc/machine-id')}.shop"
        unit = unit.replace("--namespace=shop", f"--directory={directory}")
    write(host, "/etc/systemd/system/upload-shop.service", unit.replace("RestartSec=10", "RestartSec=1"))
    remote = "/lib/systemd/systemd-journal-remote --listen-http=127.0.0.1:19532 --split-mode=none --output=/root/up"
    receiver = f"systemd-run --quiet --collect --unit=remote {remote}"
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    log(host, first)
    host.check_output(f"rm -f /root/up*; {receiver}.journal; systemctl daemon-reload; systemctl start upload-shop")
    try:
        assert testing.poll(lambda: first in uploaded(host), 180), testing.journal(host, "upload-shop.service")
        host.check_output("systemctl stop remote")
        log(host, second)
        host.check_output(f"{receiver}-2.journal")
        assert testing.poll(lambda: second in uploaded(host), 180), testing.journal(host, "upload-shop.service")
    finally:
        host.run("systemctl stop upload-shop remote; rm /etc/systemd/system/upload-shop.service")


def uploaded(host: Host) -> str:
    return host.run("for file in /root/up*; do journalctl --quiet --output=cat --file=$file; done").stdout
