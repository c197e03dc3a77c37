"""The finished host, seen by its visitors, by a thief inside another app, and by its operator."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

import pytest
import testing
import visitor
from ansible_collections.groundwork.flask.plugins.module_utils.common import exposures
from testinfra.host import Host
from testing import on_host
from visitor import MakeSite, Site
from wire import exchange, status

CONFIGURATION = on_host("configuration")
CURRENT = on_host("current", "guestbook")
DATA = on_host("data", "guestbook")


@pytest.fixture
def guestbook(site: MakeSite, authority_root: str) -> Site:
    return site("guestbook.test", root=authority_root)


@pytest.fixture
def tally(site: MakeSite, authority_root: str) -> Site:
    return site("tally.test", root=authority_root)


def service(host: Host, app: str) -> str:
    return testing.server_unit(host, app)


def explain(host: Host, app: str) -> str:
    return testing.journal(host, f"{app}@*", namespace=f"+{app}")


class TestVisitor:
    """What the world sees."""

    @pytest.mark.parametrize("app", ["guestbook", "tally"])
    def test_the_page_is_trusted(self, host: Host, site: MakeSite, authority_root: str, app: str) -> None:
        answer = site(f"{app}.test", root=authority_root).get("/")
        assert answer.status == 200, explain(host, app)
        assert "Pebble" in str(site(f"{app}.test", root=authority_root).certificate()["issuer"])

    def test_http_leads_to_https_and_to_the_canonical_name(self, site: MakeSite, authority_root: str) -> None:
        for name in ("guestbook.test", "www.guestbook.test"):
            answer = site(name).get("/?page=2", scheme="http")
            assert (answer.status, answer.header("Location")) == (301, "https://guestbook.test/?page=2")
        answer = site("www.guestbook.test", root=authority_root).get("/x")
        assert (answer.status, answer.header("Location")) == (301, "https://guestbook.test/x")

    @pytest.mark.parametrize("app", ["guestbook", "tally"])
    def test_the_app_sees_the_visitor(self, host: Host, site: MakeSite, authority_root: str, app: str) -> None:
        forged = {
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Host": "evil.test",
            "X-Forwarded-Prefix": "/evil",
        }
        told = site(f"{app}.test", root=authority_root).get("/whoami", headers=forged).json
        assert told["remote_addr"] == testing.own_ip(host)
        assert told["url"] == f"https://{app}.test/whoami"
        assert told["user"] == app

    def test_a_post_lands_in_the_database(self, host: Host, guestbook: Site) -> None:
        message = f"written from outside to {testing.host_name(host)}"
        answer = visitor.sign(guestbook, message)
        assert answer.status == 303, explain(host, "guestbook")
        assert message in guestbook.get("/api/entries").text
        database = f"sqlite3.connect('{DATA}/guestbook.sqlite3')"
        select = "select count(*) from entry where message = ?"
        query = f"import sqlite3; print({database}.execute({select!r}, [{message!r}]).fetchone()[0])"
        assert host.check_output("python3 -c %s", query) == "1"

    def test_static_files_come_from_the_disk(self, host: Host, guestbook: Site) -> None:
        answer = guestbook.get("/static/style.css")
        assert answer.status == 200
        source = testing.ROOT / "examples/guestbook/guestbook/static/style.css"
        assert answer.body == source.read_bytes()
        probe = f"{CURRENT}/public/static/probe.txt"
        host.check_output(f"echo from the disk > {probe}")
        try:
            assert guestbook.get("/static/probe.txt").text == "from the disk\n"
        finally:
            host.check_output(f"rm {probe}")

    def test_errors_are_the_apps_own_where_it_has_them(self, guestbook: Site, tally: Site) -> None:
        assert guestbook.get("/nowhere").status == 404
        assert "nginx" not in guestbook.get("/nowhere").text
        assert tally.get("/fail").status == 500
        assert "Traceback" not in tally.get("/fail").text

    def test_an_upload_above_the_limit_is_refused(self, guestbook: Site) -> None:
        answer = guestbook.post("/", body=b"x" * (9 << 20))
        assert answer.status == 413
        assert "nginx" not in answer.text

    def test_unknown_names_are_refused(self, site: MakeSite) -> None:
        with pytest.raises(OSError, match=r"(?i)unrecognized.name|handshake"):
            site("stranger.test", verify=False).get("/")
        assert site("stranger.test").get("/", scheme="http").status in (421, 444)

    def test_only_the_declared_ports_answer(self, host: Host, host_ip: str) -> None:
        host.check_output("systemd-run --quiet --unit=open-door --collect python3 -m http.server 8000")
        try:
            testing.poll(lambda: host.run("ss -ltn | grep -q :8000").rc == 0)
            assert testing.tcp_refused(host_ip, 8000)
            assert testing.tcp_open(host_ip, 443)
        finally:
            host.check_output("systemctl stop open-door")


ANOTHER = b"GET /fail HTTP/1.1\r\nHost: tally.test\r\n\r\n"
# Each is one request to some and two to others, or none at all (RFC 9112, sections 6 and 11.2).
SMUGGLED = {
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ANOTHER,
    "chunks by another name": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk of no length": b"Transfer-Encoding: chunked\r\n\r\nz\r\nhello\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a length that is none": b"Content-Length: -5\r\n\r\n",
}

# Ten visits from the host itself.
VISIT = """
import http.client, json, socket, ssl, sys, time
trusting = ssl.create_default_context()
trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
statuses, slowest = [], 0
for turn in range(10):
    began = time.monotonic()
    connection = http.client.HTTPConnection(sys.argv[1])
    plain = socket.create_connection(("127.0.0.1", 443), 60)
    connection.sock = trusting.wrap_socket(plain, server_hostname=sys.argv[1])
    connection.request("GET", "/healthz")
    statuses.append(connection.getresponse().status)
    connection.close()
    slowest = max(slowest, time.monotonic() - began)
