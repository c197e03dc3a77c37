"""A set of files on a host, while what is asked of it changes.

Most tests call the module on the host, as the task of converge.yml does; one runs that play, to prove what its reader
sees. Each test leaves the set as converge.yml has it: it proves that itself, or it asks for `in_order_afterwards`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import testing
from testinfra.host import Host

SITES: Mapping[str, str] = MappingProxyType({"shop": "first", "wiki": "first"})
SECRETS = ("hunter2", "correct horse")


def write(
    host: Host,
    sites: Mapping[str, str] = SITES,
    text: str = "global",
    key: str = "hunter2",
    check: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Write the set of converge.yml, with what is given in place of what stands there; return the module's result."""
    files: list[dict[str, Any]] = [
        {"dest": "/etc/demo/global.conf", "content": f"{text}\n"},
        *(
            {"dest": f"/etc/demo/sites/{name}.conf", "content": f"{name} says {says}\n", "part": name}
            for name, says in sites.items()
        ),
        {
            "dest": "/etc/demo/private/key",
            "content": f"{key}\n",
            "group": "www-data",
            "mode": "0640",
            "secret": True,
        },
    ]
    given = {
        "name": "demo",
        "directories": [{"path": "/etc/demo/private", "group": "www-data", "mode": "0750"}],
        "files": files,
        "validate": "sh -c '! grep --recursive --files-with-matches broken /etc/demo'",
        "apply": "cp /etc/demo/global.conf /run/applied",
    }
    result = testing.module(host, "file_set", check, **{**given, **options})
    assert not any(secret in json.dumps(result) for secret in SECRETS), "the result shows a secret"
    return result


def recap(outcome: testing.Outcome, host: Host) -> str:
    """The host's line of the play's recap."""
    lines = [line for line in outcome.stdout.splitlines() if line.startswith(testing.host_name(host)) and "ok=" in line]
    assert lines, outcome.stdout + outcome.stderr
    return lines[-1]


def unchanged(host: Host) -> bool:
    """Write the set again as Molecule has; say whether nothing changed."""
    result = write(host)
    assert not result.get("failed"), result
    return not result["changed"]


def snapshot(host: Host) -> str:
    """All that is below /etc/demo: names, owners, modes, contents."""
    return str(
        host.check_output(
            "cd /etc/demo && find . -printf '%p %u:%g %m\n' | sort; find . -type f | sort | xargs tail -n +1"
        )
    )


@pytest.fixture
def in_order_afterwards(host: Host) -> Iterator[None]:
    """Whatever a test asked for, the next one finds the set as converge.yml has it."""
    yield
    assert not write(host).get("failed")


def test_contents_owners_and_modes(host: Host) -> None:
    assert host.file("/etc/demo/sites/shop.conf").content_string == "shop says first\n"
    key = host.file("/etc/demo/private/key")
    assert (key.user, key.group, key.mode, key.content_string) == ("root", "www-data", 0o640, "hunter2\n")
    directory = host.file("/etc/demo/private")
    assert (directory.group, directory.mode) == ("www-data", 0o750)
    assert host.file("/run/applied").content_string == "global\n"
    assert unchanged(host), "what the play has rendered is not what the tests hand to the module"


def test_a_broken_default_part_puts_the_whole_set_back(host: Host) -> None:
    before = snapshot(host)
    result = write(host, {"shop": "second", "new": "first"}, text="broken")
    assert result["failed"]
    assert "put back as it was" in result["msg"]
    assert "/etc/demo/global.conf" in result["msg"], "what the test said is not told"
    assert snapshot(host) == before
    assert unchanged(host)


@pytest.mark.usefixtures("in_order_afterwards")
def test_a_broken_part_is_refused_alone(host: Host) -> None:
    result = write(host, {"shop": "broken", "wiki": "second"})
    assert list(result["refused"]) == ["shop"]
    assert "/etc/demo/sites/shop.conf" in result["refused"]["shop"], "what the test said is not told"
    assert result["changed_files"] == ["/etc/demo/sites/wiki.conf"]
    assert host.file("/etc/demo/sites/shop.conf").content_string == "shop says first\n"
    assert host.file("/etc/demo/sites/wiki.conf").content_string == "wiki says second\n"


