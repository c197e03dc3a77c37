"""Locked accounts, and directories that keep each other out."""

from __future__ import annotations

import pytest
import testing
from testinfra.host import Host


@pytest.mark.parametrize("name", ["shop", "blog"])
def test_nobody_can_log_in(host: Host, name: str) -> None:
    assert host.check_output(f"getent passwd {name}").endswith(":/usr/sbin/nologin")
    assert host.check_output(f"getent shadow {name}").split(":")[1].startswith("!")
    assert int(host.check_output(f"id -u {name}")) < 1000
    assert host.check_output(f"id -Gn {name}") == name


@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [("/srv/shop", "root", "711"), ("/var/lib/shop", "shop", "750"), ("/var/cache/shop", "shop", "750")],
)
def test_directories(host: Host, path: str, owner: str, mode: str) -> None:
    assert host.check_output(f"stat -c '%U %a' {path}") == f"{owner} {mode}"


def test_accounts_keep_each_other_out(host: Host) -> None:
    host.check_output("touch /var/lib/shop/data")
    for command in ("ls /srv/shop", "ls /var/lib/shop", "cat /var/lib/shop/data", "touch /var/cache/shop/x"):
        assert host.run(f"runuser -u blog -- {command}").rc != 0
    assert host.run("runuser -u shop -- touch /srv/shop/x").rc != 0, "code is not the account's to change"
    assert host.run("runuser -u shop -- touch /var/lib/shop/x").rc == 0


def test_the_web_server_reads_what_it_may_and_nothing_else(host: Host) -> None:
    host.check_output(
        "runuser -u shop -- sh -c %s", "umask 077; cd /var/lib/shop; echo no >secret; mkdir uploads/public/a"
    )
    host.check_output("runuser -u shop -- sh -c %s", "umask 077; echo yes >/var/lib/shop/uploads/public/a/picture")
    as_reader = "setpriv --reuid=www-data --regid=www-data --clear-groups"
    assert host.check_output(f"{as_reader} cat /var/lib/shop/uploads/public/a/picture") == "yes"
    for command in ("cat /var/lib/shop/secret", "ls /var/lib/shop", "touch /var/lib/shop/uploads/public/x"):
        assert host.run(f"{as_reader} {command}").rc != 0
    assert host.run("runuser -u blog -- cat /var/lib/shop/uploads/public/a/picture").rc != 0


def test_a_lost_directory_comes_back_at_boot(host: Host) -> None:
    host.check_output("rm -r /var/cache/shop && systemd-tmpfiles --create --boot 2>/dev/null || true")
    assert host.check_output("stat -c '%U %a' /var/cache/shop") == "shop 750"


def test_an_account_that_is_forgotten_keeps_its_files(host: Host) -> None:
    result = testing.play(host, accounts=[{"name": "blog"}], gone=["shop"])
    assert result.returncode == 0, result.stdout
    assert host.run("ls /etc/sysusers.d/groundwork-shop.conf /etc/tmpfiles.d/groundwork-shop.conf").rc != 0
    assert host.run("ls /etc/sysusers.d/groundwork-blog.conf").rc == 0
    assert host.check_output("stat -c %U /var/lib/shop") == "shop"
