"""What a host meets once in years: another Debian takes over from its backup, and PostgreSQL gets its next version.

Both hosts of the scenario have a part in it, and are not what they were afterwards: so these run last.
"""

from __future__ import annotations

import subprocess
import time

import pytest
import services
import testing
from testinfra.host import Host
from testing import on_host
from visitor import Site

pytestmark = [pytest.mark.full, pytest.mark.alone, pytest.mark.suite("bookworm")]

UPGRADE = str(testing.ROOT / "playbooks" / "database_upgrade.yml")
RESTORE = str(testing.ROOT / "playbooks" / "restore.yml")
BACKUP, DATABASE = f"{on_host('programs')}/backup", f"{on_host('programs')}/database"
REPOSITORY = "/var/backups/restic"
ROWS = (
    "SELECT p FROM product AS p ORDER BY id",
    "SELECT id, product_id, quantity, email, placed_at FROM customer_order ORDER BY id",
    "SELECT version_num FROM alembic_version",
)
SETTINGS = "SELECT name, setting FROM pg_settings WHERE sourcefile LIKE '%/groundwork.conf' ORDER BY 1"
# What an upgrade of Debian would bring of PostgreSQL, with what that needs; nothing else of the newer Debian is taken,
# now or later, and the host goes on to say that it is of the Debian of its nginx.
# /etc/issue, which the role host has written, stays.
NEWER = r"""set -e
sed -n 's/ bookworm main/ trixie main/p' /etc/apt/sources.list > /etc/apt/sources.list.d/trixie.list
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' > /etc/apt/preferences.d/trixie
export DEBIAN_FRONTEND=noninteractive
cp /usr/lib/os-release /tmp
apt-get -q update
apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold --target-release trixie install postgresql-17
mv /tmp/os-release /usr/lib/os-release
"""


def rows(host: Host) -> list[str]:
    """All that the shop has in its tables, but for when a mail was sent."""
    return [services.postgresql(host, "shop", query) for query in ROWS]


def files(host: Host) -> str:
    """The shop's files, each with the sum of its content."""
    return str(host.check_output("cd %s && find . -type f -exec sha256sum {} + | sort", on_host("data", "shop")))


def address() -> str:
    return f"ada-{time.time_ns()}@example.org"


def order_and_mail(host: Host, shop: Site) -> None:
    """An order gets the number after the last one, and its mail arrives."""
    last = int(services.postgresql(host, "shop", "SELECT max(id) FROM customer_order"))
    to = address()
    assert services.order(shop, to).status == 303
    orders = services.postgresql(host, "shop", "SELECT id, email FROM customer_order ORDER BY id").splitlines()
    assert orders[-1] == f"{last + 1}|{to}"
    assert testing.poll(lambda: services.mails(host, to), 120)


def copy(source: Host, target: Host, path: str) -> None:
    """Copy a directory from one host to another."""
    enter = ("nsenter", "--all", "--root", "--wd", "--target")
    pack = (*enter, testing.container_pid(source), "/bin/tar", "--create", "--directory=/", path.lstrip("/"))
    unpack = (*enter, testing.container_pid(target), "/bin/tar", "--extract", "--directory=/")
    packed = subprocess.run(pack, check=True, capture_output=True).stdout
    subprocess.run(unpack, check=True, input=packed)


def test_another_debian_takes_over_from_the_backup(host: Host, shop: Site) -> None:
    if "services-trixie" not in testing.scenario_hosts():
        pytest.skip("the run has no host with the newer Debian")
    new = testing.connect("services-trixie")
    host.check_output("shop jobs run nightly")
    worker, waiting = services.process_units(host, "shop")[0], address()
    host.check_output("systemctl stop %s", worker)
    try:
        assert services.order(shop, waiting).status == 303  # Its mail waits in the queue, and is sent by the new host.
        host.check_output(f"{BACKUP} run --set shop")
        saved = (rows(host), files(host))
    finally:
        host.check_output("systemctl start %s", worker)

    assert testing.play(new, "remove.yml", app="shop", purge=True).returncode == 0
    new.check_output("rm -r %s", REPOSITORY)
    copy(host, new, REPOSITORY)
    provisioned = testing.play(new, backup_host="services-bookworm")
    assert provisioned.returncode == 0, testing.said(provisioned)[-3000:]
    restored = testing.play(new, RESTORE, app="shop")
    assert restored.returncode == 0, testing.said(restored)[-3000:]

    assert (rows(new), files(new)) == saved
    assert testing.poll(lambda: services.mails(new, waiting), 120)
    root = new.check_output("cat %s/fullchain.pem", on_host("certificate", "shop"))
    order_and_mail(new, Site("shop.test", testing.host_ip(new), root))


def clusters(host: Host) -> list[list[str]]:
    """Version, name, port and state of each cluster of PostgreSQL."""
    return [line.split()[:4] for line in host.check_output("pg_lsclusters --no-header").splitlines()]


def server_settings(host: Host) -> str:
    """What the role has set, such as that no network leads to the server."""
    return services.superuser(host, SETTINGS)


def test_the_next_major_version_of_postgresql(host: Host, shop: Site) -> None:
    host.check_output(NEWER)
    (serving,) = [one for one in clusters(host) if one[2] == "5432"]

    services.superuser(host, "CREATE DATABASE stranger")
    services.postgresql(host, "shop", "CREATE TABLE unfit (what regproc)")  # pg_upgrade refuses it, in the middle
    refused = host.run(f"{DATABASE} upgrade")
    assert "has databases that are no app's: stranger" in refused.stderr, refused
    services.superuser(host, "DROP DATABASE stranger")
    refused = host.run(f"{DATABASE} upgrade")
    assert "PostgreSQL 15/main (port 5432, online) serves as before" in refused.stderr, refused
    assert refused.rc == 1
    assert serving in clusters(host)
    order_and_mail(host, shop)
    services.postgresql(host, "shop", "DROP TABLE unfit")

    before = (rows(host), server_settings(host))
    assert "listen_addresses|" in before[1].splitlines()
    upgraded = testing.play(host, UPGRADE)
    assert upgraded.returncode == 0, testing.said(upgraded)[-3000:]
    assert clusters(host) == [["15", "main", "5433", "down"], ["17", "main", "5432", "online"]]
    assert (rows(host), server_settings(host)) == before
    order_and_mail(host, shop)
    host.check_output(f"{BACKUP} run --set shop")
    host.check_output(f"{BACKUP} drill --set shop")
    again = testing.said(testing.play(host, UPGRADE))
    assert "PostgreSQL 17/main (port 5432, online) has the newest version that is installed" in again
    assert "changed=0" in again