@pytest.mark.usefixtures("in_order_afterwards")
def test_files_of_a_part_that_is_absent_are_gone(host: Host) -> None:
    host.check_output("echo mine >/etc/demo/sites/mine.conf")
    assert write(host, {"shop": "first"}, absent_parts=["wiki"])["changed_files"] == ["/etc/demo/sites/wiki.conf"]
    assert not host.file("/etc/demo/sites/wiki.conf").exists
    assert host.file("/etc/demo/sites/shop.conf").exists
    assert host.file("/etc/demo/sites/mine.conf").exists, "a file of somebody else was removed"
    host.check_output("rm /etc/demo/sites/mine.conf")


def test_a_part_that_is_not_named_is_left_alone(host: Host) -> None:
    assert not write(host, {"shop": "first"})["changed"]
    assert host.file("/etc/demo/sites/wiki.conf").exists


def test_what_was_changed_by_hand_is_put_right(host: Host) -> None:
    before = snapshot(host)
    host.check_output(
        "echo by hand >/etc/demo/global.conf; chmod 0666 /etc/demo/private/key; rm /etc/demo/sites/wiki.conf"
    )
    assert snapshot(host) != before
    assert len(write(host)["changed_files"]) == 3
    assert snapshot(host) == before
    assert unchanged(host)


@pytest.mark.usefixtures("in_order_afterwards")
def test_apply_runs_again_until_it_succeeds(host: Host) -> None:
    failed = write(host, text="next", apply="cp /etc/demo/global.conf /missing/applied")
    assert failed["failed"]
    assert "/missing/applied" in failed["msg"]
    assert host.file("/run/applied").content_string == "global\n"
    healed = write(host, text="next")
    assert (healed["changed"], healed["changed_files"]) == (True, [])
    assert host.file("/run/applied").content_string == "next\n"
    assert not write(host, text="next")["changed"]


def test_killed_in_the_middle_it_heals(host: Host) -> None:
    before = snapshot(host)
    # The test of the set runs when all files are in place and none is accepted yet: it kills the module, its parent.
    with pytest.raises(AssertionError):  # the module ends without a result
        write(host, {"new": "never tested"}, text="never tested", validate="sh -c 'kill -9 $PPID; sleep 5'")
    assert host.file("/etc/demo/global.conf").content_string == "never tested\n", (
        "the kill came too early to prove anything"
    )
    assert host.file("/etc/demo/sites/new.conf").exists
    assert unchanged(host)
    assert snapshot(host) == before


@pytest.mark.usefixtures("in_order_afterwards")
def test_a_play_shows_what_it_changes_and_never_a_secret(host: Host) -> None:
    """First a dry run, then the same in earnest, each with all that Ansible can print."""
    before = snapshot(host)
    asked = {"sites": {"shop": "second"}, "key": "correct horse"}

    def shown(*options: str) -> str:
        outcome = testing.play(host, "converge.yml", "--diff", "-vvv", *options, **asked)
        assert outcome.returncode == 0, outcome.stdout
        assert "changed=1 " in recap(outcome, host)
        for line in ("-shop says first", "+shop says second", "/etc/demo/private/key"):
            assert line in outcome.stdout
        text = outcome.stdout + outcome.stderr
        assert not [secret for secret in SECRETS if secret in text]
        return text

    shown("--check")
    assert snapshot(host) == before
    shown()
    assert host.file("/etc/demo/sites/shop.conf").content_string == "shop says second\n"
    assert host.file("/etc/demo/private/key").content_string == "correct horse\n"
    testing.module(host, "unit_set", units=[])
    # With all that was logged: what a module sends to the journal is there a moment later.
    journal = host.check_output("journalctl --sync && journalctl --no-pager --quiet")
    assert "Invoked with units=[]" in journal, "the journal shows no module's arguments, not even another's"
    assert not [secret for secret in SECRETS if secret in journal]
