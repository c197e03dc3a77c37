"""The apps of this scenario from outside; what a part promises is in test_<part>.py."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import services
import testing
import yaml
from testinfra.host import Host
from testing import on_host
from visitor import Site

# The calls to the host of a run that changes nothing, before an app could have a service: which role makes each.
CALLS = [
    "firewall",
    "host",  # what the kernel, apt and journald have in effect is asked of them
    "service_user",
    "wsgi_server",
    "release",
    "release",
    "certificate",
    "proxy",
    "certificate",
    "backup",
    "watch",
]


class TestShop:
    """PostgreSQL, a queue, a worker of RQ, a job."""

    def test_an_order_is_mailed_by_the_worker(self, host: Host, shop: Site) -> None:
        address = f"ada-{time.time_ns()}@example.org"
        assert services.order(shop, address).status == 303
        (mail,) = testing.poll(lambda: services.mails(host, address), 120)
        assert "2 x Kettle" in mail
        sent = f"<td>{address}</td>\n    <td>sent "
        assert testing.poll(lambda: sent in shop.get("/orders").text, 60), shop.get("/orders").text
        assert address in services.postgresql(host, "shop", "SELECT email FROM customer_order").splitlines()

    def test_the_job_that_is_run_by_hand_writes_the_report(self, host: Host) -> None:
        day = host.check_output("date -u +%F")  # if it ends now, this is the report of yesterday
        host.check_output("shop jobs run nightly")
        report = host.check_output(f"cat {on_host('data', 'shop')}/reports/{day}.csv")
        assert report.splitlines()[0] == "product,quantity,EUR"


class TestStock:
    """MariaDB, a queue and a cache, two workers of Celery."""

    def test_a_worker_books(self, host: Host, stock: Site) -> None:
        name = f"book-{time.time_ns()}"
        services.run(host, "stock", f"flask book {name} 0.1")
        wanted = [[name, "begin"], [name, "end"]]

        def booked() -> list[list[str]]:
            return [row for row in stock.get("/bookings").json if row[0] == name]

        assert testing.poll(lambda: booked() == wanted, 120), stock.get("/bookings").json
        found = services.mariadb(host, "stock", "SELECT name, what FROM booking ORDER BY id").splitlines()
        assert [row for row in found if row.startswith(name)] == [f"{name}\tbegin", f"{name}\tend"]

    def test_the_cache_counts_and_the_queue_is_another(self, host: Host, stock: Site) -> None:
        asked = stock.get("/").json["asked"]
        assert stock.get("/").json["asked"] == asked + 1
        assert services.redis(host, "stock", "get", "asked", purpose="cache") == str(asked + 1)
        assert services.redis(host, "stock", "exists", "asked") == "0"


class TestWhoMayAsk:
    """The kernel says who asks, and nobody knows a password, for there is none."""

    @pytest.mark.parametrize("user", ["www-data", "plain", "root"])
    def test_a_foreign_account_is_refused_by_postgresql(self, host: Host, user: str) -> None:
        """test_redis.py and test_mariadb.py have the others."""
        refusal = services.refused(host, user, f"{services.PSQL} --username=shop --dbname=shop")
        assert "Peer authentication failed" in refusal

    def test_an_app_sees_no_database_of_another(self, host: Host) -> None:
        anybody = "SELECT has_database_privilege('public', 'shop', 'CONNECT')"
        assert services.superuser(host, anybody) == "f"
        assert set(services.mariadb(host, "stock", "SHOW DATABASES").split()) == {"information_schema", "stock"}

    def test_there_is_no_password(self, host: Host) -> None:
        found = services.superuser(host, "SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL")
        assert found == ""
        account = "SELECT plugin, authentication_string FROM mysql.user WHERE user = 'stock'"
        assert services.mariadb(host, "root", account, "mysql").split() == ["unix_socket"]
        assert services.redis(host, "shop", "config", "get", "requirepass").split() == ["requirepass"]
        places = (
            f"{on_host('configuration')} {on_host('releases', 'shop')}/*/env* {on_host('releases', 'stock')}/*/env*"
        )
        assert host.run(rf"grep -rEn '://[^/@ ]*:[^/@ ]+@|requirepass|DATABASE_PASSWORD' {places}").stdout == ""


class TestUnits:
    """What runs beside the web servers has their sandbox."""

    def test_exposure(self, host: Host) -> None:
        exposures = {}
        for app in ("shop", "stock"):
            for unit in services.units(host, app):
                if unit.endswith(".service"):
                    said = host.check_output(f"systemd-analyze security --no-pager '{unit}' | tail -n 1")
                    exposures[unit] = float(re.findall(r"(\d+\.\d)", said)[-1])
        kinds = {re.sub("@[0-9a-f]+", "", unit) for unit in exposures}
        assert kinds >= {"shop.service", "shop.worker.service", "shop.redis.service", "shop.pooler.service"}
        assert kinds >= {"stock.worker.2.service", "stock.redis-cache.service", "stock.tick.service"}
        assert {unit: found for unit, found in exposures.items() if found > 1.2} == {}

    def test_each_process_of_the_live_release_runs(self, host: Host) -> None:
        for app, count in (("shop", 1), ("stock", 2)):
            units = services.process_units(host, app)
            assert len(units) == count
            for unit in units:
                shown = services.show(host, unit, "ActiveState", "NRestarts", "KillMode", "User")
                wanted = {"ActiveState": "active", "NRestarts": "0", "KillMode": "mixed", "User": app}
                assert shown == wanted, testing.journal(host, unit, namespace=f"+{app}")
            assert testing.leftovers(host, app) == []

    def test_nothing_has_failed(self, host: Host) -> None:
        assert host.check_output("systemctl --failed --no-legend --plain") == ""


class TestPlainApp:
    """An app that asks for none of this gets none of it."""

    def test_it_has_no_variable_of_a_service(self, plain: Site) -> None:
        assert plain.get("/").json == {}

    def test_it_has_no_unit_but_its_own(self, host: Host) -> None:
        assert {name.partition("@")[0] for name in services.units(host, "plain")} == {"plain"}
        places = f"{on_host('services', 'plain')} /run/plain.* {on_host('data', 'plain')}.*"
        assert host.run(f"ls -d {places}").stdout == ""
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
