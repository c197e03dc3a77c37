"""What the proxy judges is what the app sees, however a request is written; what it serves from disk is no link."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import testing
from test_front_door import over_http2
from testinfra.host import Host
from testing import on_host
from visitor import Answer, Site

SHOP_CERTIFICATE = on_host("certificate", "shop")

# Of the shop, everything below /inside is for others, and what is below /kept is cached (nginx). Proxy and app may
# differ about where each of these leads.
TWO_READINGS = [
    "/inside%2fsecret",
    "/inside%2Fsecret",
    "/%2finside/secret",
    "/inside/secret/../../p/x",
    "/inside/../p/x",
    "/p/../inside/secret",
    "/p/account/..%2f..%2fkept/x1",
    "//inside/secret",
    "/p//inside/secret",
    "/./inside/secret",
    "/p/%2e%2e/inside",
    "/p/.%2E/inside",
    "/p/%2e/inside",
    "/p/inside/..",
    "/p/..?x=1",
    "/p/..;x/inside",
    "/p%5c..%5cinside",
    "/p\\..\\inside",
    "/inside%252fsecret",
    "/p/%252e%252e/inside",
    "/p/%25252e./inside",
    "/inside%00",
    "/p#/../inside",
    "https://shop.example.org/inside%2fsecret",
    "https://shop.example.org//inside/secret",
]

# These can be read in one way only.
ONE_READING = [
    "/p/x",
    "/%70/x",
    "/p/100%25",
    "/p/%2570",
    "/p/a%20b+c",
    "/p/%C3%A9",
    "/p/..x/.y/z../...",
    "/p/x%2ey",
    "/p;v=1/x",
    "/inside;x/secret",
    "/insider",
    "/INSIDE/secret",
    "/p/%3fx",
    "/p/x?next=/../%2f//\\",
]

# What a request's Connection names, a proxy does not forward: these are of the headers that it sets itself.
CONNECTION = [
    "close",
    "close, X-Forwarded-For, X-Forwarded-Proto",
    "keep-alive, x-forwarded-for,X-FORWARDED-PROTO,x-forwarded-host , x-forwarded-port",
    "X-Real-IP, X-Request-ID, Host, Content-Length",
    "Upgrade, X-Forwarded-Proto;q=1, close",
    "x-forwarded-for x-forwarded-proto",
    ", ,",
]


@pytest.mark.parametrize("connection", CONNECTION)
def test_a_path_with_two_readings_is_refused(shop: Site, connection: str) -> None:
    statuses = {path: shop.get(path, headers={"Connection": connection}).status for path in TWO_READINGS}
    assert {path: status for path, status in statuses.items() if status not in (400, 404)} == {}


def test_it_is_refused_over_http2_and_with_a_page(shop: Site, tmp_path: Path) -> None:
    for path in ("/inside%2fsecret", "/inside/secret/../../p/x", "/p//x"):
        assert over_http2(shop, tmp_path, path, "--path-as-is").endswith("\n2 400")
    assert '<p class="code">400</p>' in shop.get("/inside%2fsecret").text


@pytest.mark.parametrize("connection", CONNECTION)
def test_what_is_judged_and_set_is_what_the_app_sees(host: Host, shop: Site, connection: str) -> None:
    answers = [shop.get(path, headers={"Connection": connection}) for path in ONE_READING]
    assert [answer.json["path"] for answer in answers] == ONE_READING
    address = testing.own_ip(host)
    for answer in answers:
        seen = dict(answer.json["headers"])
        assert (seen["host"], seen["x-forwarded-host"]) == (shop.name, shop.name)
        assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", "443")
        assert (seen["x-forwarded-for"], seen["x-real-ip"]) == (address, address)
        assert seen["x-request-id"] == answer.header("X-Request-ID")


def test_a_body_arrives_whatever_the_connection_names(shop: Site) -> None:
    named = {"Connection": "Content-Length, Transfer-Encoding, Host"}
    assert shop.post("/", body=b"x" * 5000, headers=named).json["body_bytes"] == 5000


@pytest.mark.parametrize("path", ["/inside/secret", "/%69nside/secret", "/inside", "/inside/", "/inside/x?/../"])
def test_a_guarded_path_is_guarded_however_its_letters_are_written(shop: Site, path: str) -> None:
    assert shop.get(path).status == 403


@pytest.mark.parametrize("path", ["/item/a%2fb", "/item/a%5Cb", "/item//b", "/item/../b", "/item/%2e/b", "/%252f"])
def test_a_site_whose_paths_are_all_alike_takes_every_path(wiki: Site, path: str) -> None:
    assert wiki.get(path).json["path"] == path


# --- links on the disk ------------------------------------------------------------------------------------------------

KEY = f"{SHOP_CERTIFICATE}/privkey.pem"
PUBLIC, UPLOADS = f"{on_host('releases', 'shop')}/1/public", f"{on_host('data', 'shop')}/uploads"
FOREIGN = on_host("home", "foreign")
LINKS = {  # what is asked for: a link to be made, and where it leads
    "/static/key.css": (f"{PUBLIC}/static/key.css", KEY),
    "/static/near.css": (f"{PUBLIC}/static/near.css", "style.css"),
    "/static/up/privkey.pem": (f"{PUBLIC}/static/up", SHOP_CERTIFICATE),
    "/static/packed-link.css": (f"{PUBLIC}/static/packed-link.css.gz", "packed.txt.gz"),
    "/static/packed-link.js": (f"{PUBLIC}/static/packed-link.js.br", "packed.txt.gz"),
    "/media/key.pem": (f"{UPLOADS}/public/key.pem", KEY),
    "/media/passwd": (f"{UPLOADS}/public/passwd", "/etc/passwd"),
    "/media/log": (f"{UPLOADS}/public/log", "/var/log"),
    "/media/log/dpkg.log": (f"{UPLOADS}/public/log", "/var/log"),
    "/media/up/shop/releases/1/public/static/style.css": (f"{UPLOADS}/public/up", "../../../../../srv"),
    "/elsewhere/passwd": (f"{on_host('home', 'elsewhere')}/passwd", "/etc/passwd"),
}


@pytest.mark.parametrize("path", LINKS)
def test_no_link_is_followed(host: Host, shop: Site, path: str) -> None:
    link, target = LINKS[path]
    host.check_output("ln -s %s %s", target, link)
    try:
        answer = shop.get(path, headers={"Accept-Encoding": "gzip, br"})
    finally:
        host.check_output("rm %s", link)
    assert answer.status in (403, 404), answer


@pytest.mark.parametrize("path", ["/media/passwd", "/media/sub/passwd"])
def test_the_directory_itself_may_not_become_a_link(host: Host, shop: Site, path: str) -> None:
    """All of /var/lib/shop is the app's, so each directory on the way may be swapped for a link to another one."""
    host.check_output(
        f"mkdir -p {FOREIGN}/public/sub && tee {FOREIGN}/public/passwd {FOREIGN}/public/sub/passwd </etc/passwd"
    )
    host.check_output(f"mv {UPLOADS} {UPLOADS}.away && ln -s {FOREIGN} {UPLOADS}")
    try:
        outer = shop.get(path).status
        host.check_output(f"rm {UPLOADS} && mkdir {UPLOADS} && ln -s {FOREIGN}/public {UPLOADS}/public")
        inner = shop.get(path).status
    finally:
        host.check_output(f"rm -r {UPLOADS} && mv {UPLOADS}.away {UPLOADS}")
    assert {outer, inner} <= {403, 404}


