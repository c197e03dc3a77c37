"""A host that serves changes from one provider to the other, and back."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import testing
from providers import APACHE, NGINX, Provider
from testinfra.host import Host
from visitor import Site

CANNOT_START = "/etc/systemd/system/apache2.service.d/zz-broken.conf"

RUNS_AGAIN = "nginx.service runs again; for PAUSE s nothing ran"

# Seconds between what a run says of the pause and what a visitor saw, who asks again and again, or systemd wrote down.
NEAR = 1.5

# What systemd says when it begins to stop a unit, and when one has started.
STOPPING, STARTED = "de5b426a63be47a7b6ac3eaac82e2f6f", "39f53479d3a045ac8e11786248231fbf"


@dataclass(frozen=True)
class Visit:
    """One request: from when to when, and whether it was answered."""

    began: float
    ended: float
    answered: bool


@dataclass
class Visits:
    """What became of a visitor's requests."""

    made: list[Visit] = field(default_factory=list)

    def answered_since(self, moment: float) -> bool:
        return any(visit.answered and visit.began > moment for visit in list(self.made))

    @property
    def pause(self) -> tuple[float, float]:
        """For how long nobody answered, at least and at most: a visitor on a busy machine does not see it exactly.

        At least while one request after the other failed, at most between two that were answered.
        """
        served = [number for number, visit in enumerate(self.made) if visit.answered]
        gaps = [self.made[first : after + 1] for first, after in pairwise(served)]
        least = max((gap[-2].began - gap[1].ended for gap in gaps if gap[2:]), default=0)
        return least, max(gap[-1].ended - gap[0].began for gap in gaps)


@contextmanager
def visiting(site: Site) -> Iterator[Visits]:
    """Ask on and on, no more often than the precision of the pause needs."""
    visits, done = Visits(), threading.Event()

    def ask_on() -> None:
        while not done.wait(0.2):
            began = time.monotonic()
            try:
                answered = site.get("/").status == 200
            except (OSError, http.client.HTTPException):
                answered = False
            visits.made.append(Visit(began, time.monotonic(), answered))

    visitor = threading.Thread(target=ask_on)
    visitor.start()
    try:
        assert testing.poll(lambda: visits.answered_since(0))
        yield visits
        ended = time.monotonic()
        assert testing.poll(lambda: visits.answered_since(ended))
    finally:
        done.set()
        visitor.join()


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
    sentence = f"{provider.name} serves the sites now, in place of {other.unit}. For PAUSE s in between"
    assert_pause(sentence, said, visits, logged_pause(host, other, provider))
    assert_served_by(host, site, provider, other)


def assert_nothing_left_to_do(host: Host, provider: Provider) -> None:
    again = testing.said(testing.play(host, proxy_provider=provider.name))
    assert "changed=0" in again, again[-3000:]


def logged_pause(host: Host, stopped: Provider, started: Provider) -> float:
    """From when on one was stopped until the other had started. On a busy machine a visitor sees less of that."""

    def at(provider: Provider, message: str) -> float:
        find = f"--output=short-unix --lines=1 UNIT={provider.unit} MESSAGE_ID={message}"
        return float(host.check_output(f"journalctl --sync; journalctl --quiet {find}").split()[0])

    return at(started, STARTED) - at(stopped, STOPPING)


def assert_pause(sentence: str, said: str, visits: Visits, logged: float) -> None:
    """The sentence stands there, with a number for PAUSE that is what the visitor saw."""
    stated = re.search(re.escape(sentence).replace("PAUSE", "([0-9.]+)"), said)
    assert stated, said[-3000:]
    least, most = visits.pause
    print(f"said {stated.group(1)} s, seen {least:.2f} to {most:.2f} s, logged {logged:.2f} s")
    assert least - NEAR < float(stated.group(1)) < max(most, logged) + NEAR


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
    assert_pause(RUNS_AGAIN, failed["msg"], visits, logged_pause(host, NGINX, NGINX))
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
    assert_pause(RUNS_AGAIN, testing.said(failed), visits, logged_pause(host, NGINX, NGINX))
    assert_served_by(host, wiki, NGINX, APACHE)
    change(host, wiki, APACHE, NGINX)
    assert_nothing_left_to_do(host, APACHE)