print(json.dumps([statuses, slowest]))
"""


class Attack:
    """Attackers, each with a connection that sends the head of a request and never its end.

    nginx ends such a connection after 10 s: each attacker comes again, and the attack lasts, however late it begins.

    :ivar open: how many such connections are open now.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.context = site, site.context()
        self.open = 0

    async def attack(self, plain: socket.socket | None) -> None:
        """One attacker, until it is cancelled; plain: its first connection."""
        while True:
            with suppress(OSError):
                where = {"sock": plain} if plain else {"host": self.site.address, "port": 443}
                reader, writer = await asyncio.open_connection(
                    **where, ssl=self.context, server_hostname=self.site.name
                )
                try:
                    writer.write(f"GET / HTTP/1.1\r\nHost: {self.site.name}\r\nX-Slow: ".encode())
                    self.open += 1
                    await reader.read()
                finally:
                    self.open -= 1
                    writer.transport.abort()
            plain = None
            await asyncio.sleep(1)

    async def beside(self, plain: list[socket.socket], at_least: int, command: Callable[[], str]) -> str:
        """Call a function once so many connections are open at a time; what it returns."""
        tasks = [asyncio.create_task(self.attack(one)) for one in plain]
        try:
            async with asyncio.timeout(120):
                while self.open < at_least:
                    await asyncio.sleep(0.05)
            return await asyncio.to_thread(command)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.once
class TestAttacker:
    """One attack of each kind. The scenario scan has scanners, 81 malformed requests and 2000 slow connections."""

    @pytest.mark.parametrize("name", SMUGGLED)
    def test_a_smuggled_request_is_refused(self, tally: Site, name: str) -> None:
        answer = exchange(tally, b"POST /hit HTTP/1.1\r\nHost: tally.test\r\n" + SMUGGLED[name])
        assert status(answer) in (400, 501), answer
        assert answer.count(b"HTTP/1.1 ") == 1, answer

    def test_visitors_are_served_beside_slow_connections(self, host: Host, guestbook: Site) -> None:
        """300 connections of one address, many times the app's threads, send the head of a request and never its end.

        The firewall takes 200 of them, and the visitor comes from another address.
        """
        with ExitStack() as stack:
            held = []
            for _number in range(300):  # all of them before nginx ends the first: without TLS, which takes much longer
                with suppress(ConnectionRefusedError):
                    held.append(stack.enter_context(socket.create_connection((guestbook.address, 443), 60)))
            assert 150 < len(held) <= 200
            visit = partial(host.check_output, "/usr/bin/python3 -c %s %s", VISIT, guestbook.name)
            statuses, slowest = json.loads(asyncio.run(Attack(guestbook).beside(held, 100, visit)))
        assert statuses == [200] * 10
        assert slowest < 10, "a visitor has waited until connections of the attack were ended"


