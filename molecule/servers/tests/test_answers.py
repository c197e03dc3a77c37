"""What an app does under each server, seen by its visitors and by its neighbours on the host."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor

import testing
from kinds import OTHERS, SERVERS, UWSGI, Kind, MakeShop, each
from load import Connection
from testinfra.host import Host
from testing import on_host

each_kind = each(SERVERS, full=OTHERS)


def service(host: Host, kind: Kind) -> str:
    return testing.server_unit(host, kind.app)


@each_kind
def test_the_app_sees_the_visitor_and_runs_as_itself(host: Host, shop: MakeShop, kind: Kind) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
        "SCRIPT_NAME": "/evil",
        "X_Forwarded_For": "6.6.6.6",
    }
    for headers in ({}, forged):
        seen = shop(kind).get("/seen?x=1", headers=headers).json
        assert seen["client"] == testing.own_ip(host)
        assert seen["url"] == f"https://{kind.site}/seen?x=1"
        assert (seen["secure"], seen["root"], seen["currency"], seen["user"]) == (True, "", "EUR", kind.app)
        assert seen["release"] == testing.live(host, kind.app)
        assert seen["ours"] == []  # the header that opens mod_wsgi's port


@each_kind
def test_a_post_lands_in_the_database(shop: MakeShop, kind: Kind) -> None:
    before = shop(kind).get("/count").json["count"]
    assert [shop(kind).post("/hit").json["count"] for _turn in range(3)] == [before + 1, before + 2, before + 3]
    assert shop(kind).get("/count").json["count"] == before + 3


@each_kind
def test_an_upload_of_20_mb_arrives(shop: MakeShop, kind: Kind) -> None:
    body = os.urandom(20_000_000)
    answer = shop(kind).post("/upload", body=body)
    assert answer.status == 200, answer.text
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()


@each_kind
def test_an_upload_without_its_length_arrives(shop: MakeShop, kind: Kind) -> None:
    parts = [os.urandom(50_000) for _part in range(20)]
    answer = shop(kind).request("POST", "/upload", body=parts)  # type: ignore[arg-type]
    assert answer.json["sha256"] == hashlib.sha256(b"".join(parts)).hexdigest()


@each_kind
def test_an_odd_path_reaches_the_app(shop: MakeShop, kind: Kind) -> None:
    assert shop(kind).get("/path/a%2Fb%20c/%C3%A9%2e?x=1").json["rest"] == "a/b c/é."


READINGS = {  # of a path that can be read in one way only, what the app sees: each decodes it once
    "x%2ey": "x.y",
    "%61;v=1/b": "a;v=1/b",
    "..x/.y/...": "..x/.y/...",
    "%252e%252e/100%25": "%2e%2e/100%",
    "a%3fb": "a?b",
}
CONNECTION = ("close", "close, X-Forwarded-For, X-Forwarded-Proto", "x-forwarded-host, Host, X-Real-IP, Upgrade")


@each_kind
def test_the_app_sees_what_the_proxy_has_judged_and_set(host: Host, shop: MakeShop, kind: Kind) -> None:
    """Whatever headers a visitor's Connection names, for a proxy to take away."""
    expected = [(read, testing.own_ip(host), True, kind.site) for read in READINGS.values()]
    for named in CONNECTION:
        answers = [shop(kind).get(f"/path/{path}?/../%2f", headers={"Connection": named}).json for path in READINGS]
        assert [(seen["rest"], seen["client"], seen["secure"], seen["host"]) for seen in answers] == expected, named


