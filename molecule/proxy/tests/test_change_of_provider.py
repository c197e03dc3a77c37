"""A host that serves changes from one provider to the other, and back."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import testing
from providers import APACHE, NGINX, Provider
from testinfra.host import Host
from visitor import Site

CANNOT_START = "/etc/systemd/system/apache2.service.d/zz-broken.conf"

RUNS_AGAIN = "nginx.service runs again; for PAUSE s nothing ran"

# Seconds between what a run says of the pause and what a visitor saw, who asks again and again on a busy machine.
NEAR = 1.5


@dataclass
class Visits:
    """What became of a visitor's requests; for how long at most nobody answered."""

    answered: list[float] = field(default_factory=list)
    pause: float = 0.0


@contextmanager
def visiting(site: Site) -> Iterator[Visits]:
    """Ask on and on, no more often than the precision of the pause needs."""
    visits, done = Visits(), threading.Event()

    def ask_on() -> None:
        while not done.wait(0.2):
            try:
                if site.get("/").status == 200:
                    visits.answered.append(time.monotonic())
            except OSError:
                continue

    visitor = threading.Thread(target=ask_on)
    visitor.start()
    try:
        yield visits
        time.sleep(1)
    finally:
        done.set()
        visitor.join()
    visits.pause = max(after - before for before, after in zip(visits.answered, visits.answered[1:], strict=False))


def assert_served_by(host: Host, site: Site, provider: Provider, other: Provider) -> None:
    assert site.get("/").header("Server") == provider.server
    assert (host.service(provider.unit).is_running, host.service(provider.unit).is_enabled) == (True, True)
    assert (host.service(other.unit).is_running, host.service(other.unit).is_enabled) == (False, False)


def change(host: Host, site: Site, provider: Provider, other: Provider) -> None:
    """Change the provider under a visitor's eyes; what is said of the pause is what the visitor saw."""
    with visiting(site) as visits:
        run = testing.play(host, proxy_provider=provider.name)
    said = testing.said(run)
    assert run.returncode == 0, said[-3000:]
    assert_pause(
        f"{provider.name} serves the sites now, in place of {other.unit}. For PAUSE s in between", said, visits
    )
    assert_served_by(host, site, provider, other)


def assert_nothing_left_to_do(host: Host, provider: Provider) -> None:
    again = testing.said(testing.play(host, proxy_provider=provider.name))
    assert "changed=0" in again, again[-3000:]


def assert_pause(sentence: str, said: str, visits: Visits) -> None:
    """The sentence stands there, with a number for PAUSE that is what the visitor saw."""
    stated = re.search(re.escape(sentence).replace("PAUSE", "([0-9.]+)"), said)
    assert stated, said[-3000:]
    print(f"said {stated.group(1)} s, seen {visits.pause:.2f} s")
    assert abs(float(stated.group(1)) - visits.pause) < NEAR


@contextmanager
def apache_cannot_start(host: Host) -> Iterator[None]:
    """While the block runs."""
    host.check_output(f"mkdir -p $(dirname {CANNOT_START})")
    host.check_output(f"printf '[Service]\\nExecStartPre=/bin/false\\n' >{CANNOT_START}; systemctl daemon-reload")
    try:
        yield
    finally:
        host.check_output(f"rm {CANNOT_START} && systemctl daemon-reload")


def test_there_and_back(host: Host, shop: Site, wiki: Site) -> None:
    """A site in maintenance is so with the other provider too.

    The way back is refused at first, then Apache cannot start, then a run is killed, which the next makes good.
    """
    closed = {"app": "shop", "state": "on", "message": "Back at noon."}
    assert testing.play(host, "maintenance.yml", proxy_provider="apache", **closed).returncode == 0
    try:
        change(host, wiki, NGINX, APACHE)
        answer = shop.get("/")
        assert (answer.status, "<p>Back at noon.</p>" in answer.text) == (503, True)
    finally:
        opened = testing.play(host, "maintenance.yml", proxy_provider="nginx", app="shop", state="off")
    assert opened.returncode == 0, testing.said(opened)[-3000:]
    assert testing.poll(lambda: shop.get("/").status == 200)

    refused = testing.play(host, proxy_provider="apache", left_out=["tenants"])
    assert refused.returncode != 0
    assert "nginx.service goes on as it was, because apache would not serve tenants." in testing.said(refused)
    assert_served_by(host, shop, NGINX, APACHE)

    replaced = {"name": NGINX.unit, "file_set": "proxy_nginx", "successor": "proxy_apache", "absent_parts": ["tenants"]}
    unit = {"name": APACHE.unit, "enabled": True, "follows": ["proxy_apache"], "replaces": [replaced]}
    with apache_cannot_start(host), visiting(wiki) as visits:
        failed = testing.module(host, "unit_set", units=[unit])  # what the role does at the end
    assert failed["failed"]
    assert_pause(RUNS_AGAIN, failed["msg"], visits)
    assert_served_by(host, wiki, NGINX, APACHE)

    host.check_output(f"systemctl stop {NGINX.unit}")  # as if the next run had been killed after this
    run = testing.play(host, proxy_provider="apache")
    assert run.returncode == 0, testing.said(run)[-3000:]
    assert_served_by(host, wiki, APACHE, NGINX)
    assert not host.file("/etc/nginx/groundwork/sites/wiki.conf").exists


@pytest.mark.full
def test_the_pause_is_told_whatever_becomes_of_the_change(host: Host, wiki: Site) -> None:
    change(host, wiki, NGINX, APACHE)
    assert_nothing_left_to_do(host, NGINX)
    with apache_cannot_start(host), visiting(wiki) as visits:
        failed = testing.play(host, proxy_provider="apache")
    assert failed.returncode != 0
    assert_pause(RUNS_AGAIN, testing.said(failed), visits)
    assert_served_by(host, wiki, NGINX, APACHE)
    change(host, wiki, APACHE, NGINX)
    assert_nothing_left_to_do(host, APACHE)