class TestThief:
    """What an app can do to the other one, and to the host, when it has been taken over."""

    @pytest.mark.parametrize(
        "command",
        [
            f"ls {on_host('home', 'guestbook')}",
            f"ls {on_host('releases', 'guestbook')}",
            f"ls {CURRENT}/code",
            f"cat {CURRENT}/code/requirements.txt",
            f"cat {CURRENT}/env",
            f"cat {CURRENT}/server.json",
            f"ls {DATA}",
            f"cat {CONFIGURATION}/secrets/guestbook/SECRET_KEY",
            f"cat {on_host('certificate', 'guestbook')}/privkey.pem",
            "cat /var/log/journal/*.guestbook/system.journal",
        ],
    )
    def test_another_account_is_kept_out(self, host: Host, command: str) -> None:
        result = host.run("runuser -u tally -- sh -c %s", command)
        assert result.rc != 0, result.stdout
        assert "ermission denied" in result.stderr

    def test_another_account_cannot_reach_the_socket(self, host: Host) -> None:
        code = f"import socket; socket.socket(socket.AF_UNIX).connect('{on_host('socket', 'guestbook')}')"
        assert "Permission" in host.run("runuser -u tally -- python3 -c %s", code).stderr

    def test_an_app_cannot_change_its_own_code(self, host: Host) -> None:
        result = host.run(f"runuser -u guestbook -- touch {CURRENT}/code/x {CURRENT}/venv/x")
        assert result.rc != 0

    def test_the_proxy_reads_static_files_and_the_socket_only(self, host: Host) -> None:
        assert host.run(f"runuser -u www-data -- cat {CURRENT}/public/static/style.css").rc == 0
        for path in ("code/requirements.txt", "env", "venv/pyvenv.cfg"):
            assert host.run(f"runuser -u www-data -- cat {CURRENT}/{path}").rc != 0

    @pytest.mark.parametrize("app", ["guestbook", "tally"])
    def test_the_account_is_locked(self, host: Host, app: str) -> None:
        assert host.check_output(f"getent passwd {app}").endswith(":/usr/sbin/nologin")
        assert host.check_output(f"getent shadow {app}").split(":")[1].startswith("!")
        assert int(host.check_output(f"id -u {app}")) < 1000

    @pytest.mark.parametrize("app", ["guestbook", "tally"])
    def test_the_sandbox_is_tight(self, host: Host, app: str) -> None:
        said = host.check_output(f"systemd-analyze security --no-pager {service(host, app)} | tail -n 1")
        exposure = float(re.findall(r"(\d+\.\d)", said)[-1])
        assert exposure <= 1.2, said

    def test_no_unit_is_more_exposed_than_stated(self, host: Host) -> None:
        names = host.check_output(
            "{ systemctl list-units --all --type=service --plain --no-legend;"
            " systemctl list-unit-files --type=service --no-legend 'groundwork-*' 'certbot*'; } | cut -d ' ' -f 1"
            " | grep -E '^(groundwork-|certbot|nginx|guestbook|tally)' | grep -v '@[.]' | sort -u"
        )
        assert {"groundwork-backup-drill.service", "groundwork-certificate.service"} <= set(names.split())
        shown = host.check_output(f"systemd-analyze security --no-pager {' '.join(names.split())}")
        assert exposures.problems(shown, ["guestbook", "tally"]) == []

    def test_secrets_show_nowhere(self, host: Host) -> None:
        key = host.check_output(f"cat {CONFIGURATION}/secrets/guestbook/SECRET_KEY")
        assert len(key) == 64
        for secret in (key, "canary-4711-token"):
            assert host.run("journalctl --no-pager | grep -F %s", secret).rc == 1
            assert host.run("journalctl --namespace=guestbook --no-pager | grep -F %s", secret).rc == 1
            assert host.run("grep -rlF %s /var/log --include=*.log", secret).stdout == ""
        modes = host.check_output(
            f"stat -c '%a %U' {CONFIGURATION}/secrets/guestbook {CONFIGURATION}/secrets/guestbook/SECRET_KEY"
        )
        assert modes.splitlines() == ["700 root", "600 root"]


