"""What a person is told: one message of all that waits, a screen long, whatever an app writes."""

from __future__ import annotations

import time

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch import message
from ansible_collections.groundwork.flask.plugins.module_utils.watch.message import compose, condensed, duration
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Change, Condition

SINCE = 1_795_836_720.0
DOWN = Condition(
    "health",
    "shop",
    message="The health path answers 500.",
    line="ZeroDivisionError: division by zero",
    command="shop logs -n 50",
    severity="critical",
    since=SINCE,
)
OLD = Condition("backup", "blog", message="The last backup is 3 days old.", since=SINCE)
DISK = Condition("disk", "host", "/", message="/ has 2 % free.", severity="warning", since=SINCE)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def alert(condition: Condition, after: float = 35) -> Change:
    return Change("alert", condition, "web1", SINCE + after)


def resolved(condition: Condition, after: float = 500) -> Change:
    return Change("resolved", condition, "web1", SINCE + after)


def test_an_alert_names_host_app_what_since_when_the_log_line_and_the_command() -> None:
    found = compose([alert(DOWN)])
    assert found
    assert found.subject == "CRITICAL: shop on web1: The health path answers 500."
    assert found.text == (
        "shop on web1: critical, since Sat 28 Nov 03:32 UTC\n"
        "The health path answers 500.\n"
        "log: ZeroDivisionError: division by zero\n"
        "try: shop logs -n 50\n"
    )
    assert found.level == "critical"


def test_a_recovery_says_how_long_it_lasted() -> None:
    found = compose([resolved(DOWN)])
    assert found
    assert (found.subject, found.level) == ("Resolved: shop on web1 (The health path answers 500.)", "resolved")
    assert found.text == (
        "shop on web1: resolved Sat 28 Nov 03:40 UTC, lasted 8 min 20 s\nwas: The health path answers 500.\n"
    )


def test_what_is_outdated_is_told_as_one() -> None:
    found = compose([alert(DOWN), resolved(DOWN), alert(OLD), alert(DISK)])
    assert found
    assert [(entry.event, entry.change.condition.subject) for entry in found.entries] == [
        ("alert", "blog"),
        ("alert", "host"),
        ("passed", "shop"),
    ]
    assert found.subject == "WARNING: web1: 2 alerts, 1 over already (blog, host, shop)"
    assert "shop on web1: over already, from Sat 28 Nov 03:32 UTC for 8 min 20 s" in found.text


def test_of_one_that_came_back_the_last_state_counts() -> None:
    for changes in (
        [resolved(DOWN, 10), alert(DOWN, 20)],
        [alert(DOWN, 1), resolved(DOWN, 10), alert(DOWN, 20)],
    ):
        found = compose(changes)
        assert found
        assert [entry.event for entry in found.entries] == ["alert"]


def test_condensed_changes_make_the_same_message() -> None:
    changes = [event(DOWN, at) for at in range(0, 100, 2) for event in (alert, resolved)] + [alert(OLD)]
    assert len(condensed(changes)) == 3
    assert compose(condensed(changes)) == compose(changes)
    assert compose([]) is None


def test_many_changes_stay_a_screen() -> None:
    many = [
        Condition("job", "shop", f"job{number}", "It failed. " * 100, "x" * 5000, since=SINCE) for number in range(500)
    ]
    found = compose([alert(one) for one in many])
    assert found
    assert len(found.subject) <= message.SUBJECT
    assert len(found.text) < 6000
    assert found.text.endswith(f"and 480 more: {message.PROGRAM} status\n")
    assert (len(found.plain()["changes"]), found.plain()["more"]) == (20, 480)


def test_what_an_app_writes_forges_no_line_and_moves_no_terminal() -> None:
    hostile = "a\r\nBcc: x@example.org\n\x1b[2J\u202e<!channel>`\x00\u2028end"
    found = compose([alert(Condition("health", "shop", message=hostile, line=hostile, since=SINCE))])
    assert found
    for text in (found.subject, *found.text.splitlines()):
        assert text.isprintable(), text
    assert len(found.text.splitlines()) == 3


def test_the_form_for_programs() -> None:
    found = compose([resolved(DOWN)])
    assert found
    assert found.plain() == {
        "version": 1,
        "host": "web1",
        "level": "resolved",
        "subject": found.subject,
        "text": found.text,
        "changes": [
            {
                "event": "resolved",
                "subject": "shop",
                "kind": "health",
                "part": "",
                "severity": "critical",
                "message": "The health path answers 500.",
                "line": "ZeroDivisionError: division by zero",
                "command": "shop logs -n 50",
                "since": "2026-11-28T03:32:00Z",
                "time": "2026-11-28T03:40:20Z",
                "seconds": 500,
            }
        ],
        "more": 0,
    }


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90061, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
