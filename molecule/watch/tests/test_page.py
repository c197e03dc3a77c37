"""The operator's status page, as the proxy serves it: behind a password, and with what is wrong now."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
import testing
from testinfra.host import Host
from testing import on_host
from visitor import MakeSite, Site

PAGE = f"{on_host('status')}/index.html"
TOLD = f"{on_host('data', 'moody')}/answer"


def asked_by(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def page(host: Host, site: MakeSite) -> Site:
    certificate = f"{on_host('certificate', on_host('status_site'))}/fullchain.pem"
    return site("status.test", root=host.check_output(f"cat {certificate}"))


@pytest.fixture
def moody(host: Host, site: MakeSite) -> Iterator[Site]:
    yield site("moody.test", verify=False)
    host.check_output(f"rm -f {TOLD}; systemctl start groundwork-watch.service")


def shown(page: Site) -> str:
    answer = page.get(headers=asked_by("ada", "status-password"))
    assert answer.status == 200, answer
    return answer.text


def test_it_asks_for_a_password_and_is_the_only_thing_there(host: Host, page: Site) -> None:
    host.check_output("systemctl start groundwork-watch.service")
    assert page.get().status == 401
    assert page.get(headers=asked_by("ada", "wrong")).status == 401
    answer = page.get(headers=asked_by("ada", "status-password"))
    assert answer.status == 200
    for header, value in (
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Robots-Tag", "noindex, nofollow"),
    ):
        assert answer.all(header) == [value]
    assert "frame-ancestors 'none'" in str(answer.header("Content-Security-Policy"))
    for path in ("/index.html", "/history.json", "/../watch/look.json", "/%2e%2e/watch/look.json"):
        assert page.get(path, headers=asked_by("ada", "status-password")).status in (400, 404), path
    assert page.request("GET", "/", scheme="http").status == 301


def test_no_app_reads_it(host: Host) -> None:
    for user in ("moody", "nobody"):
        assert host.run(f"setpriv --reuid={user} --clear-groups cat {PAGE}").rc != 0
    assert host.run(f"setpriv --reuid=www-data --regid=www-data --clear-groups cat {PAGE}").rc == 0


def test_the_proxy_writes_the_time_of_the_request_into_it(page: Site) -> None:
    text = shown(page)
    assert "<!--#" not in text
    assert re.search(r"shown at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC<", text)
    assert re.search(
        r"--served: calc\(\(\(2\d{3} - 2026\)\*365\*24 \+ \d{3}\*24 \+ \d\d\)\*3600 \+ \d\d\*60 \+ \d\d\);", text
    )


def test_what_is_wrong_stands_on_it_and_nothing_else_of_the_app(host: Host, page: Site, moody: Site) -> None:
    host.check_output(f"echo 500 | install -o moody -m 0644 /dev/stdin {TOLD}")
    moody.get("/?token=canary-in-a-query&<script>alert(1)</script>", headers={"Authorization": "Bearer canary-bearer"})

    def told() -> str:
        host.check_output("systemctl start groundwork-watch.service")
        text = shown(page)
        return text if re.search(r'class="condition critical".*<bdi>moody</bdi></b> health', text) else ""

    text = testing.poll(told, seconds=90, pause=1)
    assert "problem" in re.findall("<h1>(.*?)</h1>", text)[0]
    assert "canary" not in text
    assert "<script" not in text
