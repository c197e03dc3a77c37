"""A set of files on a host, while what is asked of it changes. Each test leaves the host in order for the next.

Either it proves that itself, or it asks for the fixture `in_order_afterwards`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import testing
from testinfra.host import Host


def recap(outcome: testing.Outcome, host: Host) -> str:
    """The host's line of the play's recap."""
    lines = [line for line in outcome.stdout.splitlines() if line.startswith(testing.host_name(host)) and "ok=" in line]
    assert lines, outcome.stdout + outcome.stderr
    return lines[-1]


def unchanged(host: Host) -> bool:
    """Run the play again as Molecule has; say whether nothing changed."""
    outcome = testing.play(host)
    assert outcome.returncode == 0, outcome.stdout
    return "changed=0" in recap(outcome, host)


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
    assert testing.play(host).returncode == 0


def test_contents_owners_and_modes(host: Host) -> None:
    assert host.file("/etc/demo/sites/shop.conf").content_string.endswith("shop says first\n")
    key = host.file("/etc/demo/private/key")
    assert (key.user, key.group, key.mode, key.content_string) == ("root", "www-data", 0o640, "hunter2\n")
    directory = host.file("/etc/demo/private")
    assert (directory.group, directory.mode) == ("www-data", 0o750)
    assert host.file("/run/applied").content_string == "global\n"


def test_a_broken_default_part_puts_the_whole_set_back(host: Host) -> None:
    before = snapshot(host)
    outcome = testing.play(host, text="broken", sites={"shop": "second", "new": "first"})
    assert outcome.returncode != 0
    assert "these files are broken" in outcome.stdout + outcome.stderr
    assert snapshot(host) == before
    assert unchanged(host)


@pytest.mark.suite("trixie")
@pytest.mark.usefixtures("in_order_afterwards")
def test_a_broken_part_is_refused_alone(host: Host) -> None:
    outcome = testing.play(host, sites={"shop": "broken", "wiki": "second"})
    assert outcome.returncode == 0, outcome.stdout
    assert "shop: |-" in outcome.stdout, "the refused part is not named"
    assert "/etc/demo/sites/shop.conf" in outcome.stdout, "what the test said is not told"
    assert host.file("/etc/demo/sites/shop.conf").content_string.endswith("shop says first\n")
    assert host.file("/etc/demo/sites/wiki.conf").content_string.endswith("wiki says second\n")


@pytest.mark.suite("bookworm")
@pytest.mark.usefixtures("in_order_afterwards")
def test_a_file_that_left_the_set_is_gone(host: Host) -> None:
    host.check_output("echo mine >/etc/demo/sites/mine.conf")
    assert testing.play(host, sites={"shop": "first"}, absent=["wiki"]).returncode == 0
    assert not host.file("/etc/demo/sites/wiki.conf").exists
    assert host.file("/etc/demo/sites/shop.conf").exists
    assert host.file("/etc/demo/sites/mine.conf").exists, "a file of somebody else was removed"


@pytest.mark.suite("trixie")
def test_a_part_that_is_not_named_is_left_alone(host: Host) -> None:
    assert testing.play(host, sites={"shop": "first"}).returncode == 0
    assert host.file("/etc/demo/sites/wiki.conf").exists


@pytest.mark.suite("bookworm")
def test_what_was_changed_by_hand_is_put_right(host: Host) -> None:
    before = snapshot(host)
    host.check_output(
        "echo by hand >/etc/demo/global.conf; chmod 0666 /etc/demo/private/key; rm /etc/demo/sites/wiki.conf"
    )
    assert testing.play(host).returncode == 0
    assert snapshot(host) == before
    assert unchanged(host)


@pytest.mark.suite("trixie")
def test_a_dry_run_tells_and_touches_nothing(host: Host) -> None:
    before = snapshot(host)
    outcome = testing.play(host, "converge.yml", "--check", "--diff", sites={"shop": "second"}, key="correct horse")
    assert outcome.returncode == 0, outcome.stdout
    assert "-shop says first" in outcome.stdout
    assert "+shop says second" in outcome.stdout
    assert "/etc/demo/private/key" in outcome.stdout
    assert "changed=1" in recap(outcome, host)
    assert snapshot(host) == before


@pytest.mark.suite("bookworm")
@pytest.mark.usefixtures("in_order_afterwards")
def test_a_secret_is_never_shown(host: Host) -> None:
    outcome = testing.play(host, "converge.yml", "--diff", "-vvv", key="correct horse")
    assert outcome.returncode == 0, outcome.stdout
    assert host.file("/etc/demo/private/key").content_string == "correct horse\n"
    shown = outcome.stdout.replace('{"key": "correct horse"}', "")  # -vvv prints the command line of this test
    assert "correct horse" not in shown
    assert "hunter2" not in shown
    assert "correct horse" not in host.check_output("journalctl --no-pager --quiet --since -2min")


@pytest.mark.suite("bookworm")
@pytest.mark.usefixtures("in_order_afterwards")
def test_apply_runs_again_until_it_succeeds(host: Host) -> None:
    failed = testing.play(host, text="next", apply="cp /etc/demo/global.conf /missing/applied")
    assert failed.returncode != 0
    assert "/missing/applied" in failed.stdout + failed.stderr
    assert host.file("/run/applied").content_string == "global\n"
    healed = testing.play(host, text="next")
    assert healed.returncode == 0, healed.stdout
    assert "changed=1" in recap(healed, host)
    assert host.file("/run/applied").content_string == "next\n"
    assert "changed=0" in recap(testing.play(host, text="next"), host)


def test_killed_in_the_middle_it_heals(host: Host) -> None:
    before = snapshot(host)
    # The test of the set runs when all files are in place and none is accepted yet: it kills the module, its parent.
    crash = "sh -c 'kill -9 $PPID; sleep 5'"
    killed = testing.play(host, text="never tested", sites={"new": "never tested"}, crash=crash)
    assert killed.returncode != 0
    assert host.file("/etc/demo/global.conf").content_string == "never tested\n", (
        "the kill came too early to prove anything"
    )
    assert testing.play(host).returncode == 0
    assert snapshot(host) == before
    assert unchanged(host)
