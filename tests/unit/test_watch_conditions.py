"""What is told of conditions, and that nothing is told twice: looks one after another, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch.conditions import (
    BOOT_GRACE,
    DEPLOY_PATIENCE,
    FLAP_CLEAR,
    Found,
    Known,
    Moment,
    step,
)
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Change, Condition

DOWN = Condition("health", "shop", severity="critical")
SLOW = Condition("latency", "shop")
DISK, FULL = Condition("disk", "host", "/"), Condition("disk", "host", "/", severity="critical")
JOB = Condition("job", "shop", "nightly")


@dataclass
class Host:
    """A host that is looked at every 30 seconds."""

    now: float = 100_000.0
    known: dict[str, Known] = field(default_factory=dict)
    told: list[Change] = field(default_factory=list)

    def look(self, *found: Condition, certain: bool = False, seconds: float = 30.0, **moment: object) -> list[str]:
        """What a look tells that finds these conditions."""
        self.now += seconds
        given = {"boot": 1.0, "apps": {"shop"}} | moment
        at = Moment(self.now, "web1", **given)  # type: ignore[arg-type]  # as the tests give them
        # What was kept is read again, as by the next look.
        self.known = {key: Known.of(one.plain()) for key, one in self.known.items()}
        self.known, changes = step(self.known, [Found(one, certain) for one in found], at)
        self.told += changes
        return [f"{one.event} {one.condition.kind}" for one in changes]

    def looks(self, *each: Sequence[Condition], **moment: object) -> list[str]:
        """What several looks tell."""
        return [change for found in each for change in self.look(*found, **moment)]  # type: ignore[arg-type]  # as above


def test_what_is_certain_is_told_at_once_and_once() -> None:
    host = Host()
    assert host.look(JOB, certain=True) == ["alert job"]
    assert host.looks([JOB], [JOB], [JOB]) == []
    assert host.told[0].condition.since == host.told[0].time == 100_030.0


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([[SLOW]], []),
        ([[SLOW], []], []),
        ([[SLOW], [], [SLOW], [], [SLOW]], []),
        ([[SLOW], [SLOW]], ["alert latency"]),
        ([[SLOW], [SLOW], [], [SLOW], []], ["alert latency"]),
        ([[SLOW], [SLOW], [], [], []], ["alert latency", "resolved latency"]),
        ([[SLOW], [SLOW], [], [], [], [], []], ["alert latency", "resolved latency"]),
        ([[DOWN], [DOWN], []], ["alert health", "resolved health"]),  # asked twice by the look itself
        ([[DISK], [DISK], [FULL], [FULL], [DISK], [FULL]], ["alert disk", "alert disk"]),
        ([[FULL], [FULL], [DISK], [DISK]], ["alert disk"]),
        ([[DISK, SLOW], [DISK, SLOW]], ["alert disk", "alert latency"]),
    ],
)
def test_what_looks_in_a_row_tell(looks: list[list[Condition]], told: list[str]) -> None:
    assert Host().looks(*looks) == told


def test_what_lasts_has_begun_when_it_was_first_found() -> None:
    host = Host()
    host.looks([SLOW], [SLOW], [SLOW], [], [], [])
    alert, resolved = host.told
    assert alert.condition.since == resolved.condition.since == 100_030.0
    assert alert.time == 100_060.0


def test_what_flaps_is_told_three_times_an_hour() -> None:
    host = Host()
    for _time in range(20):  # every minute down and up again
        host.look(DOWN, certain=True)
        host.look()
    events = [one.event for one in host.told]
    assert events == ["alert", "resolved", "alert", "resolved", "alert"]
    assert "begun 3 times" in host.told[-1].condition.message
    quiet = [change for _look in range(int(FLAP_CLEAR / 30) + 2) for change in host.look()]
    assert quiet == ["resolved health"]


def test_a_reboot_tells_nothing() -> None:
    host = Host()
    host.look(JOB, certain=True)
    boot = host.now + 20
    while host.now + 30 < boot + BOOT_GRACE:
        assert host.look(DOWN, DISK, certain=True, boot=boot) == []
    assert host.look(boot=boot) == []  # all is well again; the job waits for its minute
    assert host.looks([], [], boot=boot) == ["resolved job"]


def test_what_a_reboot_has_left_broken_is_told_afterwards() -> None:
    host = Host()
    boot = host.now
    assert host.looks(*[[DOWN]] * 8, certain=True, boot=boot) == ["alert health"]
    assert host.told[0].time >= boot + BOOT_GRACE


@pytest.mark.parametrize("why", ["still", "unknown"])
def test_what_is_normal_or_not_known_neither_begins_nor_ends(why: str) -> None:
    held: dict[str, object] = {"still": {"shop"}} if why == "still" else {"unknown": {"health"}}
    host = Host()
    assert host.looks([DOWN], [DOWN], [DOWN], **held) == []
    host.look(DOWN, certain=True)
    assert host.looks([], [], [], **held) == []
    assert host.look() == ["resolved health"]
    assert [one.event for one in host.told] == ["alert", "resolved"]


def test_maintenance_of_one_app_hides_no_other_and_nothing_that_it_cannot_explain() -> None:
    host = Host()
    expires, other = Condition("certificate", "shop"), Condition("health", "blog")
    assert host.look(expires, other, DOWN, certain=True, still={"shop"}, apps={"shop", "blog"}) == [
        "alert certificate",
        "alert health",
    ]


def test_a_deploy_tells_what_lasts_and_nothing_else() -> None:
    host = Host()
    assert host.looks([DOWN], [DOWN], [], deploying={"shop"}) == []
    while not host.look(DOWN, certain=True, deploying={"shop"}):
        pass
    alert = host.told[0]
    assert alert.time - alert.condition.since == DEPLOY_PATIENCE
    assert host.look(JOB, certain=True) == ["resolved health", "alert job"]


def test_an_app_that_is_not_looked_at_any_more_is_forgotten_without_a_word() -> None:
    host = Host()
    host.look(DOWN, DISK, certain=True)
    assert host.looks([DISK], [DISK], apps=set()) == []
    assert list(host.known) == ["host/disk//"]


def test_the_line_that_was_found_when_it_was_told_stays() -> None:
    host = Host()
    host.look(JOB, certain=True)
    (key, known), *_rest = host.known.items()
    host.known[key] = Known.of({**known.plain(), "condition": {**known.plain()["condition"], "line": "it broke"}})
    host.looks([JOB], [], [], [])
    assert host.told[-1].event == "resolved"
    assert host.told[-1].condition.line == "it broke"


def test_a_clock_that_goes_back_tells_nothing_twice() -> None:
    host = Host()
    host.look(DOWN, certain=True)
    assert host.look(DOWN, certain=True, seconds=-5000.0) == []
    assert host.look() == ["resolved health"]
