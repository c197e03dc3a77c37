"""The proxy while its sites change, and when it is hit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import testing
from load import asking, failed
from pages import reloaded
from providers import Provider
from testinfra.host import Host
from testing import on_host
from visitor import Answer, Site

HOME = on_host("home", "shop")


def test_a_broken_site_holds_up_no_other(host: Host, shop: Site, wiki: Site, provider: Provider) -> None:
    """The wiki stays changed; the next play that succeeds (in test_in_front.py) makes it as it was."""
    line, complaint = provider.broken
    written = f"{provider.directory}/groundwork/sites/shop.conf"
    before = host.check_output(f"cat {written}")
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


PAGES = {
    "name": "pages",
    "domains": ["wiki.example.org"],
    "socket": f"{on_host('home', 'blog')}/app.sock",
    "certificate": "/etc/ssl/wiki",
}


def test_a_site_takes_over_from_another_inventory_s_without_a_lost_request(
    host: Host, wiki: Site, provider: Provider
) -> None:
    """Refused before anything is changed; with `replaces` fast and slow requests under way are all answered."""
    refused = testing.play(host, left_out=["wiki"], more_sites=[PAGES])
    assert refused.returncode != 0
    assert "'wiki.example.org': served by the app wiki on this host" in " ".join(testing.said(refused).split())
    assert wiki.get("/").json["socket"] == f"{on_host('home', 'wiki')}/other.sock"
    try:
        with asking(wiki, pause=0.05) as answers, asking(wiki, "/patient/slow", pause=0.2) as slow:
            run = testing.play(host, left_out=["wiki"], more_sites=[{**PAGES, "replaces": ["wiki"]}])
            assert run.returncode == 0, testing.said(run)[-3000:]
            assert testing.poll(lambda: PAGES["socket"] in sockets(answers) and len(answers) > ENOUGH)
        assert_all_answered(answers)
        assert not failed(slow)
        assert sockets(answers) == {
            f"{on_host('home', 'wiki')}/other.sock",
            PAGES["socket"],
        }
        assert not host.file(f"{provider.directory}/groundwork/sites/wiki.conf").exists
    finally:
        with reloaded(host, provider):
            back = testing.play(host, absent=["pages"])
            assert back.returncode == 0, testing.said(back)[-3000:]
    assert wiki.get("/").json["socket"] == f"{on_host('home', 'wiki')}/other.sock"


KEY, OTHER_KEY = "/etc/ssl/wiki/privkey.pem", f"{on_host('certificate', 'shop')}/privkey.pem"


@contextmanager
def key_changed(host: Host, command: str) -> Iterator[None]:
    """Run a command that spoils the wiki's key, and put the key back afterwards."""
    host.check_output(f"cp -a {KEY} {KEY}.away && {command}")
    try:
        yield
    finally:
        host.check_output(f"mv {KEY}.away {KEY}")


@pytest.mark.parametrize(
    ("command", "fits"),
    [(f"cp {OTHER_KEY} {KEY}", False), pytest.param(f"rm {KEY}", True, marks=pytest.mark.full)],
    ids=["another key", "no key"],
)
def test_a_site_whose_key_cannot_be_used_is_left_as_it_was(
    host: Host, wiki: Site, provider: Provider, command: str, fits: bool
) -> None:
    """A reload onto a key that does not fit would end Apache, and with it every site."""
    before = wiki.get("/").header("X-Round")
    with key_changed(host, command):
        run = testing.play(host, wiki_round="third")
        reload = host.run(f"systemctl reload {provider.unit}")
        served = wiki.get("/").header("X-Round")
    said = testing.said(run)
    assert run.returncode != 0, said
    assert KEY in said
    assert fits or provider.wrong_key in said
    assert reload.rc != 0
    assert served == before


def test_a_configuration_without_its_key_does_not_pass_the_test(host: Host, wiki: Site, provider: Provider) -> None:
    """That the role heeds this test is what the other key above shows."""
    with key_changed(host, f"rm {KEY}"):
        tested = host.run(f"{provider.directory}/groundwork/test-configuration")
        reload = host.run(f"systemctl reload {provider.unit}")
        served = wiki.get("/").status
    assert tested.rc != 0
    assert KEY in tested.stdout + tested.stderr
    assert reload.rc != 0
    assert served == 200


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
            with reloaded(host, provider):
                host.check_output(f"systemctl reload {provider.unit}")
            assert testing.poll(partial(has_grown, answers, len(answers) + 10), 30, 0.02)
    assert_all_answered(answers)