def form(content: str) -> dict[str, object]:
    """A request with a file, as a browser sends a form."""
    body = f'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n{content}\r\n--x--\r\n'
    return {"body": body, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


@each_kind
def test_an_upload_is_served_from_the_disk_and_no_link(host: Host, shop: MakeShop, kind: Kind) -> None:
    site = shop(kind)
    host.check_output("rm -rf %s/uploads/public/*", on_host("data", kind.app))
    assert site.post("/keep/page.html", **form("<script>")).status == 200  # type: ignore[arg-type]
    served = site.get("/media/page.html")
    assert (served.status, served.text) == (200, "<script>")
    assert "script-src 'none'" in str(served.header("Content-Security-Policy"))
    key = f"{on_host('certificate', kind.app)}/privkey.pem"
    for name, target in {"key": key, "passwd": "/etc/passwd", "near": "page.html", "up": "/etc"}.items():
        assert site.post(f"/keep/{name}?symlink={target}").status == 200
        assert site.get(f"/media/{name}").status in (403, 404)
    assert site.get("/media/up/passwd").status in (403, 404)
    assert site.post("/keep/hard?hardlink=/etc/passwd").status == 500  # another's file, on another mount of its sandbox


@each_kind
def test_a_static_file_comes_from_the_disk(shop: MakeShop, kind: Kind) -> None:
    assert shop(kind).get("/static/style.css").text == "body { color: teal; }\n"


@each_kind
def test_a_streamed_response_comes_as_it_is_made(shop: MakeShop, kind: Kind) -> None:
    """The app makes the rest only when the visitor has read the beginning, and has told it so."""
    site = shop(kind)
    connection = Connection(site, site.context())
    connection.request("GET", "/stream", headers={"Host": site.name})
    response = connection.getresponse()
    text = response.read1()
    assert text.decode() == "part 0\n"
    assert site.post("/hit").status == 200
    text += response.read()
    connection.close()
    assert text.decode() == "".join(f"part {number}\n" for number in range(5))


@each_kind
def test_a_header_of_12_kb_gets_a_clear_answer(shop: MakeShop, kind: Kind) -> None:
    """Both proxies take lines of 8 kB; they say so themselves, and the app goes on."""
    answer = shop(kind).get("/", headers={"X-Long": "x" * 12_000})
    assert answer.status == 400
    assert '<p class="code">400</p>' in answer.text
    assert shop(kind).get("/", headers={"X-Long": "x" * 7_000}).status == 200


@each_kind
def test_as_many_workers_as_there_should_be(host: Host, shop: MakeShop, kind: Kind) -> None:
    workers = kind.workers or 2 * int(host.check_output("nproc")) + 1
    main = host.check_output("systemctl show --value --property=MainPID %s", service(host, kind))
    said = host.check_output(f"cat /run/{kind.app}-{testing.live(host, kind.app)}/workers")
    shown = host.check_output(f"journalctl --namespace={kind.app} --no-pager -o cat")
    reason = (
        f"{workers} {'worker' if workers == 1 else 'workers'}, as configured"
        if kind.workers
        else f"{workers} workers: (2 x "
    )
    assert said.startswith(reason)
    assert said in shown
    if kind.spreads:
        site, answering = shop(kind), set[int]()

        def all_have_answered() -> bool:
            # A worker may take more than its share of one round, and leave nothing to another.
            with ThreadPoolExecutor(8 * workers) as visitors:
                answering.update(visitors.map(lambda _turn: site.get("/wait/0.5").json["pid"], range(10 * workers)))
            return len(answering) >= workers

        assert testing.poll(all_have_answered, 180)
        assert len(answering) == workers
    else:
        assert len(host.check_output(f"cat /proc/{main}/task/{main}/children").split()) == workers


@each_kind
def test_the_sandbox_is_the_same(host: Host, kind: Kind) -> None:
    said = host.check_output(f"systemd-analyze security --no-pager {service(host, kind)} | tail -n 1")
    default = host.check_output(f"systemd-analyze security --no-pager {service(host, SERVERS[0])} | tail -n 1")
    assert said.split(":")[1] == default.split(":")[1]
    assert float(said.split(":")[1].split()[0]) <= 1.2


ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/seen", headers=dict([sys.argv[2].split(":")]))
print(connection.getresponse().status)
"""


def test_the_port_of_mod_wsgi_answers_nobody_else(host: Host) -> None:
    listening = host.check_output("ss -Hltnp 'src 127.0.0.1'").splitlines()
    ports = [line.split()[3].rpartition(":")[2] for line in listening if '"pebble"' not in line]
    assert ports
    for header in ("X-Forwarded-For:6.6.6.6", "X-Groundwork-:bridge", f"X-Groundwork-{'a' * 32}:bridge"):
        asked = [host.check_output("runuser -u nobody -- python3 -c %s %s %s", ASK, port, header) for port in ports]
        assert set(asked) == {"403"}


def test_an_option_that_nobody_here_knows_reaches_the_server(host: Host) -> None:
    """`log-date` in the inventory: uWSGI begins its lines with the date."""
    shown = host.check_output(f"journalctl --namespace={UWSGI.app} --no-pager -o cat")
    date = r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d 2\d{3} - "
    assert re.search(date, shown.split("spawned uWSGI master process")[0][-400:], re.MULTILINE)