SWAP = """
import os
while not os.path.exists("seen"):
    os.symlink("/etc/passwd", "next"); os.rename("next", "swapped.txt")
    open("next", "w").close(); os.rename("next", "swapped.txt")
"""


def statuses(answers: list[Answer]) -> set[int]:
    return {answer.status for answer in answers}


def test_a_file_that_becomes_a_link_at_this_very_moment_is_not_followed(host: Host, shop: Site) -> None:
    """The app swaps the one for the other as fast as it can: to look first and to open then is not enough."""
    answers: list[Answer] = []
    with ThreadPoolExecutor(1) as pool:
        app = pool.submit(host.run, f"cd {UPLOADS}/public && timeout 120 /usr/bin/python3 -c %s", SWAP)
        try:
            at_least = time.monotonic() + 2
            while not app.done() and (time.monotonic() < at_least or not statuses(answers) >= {200, 403}):
                answers.append(shop.get("/media/swapped.txt"))
        finally:
            host.check_output(f"touch {UPLOADS}/public/seen")
    host.check_output(f"cd {UPLOADS}/public && rm -f swapped.txt next seen")
    assert statuses(answers) >= {200, 403}
    assert [answer for answer in answers if "root:" in answer.text] == []


def test_a_file_in_the_directory_is_served(host: Host, shop: Site) -> None:
    host.check_output(f"mkdir -p {UPLOADS}/public/sub && echo uploaded >{UPLOADS}/public/sub/page.html")
    answer = shop.get("/media/sub/page.html")
    assert (answer.status, answer.text) == (200, "uploaded\n")
    assert answer.header("Content-Security-Policy") == "script-src 'none'"
    assert shop.get("/static/inside.txt").status == 403
    assert shop.get("/media").status in (301, 403, 404)
