"""What a site, or a path of it, may have of its own."""

from __future__ import annotations

import base64
import time
import uuid
from typing import Any

import pytest
import testing
from pages import assert_own_page, logged, stopped
from providers import NGINX, Provider
from test_front_door import raw
from testinfra.host import Host
from testing import on_host
from visitor import Site

SHOP_SOCKET, BLOG_SOCKET = on_host("socket", "shop"), f"{on_host('home', 'blog')}/app.sock"
YEAR = "public, max-age=31536000, immutable"


nginx_alone = pytest.mark.provider(NGINX.name)  # for what another one refuses to do


# --- who may see what -------------------------------------------------------------------------------------------------


def credentials(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "/admin/users?x=1", "/admin/static/style.css", "/%61dmin/x", "/admin/..x"]
)
def test_a_password_is_asked_for_wherever_the_path_leads(shop: Site, provider: Provider, path: str) -> None:
    refused = shop.get(path)
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, 'Basic realm="shop"')
    assert_own_page(provider, refused.text, 401)
    assert shop.get(path, headers=credentials("babbage")).status == 401
    assert shop.get(path, headers=credentials("lovelace")).status == 200


def test_what_is_below_may_be_open_again_and_what_is_beside_is(shop: Site) -> None:
    assert shop.get("/admin/open/x").status == 200
    assert shop.get("/administration").status == 200


def test_password_files_are_for_the_proxy_alone(host: Host, provider: Provider) -> None:
    files = host.check_output("find %s/groundwork/passwords -type f", provider.directory).splitlines()
    assert files
    for path in files:
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "www-data", 0o640)


@pytest.mark.parametrize("path", ["/inside", "/inside/x"])
def test_other_addresses_are_kept_out(shop: Site, provider: Provider, path: str) -> None:
    refused = shop.get(path)
    assert refused.status == 403
    assert_own_page(provider, refused.text, 403)
    assert shop.get("/insider").status == 200


@nginx_alone
def test_too_many_requests_are_told_when_to_come_back(shop: Site, provider: Provider) -> None:
    answers = [shop.get("/limited/x") for _turn in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].header("Retry-After") == "10"
    assert_own_page(provider, answers[-1].text, 429)
    assert shop.get("/unlimited").status == 200


@nginx_alone
def test_too_many_at_once_too(shop: Site) -> None:
    path = "/one-at-a-time/x"
    with raw(shop) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: {shop.name}\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(f"{head}x".encode())
        assert testing.poll(lambda: shop.get(path).status == 429)
        assert shop.get(path).status == 429
        connection.sendall(b"x")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert testing.poll(lambda: shop.get(path).status == 200)


# --- how the app is asked ---------------------------------------------------------------------------------------------


def test_a_path_may_take_longer_and_larger_than_its_site(wiki: Site) -> None:
    assert wiki.get("/patient/slow").status == 200
    assert wiki.post("/patient/x", body=b"x" * 2_000_000).status == 200
    assert wiki.post("/x", body=b"x" * 2_000_000).status == 413


def test_a_path_may_take_larger_bodies(shop: Site) -> None:
    assert shop.post("/big", body=b"x" * 2_000_000).json["body_bytes"] == 2_000_000
    assert shop.post("/bigger", body=b"x" * 2_000_000).status == 413


def test_events_come_as_they_are_sent(shop: Site) -> None:
    """The app sends the next one when it is asked to; were one held back, the wait for it would not end."""
    request = f"GET /events/drip HTTP/1.1\r\nHost: {shop.name}\r\nConnection: close\r\n\r\n"
    with raw(shop) as connection:
        connection.sendall(request.encode())
        answer = b""
        for number in range(4):
            while f"data: {number}\n\n".encode() not in answer:
                piece = connection.recv(10_000)
                assert piece, answer
                answer += piece
            assert f"data: {number + 1}".encode() not in answer
            assert shop.get("/next-event").status == 200


def kept(site: Site, path: str, headers: dict[str, str] | None = None) -> str:
    """The answer that the proxy keeps. A visitor has it a moment before it is kept: it is asked for until then."""
    texts = [site.get(path, headers=headers).text]

    def is_kept() -> bool:
        texts.append(site.get(path, headers=headers).text)
        return texts[-1] == texts[-2]

    assert testing.poll(is_kept), texts
    return texts[-1]


@nginx_alone
def test_an_answer_that_may_be_kept_is(host: Host, shop: Site) -> None:
    first = kept(shop, "/kept/a?x=1")
    with stopped(host, SHOP_SOCKET):
        assert shop.get("/kept/a?x=1").text == first
        assert shop.request("HEAD", "/kept/a?x=1").status == 200
        assert shop.get("/kept/a?x=2").status == 502
        assert shop.get("/kept/a?x=1", headers=credentials("x")).status == 502
    assert shop.get("/keptaway").text != shop.get("/keptaway").text


