"""What waits for its receivers: a file for each, kept over anything, and due when it can be sent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch import outbox, receivers
from ansible_collections.groundwork.flask.plugins.module_utils.watch.outbox import State
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Receiver, Settings
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Change, Condition
from ansible_collections.groundwork.flask.plugins.module_utils.watch.settings import SettingsError

OPS = Receiver("ops", "slack", options={"url": "https://hooks.example.org/services/canary"})
PAGER = Receiver("pager", "command", severity="critical", options={"command": "page"})
BLOG = Receiver("blog", "webhook", apps=("blog",), options={"url": "http://127.0.0.1:9"})
ALL = Settings((OPS, PAGER, BLOG))
DOWN = Condition("health", "shop", message="It answers 500.", severity="critical")
OLD = Condition("backup", "blog", message="The backup is 3 days old.")


def change(condition: Condition, event: str = "alert", at: float = 1000.0) -> Change:
    """A change of one condition."""
    return Change(event, condition, "web1", at)  # type: ignore[arg-type]


def waiting(directory: Path) -> dict[str, list[tuple[str, str]]]:
    """What waits for each receiver: event and subject."""
    return {
        name: [(one.event, one.condition.subject) for one in outbox.read(directory, found)]
        for name, found in outbox.names(directory).items()
    }


def test_each_receiver_gets_what_it_wants_in_a_file_of_its_own(tmp_path: Path) -> None:
    outbox.put([change(DOWN), change(OLD)], ALL, tmp_path)
    assert waiting(tmp_path / "network") == {"ops": [("alert", "shop"), ("alert", "blog")], "blog": [("alert", "blog")]}
    assert waiting(tmp_path / "commands") == {"pager": [("alert", "shop")]}
    assert outbox.read(tmp_path / "commands", outbox.names(tmp_path / "commands")["pager"]) == [change(DOWN)]


def test_no_receiver_and_no_change_write_nothing(tmp_path: Path) -> None:
    outbox.put([change(DOWN)], Settings(), tmp_path)
    outbox.put([], ALL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_receiver_is_not_told_of_its_own_failure(tmp_path: Path) -> None:
    outbox.put(
        [change(Condition("receiver", "host", "ops"))], Settings((OPS, BLOG, Receiver("b", "webhook"))), tmp_path
    )
    assert list(waiting(tmp_path / "network")) == ["b"]


def test_units_are_due_for_what_waits(tmp_path: Path) -> None:
    assert outbox.due(ALL, 1000, tmp_path) == []
    outbox.put([change(OLD)], ALL, tmp_path)
    assert outbox.due(ALL, 1000, tmp_path) == ["groundwork-alerts.service"]
    outbox.put([change(DOWN, at=1001)], ALL, tmp_path)
    assert outbox.due(ALL, 1001, tmp_path) == ["groundwork-alerts.service", "groundwork-alerts-commands.service"]


def test_a_receiver_that_pauses_is_not_due(tmp_path: Path) -> None:
    outbox.put([change(DOWN)], ALL, tmp_path)
    outbox.write_state(tmp_path / "network", "ops", State(failures=1, next=1060))
    assert outbox.due(ALL, 1059, tmp_path) == ["groundwork-alerts-commands.service"]
    assert "groundwork-alerts.service" in outbox.due(ALL, 1060, tmp_path)


def test_what_waits_for_a_receiver_that_has_gone_is_removed(tmp_path: Path) -> None:
    outbox.put([change(DOWN)], ALL, tmp_path)
    assert outbox.due(Settings((PAGER,)), 1000, tmp_path) == ["groundwork-alerts-commands.service"]
    assert outbox.names(tmp_path / "network") == {}


def at(clock: str) -> float:
    """A time of the day in the host's time zone."""
    return time.mktime(time.strptime(f"2026-11-30 {clock}", "%Y-%m-%d %H:%M"))


@pytest.mark.parametrize(
    ("hours", "clock", "quiet"),
    [
        ("22:00-07:00", "21:59", False),
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "03:00", True),
        ("22:00-07:00", "07:00", False),
        ("12:00-13:30", "13:29", True),
        ("12:00-13:30", "13:30", False),
        ("", "03:00", False),
    ],
)
def test_quiet_hours(hours: str, clock: str, *, quiet: bool) -> None:
    assert Settings(quiet_hours=hours).quiet(at(clock)) is quiet


def test_warnings_wait_for_the_end_of_quiet_hours_and_critical_ones_do_not(tmp_path: Path) -> None:
    settings = Settings((OPS,), quiet_hours="22:00-07:00")
    outbox.put([change(OLD, at=at("23:00"))], settings, tmp_path)
    assert outbox.due(settings, at("23:00"), tmp_path) == []
    assert outbox.due(settings, at("07:00"), tmp_path) == ["groundwork-alerts.service"]
    outbox.put([change(DOWN, at=at("23:01"))], settings, tmp_path)
    assert outbox.due(settings, at("23:01"), tmp_path) == ["groundwork-alerts.service"]


def test_the_ping_is_due_once_a_minute_and_after_the_clock_was_set_back(tmp_path: Path) -> None:
    settings = Settings(ping_url="https://ping.example.org/canary")
    assert outbox.due(settings, 1000, tmp_path) == ["groundwork-alerts.service"]
    (tmp_path / "network").mkdir()
    outbox.write_state(tmp_path / "network", outbox.PING, State(attempted=1000))
    assert outbox.due(settings, 1030, tmp_path) == []
    assert outbox.due(settings, 1060, tmp_path) == ["groundwork-alerts.service"]
    assert outbox.due(settings, 500, tmp_path) == ["groundwork-alerts.service"]