class TestOperator:
    """What the operator relies on."""

    @pytest.mark.parametrize("app", ["guestbook", "tally"])
    def test_workers_follow_the_cores(self, host: Host, app: str) -> None:
        cores = int(host.check_output("nproc"))
        main = host.check_output(f"systemctl show -P MainPID {service(host, app)}")
        workers = testing.poll(lambda: len(host.run(f"pgrep -P {main}").stdout.split()) == 2 * cores + 1)
        assert workers, explain(host, app)
        log = host.check_output(f"journalctl --namespace={app} --no-pager -o cat")
        assert f"{2 * cores + 1} workers: (2 x {cores} {'core' if cores == 1 else 'cores'}) + 1" in log

    def test_what_the_app_prints_is_in_its_own_journal(self, host: Host, guestbook: Site) -> None:
        visitor.sign(guestbook, "a line for the journal")
        entry = testing.poll(lambda: "entry" in testing.journal(host, "guestbook@*", 20, namespace="guestbook"))
        assert entry

    def test_flask_commands_find_the_app(self, host: Host) -> None:
        command = (
            f"systemd-run --pipe --wait --quiet --uid=guestbook --property=EnvironmentFile={CURRENT}/env "
            f"--working-directory={CURRENT}/code {CURRENT}/venv/bin/flask"
        )
        host.run(f"{command} routes > /tmp/routes 2>&1")
        assert "/healthz" in host.check_output("cat /tmp/routes")

    def test_the_environment_arrives_as_written(self, host: Host) -> None:
        main = host.check_output(f"systemctl show -P MainPID {service(host, 'guestbook')}")
        environment = host.check_output(f"tr '\\0' '\\n' < /proc/{main}/environ").splitlines()
        assert 'GREETING=a "quoted" $greeting' in environment
        assert "FLASK_DEBUG=0" in environment
        assert f"RELEASE={testing.live(host, 'guestbook')}" in environment

    def test_a_killed_master_costs_no_get_that_had_no_answer_yet(self, host: Host, guestbook: Site) -> None:
        main = host.check_output(f"systemctl show -P MainPID {service(host, 'guestbook')}")
        host.check_output(f"kill -KILL {main}")
        statuses: list[int] = []
        cut = 0
        for _turn in range(20):
            try:
                statuses.append(guestbook.get("/healthz").status)
            except http.client.IncompleteRead:  # its head was out when the server died: nobody can ask again
                cut += 1
        assert statuses == [200] * (20 - cut)
        assert cut <= 1, "requests follow each other, so one at most is on its way at a kill"

    def test_nothing_has_failed(self, host: Host) -> None:
        assert host.check_output("systemctl --failed --no-legend --plain") == ""

    def test_nothing_is_here_that_no_app_asks_for(self, host: Host) -> None:
        """Neither a database server nor what else an app may stand on."""
        installed = testing.installed_packages(host)
        servers = re.compile("(postgresql|mariadb-server|mysql-server|redis|valkey|pgbouncer)")
        assert [name for name in installed if servers.match(name)] == []
        assert host.run(f"ls -d {CONFIGURATION}/services").stdout == ""
        assert host.run(r"ls /etc/systemd/system | grep -E '^(guestbook|tally)[.]'").stdout == ""
