"""Whether `verify` finds a watch that does not look, or tells nobody."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.verify import watching
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

OPS = {"name": "ops", "type": "webhook", "url": "https://ops.example.org/canary-secret"}
LATE = "there is to be one every 30 s."


def made(tmp_path: Path, age: float | None, *receivers: dict[str, Any], failing: float = 0) -> FakeHost:
    """A host whose last look is so many seconds old."""
    host = FakeHost(tmp_path)
    host.write(watching.PROGRAM, "", 0o755)
    os.utime(host.look.path(watching.PROGRAM), (host.look.now - 3600,) * 2)
    host.write(f"{on_host('configuration')}/watch.json", '{"interval": 30}')
    host.write(f"{on_host('configuration')}/watch.receivers.json", json.dumps({"receivers": receivers}))
    if age is not None:
        host.write(f"{on_host('watch')}/look.json", json.dumps({"time": host.look.now - age}))
    if failing:
        state = {"failures": 9, "failing_since": host.look.now - failing, "error": "Connection refused"}
        host.write(f"{on_host('watch')}/outbox/network/ops.state", json.dumps(state))
    return host


@pytest.mark.parametrize(
    ("age", "receivers", "failing", "found"),
    [
        (20.0, [OPS], 0, []),
        (20.0, [], 0, ["warning: No receiver is set: what the watch finds is told to nobody."]),
        (20.0, [OPS], 100, []),
        (
            20.0,
            [OPS],
            900,
            ["problem: The receiver ops (webhook, ops.example.org) takes no messages: Connection refused"],
        ),
        (None, [OPS], 0, [f"problem: There was no look yet; {LATE}"]),
    ],
)
def test_what_is_said_of_the_watch(
    tmp_path: Path, age: float | None, receivers: list[dict[str, Any]], failing: float, found: list[str]
) -> None:
    assert bad(made(tmp_path, age, *receivers, failing=failing).found(watching.watch)) == found


def test_a_watch_that_does_not_look_any_more(tmp_path: Path) -> None:
    (text,) = bad(made(tmp_path, 91.0, OPS).found(watching.watch))
    assert text.startswith("problem: The last look was at ")
    assert text.endswith(LATE)


def test_a_watch_that_was_set_up_just_now(tmp_path: Path) -> None:
    host = made(tmp_path, None, OPS)
    os.utime(host.look.path(watching.PROGRAM), (host.look.now - 10,) * 2)
    (only,) = host.found(watching.watch)
    assert (only.state, only.message) == ("unchecked", "It was set up just now and has not looked yet.")


def test_a_host_without_a_watch(tmp_path: Path) -> None:
    assert FakeHost(tmp_path).found(watching.watch) == []
