"""Who reads the journal of an account, and where it is shipped."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
import testing
from ansible_collections.groundwork.flask.plugins.module_utils.common import exposures
from testinfra.host import Host
from testing import on_host

PROGRAM = f"{on_host('programs')}/logs"
SHOP, INNER = (on_host("log_group", app) for app in ("shop", "inner"))
UNIT = "groundwork-ship@shop.service"
STATE = on_host("shipped", "shop")
# Prints the rights of all named groups on a file or directory.
ACL = """
import os, struct, sys
for place in sys.argv[1:]:
    for name in ("access", "default"):
        try:
            found = os.getxattr(place, f"system.posix_acl_{name}")
        except OSError:
            continue
        print(*(number for tag, right, number in struct.iter_unpack("<HHI", found[4:]) if tag == 8))
"""


@pytest.fixture(autouse=True)
def running(host: Host) -> None:
    """Something that runs in each namespace, as an app does."""
    for app in ("shop", "blog"):
        unit = f"systemd-run --quiet --unit=in-{app} --property=LogNamespace={app} sleep infinity"
        host.check_output(f"systemctl is-active in-{app}.service || {unit}")


def write(host: Host, text: str, app: str = "shop") -> None:
    """Log a line into a namespace."""
    host.check_output(f"logger --socket /run/systemd/journal.{app}/dev-log --tag test %s", text)


def read(host: Host, account: str, which: str) -> str:
    """What an account gets to read of a journal."""
    return host.run(f"runuser -u {account} -- journalctl {which} --output=cat --lines=all --quiet").stdout


def reads(host: Host, account: str, which: str, text: str) -> bool:
    return testing.poll(lambda: text in read(host, account, which), 30)


def test_a_reader_reads_one_journal_and_no_other(host: Host) -> None:
    text = uuid.uuid4().hex
    for app in ("shop", "blog"):
        write(host, text, app)
    assert reads(host, "ada", "--namespace=shop", text)
    assert reads(host, "root", "--namespace=blog", text)
    assert read(host, "ada", "--namespace=blog") == read(host, "ada", "") == ""
    assert read(host, "bob", "--namespace=shop") == ""


def test_a_reader_reads_what_comes_after_a_rotation(host: Host) -> None:
    write(host, "before the rotation")
    host.check_output("journalctl --namespace=shop --rotate")
    text = uuid.uuid4().hex
    write(host, text)
    assert reads(host, "ada", "--namespace=shop", text)
    assert "before the rotation" in read(host, "ada", "--namespace=shop")


@pytest.fixture
def readers(host: Host) -> Iterator[str]:
    """The file that says who reads the journal of the shop; put back as it was."""
    file = f"{on_host('logs')}/shop.json"
    before = host.file(file).content_string
    yield file
    host.check_output(f"printf %%s %s >{file}; {PROGRAM} hold", before)


def hold(host: Host, file: str, names: list[str]) -> tuple[int, str, str]:
    """Ask for these readers and bring the group in line."""
    asked = {**json.loads(host.file(file).content_string), "readers": names}
    done = host.run(f"printf %%s %s >{file}; {PROGRAM} hold", json.dumps(asked))
    return done.rc, done.stdout, done.stderr


def members(host: Host, group: str) -> str:
    return host.check_output(f"getent group {group}").rpartition(":")[2]


def test_who_leaves_the_list_leaves_the_group_and_no_other(host: Host, readers: str) -> None:
    host.check_output("usermod --append --groups games ada")
    assert hold(host, readers, ["bob"]) == (0, "Readers of the journal of shop: bob.\n", "")
    assert host.run(PROGRAM + " hold").stdout == ""
    assert host.check_output("id -nG ada") == "ada games"
    assert host.check_output("id -nG bob") == f"bob {SHOP}"


def test_a_reader_without_an_account_is_named_and_keeps_nobody_else_out(host: Host, readers: str) -> None:
    status, _printed, error = hold(host, readers, ["bob", "carol"])
    assert status == 1
    assert "flask_apps.shop.logs.readers: 'carol' has no account on this host: create it, or take the name" in error
    assert members(host, SHOP) == "bob"
    assert host.run("id carol").rc != 0


def test_the_group_of_an_account_that_goes_leaves_no_rights_behind(host: Host) -> None:
    number = host.check_output(f"getent group {INNER}").split(":")[2]
    place, file = "/var/log/journal/$(cat /etc/machine-id).inner", f"{on_host('logs')}/inner.json"
    found = f"python3 -c %s {place}"
    assert number in host.check_output(found, ACL).split()
    host.check_output(f"mv {file} /root/inner.json")
    assert f"The group {INNER} is gone" in host.check_output(f"{PROGRAM} hold")
    assert host.run(f"getent group {INNER}").rc != 0
    assert number not in host.check_output(found, ACL).split()
    host.check_output(
        f"mv /root/inner.json {file}; systemd-sysusers; systemd-tmpfiles --create --prefix=/var/log/journal"
    )
    assert host.check_output(f"{PROGRAM} hold") == ""


def received(host: Host) -> list[str]:
    """The messages that the command has taken, in their order; a line that is being written does not count yet."""
    lines = host.run(f"cat {STATE}/received").stdout.split("\n")[:-1]
    return [found["MESSAGE"] for line in lines if (found := json.loads(line)).get("SYSLOG_IDENTIFIER") == "test"]


def arrived(host: Host, texts: list[str]) -> bool:
    return testing.poll(lambda: set(texts) <= set(received(host)), 120)


def test_lines_are_shipped_once_whatever_the_receiver_does(host: Host) -> None:
    first, second, third, fourth = (uuid.uuid4().hex for _line in range(4))
    write(host, first)
    assert arrived(host, [first])
    host.check_output(f"touch {STATE}/down")
    write(host, second)
    assert testing.poll(lambda: "Not delivered since" in host.check_output(f"systemctl show -P StatusText {UNIT}"), 120)
    host.check_output("journalctl --namespace=shop --rotate")
    write(host, third)
    host.check_output(f"systemctl restart {UNIT}; rm {STATE}/down")
    assert arrived(host, [second, third])
    host.check_output(f"systemctl stop {UNIT}")
    write(host, fourth)
    host.check_output(f"systemctl start {UNIT}")
    assert arrived(host, [fourth])
    ours = [text for text in received(host) if text in {first, second, third, fourth}]
    assert ours == [first, second, third, fourth]


def test_what_ships_is_an_account_of_its_own_that_reads_one_journal(host: Host) -> None:
    process = host.check_output(f"systemctl show -P MainPID {UNIT}")
    groups = host.check_output(f"ps -o supgrp= -p {process}").split(",")
    assert SHOP in groups
    assert not {on_host("log_group", "blog"), "adm", "systemd-journal"} & set(groups)
    assert members(host, SHOP) == "ada"
    shown = host.check_output(f"systemd-analyze security --no-pager {UNIT} | tail -n 1")
    assert exposures.problems(shown.replace("→ ", ""), ["shop"]) == []
    assert "Overall exposure level" in shown


def test_what_a_command_is_changed_to_is_run_from_then_on(host: Host) -> None:
    """As the role has it; a journal that is shipped no more has no unit that is enabled."""
    file = f"{on_host('logs')}/shop.json"
    before = host.file(file).content_string
    pid = host.check_output(f"systemctl show -P MainPID {UNIT}")
    host.check_output(f"printf %%s %s >{file}", before.replace("cat >>", "cat  >>"))
    assert "is started with what is asked for now" in host.check_output(f"{PROGRAM} hold")
    assert host.check_output(f"systemctl show -P MainPID {UNIT}") != pid
    host.check_output(f"printf %%s %s >{file}", json.dumps({"readers": ["ada"], "ship": ""}))
    assert "The journal of shop is shipped no more." in host.check_output(f"{PROGRAM} hold")
    assert host.run(f"systemctl is-enabled {UNIT}; systemctl is-active {UNIT}").stdout.split() == [
        "disabled",
        "inactive",
    ]
    host.check_output(f"printf %%s %s >{file}; {PROGRAM} hold", before)
    assert host.check_output(f"{PROGRAM} hold") == ""
    assert host.check_output(f"systemctl is-active {UNIT}") == "active"