@nginx_alone
@pytest.mark.parametrize(
    "query",
    [
        "Set-Cookie=a%3Db",
        "Vary=Cookie",
        "Vary=Accept-Language,cookie",
        "Vary=Authorization",
        "Vary=*",
        "Cache-Control=private",
        "Cache-Control=max-age%3D60,+no-store",
        "Cache-Control=private&X-Accel-Expires=60",
    ],
)
def test_an_answer_that_is_personal_is_not_kept(shop: Site, query: str) -> None:
    for path in (f"/kept/personal?{query}", f"/kept-for-all/personal?{query}"):
        assert shop.get(path).text != shop.get(path).text


@nginx_alone
@pytest.mark.parametrize("header", ["Cookie", "Authorization"])
@pytest.mark.parametrize("value", ["session=ada", "0"])
def test_a_request_that_is_personal_gets_nothing_kept_and_leaves_nothing(shop: Site, header: str, value: str) -> None:
    path, own = f"/kept/by?{header}-{value}", {header: value}
    first = shop.get(path, headers=own).text
    for_all = kept(shop, path)
    assert for_all != first
    assert shop.get(path, headers=own).text not in (first, for_all)
    assert shop.get(path).text == for_all


@nginx_alone
def test_where_cookies_are_ignored_the_app_does_not_get_them(shop: Site) -> None:
    ada, bob = {"Cookie": "session=ada"}, {"Cookie": "session=bob"}
    for_all = kept(shop, "/kept-for-all/x", ada)
    assert for_all.endswith("to nobody")
    assert shop.get("/kept-for-all/x", headers=bob).text == shop.get("/kept-for-all/x").text == for_all
    assert shop.post("/kept-for-all/x", headers=bob).text.endswith("to session=bob")
    assert shop.get("/kept-for-all/x", headers=credentials("x")).text != for_all


@nginx_alone
def test_an_old_answer_is_better_than_none(host: Host, shop: Site) -> None:
    assert shop.get("/kept-for-a-moment").status == 200
    with stopped(host, SHOP_SOCKET):
        time.sleep(2.5)  # nothing is fetched any more, and what is kept is older than the second that it counts for
        old = shop.get("/kept-for-a-moment")
        assert (old.status, old.text.startswith("answer ")) == (200, True)
        assert shop.get("/kept-for-a-moment").text == old.text
    assert testing.poll(lambda: shop.get("/kept-for-a-moment").text != old.text)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/static/style.css", "public, max-age=3600"),
        ("/static/app.3f2a9c1b.js", YEAR),
        ("/static/deadbeef.txt", "public, max-age=3600"),
        ("/assets/style.css", YEAR),
        ("/static/none.3f2a9c1b.js", None),
    ],
)
def test_how_long_browsers_keep_a_file(shop: Site, path: str, kept: str | None) -> None:
    assert shop.get(path).header("Cache-Control") == kept


def test_a_file_may_be_asked_for_each_time(shop: Site) -> None:
    assert shop.get("/admin/static/style.css", headers=credentials("lovelace")).header("Cache-Control") == "no-cache"


def test_a_packed_file_is_sent_as_it_is(shop: Site) -> None:
    packed = shop.get("/static/packed.txt", headers={"Accept-Encoding": "gzip"})
    assert (packed.header("Content-Encoding"), packed.text) == ("gzip", "packed before")
    assert shop.get("/static/packed.txt").text.startswith("never packed")


def test_brotli_for_those_who_take_it(shop: Site) -> None:
    asked = {"Accept-Encoding": "gzip, br"}
    assert shop.get("/static/large.txt", headers=asked).header("Content-Encoding") == "br"
    assert shop.get("/long", headers=asked).header("Content-Encoding") == "br"
    assert shop.get("/static/large.txt", headers={"Accept-Encoding": "gzip"}).header("Content-Encoding") == "gzip"


# --- headers and the log ----------------------------------------------------------------------------------------------


def test_a_path_has_headers_of_its_own_beside_those_of_its_site(shop: Site) -> None:
    answer = shop.get("/framed/x")
    assert answer.header("Content-Security-Policy") == "default-src 'self'; script-src 'self'"
    assert answer.header("X-Robots-Tag") == "noindex"
    assert answer.header("X-Frame-Options") is None
    assert answer.header("Strict-Transport-Security") == "max-age=31536000"
    assert answer.header("Permissions-Policy") == "browsing-topics=()"
    assert shop.get("/x").header("Content-Security-Policy") is None