def test_turning_the_symlink_to_the_socket_loses_no_request(host: Host, shop: Site) -> None:
    """As a deploy does it: without a reload."""
    with asking(shop) as answers:
        for release in (2, 1, 2, 1, 2, 1):
            host.check_output(f"ln -s releases/{release} {HOME}/next && mv -T {HOME}/next {on_host('current', 'shop')}")
            assert testing.poll(partial(has_grown, answers, len(answers) + 10), 30, 0.02)
    assert_all_answered(answers)
    assert sockets(answers) == {
        on_host("socket", "shop"),
        f"{on_host('releases', 'shop')}/2/app.sock",
    }


def has_grown(answers: list[Answer | OSError], to: int) -> bool:
    return len(answers) > to


def sockets(answers: list[Answer | OSError]) -> set[str]:
    """Those of the apps that answered."""
    return {answer.json["socket"] for answer in list(answers) if isinstance(answer, Answer) and answer.status == 200}


ENOUGH = 50  # answers, so that what may be lost would be


def assert_all_answered(answers: list[Answer | OSError]) -> None:
    lost = failed(answers)
    assert len(answers) > ENOUGH
    assert not lost, f"{len(lost)} of {len(answers)} requests failed: {lost[:5]}"


HOLDER = "/run/systemd/system/holder.service"


@pytest.fixture
def port_held(host: Host, provider: Provider) -> Iterator[None]:
    """Another program has port 80, and the proxy does not run."""
    host.check_output("echo %s >%s", "[Service]\nExecStart=/usr/bin/python3 -m http.server --directory /run 80", HOLDER)
    host.check_output(f"systemctl stop {provider.unit} && systemctl daemon-reload && systemctl start holder.service")
    yield
    host.check_output(f"systemctl stop holder.service; rm {HOLDER}; systemctl enable --now {provider.unit}")


def test_the_look_at_a_host_knows_its_own_proxy(host: Host, provider: Provider) -> None:
    serving = testing.module(host, "host_facts")["serving"]
    assert provider.unit in serving["ours"]
    assert {(one["port"], one["unit"]) for one in serving["listeners"]} == {(80, provider.unit), (443, provider.unit)}


@pytest.mark.usefixtures("port_held")
def test_a_proxy_that_does_not_start_is_not_left_armed(host: Host, provider: Provider) -> None:
    """It would take the port from the other program at the next restart of that one."""
    assert testing.poll(lambda: host.socket("tcp://0.0.0.0:80").is_listening)
    (holder,) = testing.module(host, "host_facts")["serving"]["listeners"]
    assert (holder["port"], holder["unit"]) == (80, "holder.service")
    failed = testing.module(host, "unit_set", units=[{"name": provider.unit, "enabled": True}])
    assert "Port 80 is held by python3 (pid" in failed["msg"]
    assert "unit holder.service" in failed["msg"]
    unit = host.service(provider.unit)
    assert not unit.is_enabled
    assert host.check_output(f"systemctl show --value --property=ActiveState {provider.unit}") in ("inactive", "failed")


def test_it_comes_back_after_a_kill(host: Host, shop: Site, provider: Provider) -> None:
    killed = host.check_output(f"cat {provider.pid_file}")
    host.check_output(f"kill -9 {killed}")
    assert testing.poll(lambda: host.run(f"cat {provider.pid_file}").stdout.strip() not in ("", killed))
    assert testing.poll(lambda: shop.get("/").status == 200)


def test_it_serves_after_a_boot_and_has_the_files_it_may_need(host: Host, provider: Provider) -> None:
    assert host.service(provider.unit).is_enabled
    worker = f"$(pgrep --newest --parent $(cat {provider.pid_file}))"  # it may end while it is looked at
    limit = testing.poll(lambda: host.check_output(f"sed -n 's/^Max open files *//p' /proc/{worker}/limits").split())
    assert int(limit[0]) >= 2 * 4096
