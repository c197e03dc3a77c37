"""What a unit needs, from what systemd says of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import unit_set
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import Manifest
from ansible_collections.groundwork.flask.plugins.module_utils.unit_options import Replaced, Unit
from ansible_collections.groundwork.flask.plugins.module_utils.unit_record import Record
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import (
    Outcome,
    State,
    UnitSetError,
    actions,
    is_behind,
)


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
    (Unit("x.service", on_change="ignore"), state(), True, []),
    (Unit("x.service", on_change="reload"), state(), True, ["reload"]),
    (Unit("x.service", on_change="reload"), state(reload="no"), True, ["restart"]),
    (Unit("x.service", on_change="reload"), state("failed"), True, ["start"]),
    (Unit("x.service", started=False, enabled=False), state(), False, ["disable", "stop"]),
    (Unit("x.service", started=False, enabled=False), state("inactive", "disabled"), False, []),
    (Unit("x.service", started=False, enabled=False), state("inactive", "", "not-found"), False, []),
    (Unit("x.service", enabled=True), state("inactive", "", "not-found"), False, ["enable", "start"]),
]


@pytest.mark.parametrize("on_change", ["reload", "ignore"])
def test_what_no_reload_takes_in_means_a_restart(on_change: str) -> None:
    unit = Unit("x.service", on_change=on_change)
    assert actions(unit, state(), True, restart=True) == ["restart"]
    assert actions(unit, state(), False, restart=True) == []


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
    drop_in = tmp_path / "x.conf"
    drop_in.write_text("User=root")
    record.save({"web": Manifest(generation=7), "files": Manifest(generation=3)}, [str(drop_in)])
    again = Record("x.service", tmp_path)
    assert again.loaded == {"web": 7, "files": 3}
    assert not again.has_other_files([str(drop_in)], since=0)
    drop_in.write_text("User=www-data")
    assert again.has_other_files([str(drop_in)], since=2**40)


def test_without_a_record_a_file_written_since_the_start_is_another(tmp_path: Path) -> None:
    drop_in = tmp_path / "x.conf"
    drop_in.write_text("User=www-data")
    record = Record("x.service", tmp_path / "none")
    assert record.has_other_files([str(drop_in)], since=0)
    assert not record.has_other_files([str(drop_in)], since=2**40)
    assert not record.has_other_files([str(tmp_path / "missing")], since=0)


class Systemd:
    """What the module asks of systemd, for units that need no more than an order of events."""

    def __init__(self, active: set[str], broken: set[str], parts: dict[str, list[str]]) -> None:
        self.active, self.broken, self.parts = active, broken, parts
        self.enabled = set(active)
        self.calls: list[str] = []

    def states(self, names: Sequence[str]) -> list[State]:
        return [
            state("active" if name in self.active else "inactive", "enabled" if name in self.enabled else "disabled")
            for name in names
        ]

    def generations(self, names: Sequence[str], _directory: Path | None = None) -> dict[str, Manifest]:
        return {name: Manifest(parts={part: ["/file"] for part in self.parts.get(name, [])}) for name in names}

    def run(self, verb: str, names: Sequence[str]) -> None:
        self.calls += [f"{verb} {name}" for name in names]
        for name in names:
            if verb == "start" and name in self.broken:
                raise UnitSetError(f"`systemctl start {name}` failed")
            if verb == "start":
                self.active.add(name)
            elif verb == "stop":
                self.active.discard(name)

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.calls.append(" ".join(word for word in arguments if word != "--"))
        if arguments[0] == "start":
            self.active.update(arguments[2:])
        return subprocess.CompletedProcess(arguments, 0, "", "")


OLD, NEW = "nginx.service", "apache2.service"


def succession(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    old: list[str],
    new: list[str],
    absent: tuple[str, ...] = (),
    broken: set[str] | None = None,
    active: str = OLD,
) -> tuple[Systemd, Callable[[], Outcome]]:
    """A host where nginx serves the parts ``old`` and Apache is to serve ``new`` instead: systemd, and the call."""
    systemd = Systemd({active} - {""}, broken or set(), {"sites_nginx": old, "sites_apache": new})
    for name in ("states", "generations", "run", "systemctl"):
        monkeypatch.setattr(unit_set, name, getattr(systemd, name))
    monkeypatch.setattr(Record, "directory", tmp_path, raising=False)
    monkeypatch.setattr(Record, "save", lambda _self, _followed, _paths: None)
    replaced = Replaced(OLD, "sites_nginx", "sites_apache", absent)
    unit = Unit(NEW, enabled=True, follows=("sites_apache",), replaces=(replaced,))
    return systemd, lambda: unit_set.update([unit])


def test_a_unit_replaces_another_and_says_how_long_neither_ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    systemd, update = succession(monkeypatch, tmp_path, ["", "shop"], ["", "shop", "wiki"])
    outcome = update()
    assert systemd.active == {NEW}
    assert systemd.calls == [f"stop {OLD}", f"start {NEW}", f"enable {NEW}", f"disable {OLD}"]
    assert outcome.replaced == [OLD]
    assert outcome.pause is not None


@pytest.mark.parametrize(
    ("old", "new", "absent", "kept"),
    [
        (["", "shop", "wiki"], ["", "wiki"], (), ["shop"]),
        (["", "shop", "wiki"], ["", "wiki"], ("shop",), []),
        (["", "shop"], [], (), ["shop"]),
    ],
)
def test_a_unit_that_has_more_to_serve_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    old: list[str],
    new: list[str],
    absent: tuple[str, ...],
    kept: list[str],
) -> None:
    systemd, update = succession(monkeypatch, tmp_path, old, new, absent)
    outcome = update()
    assert outcome.kept == ({OLD: kept} if kept else {})
    assert systemd.active == ({OLD} if kept else {NEW})
    assert bool(systemd.calls) is not bool(kept)


def test_a_unit_that_does_not_start_gives_the_place_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    systemd, update = succession(monkeypatch, tmp_path, ["shop"], ["shop"], broken={NEW})
    with pytest.raises(UnitSetError, match=rf"start {NEW}` failed\n{OLD} runs again; for [0-9.]+ s nothing ran"):
        update()
    assert systemd.active == {OLD}
    assert systemd.calls[-2:] == [f"disable --now {NEW}", f"start {OLD}"]


def test_a_strangers_unit_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    systemd, update = succession(monkeypatch, tmp_path, [], ["shop"])
    outcome = update()
    assert systemd.active == {OLD, NEW}
    assert (outcome.replaced, outcome.kept, outcome.pause) == ([], {}, None)


def test_a_unit_that_was_stopped_by_a_killed_run_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    systemd, update = succession(monkeypatch, tmp_path, ["shop"], ["shop"], active="")
    outcome = update()
    assert systemd.active == {NEW}
    assert (outcome.replaced, outcome.pause) == ([OLD], None)


def test_what_a_failed_unit_said_is_bounded_and_no_terminal_obeys_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its journal may hold what a visitor sent."""

    def said(argv: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        is_journal = argv[0] == "/usr/bin/journalctl"
        return subprocess.CompletedProcess(
            argv, 1, "x" * 100_000 + "GET /\x1b[2J\x9b\n" if is_journal else "", "no\x07\n"
        )

    monkeypatch.setattr(subprocess, "run", said)
    monkeypatch.setattr(unit_set, "sync_journals", lambda *_names: None)
    monkeypatch.setattr(unit_set, "states", lambda names: [state("failed") for _name in names])
    with pytest.raises(UnitSetError) as failed:
        unit_set.run("start", ["nginx.service"])
    text = str(failed.value)
    assert text.startswith(r"`systemctl start nginx.service` failed: no\x07")
    assert text.endswith(r"GET /\x1b[2J\x9b")
    assert len(text) < 10_200


def test_the_journal_of_a_unit_that_failed_is_read_when_journald_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the host, and of the namespace that the unit logs into."""
    has: list[str] = []

    def said(argv: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        shown = f"has {has}" if argv[0].endswith("journalctl") else "shop\n" if "show" in argv else ""
        return subprocess.CompletedProcess(argv, 1, shown, "")

    monkeypatch.setattr(subprocess, "run", said)
    monkeypatch.setattr(unit_set, "sync_journals", lambda *names: has.extend(names))
    monkeypatch.setattr(unit_set, "states", lambda names: [state("failed") for _name in names])
    with pytest.raises(UnitSetError, match=r"has \['', 'shop'\]"):
        unit_set.run("start", ["shop.worker.service"])
