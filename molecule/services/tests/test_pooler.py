"""The pooler of the shop: who reaches it, and what becomes of requests while PostgreSQL or the pooler restarts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import services
import testing
from load import asking, failed
from testinfra.host import Host
from testing import on_host
from visitor import Site

UNIT = "shop.pooler.service"
VISITORS, PAUSE = 12, 0.12  # about a hundred requests a second
THREADS = 8  # of the shop, in both of its workers


def socket(host: Host) -> str:
    """The directory of the pooler's socket, as the role has recorded it."""
    return str(services.record(host, "shop", "database")["pooler"]["socket"])


def ask(host: Host, database: str = "shop", role: str = "shop", sql: str = "SELECT 1") -> str:
    """The command that asks the pooler."""
    return f"psql -X -At -h {socket(host)} -p 6432 -U {role} -d {database} -c '{sql}'"


def cluster(host: Host) -> str:
    """The cluster of PostgreSQL as its unit names it."""
    version, name, *_rest = host.check_output("pg_lsclusters -h").split()
    return f"{version}-{name}"


class TestAccess:
    """The kernel says who asks."""

    def test_the_app_reaches_its_database(self, host: Host) -> None:
        assert services.as_user(host, "shop", ask(host, sql="SELECT current_user")) == "shop"

    @pytest.mark.parametrize("user", ["www-data", "stock"])
    def test_nobody_else_does(self, host: Host, user: str) -> None:
        assert "Permission denied" in services.refused(host, user, ask(host))

    def test_root_alone_commands_it(self, host: Host) -> None:
        assert "not allowed" in services.refused(host, "shop", ask(host, "pgbouncer", sql="SHOW POOLS"))
        assert "login rejected" in services.refused(host, "shop", ask(host, "pgbouncer", "root", "SHOW POOLS"))
        assert "shop" in host.check_output(ask(host, "pgbouncer", "root", "SHOW POOLS"))

    def test_its_unit_sees_little(self, host: Host) -> None:
        said = host.check_output(f"systemd-analyze security --no-pager {UNIT} | tail -n 1")
        assert float(re.findall(r"(\d+\.\d)", said)[-1]) <= 1.1, said
        process = services.show(host, UNIT, "MainPID")["MainPID"]
        assert host.check_output("stat -c %%U /proc/%s", process) == "shop"
        inside = f"nsenter --target {process} --mount --net"
        assert host.run(f"{inside} ls {on_host('home', 'shop')} {on_host('services', 'stock')}").rc != 0
        assert host.check_output(f"{inside} ip -brief link").split()[0] == "lo"

    def test_the_service_of_its_package_does_not_run(self, host: Host) -> None:
        assert services.show(host, "pgbouncer.service", "LoadState", "ActiveState") == {
            "LoadState": "masked",
            "ActiveState": "inactive",
        }


class TestWays:
    """What goes through it, and what past it."""

    def test_the_server_goes_through_it_and_what_the_engine_runs_past_it(self, host: Host) -> None:
        variables = host.check_output("cat %s/env", on_host("current", "shop"))
        assert f"host={socket(host)}&port=6432" in variables
        assert "pooler" not in services.run(host, "shop", "echo $DATABASE_URL")


def under_load(host: Host, shop: Site, command: str, least: int) -> tuple[int, Sequence[object]]:
    """How many requests were answered while a command ran, and those that failed."""
    with asking(shop, "/orders", VISITORS, PAUSE) as answers:
        assert testing.poll(lambda: len(answers) > 50, 120)
        host.check_output(command)
        done = len(answers)
        assert testing.poll(lambda: len(answers) >= max(least, done + 100), 300)
    return len(answers), failed(answers)


class TestRestarts:
    """Requests wait."""

    def test_none_is_lost_when_postgresql_restarts(self, host: Host, shop: Site) -> None:
        started = services.show(host, f"postgresql@{cluster(host)}.service", "ActiveEnterTimestamp")
        asked, lost = under_load(host, shop, "systemctl restart postgresql", 300)
        assert lost == [], f"{len(lost)} of {asked}: {lost[:5]}"
        assert services.show(host, f"postgresql@{cluster(host)}.service", "ActiveEnterTimestamp") != started

    def test_at_most_one_is_lost_when_the_pooler_restarts(self, host: Host, shop: Site) -> None:
        """The one that is under way. All threads of the shop have had a connection that the restart breaks."""
        with asking(shop, "/orders", VISITORS, PAUSE) as before:
            assert testing.poll(lambda: len(before) > 100, 120)
        with asking(shop, "/orders", 1) as answers:
            assert testing.poll(lambda: len(answers) > 10, 60)
            host.check_output(f"systemctl restart {UNIT}")
            done = len(answers)
            assert testing.poll(lambda: len(answers) > done + 10, 60)
        with asking(shop, "/orders", VISITORS, PAUSE) as after:
            assert testing.poll(lambda: len(after) > 100, 120)
        assert failed(before) == failed(after) == []
        assert len(lost := failed(answers)) <= 1, f"{len(lost)} of {len(answers)}: {lost[:5]}"

    @pytest.mark.full
    def test_no_thread_loses_more_than_one_when_the_pooler_restarts_under_load(self, host: Host, shop: Site) -> None:
        asked, lost = under_load(host, shop, f"systemctl restart {UNIT}", 900)
        assert len(lost) <= THREADS, f"{len(lost)} of {asked}: {lost[:5]}"

    @pytest.mark.full
    def test_none_is_lost_when_apt_upgrades_postgresql(self, host: Host, shop: Site) -> None:
        package = f"postgresql-{cluster(host).partition('-')[0]}"
        host.check_output("apt-get -q update")
        command = f"DEBIAN_FRONTEND=noninteractive apt-get -q -y install --reinstall {package}"
        asked, lost = under_load(host, shop, command, 900)
        assert lost == [], f"{len(lost)} of {asked}: {lost[:5]}"

    def test_a_pooler_is_not_left_paused(self, host: Host, shop: Site) -> None:
        """PostgreSQL stays down: a guard is set, and it does what the guard does when its time has come."""
        name = cluster(host)
        guard = f"groundwork-poolers-guard-{name}.timer"
        host.check_output("systemctl stop postgresql@%s.service", name)
        try:
            assert services.show(host, guard, "ActiveState") == {"ActiveState": "active"}
            acts = guard.replace(".timer", ".service")
            host.check_output("systemctl start %s", acts)
            assert testing.poll(lambda: services.show(host, acts, "ActiveState") == {"ActiveState": "inactive"})
            resumed = host.run(ask(host, "pgbouncer", "root", "RESUME"))
            assert "not paused" in resumed.stderr, resumed
        finally:
            host.check_output("systemctl start postgresql@%s.service", name)
        assert testing.poll(lambda: shop.get("/orders").status == 200, 60)
        assert services.show(host, guard, "ActiveState") == {"ActiveState": "inactive"}
