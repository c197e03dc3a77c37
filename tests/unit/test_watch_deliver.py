"""What waits is delivered: to each receiver for itself, again after a failure, and nothing is lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch import alert_test, deliver, outbox
from ansible_collections.groundwork.flask.plugins.module_utils.watch.deliver import Delivery
from ansible_collections.groundwork.flask.plugins.module_utils.watch.message import Message
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Receiver, Settings
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Change, Condition
from ansible_collections.groundwork.flask.plugins.module_utils.watch.sending import SendError
from ansible_collections.groundwork.flask.tests.unit.alert_servers import CANARY, http_server, mail_server

# Seconds of an attempt: the others on a machine that is too busy for the first.
LIMITS = (4.0, 60.0)
DOWN = Condition("health", "shop", message="It answers 500.", severity="critical", since=1000)
OLD = Condition("backup", "blog", message="The backup is 3 days old.", since=1000)


@dataclass
class Site:
    """A receiver with its outbox, a clock, and what it was sent."""

    directory: Path
    quiet_hours: str = ""
    per_hour: int = 20
    time: float = 1000.0
    error: SendError | None = None
    problem: str = ""
    seen: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = Receiver("ops", "slack", options={"url": f"https://hooks.example.org/{CANARY}"})
        self.settings = Settings((self.receiver,), self.quiet_hours, per_hour=self.per_hour)
        self.of_kind = self.directory / "network"

    def send(self, _receiver: Receiver, message: Message) -> str:
        """Keep a message, or fail as told."""
        if self.error:
            raise self.error
        self.seen.append(message)
        return self.problem

    def now(self) -> float:
        """The time."""
        return self.time

    def put(self, condition: Condition, event: str = "alert") -> None:
        """Something has changed."""
        outbox.put([Change(event, condition, "web1", self.time)], self.settings, self.directory)  # type: ignore[arg-type]

    def go(self) -> None:
        """Deliver, if the look would start that."""
        if outbox.due(self.settings, self.time, self.directory):
            Delivery(self.receiver, self.settings, self.of_kind, self.send, self.now).work()

    @property
    def state(self) -> outbox.State:
        """How the delivery stands."""
        return outbox.read_state(self.of_kind, "ops")


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_was_sent_is_sent_once(site: Site) -> None:
    site.put(DOWN)
    site.go()
    site.go()
    assert [one.subject for one in site.seen] == ["CRITICAL: shop on web1: It answers 500."]
    assert outbox.names(site.of_kind) == {}


def test_a_receiver_that_is_down_for_ten_minutes_loses_none_and_gets_one_message(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.error = SendError("No connection.")
    for look in range(20):  # ten minutes of looks
        if look == 2:
            site.put(DOWN)
        if look == 4:
            site.put(OLD)
        if look == 12:
            site.put(DOWN, "resolved")
        site.go()
        site.time += 30
    assert site.seen == []
    assert [one.kind for one in outbox.conditions(site.settings, site.time + 60, site.directory)] == ["receiver"]
    site.error = None
    site.time = site.state.next
    site.go()
    (message,) = site.seen
    assert [(one.event, one.change.condition.subject) for one in message.entries] == [
        ("alert", "blog"),
        ("passed", "shop"),
    ]
    assert outbox.conditions(site.settings, site.time, site.directory) == []
    assert CANARY not in capsys.readouterr().err


def test_pauses_grow_to_a_quarter_of_an_hour(site: Site) -> None:
    site.put(DOWN)
    site.error = SendError("No connection.")
    pauses = []
    for _attempt in range(7):
        site.go()
        pauses.append(site.state.next - site.time)
        site.go()  # not before the pause is over
        site.time = site.state.next
    assert pauses == [30, 60, 120, 300, 900, 900, 900]
    assert site.state.failures == 7
    site.error = SendError("HTTP 429", pause=600)
    outbox.write_state(site.of_kind, "ops", outbox.State())
    site.go()
    assert site.state.next - site.time == 600


def test_after_a_clock_that_was_set_back_nothing_waits_for_days(site: Site) -> None:
    site.put(DOWN)
    outbox.write_state(site.of_kind, "ops", outbox.State(failures=3, next=site.time + 86400))
    site.go()
    assert len(site.seen) == 1


def test_what_it_refuses_is_a_condition_at_once_and_is_kept(site: Site) -> None:
    site.put(DOWN)
    site.error = SendError("HTTP 404", refused=True)
    site.go()
    (found,) = outbox.conditions(site.settings, site.time, site.directory)
    assert found.message == "The receiver ops (slack, hooks.example.org) takes no messages: HTTP 404"
    site.error, site.time = None, site.time + 30
    site.go()
    assert len(site.seen) == 1


def test_a_recipient_that_is_refused_is_a_condition_although_the_mail_was_sent(site: Site) -> None:
    site.put(DOWN)
    site.problem = "It does not take mail for x@example.org."
    site.go()
    assert len(outbox.conditions(site.settings, site.time, site.directory)) == 1
    assert outbox.names(site.of_kind) == {}


def test_in_quiet_hours_critical_goes_and_warnings_follow_in_the_morning(site: Site) -> None:
    site.settings = Settings((site.receiver,), "22:00-07:00")
    site.time = time.mktime((2026, 11, 30, 23, 0, 0, 0, 0, -1))
    site.put(OLD)
    site.put(DOWN)
    site.go()
    assert [entry.change.condition.kind for one in site.seen for entry in one.entries] == ["health"]
    site.time += 8 * 3600 - 1
    site.go()
    assert len(site.seen) == 1
    site.time += 1
    site.go()
    assert [entry.change.condition.kind for entry in site.seen[1].entries] == ["backup"]


def test_what_was_a_warning_before_it_was_told_as_critical_is_not_told_in_the_morning(site: Site) -> None:
    site.settings = Settings((site.receiver,), "22:00-07:00")
    site.time = time.mktime((2026, 11, 30, 23, 0, 0, 0, 0, -1))
    full = Condition("disk", "host", "/", "/ is 91 % full.", since=site.time)
    site.put(full)
    site.put(OLD)
    site.time += 600
    site.put(replace(full, severity="critical"))
    site.go()
    site.time += 600
    site.put(replace(full, severity="critical"), "resolved")
    site.go()
    site.time += 8 * 3600
    site.go()
    told = [[(entry.event, entry.change.condition.kind) for entry in one.entries] for one in site.seen]
    assert told == [[("alert", "disk")], [("resolved", "disk")], [("alert", "backup")]]


def test_what_cannot_be_read_is_told_and_kept(site: Site) -> None:
    site.put(DOWN)
    (name,) = outbox.names(site.of_kind)["ops"]
    (site.of_kind / name).rename(site.directory / name)
    (site.of_kind / name).symlink_to(site.directory / name)
    site.put(OLD)
    site.go()
    assert [entry.change.condition.kind for one in site.seen for entry in one.entries] == ["backup"]
    site.go()
    assert site.state.error == "1 of its messages cannot be read."
    (site.directory / name).replace(site.of_kind / name)
    site.time = site.state.next
    site.go()
    assert len(site.seen) == 2


def test_beyond_so_many_messages_an_hour_the_rest_comes_as_one(tmp_path: Path) -> None:
    site = Site(tmp_path, per_hour=3)
    for number in range(10):
        site.put(Condition("job", "shop", str(number), severity="critical", since=site.time))
        site.go()
        site.time += 60
    assert len(site.seen) == 3
    site.time = 1000 + 3600
    site.go()
    assert len(site.seen[3].entries) == 7


def test_an_app_that_uses_up_the_messages_of_an_hour_holds_up_no_other(tmp_path: Path) -> None:
    site = Site(tmp_path, per_hour=8)
    for number in range(20):
        site.put(Condition("job", "noisy", str(number), severity="critical", since=site.time))
        site.go()
        site.time += 10
    assert len(site.seen) == 8
    assert outbox.due(site.settings, site.time, tmp_path) == []  # nothing is started for what has to wait
    site.put(DOWN)
    site.put(Condition("job", "noisy", "same look", severity="critical", since=site.time))
    site.go()
    assert [entry.subject for entry in site.seen[8].entries] == ["shop on web1"]
    for number in range(5):
        site.put(Condition("job", "shop", str(number), severity="critical", since=site.time))
        site.go()
        site.time += 10
    assert len(site.seen) == 10  # a part of its own, and no more
    site.time += 3600
    site.go()
    assert len(site.seen) == 11
    assert len(site.seen[10].entries) == 13 + 4


def test_what_waits_too_long_is_given_up(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.put(DOWN)
    site.time += 7 * 86400 + 1
    site.put(OLD)
    site.error = SendError("No connection.")
    site.go()
    assert "ops: messages that waited longer than watch_alerts_keep, and were given up: 1" in capsys.readouterr().err
    site.error, site.time = None, site.state.next
    site.go()
    assert [entry.change.condition.kind for one in site.seen for entry in one.entries] == ["backup"]


@pytest.mark.parametrize("put", [0.0, 1000.0])
def test_a_clock_that_was_wrong_at_boot_loses_no_message(site: Site, put: float) -> None:
    site.time = put
    site.put(DOWN)
    site.time = 2_000_000_000.0
    site.go()
    assert len(site.seen) == 1


def test_a_test_goes_at_once_and_what_waits_follows(site: Site) -> None:
    site.put(DOWN)
    site.error = SendError("HTTP 404", refused=True)
    site.go()
    work = Delivery(site.receiver, site.settings, site.of_kind, site.send, site.now)
    test = Change("test", Condition("test", "host", message="A test."), "web1", 5.0)
    outbox.put_test(site.receiver, test, site.directory)
    work.work()
    assert site.state.test == {"time": 5.0, "error": "HTTP 404"}
    site.error = None
    outbox.put_test(site.receiver, test, site.directory)
    work.work()
    assert site.state.test == {"time": 5.0, "error": ""}
    work.work()
    assert [one.level for one in site.seen] == ["test", "critical"]


# --- processes -----------------------------------------------------------


def test_one_that_hangs_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in LIMITS:
        monkeypatch.setitem(deliver.SECONDS, "network", seconds)
        directory = tmp_path / str(seconds)
        directory.mkdir()
        with http_server() as hangs, http_server() as works, mail_server() as mails:
            hangs.hang = 600
            options = {"to": ["ops@example.org"], "from": "web1@example.org", "smtp": mails.smtp}
            settings = Settings(
                (
                    Receiver("a-hangs", "webhook", options={"url": hangs.url}),
                    Receiver("b-works", "webhook", options={"url": works.url}),
                    Receiver("c-mails", "mail", options=options),
                ),
                ping_url=works.url,
            )
            outbox.put([Change("alert", DOWN, "web1", time.time())], settings, directory)
            began = time.monotonic()
            deliver.all_of("network", settings, directory / "network")
            assert time.monotonic() - began < 300
        others = [outbox.read_state(directory / "network", name) for name in ("b-works", "c-mails", outbox.PING)]
        if not any(state.failures for state in others):
            break
    assert [state.failures for state in others] == [0, 0, 0]
    assert sorted(method for method, *_rest in works.asked) == ["GET", "POST"]
    assert len(mails.mails) == 1
    assert list(outbox.names(directory / "network")) == ["a-hangs"]
    assert outbox.read_state(directory / "network", "a-hangs").error == "It did not answer in time."


def test_one_that_heeds_no_limit_is_killed_and_one_that_breaks_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deliver, "GRACE", 0.3)

    def sender(receiver: Receiver, _message: Message) -> str:
        while receiver.name == "hangs":
            try:
                time.sleep(60)
            except TimeoutError:
                continue
        raise KeyError(CANARY)

    settings = Settings((Receiver("hangs", "slack"), Receiver("breaks", "slack")))
    for seconds in (0.2, *LIMITS):
        monkeypatch.setitem(deliver.SECONDS, "network", seconds)
        directory = tmp_path / str(seconds)
        directory.mkdir()
        outbox.put([Change("alert", DOWN, "web1", time.time())], settings, directory)
        deliver.all_of("network", settings, directory / "network", sender)
        state = outbox.read_state(directory / "network", "hangs")
        if "did not answer within" not in state.error:  # else the limit was over before the sender heeded none
            break
    assert (state.failures, state.error) == (1, "It did not come to an end, and was killed.")
    assert list(outbox.names(directory / "network")) == ["breaks", "hangs"]
    assert CANARY not in "".join(capfd.readouterr())


def test_what_is_put_while_another_hangs_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in LIMITS:
        monkeypatch.setitem(deliver.SECONDS, "network", seconds)
        directory = tmp_path / str(seconds)
        directory.mkdir()
        with http_server() as hangs, http_server() as works:
            hangs.hang = 600
            both = Settings(
                (
                    Receiver("hangs", "webhook", options={"url": hangs.url}),
                    Receiver("works", "webhook", apps=("blog",), options={"url": works.url}),
                )
            )
            outbox.put([Change("alert", DOWN, "web1", time.time())], both, directory)
            processes = deliver.Processes(
                {one.name: Delivery(one, both, directory / "network") for one in both.receivers}, seconds=300
            )
            assert processes.start()
            outbox.put([Change("alert", OLD, "web1", time.time())], both, directory)
            processes.run()
        if not outbox.read_state(directory / "network", "works").failures:
            break
    assert len(works.asked) == 1


def test_a_ping_that_fails_says_nothing_until_it_lasts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with http_server() as server:
        settings = Settings(ping_url=server.url)
        server.status, server.body = 500, CANARY.encode()
        (tmp_path / "network").mkdir()
        for at in (1000.0, 1060.0):
            deliver.ping(settings, tmp_path / "network", lambda: at)  # noqa: B023 - called before the next
        state = outbox.read_state(tmp_path / "network", outbox.PING)
        assert (state.failures, state.failing_since, state.attempted) == (2, 1000, 1060)
        assert outbox.conditions(settings, 1100, tmp_path) == []
        (found,) = outbox.conditions(settings, 1600, tmp_path)
        assert found.message == f"The ping of {server.url.split('/')[2]} fails: It answers HTTP 500 ([hidden])."
        server.status = 200
        deliver.ping(settings, tmp_path / "network", lambda: 1700.0)
        assert outbox.conditions(settings, 2400, tmp_path) == []
    assert "".join(capfd.readouterr()) == ""


# --- the verb test -------------------------------------------------------


def test_the_outcome_of_a_test_of_each_receiver(tmp_path: Path) -> None:
    with http_server() as works, http_server() as refuses:
        refuses.status, refuses.body = 404, CANARY.encode()
        settings = Settings(
            (
                Receiver("good", "webhook", options={"url": works.url}),
                Receiver("bad", "slack", options={"url": refuses.url}),
                Receiver("page", "command", options={"command": CANARY}),
            )
        )
        started: list[list[str]] = []

        def start(units: list[str]) -> None:
            started.append(list(units))
            deliver.all_of("network", settings, tmp_path / "network")

        found = alert_test.outcomes(settings.receivers, "web1", start, tmp_path, rounds=2)  # type: ignore[arg-type]
        assert started == [
            ["groundwork-alerts.service", "groundwork-alerts-commands.service"],
            ["groundwork-alerts-commands.service"],
        ]
        assert [one.error for one in found] == [
            "",
            "It answers HTTP 404 ([hidden]). Check its url: it may have been withdrawn.",
            alert_test.LATE,
        ]
        assert works.last["subject"] == "Test: web1: This is a test of the receiver good: alerts of web1 arrive here."
    shown = alert_test.table(found)
    assert shown.splitlines()[0] == "receiver  type     to               outcome"
    assert CANARY not in shown
    assert outbox.names(tmp_path / "commands") == {}
