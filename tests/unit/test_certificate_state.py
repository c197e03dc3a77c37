"""What is remembered of a name: failures and pauses."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import state
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.state import IssueState
from ansible_collections.groundwork.flask.tests.unit.certificate_host import DAY, HOUR, MINUTE, NOW


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        (0, 15 * MINUTE),
        (4, 15 * MINUTE),
        (5, 30 * MINUTE),
        (6, HOUR),
        (9, 8 * HOUR),
        (10, 12 * HOUR),
        (1000, 12 * HOUR),
    ],
)
def test_pauses_grow_to_twelve_hours(failures: int, seconds: int) -> None:
    assert state.pause(failures) == seconds


def test_pauses_stay_within_the_limit_of_five_validations_an_hour() -> None:
    attempts = [0.0]
    for failures in range(1, 40):
        attempts.append(attempts[-1] + state.pause(failures))
    for start in attempts:
        assert len([at for at in attempts if start <= at < start + HOUR]) <= 5


def test_a_failure_sets_the_next_attempt_and_a_success_clears_it() -> None:
    state = IssueState()
    state.failed(CertificateError("no"), NOW)
    assert not state.is_time(NOW + 14 * MINUTE)
    assert state.is_time(NOW + 16 * MINUTE)
    state.settled()
    assert state.is_time(NOW)


def test_the_ca_s_own_date_counts_if_it_is_later() -> None:
    state = IssueState()
    state.failed(CertificateError("too many", not_before=NOW + DAY), NOW)
    assert not state.is_time(NOW + DAY - MINUTE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"failures": 1, "of": "later times"}'])
def test_a_state_that_cannot_be_read_stops_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert IssueState.load(tmp_path / "state.json").error == ""
