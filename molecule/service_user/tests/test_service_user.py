"""Locked accounts, and directories that keep each other out."""

from __future__ import annotations

import pytest
import testing
from testinfra.host import Host
from testing import on_host

CACHE = on_host("cache", "shop")
DATA = on_host("data", "shop")
HOME = on_host("home", "shop")


def assert_denied(host: Host, user: str, *commands: str) -> None:
    """Each command fails for this user, and for want of the permission."""
    for command in commands:
        result = host.run(f"setpriv --reuid={user} --regid={user} --clear-groups {command}")
        assert result.rc != 0, f"{command} is possible for {user}"
        assert "Permission denied" in result.stderr, result.stderr


def test_nobody_can_log_in(host: Host) -> None:
    for name in ("shop", "blog"):
        assert host.check_output(f"getent passwd {name}").endswith(":/usr/sbin/nologin")
        assert host.check_output(f"getent shadow {name}").split(":")[1].startswith("!")
        assert int(host.check_output(f"id -u {name}")) < 1000
        assert host.check_output(f"id -Gn {name}") == name


def test_directories(host: Host) -> None:
    shown = host.check_output(f"stat -c '%n %U %a' {HOME} {DATA} {CACHE}").splitlines()
    assert shown == [f"{HOME} root 711", f"{DATA} shop 750", f"{CACHE} shop 750"]


def test_accounts_keep_each_other_out(host: Host) -> None:
    host.check_output(f"touch {DATA}/data")
    assert_denied(host, "blog", f"ls {HOME}", f"ls {DATA}", f"cat {DATA}/data", f"touch {CACHE}/x")
    assert_denied(host, "shop", f"touch {HOME}/x")  # code is not the account's to change
    assert host.run(f"runuser -u shop -- touch {DATA}/x").rc == 0


def test_the_web_server_reads_what_it_may_and_nothing_else(host: Host) -> None:
    host.check_output(
        "runuser -u shop -- sh -c %s",
        f"umask 077; cd {DATA}; echo no >secret; mkdir -p uploads/public/a; echo yes >uploads/public/a/picture",
    )
    picture = f"{DATA}/uploads/public/a/picture"
    as_reader = "setpriv --reuid=www-data --regid=www-data --clear-groups"
    assert host.check_output(f"{as_reader} cat {picture}") == "yes"
    assert_denied(host, "www-data", f"cat {DATA}/secret", f"ls {DATA}", f"touch {DATA}/uploads/public/x")
    assert_denied(host, "blog", f"cat {picture}")


def test_a_lost_directory_comes_back_at_boot(host: Host) -> None:
    host.check_output(f"rm -r {CACHE}")
    host.run("systemd-tmpfiles --create --boot")  # as at boot; some of the system's own lines fail in a container
    assert host.check_output(f"stat -c '%U %a' {CACHE}") == "shop 750"


@pytest.mark.once
def test_a_name_that_is_taken_is_refused_before_anything_is_made(host: Host) -> None:
    files = on_host("home", "files")
    host.check_output(f"useradd --create-home --shell /bin/bash ann && groupadd --system builds && mkdir {files}")
    look = f"getent passwd; getent group; stat -c '%n %U %a' {files}; ls -A {on_host('homes')} /etc/sysusers.d"
    before, uid = host.check_output(look), host.check_output("id -u ann")
    result = testing.play(host, accounts=[{"name": name} for name in ("ann", "builds", "files", "fresh")])
    assert result.returncode != 0
    said = testing.said(result)
    assert (
        f"ann: this name is taken on the host by the account ann (uid {uid}, home /home/ann, shell /bin/bash)" in said
    )
    assert "builds: this name is taken on the host by the group builds (gid " in said
    assert f"files: this name is taken on the host by {files} (directory of root)" in said
    assert host.check_output(look) == before


def test_an_account_that_is_forgotten_keeps_its_files(host: Host) -> None:
    """The last one: the host is left with the account forgotten."""
    result = testing.play(host, accounts=[{"name": "blog"}], gone=["shop"])
    assert result.returncode == 0, result.stdout
    for directory in ("/etc/sysusers.d", "/etc/tmpfiles.d"):
        assert not host.file(f"{directory}/groundwork-shop.conf").exists
        assert host.file(f"{directory}/groundwork-blog.conf").exists
    assert not host.file(f"{on_host('outgoing')}/shop.json").exists
    table = host.check_output("nft list table inet groundwork_apps")
    assert "app/blog" in table
    assert "app/shop" not in table
    assert host.check_output(f"stat -c %U {DATA}") == "shop"
