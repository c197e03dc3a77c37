"""The proxy while its sites change, and when it is hit."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import testing
from testinfra.host import Host
from testing import Site


@pytest.fixture
def restored(host: Host) -> Iterator[None]:
    """Puts the sites back as the scenario made them."""
    yield
    back = testing.play(host)
    assert back.returncode == 0, back.stdout + back.stderr


def test_a_broken_site_holds_up_no_other(host: Host, shop: Site, wiki: Site, restored: None) -> None:
    before = host.check_output("cat /etc/nginx/groundwork/sites/shop.conf")
    for _turn in range(2):  # a rerun says it again
        run = testing.play(host, shop_directives="no_such_directive on;", wiki_round="second")
        said = run.stdout + run.stderr
        assert run.returncode != 0, said
        assert "The site shop was left as it was: nginx says:" in said
        assert 'unknown directive "no_such_directive" in /etc/nginx/groundwork/sites/shop.conf:' in said
        assert "The site wiki" not in said
    assert testing.poll(lambda: wiki.get("/").header("X-Round") == "second")
    assert shop.get("/").status == 200
    assert host.check_output("cat /etc/nginx/groundwork/sites/shop.conf") == before
    assert host.run("systemctl reload nginx.service").rc == 0


def test_a_site_without_its_key_is_left_as_it_was(host: Host, wiki: Site, restored: None) -> None:
    host.check_output("mv /etc/ssl/wiki/privkey.pem /etc/ssl/wiki/away.pem")
    try:
        run = testing.play(host, wiki_round="third")
        served = wiki.get("/").header("X-Round")
    finally:
        host.check_output("mv /etc/ssl/wiki/away.pem /etc/ssl/wiki/privkey.pem")
    assert run.returncode != 0, run.stdout
    assert "/etc/ssl/wiki/privkey.pem" in run.stdout + run.stderr
    assert served == "first"


def test_a_site_goes_only_when_it_is_told_to(host: Host, shop: Site, wiki: Site, restored: None) -> None:
    left_out = testing.play(host, left_out=["wiki"])
    assert left_out.returncode == 0, left_out.stdout
    assert wiki.get("/").status == 200

    def refused() -> bool:
        try:
            wiki.get("/")
        except ssl.SSLError as error:
            return "UNRECOGNIZED_NAME" in str(error)
        return False

    removed = testing.play(host, absent=["wiki"])
    assert removed.returncode == 0, removed.stdout
    assert testing.poll(refused)
    assert wiki.get("/", scheme="http").status == 421
    assert shop.get("/").status == 200
    assert host.file("/etc/ssl/wiki/privkey.pem").exists


def test_what_others_put_into_conf_d_is_served(host: Host, shop: Site) -> None:
    lines = "server { listen 80; server_name extra.example.org; return 204; }"
    host.check_output(f"echo '{lines}' >/etc/nginx/conf.d/extra.conf")
    try:
        host.check_output("systemctl reload nginx.service")
        extra = {"scheme": "http", "headers": {"Host": "extra.example.org"}}
        assert testing.poll(lambda: shop.get("/", **extra).status == 204)
    finally:
        host.check_output("rm /etc/nginx/conf.d/extra.conf")
        host.check_output("systemctl reload nginx.service")


def test_a_reload_loses_no_request(host: Host, shop: Site) -> None:
    answers: list[Any] = []
    done = threading.Event()

    def ask_on() -> None:
        while not done.is_set():
            try:
                answers.append(shop.get("/").status)
            except OSError as error:
                answers.append(error)

    threads = [threading.Thread(target=ask_on) for _turn in range(2)]
    for thread in threads:
        thread.start()
    for _turn in range(5):
        host.check_output("systemctl reload nginx.service")
        time.sleep(0.3)
    done.set()
    for thread in threads:
        thread.join()
    failed = [answer for answer in answers if answer != 200]
    assert len(answers) > 50
    assert not failed, f"{len(failed)} of {len(answers)} requests failed: {failed[:5]}"


def test_it_comes_back_after_a_kill(host: Host, shop: Site) -> None:
    killed = host.check_output("cat /run/nginx.pid")
    host.check_output(f"kill -9 {killed}")
    assert testing.poll(lambda: shop.get("/").status == 200, 5)
    assert host.check_output("cat /run/nginx.pid") != killed


def test_it_serves_after_a_boot_and_has_the_files_it_may_need(host: Host) -> None:
    assert host.service("nginx.service").is_enabled
    worker = host.check_output("pgrep --newest --parent $(cat /run/nginx.pid)")
    limit = host.check_output(f"sed -n 's/^Max open files *//p' /proc/{worker}/limits").split()
    assert int(limit[0]) >= 2 * 4096
