"""The proxy while its sites change, and when it is hit."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from functools import partial

import pytest
import testing
from load import asking, failed
from providers import Provider
from testinfra.host import Host
from testing import Answer, Site


@pytest.fixture
def restored(host: Host) -> Iterator[None]:
    """Puts the sites back as the scenario made them."""
    yield
    back = testing.play(host)
    assert back.returncode == 0, back.stdout + back.stderr


def test_a_broken_site_holds_up_no_other(
    host: Host, shop: Site, wiki: Site, provider: Provider, restored: None
) -> None:
    line, complaint = provider.broken
    written = f"{provider.directory}/groundwork/sites/shop.conf"
    before = host.check_output(f"cat {written}")
    for _turn in range(2):  # a rerun says it again
        run = testing.play(host, shop_directives=line, wiki_round="second")
        said = run.stdout + run.stderr
        assert run.returncode != 0, said
        assert f"The site shop was left as it was: {provider.name} says:" in said
        assert complaint in said
        assert written in said
        assert "The site wiki" not in said
    assert testing.poll(lambda: wiki.get("/").header("X-Round") == "second")
    assert shop.get("/").status == 200
    assert host.check_output(f"cat {written}") == before
    assert host.run(f"systemctl reload {provider.unit}").rc == 0


@pytest.mark.suite("bookworm")
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


@pytest.mark.suite("trixie")
def test_a_key_that_does_not_fit_is_left_out(host: Host, wiki: Site, provider: Provider, restored: None) -> None:
    """A reload onto it would end Apache, and with it every site."""
    other = "/etc/ssl/groundwork/shop/current/privkey.pem"
    host.check_output(f"cp -a /etc/ssl/wiki/privkey.pem /etc/ssl/wiki/away.pem && cp {other} /etc/ssl/wiki/privkey.pem")
    try:
        run = testing.play(host, wiki_round="third")
        reload = host.run(f"systemctl reload {provider.unit}")
        served = wiki.get("/").header("X-Round")
    finally:
        host.check_output("mv /etc/ssl/wiki/away.pem /etc/ssl/wiki/privkey.pem")
    said = testing.said(run)
    assert run.returncode != 0, said
    assert provider.wrong_key in said
    assert "/etc/ssl/wiki/privkey.pem" in said
    assert reload.rc != 0
    assert served == "first"


@pytest.mark.suite("bookworm")
def test_a_site_goes_only_when_it_is_told_to(
    host: Host, shop: Site, wiki: Site, provider: Provider, restored: None
) -> None:
    left_out = testing.play(host, left_out=["wiki"])
    assert left_out.returncode == 0, left_out.stdout
    assert wiki.get("/").status == 200

    def refused() -> bool:
        try:
            wiki.get("/")
        except ssl.SSLError as error:
            return re.search(provider.no_handshake, str(error)) is not None
        return False

    removed = testing.play(host, absent=["wiki"])
    assert removed.returncode == 0, removed.stdout
    assert testing.poll(refused)
    assert wiki.get("/", scheme="http").status == 421
    assert shop.get("/").status == 200
    assert host.file("/etc/ssl/wiki/privkey.pem").exists


def test_what_others_put_into_conf_d_is_served(host: Host, shop: Site, provider: Provider) -> None:
    extra_file = f"{provider.directory}/conf.d/extra.conf"
    host.check_output(f"mkdir -p $(dirname {extra_file}) && echo '{provider.extra}' >{extra_file}")
    try:
        host.check_output(f"systemctl reload {provider.unit}")
        extra = {"scheme": "http", "headers": {"Host": "extra.example.org"}}
        assert testing.poll(lambda: shop.get("/", **extra).status == 204)
    finally:
        host.check_output(f"rm {extra_file}")
        host.check_output(f"systemctl reload {provider.unit}")


def test_a_reload_loses_no_request(host: Host, shop: Site, provider: Provider) -> None:
    with asking(shop) as answers:
        for _turn in range(5):
            host.check_output(f"systemctl reload {provider.unit}")
            time.sleep(0.3)
    assert_all_answered(answers)


def test_turning_the_symlink_to_the_socket_loses_no_request(host: Host, shop: Site) -> None:
    """As a deploy does it: without a reload."""
    with asking(shop) as answers:
        for release in (2, 1, 2, 1, 2, 1):
            host.check_output(f"ln -s releases/{release} /srv/shop/next && mv -T /srv/shop/next /srv/shop/current")
            assert testing.poll(partial(has_grown, answers, len(answers) + 10), 30, 0.02)
    assert_all_answered(answers)
    assert {answer.json["socket"] for answer in answers if isinstance(answer, Answer)} == {
        "/srv/shop/current/app.sock",
        "/srv/shop/releases/2/app.sock",
    }


def has_grown(answers: list[Answer | OSError], to: int) -> bool:
    return len(answers) > to


def assert_all_answered(answers: list[Answer | OSError]) -> None:
    lost = failed(answers)
    assert len(answers) > 50
    assert not lost, f"{len(lost)} of {len(answers)} requests failed: {lost[:5]}"


def test_it_comes_back_after_a_kill(host: Host, shop: Site, provider: Provider) -> None:
    killed = host.check_output(f"cat {provider.pid_file}")
    host.check_output(f"kill -9 {killed}")
    assert testing.poll(lambda: host.run(f"cat {provider.pid_file}").stdout.strip() not in ("", killed), 20)
    assert testing.poll(lambda: shop.get("/").status == 200, 20)


def test_it_serves_after_a_boot_and_has_the_files_it_may_need(host: Host, provider: Provider) -> None:
    assert host.service(provider.unit).is_enabled
    worker = host.check_output(f"pgrep --newest --parent $(cat {provider.pid_file})")
    limit = host.check_output(f"sed -n 's/^Max open files *//p' /proc/{worker}/limits").split()
    assert int(limit[0]) >= 2 * 4096