def test_a_path_has_lines_of_its_own(shop: Site) -> None:
    assert shop.get("/raw/x").header("X-Raw") == "yes"
    assert shop.get("/x").header("X-Raw") is None


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ("0f8fad5b-d9cb-469f-a165-70867728950e", True),
        ("too-short", False),
        ("x" * 129, False),
        ('with"quotes"and<brackets>', False),
        ("", False),
    ],
)
def test_a_request_has_one_number_everywhere(
    host: Host, shop: Site, provider: Provider, given: str, passes: bool
) -> None:
    answer = shop.get("/number", headers={"X-Request-ID": given} if given else {})
    number = answer.header("X-Request-ID")
    assert number
    assert (number == given) is passes
    assert dict(answer.json["headers"])["x-request-id"] == number
    assert testing.poll(lambda: "/number" in [line["uri"] for line in logged(host, provider, number)])
    page = shop.get("/die", headers={"X-Request-ID": given} if given else {})
    assert f"<code>{page.header('X-Request-ID')}</code>" in page.text


def test_what_is_not_to_be_logged_is_not(host: Host, shop: Site, www: Site, provider: Provider) -> None:
    numbers = [{"X-Request-ID": uuid.uuid4().hex} for _turn in range(2)]

    def written(number: dict[str, str]) -> list[str]:
        return sorted(line["uri"] for line in logged(host, provider, number["X-Request-ID"]))

    shop.get("/before", headers=numbers[0])
    shop.get("/quiet/x", headers=numbers[0])
    shop.get("/reset?token=secret1", headers=numbers[0])
    www.get("/reset/now?token=secret2", headers=numbers[0])
    shop.get("/seen?page=2", headers={**numbers[0], "Referer": "https://shop.example.org/reset?token=secret3"})
    assert testing.poll(lambda: len(written(numbers[0])) == 4)
    with stopped(host, SHOP_SOCKET):
        failed = shop.get("/reset?token=secret4", headers=numbers[1])
        assert failed.status == provider.status("stopped", 502)
    assert testing.poll(lambda: written(numbers[1]) == ["/reset"])
    assert written(numbers[0]) == ["/before", "/reset", "/reset/now", "/seen?page=2"]
    assert host.run("grep -r 'token=secret' %s", provider.logs).rc == 1


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tenants_certificate(host: Host) -> str:
    return str(host.check_output("cat /etc/ssl/tenants/fullchain.pem"))


def test_a_wildcard_is_for_an_app_that_knows_its_names(site: Any, tenants_certificate: str) -> None:
    for name in ("tenants.example.org", "ada.tenants.example.org", "charles.tenants.example.org"):
        tenant = site(name, root=tenants_certificate)
        assert dict(tenant.get("/").json["headers"])["host"] == name
        assert tenant.get("/x", scheme="http").header("Location") == f"https://{name}/x"


def test_two_apps_share_a_domain(host: Host, shop: Site, www: Site) -> None:
    seen = shop.get("/blog/post%2F1?x=%2F").json
    assert (seen["socket"], seen["path"]) == (BLOG_SOCKET, "/blog/post%2F1?x=%2F")
    assert shop.get("/blogger").json["socket"] == SHOP_SOCKET
    assert shop.get("/blog?x=1").header("Location") == "https://shop.example.org/blog/?x=1"
    assert www.get("/blog/x").header("Location") == "https://shop.example.org/blog/x"
    assert shop.get("/blog/static/style.css").text == "body { color: teal; }\n"
    assert shop.get("/blog/static/style.css").header("Cache-Control") == "public, max-age=3600"
    assert shop.get("/blog/x").header("X-Frame-Options") == "DENY"
    assert shop.get("/blog/x").header("Strict-Transport-Security") == "max-age=31536000"
    with stopped(host, BLOG_SOCKET):
        assert shop.get("/").status == 200
        assert shop.get("/blog/").status in (502, 503)


# --- how the proxy itself runs ----------------------------------------------------------------------------------------


@nginx_alone
def test_nothing_of_it_runs_as_root(host: Host) -> None:
    assert set(host.check_output("ps -C nginx -o user=").split()) == {"www-data"}
    said = host.check_output("systemd-analyze security --no-pager nginx.service | tail -n 1")
    assert float(said.split(":")[1].split()[0]) <= 1.5, said


def test_rotated_logs_are_written_on(host: Host, shop: Site, provider: Provider) -> None:
    host.check_output("logrotate --force /etc/logrotate.d/%s", provider.unit.removesuffix(".service"))
    number = uuid.uuid4().hex

    def is_logged() -> bool:
        """A process that has not heard of the rotation yet writes into the old file."""
        assert shop.get("/after-the-rotation", headers={"X-Request-ID": number}).status == 200
        return bool(logged(host, provider, number))

    assert testing.poll(is_logged)


def test_a_large_upload_goes_through_the_disk(shop: Site) -> None:
    assert shop.post("/big", body=b"x" * 2_900_000).json["body_bytes"] == 2_900_000
