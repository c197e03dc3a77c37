"""What others have set up in the place of Prometheus and its exporters is refused by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import metrics_host
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import Listener

NODE = "prometheus-node-exporter"
UNIT = f"{NODE}.service"
DROP_INS = f"etc/systemd/system/{UNIT}.d"
DEBIANS = Listener(9100, "tcp", "::", pid=7, name="prometheus-node", unit=UNIT, package=NODE)
DOCKERS = Listener(9100, "tcp", "0.0.0.0", pid=8, name="docker-proxy", unit="docker.service")  # noqa: S104 - an observation


class Host:
    """A host's files, and what listens on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listening: list[Listener] = []

    def write(self, path: str, text: str = "x\n") -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def conflicts(self, take_over: bool = False) -> list[str]:
        return metrics_host.conflicts({NODE: 9100}, take_over, self.root)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """One with Debian's package as it is installed."""
    made = Host(tmp_path)
    default = 'ARGS=""\n'
    made.write(f"/etc/default/{NODE}", default)

    def conffiles(_package: str) -> Iterator[tuple[str, str]]:
        yield f"/etc/default/{NODE}", hashlib.md5(default.encode(), usedforsecurity=False).hexdigest()

    monkeypatch.setattr(metrics_host, "conffiles", conffiles)
    monkeypatch.setattr(metrics_host, "listeners", lambda _ports, _root: [asdict(one) for one in made.listening])
    return made


def test_a_host_without_any_is_free(host: Host) -> None:
    assert host.conflicts() == []


def test_a_unit_of_debian_that_runs_is_left_unless_it_may_be_taken_over(host: Host) -> None:
    host.listening = [DEBIANS]
    (problem,) = host.conflicts()
    assert problem.startswith(f"Port 9100 is taken by prometheus-node (pid 7, unit {UNIT}, package {NODE}), which")
    assert problem.endswith(
        "Set metrics_take_over to true if its arguments may change, or leave this host out of the playbook."
    )
    assert host.conflicts(take_over=True) == []


@pytest.mark.parametrize("take_over", [False, True])
def test_a_port_of_another_program_is_never_taken(host: Host, take_over: bool) -> None:
    host.listening = [DOCKERS]
    (problem,) = host.conflicts(take_over)
    assert problem.endswith(f"Stop it, or give {NODE} another port by metrics_node_port.")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"/etc/default/{NODE}", 'ARGS="--collector.systemd"\n'),
        (f"/etc/systemd/system/{UNIT}", "[Service]\n"),
        (f"/{DROP_INS}/override.conf", "[Service]\n"),
    ],
)
def test_what_was_configured_is_refused_by_name(host: Host, path: str, text: str) -> None:
    host.write(path, text)
    (problem,) = host.conflicts()
    assert problem.startswith(f"{NODE} has been configured on this host: {path} is not as Debian has it.")
    assert host.conflicts(take_over=True) == []


def test_what_the_role_has_set_up_is_its_own(host: Host) -> None:
    host.write(f"/{DROP_INS}/groundwork.conf")
    host.write(f"/etc/default/{NODE}", "changed")
    host.listening = [DEBIANS]
    assert host.conflicts() == []


def test_loopback_is_no_address_of_its_own() -> None:
    assert metrics_host.own_addresses(["127.0.0.1", "127.0.0.0/8"]) == ([], [])


def test_who_is_not_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.socket", refuse)
    assert metrics_host.own_addresses(["2001:db8::7"]) == ([], ["2001:db8::7"])


def test_a_name_is_no_scraper() -> None:
    with pytest.raises(ValueError, match="mon1"):
        metrics_host.own_addresses(["mon1.example.org"])