def test_a_receiver_that_fails_for_long_is_a_condition_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    failing = State(failures=3, failing_since=1000, error="no connection within 10 s")
    outbox.write_state(tmp_path / "network", "ops", failing)
    assert outbox.conditions(ALL, 1599, tmp_path) == []
    (found,) = outbox.conditions(ALL, 1600, tmp_path)
    assert (found.kind, found.subject, found.part, found.since) == ("receiver", "host", "ops", 1000)
    assert found.message == ("The receiver ops (slack, hooks.example.org) takes no messages: no connection within 10 s")
    assert found.command == f"{outbox.COMMAND} ops"
    outbox.write_state(tmp_path / "network", "ops", State(failures=1, failing_since=1000, error="404", refused=True))
    assert len(outbox.conditions(ALL, 1001, tmp_path)) == 1


def test_a_ping_that_fails_for_long_is_a_condition_without_its_path(tmp_path: Path) -> None:
    settings = Settings(ping_url="https://ping.example.org/canary")
    (tmp_path / "network").mkdir()
    outbox.write_state(tmp_path / "network", outbox.PING, State(failures=9, failing_since=1000, error="HTTP 503"))
    (found,) = outbox.conditions(settings, 1600, tmp_path)
    assert (found.kind, found.message) == ("ping", "The ping of ping.example.org fails: HTTP 503")


def test_what_the_account_that_delivers_leaves_there_leads_root_nowhere(tmp_path: Path) -> None:
    network, secret = tmp_path / "network", tmp_path / "secret"
    network.mkdir()
    secret.write_text(json.dumps({"failures": 1, "refused": True, "error": "canary"}))
    (network / "ops.state").symlink_to(secret)
    os.mkfifo(network / "blog.state")
    (network / "ops.0000001000.000000.critical.0.json").symlink_to(secret)
    (network / "blog.0000001000.000000.critical.0.json").write_text('{"changes": [{"event": "alert"}]}')
    assert outbox.conditions(ALL, 5000, tmp_path) == []
    assert waiting(network) == {"ops": [], "blog": []}
    outbox.put([change(DOWN)], ALL, tmp_path)
    assert secret.read_text().startswith("{")


def test_files_that_nothing_delivers_are_bounded(tmp_path: Path) -> None:
    for second in range(outbox.MOST + 3):
        outbox.put([change(DOWN, at=second)], Settings((OPS,)), tmp_path)
    outbox.due(Settings((OPS,)), 9999, tmp_path)
    assert len(outbox.names(tmp_path / "network")["ops"]) == outbox.MOST


def test_the_configuration_is_read_as_the_role_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "watch.receivers.json"
    assert receivers.load(file) == Settings()
    mail = {"name": "mail", "type": "mail", "to": ["a@example.org"], "smtp": {"host": "m.example.org", "port": 465}}
    file.write_text(json.dumps({"receivers": [mail], "keep_days": 2, "per_hour": 5, "quiet_hours": "22:00-07:00"}))
    found = receivers.load(file)
    assert (found.keep, found.per_hour, found.quiet_hours) == (172800, 5, "22:00-07:00")
    assert (found.receivers[0].kind, found.receivers[0].place) == ("network", "m.example.org:465")
    assert Receiver("m", "mail").kind == "commands"
    file.write_text('{"receivers": [{"name": "x"}]}')
    with pytest.raises(SettingsError, match="Run the play again"):
        receivers.load(file)


def test_what_waits_for_long_is_condensed_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    for second in range(30):
        event = "resolved" if second % 2 else "alert"
        outbox.put([change(DOWN, event, second), change(OLD, at=second)], Settings((OPS,)), tmp_path)
    network = tmp_path / "network"
    outbox.condense(network, outbox.names(network)["ops"])
    found = outbox.read(network, outbox.names(network)["ops"])
    assert [(one.event, one.condition.subject, one.time) for one in found] == [
        ("alert", "shop", 0),
        ("resolved", "shop", 29),
        ("alert", "blog", 0),
        ("alert", "blog", 29),
    ]
    outbox.condense(network, outbox.names(network)["ops"])
    assert outbox.read(network, outbox.names(network)["ops"]) == found


def test_changes_put_twice_and_others_of_the_same_time_are_told_apart(tmp_path: Path) -> None:
    for condition in (DOWN, DOWN, Condition("outside", "shop", severity="critical")):
        outbox.put([change(condition)], Settings((OPS,)), tmp_path)
    assert [
        one.condition.kind for one in outbox.read(tmp_path / "network", outbox.names(tmp_path / "network")["ops"])
    ] in (
        ["health", "outside"],
        ["outside", "health"],
    )


def test_long_texts_and_many_changes_are_readable_when_they_are_sent(tmp_path: Path) -> None:
    many = [Condition("job", "shop", str(number), "\U0001f600" * 9999, "\U0001f600" * 9999) for number in range(250)]
    outbox.put([change(one) for one in many], Settings((OPS,)), tmp_path)
    assert len(outbox.read(tmp_path / "network", outbox.names(tmp_path / "network")["ops"])) == 250
