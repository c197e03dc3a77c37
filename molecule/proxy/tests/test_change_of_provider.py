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
from testing import Site

CANNOT_START = "/etc/systemd/system/apache2.service.d/zz-broken.conf"

# Seconds between what a run says of the pause and what a visitor saw, who asks again and again on a busy machine.
NEAR = 1.5


@dataclass
class Visits:
    """What became of a visitor's requests; for how long at most nobody answered."""

    answered: list[float] = field(default_factory=list)
    pause: float = 0.0


@contextmanager
def visiting(site: Site) -> Iterator[Visits]:
    """Ask on and on."""
    visits, done = Visits(), threading.Event()

    def ask_on() -> None:
        while not done.wait(0.02):
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
    found = re.search(
        f"{provider.name} serves the sites now, in place of {other.unit}. For ([0-9.]+) s in between", said
    )
    assert found, said[-3000:]
    print(f"{other.name} → {provider.name}: said {found.group(1)} s, seen {visits.pause:.2f} s")
    assert abs(float(found.group(1)) - visits.pause) < NEAR
    assert_served_by(host, site, provider, other)
    again = testing.said(testing.play(host, proxy_provider=provider.name))
    assert "changed=0" in again, again[-3000:]


@pytest.mark.suite("bookworm")
def test_there_and_back(host: Host, shop: Site, wiki: Site) -> None:
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

    refused = testing.play(host, proxy_provider="apache", left_out=["shop"])
    assert refused.returncode != 0
    assert "nginx.service goes on as it was, because apache would not serve shop." in testing.said(refused)
    assert_served_by(host, shop, NGINX, APACHE)

    host.check_output(f"mkdir -p $(dirname {CANNOT_START})")
    host.check_output(f"printf '[Service]\\nExecStartPre=/bin/false\\n' >{CANNOT_START}")
    with visiting(wiki) as visits:
        failed = testing.play(host, proxy_provider="apache")
    host.check_output(f"rm {CANNOT_START}")
    said = testing.said(failed)
    assert failed.returncode != 0
    stated = re.search(r"nginx\.service runs again; for ([0-9.]+) s nothing ran", said)
    assert stated, said[-3000:]
    assert abs(float(stated.group(1)) - visits.pause) < NEAR
    assert_served_by(host, wiki, NGINX, APACHE)

    change(host, wiki, APACHE, NGINX)


@pytest.mark.suite("trixie")
def test_a_run_that_was_killed_in_between_is_made_good(host: Host, wiki: Site) -> None:
    assert testing.play(host, proxy_provider="nginx").returncode == 0
    host.check_output(f"systemctl stop {NGINX.unit}")  # and here it was killed
    run = testing.play(host, proxy_provider="apache")
    assert run.returncode == 0, testing.said(run)[-3000:]
    assert_served_by(host, wiki, APACHE, NGINX)
    assert not host.file("/etc/nginx/groundwork/sites/wiki.conf").exists
