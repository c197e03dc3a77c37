"""The action plugins of `verify`: what they take of the play, and the files that they write."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.groundwork.flask.plugins.action import verify_outside, verify_report
from ansible_collections.groundwork.flask.plugins.plugin_utils import outside, wire

EXPECTED = {
    "apps": {
        "shop": {"domains": ["shop.test"], "certificate": "acme", "public": {"path": "/up"}, "database": "postgresql"}
    },
    "proxy": "nginx",
    "firewall": {"enabled": True, "ports": [{"port": "22", "protocol": "tcp", "from": []}]},
}


def run_action(plugin: type[ActionBase], arguments: dict[str, Any], **variables: Any) -> dict[str, Any]:
    loader = DataLoader()
    task: Any = SimpleNamespace(args=arguments, async_val=0, check_mode=False, diff=False, action="groundwork.flask.x")
    shell: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    found = plugin(task, shell, None, loader, Templar(loader=loader, variables=variables))
    return dict(found.run(task_vars=variables))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[outside.Host]:
    """The hosts that were asked for; nothing is sent."""
    found: list[outside.Host] = []

    def look(sites: Any, host: outside.Host, trusted: Any) -> outside.Seen:
        del sites, trusted
        found.append(host)
        silent = wire.Visit("203.0.113.7", "silent", "no answer in time")
        visits = {outside.Ask("https", "shop.test", "203.0.113.7", "/up"): silent}
        return outside.Seen(host, {"shop.test": wire.Resolved(("203.0.113.7",))}, visits, frozenset({"203.0.113.7"}))

    monkeypatch.setattr(outside, "look", look)
    return found


def test_what_is_known_of_the_host_comes_from_inventory_and_options(asked: list[outside.Host]) -> None:
    hostvars: dict[str, Any] = {"one": {"ansible_host": "203.0.113.7"}, "two": {}}
    done = run_action(
        verify_outside.ActionModule,
        {"expected": EXPECTED, "listening": [22, 443], "reached": True, "fronts": ["198.51.100.0/24"]},
        inventory_hostname="one",
        hostvars=hostvars,
        ansible_play_hosts_all=["one", "two"],
    )
    host = outside.Host(
        "one", "203.0.113.7", (), ("two",), ("198.51.100.0/24",), True, frozenset({22, 443}), proxy="nginx"
    )  # fmt: skip
    assert asked == [host]
    assert done["problems"][0].startswith("shop: https://shop.test does not answer at 203.0.113.7 (no answer in time)")
    assert done["declared"]["ports"] == ["22"]
    assert done["answers"]["shop"]["status"] == 0


def test_on_a_run_that_sets_up_it_is_a_warning(asked: list[outside.Host]) -> None:
    done = run_action(verify_outside.ActionModule, {"expected": EXPECTED, "setting_up": True}, inventory_hostname="one")
    assert asked[0].address == "one"
    assert (done["problems"], len(done["warned"])) == ([], 1)


def test_a_bundle_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    arguments = {"expected": EXPECTED, "ca_bundle": str(tmp_path / "none.pem")}
    done = run_action(verify_outside.ActionModule, arguments, inventory_hostname="one")
    assert done["failed"]
    assert f"verify_ca_bundle: {tmp_path}/none.pem is no file of certificates" in done["msg"]


def test_the_files_of_a_report(tmp_path: Path) -> None:
    looks = [
        {"findings": [{"check": "sshd", "subject": "host", "state": "ok", "message": "Fine."}]},
        {"unreachable": True},
    ]
    files = {"report": str(tmp_path / "verify.html"), "json": str(tmp_path / "verify.json")}
    arguments = {"hosts": ["one", "two"], "looks": looks, "visits": [{}, {}], **files}
    done = run_action(verify_report.ActionModule, arguments)
    assert done["failures"]["one"] == []
    assert done["lines"][-2:] == [f"Written: {path}" for path in files.values()]
    assert done["failures"]["two"][0].startswith("two has 1 problem")
    data = json.loads((tmp_path / "verify.json").read_text())
    assert {name: host["state"] for name, host in data["hosts"].items()} == {"one": "ok", "two": "problem"}
    assert data == json.loads(done["json"])
    assert "<!doctype html>" in (tmp_path / "verify.html").read_text()


def test_an_app_that_nobody_knows_is_refused() -> None:
    looks: list[dict[str, Any]] = [{"facts": {"apps": {"old": {}}}}]
    visits: list[dict[str, Any]] = [{"declared": {"apps": {"shop": {}}}}]
    for only, failed in ((["shop", "old"], False), (["shop", "shpo"], True)):
        arguments = {"hosts": ["one"], "looks": looks, "visits": visits, "only": only}
        done = run_action(verify_report.ActionModule, arguments)
        assert done.get("failed", False) is failed
    assert done["msg"] == "app: neither flask_apps nor a host has shpo. There are: old, shop."


def test_a_report_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    arguments = {"hosts": ["one"], "looks": [{}], "visits": [{}], "report": str(tmp_path / "none" / "verify.html")}
    done = run_action(verify_report.ActionModule, arguments)
    assert done["failed"]
    assert "The report cannot be written" in done["msg"]
