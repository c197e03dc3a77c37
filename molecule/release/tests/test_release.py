"""Releases from a repository: what goes live, what does not, and what is left behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
import testing
from testinfra.host import Host

bookworm, trixie = pytest.mark.suite("bookworm"), pytest.mark.suite("trixie")

ASK = """
import http.client, socket
connection = http.client.HTTPConnection("x")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/srv/shop/current/app.sock")
connection.request("GET", "/", headers={"Host": "shop.example.org", "X-Forwarded-Proto": "https"})
print(connection.getresponse().read().decode())
"""


def ask(host: Host) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(host.check_output("python3 -c %s", ASK))
    return answer


def live(host: Host) -> str:
    return str(host.check_output("basename $(readlink /srv/shop/current)"))


def releases(host: Host) -> list[str]:
    return sorted(host.check_output("ls /srv/shop/releases").split())


def instances(host: Host) -> set[str]:
    units = host.check_output(
        "systemctl list-units --plain --no-legend --state=active 'shop@*' | cut -d' ' -f1"
    ).split()
    links = host.check_output("ls /etc/systemd/system/*.wants/ | grep ^shop@ || true").split()
    return {name.partition("@")[2].rpartition(".")[0] for name in units + links}


def test_the_first_release(host: Host) -> None:
    assert ask(host) == {"version": "v1", "release": live(host), "scheme": "https"}
    facts = json.loads(host.check_output("cat /srv/shop/current/release.json"))
    assert facts["commit"] == host.check_output("git -C /usr/local/share/shop.git rev-parse v1")
    assert any(name.startswith("flask==") for name in facts["packages"])
    assert host.check_output("cat /srv/shop/current/public/static/shop.css") == "body {}"
    assert host.check_output("cat /var/lib/shop/migrations") == live(host)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        pytest.param("import", "RuntimeError: broken on purpose", marks=bookworm),
        pytest.param(
            "unhealthy",
            "was not answered well within 10 s (health_path, health_timeout): status 500",
            marks=trixie,
        ),
        pytest.param("package", "no-such-package-at-all was not found in the package registry", marks=bookworm),
        pytest.param("hash", "Hash-checking is required, but no trusted hash was provided", marks=trixie),
        pytest.param("exits", "the app cannot be imported as shop:app", marks=trixie),
        pytest.param("nowhere", "has no branch or tag 'nowhere'", marks=bookworm),
    ],
)
def test_what_is_broken_never_goes_live(host: Host, version: str, reason: str) -> None:
    before = live(host)
    result = testing.play(host, version=version)
    said = testing.said(result)
    assert result.returncode != 0, said
    assert reason in said, said
    assert "What was live before serves on" in said
    assert "canary-0815" not in said
    assert live(host) == before
    assert ask(host)["version"] == "v1"
    assert instances(host) == {before}


@bookworm
def test_a_new_version_and_back(host: Host) -> None:
    first = live(host)
    assert testing.play(host, version="v2").returncode == 0
    assert ask(host)["version"] == "v2"
    assert instances(host) == {live(host)}
    result = testing.play(host, version="v1")
    assert result.returncode == 0
    assert live(host) == first
    assert ask(host)["version"] == "v1"
    assert len(releases(host)) <= 3
    events = [
        json.loads(line)["event"]
        for line in host.check_output("cat /var/lib/groundwork/releases/shop.jsonl").splitlines()
    ]
    assert events[:3] == ["begin", "switch", "live"]
    assert events[-1] == "live"


@trixie
def test_a_commit_can_be_named(host: Host) -> None:
    commit = host.check_output("git -C /usr/local/share/shop.git rev-parse v1")
    before = live(host)
    assert "changed=0" in testing.play(host, version=commit).stdout
    assert live(host) == before


@trixie
def test_a_dry_run_says_what_would_happen(host: Host) -> None:
    before = live(host)
    assert "changed=1" in testing.play(host, "converge.yml", "--check", version="v2").stdout
    assert "changed=0" in testing.play(host, "converge.yml", "--check", version="v1").stdout
    assert live(host) == before


@trixie
def test_an_app_is_taken_off(host: Host) -> None:
    result = testing.play(host, gone=["shop"])
    assert result.returncode == 0, testing.said(result)
    assert host.run("ls /srv/shop").rc != 0
    assert instances(host) == set()
    assert host.run("ls /var/lib/shop/migrations /etc/groundwork/secrets/shop/SECRET_KEY").rc == 0
    assert "changed=0" in testing.play(host, gone=["shop"]).stdout
