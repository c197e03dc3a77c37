"""The apps of this scenario from outside; what a part promises is in test_<part>.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import services
import testing
import yaml
from testinfra.host import Host
from visitor import Site

# The calls to the host of a run that changes nothing, before an app could have a service: which role makes each.
CALLS = [
    "firewall",
    "service_user",
    "wsgi_server",
    "release",
    "release",
    "certificate",
    "proxy",
    "certificate",
    "backup",
]


def test_the_shop_sells(shop: Site) -> None:
    assert shop.get("/healthz").status == 200
    assert services.order(shop).status == 303
    assert "ada@example.org" in shop.get("/orders").text


def test_the_stock_answers(stock: Site) -> None:
    assert stock.get("/healthz").status == 200


class TestPlainApp:
    """An app that asks for none of this gets none of it."""

    def test_it_has_no_variable_of_a_service(self, plain: Site) -> None:
        assert plain.get("/").json == {}

    def test_it_has_no_unit_but_its_own(self, host: Host) -> None:
        assert {name.partition("@")[0] for name in services.units(host, "plain")} == {"plain"}
        assert host.run("ls -d /etc/groundwork/services/plain /run/plain.* /var/lib/plain.*").stdout == ""
        assert host.run("ls /etc/systemd/system | grep '^plain[.]'").stdout == ""

    def test_a_run_makes_the_calls_that_it_made_without_services(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        inventory = yaml.safe_load((testing.scenario_directory() / "inventory/hosts.yml").read_text())
        app = inventory["flask_hosts"]["vars"]["flask_apps"]["plain"]
        app["source"]["directory"] = str(testing.scenario_directory() / "files/plain")
        calls = tmp_path / "calls"
        monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(testing.ROOT / "benchmarks/callback"))
        monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "host_tasks")
        monkeypatch.setenv("HOST_TASKS", str(calls))
        result = testing.play(host, flask_apps={"plain": app})
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert "changed=0" in testing.said(result), testing.said(result)[-3000:]
        facts, *roles = calls.read_text().splitlines()
        assert facts == "Gather facts about the host"
        assert [name.partition(" : ")[0].rpartition(".")[2] for name in roles] == CALLS
