"""What a unit needs, from what systemd says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import Manifest
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import Record, State, Unit, actions, is_behind


def state(
    active: str = "active", enabled: str = "enabled", load: str = "loaded", reload: str = "yes", since: int = 0
) -> State:
    block = (
        f"Id=x.service\nLoadState={load}\nActiveState={active}\nUnitFileState={enabled}\nNeedDaemonReload=no\n"
        f"CanReload={reload}\nActiveEnterTimestampMonotonic={since * 1_000_000}"
    )
    return State.parse(block, now=1000.0)


CASES = [
    (Unit("x.service", enabled=True), state("inactive", "disabled"), False, ["enable", "start"]),
    (Unit("x.service", enabled=True), state(), False, []),
    (Unit("x.service"), state(enabled="disabled"), False, []),
    (Unit("x.service"), state(), True, ["restart"]),
    (Unit("x.service", on_change="reload"), state(), True, ["reload"]),
    (Unit("x.service", on_change="reload"), state(reload="no"), True, ["restart"]),
    (Unit("x.service", on_change="reload"), state("failed"), True, ["start"]),
    (Unit("x.service", started=False, enabled=False), state(), False, ["disable", "stop"]),
    (Unit("x.service", started=False, enabled=False), state("inactive", "disabled"), False, []),
    (Unit("x.service", started=False, enabled=False), state("inactive", "", "not-found"), False, []),
    (Unit("x.service", enabled=True), state("inactive", "", "not-found"), False, ["enable", "start"]),
]


@pytest.mark.parametrize(("unit", "found", "behind", "verbs"), CASES)
def test_actions(unit: Unit, found: State, behind: bool, verbs: list[str]) -> None:
    assert actions(unit, found, behind) == verbs


def test_a_record_decides_by_generation() -> None:
    followed = {"web": Manifest(generation=3, changed_at=5000.0)}
    assert is_behind(state(), followed, {"web": 2})
    assert is_behind(state(), followed, {})
    assert not is_behind(state(), followed, {"web": 3})


def test_without_a_record_the_times_decide() -> None:
    """A unit that its package or the boot has started."""
    followed = {"web": Manifest(generation=3, changed_at=1010.0)}
    assert is_behind(state(since=5), followed, None)
    assert not is_behind(state(since=15), followed, None)


def test_a_record_survives_the_process(tmp_path: Path) -> None:
    record = Record("x.service", tmp_path)
    assert record.loaded is None
    record.save({"web": Manifest(generation=7)})
    assert Record("x.service", tmp_path).loaded == {"web": 7}
