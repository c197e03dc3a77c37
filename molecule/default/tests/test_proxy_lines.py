"""The proxy's lines about an app are in the app's own journal, and the watch counts those alone."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
import testing
from testinfra.host import Host
from testing import on_host
from visitor import MakeSite, Site, sign

FILE = "/var/log/nginx/access.log"
NUMBER = uuid.uuid4().hex
DEV_LOG = f"{on_host('journal', 'tally')}/dev-log"

# A line like the proxy's, from the app's own account in the app's own journal.
FORGE = """
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("DEV_LOG")
s.send(b'<190>Nov 30 06:30:00 nginx: {"id":"forged","method":"GET","uri":"/forged","status":"500","seconds":0.1}')
""".replace("DEV_LOG", DEV_LOG)

# What the watch counts since a place, by its own program.
COUNT = f"""
import json, sys
sys.path.insert(0, "{on_host("packages")}")
from groundwork_watch.watch import requests
reading = requests.read(["guestbook", "tally"], requests.Place(*json.loads(sys.argv[1])))
uris = {{app: [line.uri for line in lines] for app, lines in reading.lines.items()}}
print(json.dumps([uris, [reading.place.cursor, reading.place.time]]))
"""
Place = list[Any]  # as the program takes and prints it


@pytest.fixture
def guestbook(site: MakeSite, authority_root: str) -> Site:
    return site("guestbook.test", root=authority_root)


@pytest.fixture
def tally(site: MakeSite, authority_root: str) -> Site:
    return site("tally.test", root=authority_root)


def proxy_lines(host: Host, app: str, wanted: str) -> list[dict[str, Any]]:
    """The requests in an app's journal that the proxy's unit has written."""
    shown = host.run(
        f"journalctl --namespace={app} --quiet --output=cat --lines=200 _SYSTEMD_UNIT=nginx.service"
    ).stdout
    return [json.loads(line) for line in shown.splitlines() if line.startswith("{") and wanted in line]


def counted(host: Host, place: Place) -> tuple[dict[str, list[str]], Place]:
    """The requests since a place, by app, and the place after them; none where there is no place yet."""
    found, after = json.loads(host.check_output("/usr/bin/python3 -c %s %s", COUNT, json.dumps(place)))
    return found, after


def test_a_number_ties_the_page_the_proxys_line_and_the_apps(host: Host, guestbook: Site) -> None:
    assert guestbook.get("/whoami", headers={"X-Request-ID": NUMBER}).status == 200
    (line,) = testing.poll(lambda: proxy_lines(host, "guestbook", NUMBER))
    assert (line["app"], line["uri"], line["status"]) == ("guestbook", "/whoami", "200")
    assert "upstream_seconds" in line
    signed = sign(guestbook, "a line with a number")
    number = signed.header("X-Request-ID")
    assert number
    of_the_app = "journalctl --namespace=guestbook --quiet --output=cat --lines=50 --unit='guestbook@*'"
    assert testing.poll(lambda: re.search(rf"\[{number}\].*entry", host.check_output(of_the_app)))
    assert testing.poll(lambda: proxy_lines(host, "guestbook", number))
    assert host.run("grep -F %s %s", number, FILE).rc == 1


def test_a_stopped_apps_page_names_the_line(host: Host, tally: Site) -> None:
    """Nothing of the app runs, nor its journal; both are woken by what is said about it."""
    unit = testing.server_unit(host, "tally")
    units = f"{unit.replace('.service', '.socket')} {unit}"
    host.check_output(f"systemctl stop {units}")
    try:
        host.run("systemctl stop systemd-journald@tally.service")
        answer = tally.get("/lost")
    finally:
        host.check_output(f"systemctl start {units}")
    number = re.search(r"<code>(\w{32})</code>", answer.text)
    assert answer.status == 502
    assert number
    assert testing.poll(lambda: proxy_lines(host, "tally", number[1]))
    said = host.check_output("journalctl --namespace=tally --quiet --output=cat --priority=err --lines=20")
    assert "app.sock failed" in said, "the proxy's errors"
    assert testing.poll(lambda: tally.get("/").status == 200)


def test_what_belongs_to_no_app_stays_in_the_file(host: Host, site: MakeSite) -> None:
    number = f"unknown-{uuid.uuid4().hex}"
    assert site("unknown.test").get("/", scheme="http", headers={"X-Request-ID": number}).status == 421
    challenge = "/.well-known/acme-challenge/none"
    site("tally.test").get(challenge, scheme="http", headers={"X-Request-ID": f"challenge-{number}"})
    assert testing.poll(lambda: host.run("grep -c %s %s", number, FILE).stdout.strip() == "2")
    assert not proxy_lines(host, "tally", number)


def test_lines_that_the_app_forges_are_not_counted(host: Host, tally: Site) -> None:
    _none, begin = counted(host, [])
    forged = "journalctl --namespace=tally --quiet --output=cat --lines=50 SYSLOG_IDENTIFIER=nginx | grep -c forged"
    host.check_output("systemd-run --wait --quiet --property=User=tally /usr/bin/python3 -c %s", FORGE)
    assert testing.poll(lambda: host.run(forged).rc == 0), "it may write there"
    assert tally.get("/counted").status == 404
    assert testing.poll(lambda: proxy_lines(host, "tally", "/counted"))
    found, end = counted(host, begin)
    assert "/counted" in found["tally"]
    assert "/forged" not in found["tally"]
    assert "/counted" not in counted(host, end)[0]["tally"], "each once"  # the watch itself may have asked meanwhile


def test_only_the_proxy_and_the_app_may_write_there(host: Host) -> None:
    """Before and after its journal is restarted; the native protocol is the app's alone."""
    for _time in range(2):
        assert host.check_output(f"stat -c '%U %G %a' {DEV_LOG}") == "www-data tally 660"
        assert host.check_output(f"stat -c '%U %G %a' {on_host('journal', 'tally')}/socket") == "root tally 660"
        host.check_output("systemctl restart systemd-journald@tally.service")
