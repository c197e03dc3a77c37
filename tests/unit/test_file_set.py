"""The transaction of a file set, on real files."""

from __future__ import annotations

import getpass
import grp
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import file_set
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet
from ansible_collections.groundwork.flask.plugins.module_utils.placement import Entry, FileSetError

ME = getpass.getuser()
MINE = grp.getgrgid(os.getgid()).gr_name


class Place:
    """A directory to write to and the set that writes there."""

    def __init__(self, top: Path) -> None:
        self.files = top / "files"
        self.state = top / "state"
        self.set = FileSet("web", self.state)

    def entry(self, name: str, text: str | None, part: str = "", mode: int = 0o644, secret: bool = False) -> Entry:
        content = None if text is None else text.encode()
        return Entry(str(self.files / name), content, ME, MINE, mode, secret, part)

    def read(self, name: str) -> str | None:
        path = self.files / name
        return path.read_text() if path.exists() else None

    def refuses(self, word: str) -> str:
        """A test of the whole set that fails when any file has the word."""
        return f"sh -c '! grep -r {word} {self.files}'"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_first_write_and_then_nothing(place: Place) -> None:
    entries = [place.entry("conf.d", None, mode=0o711), place.entry("conf.d/a", "one\n", mode=0o600)]
    first = place.set.update(entries)
    assert first.changed
    assert [change.path for change in first.changes] == [entry.path for entry in entries]
    assert (place.files / "conf.d").stat().st_mode & 0o777 == 0o711
    assert (place.files / "conf.d/a").stat().st_mode & 0o777 == 0o600
    assert not place.set.update(entries).changed


def kept(place: Place) -> dict[str, str]:
    """What the set has kept of files that were there before it, by their names."""
    directory = place.state.parent / "replaced" / str(place.files).lstrip("/")
    return {path.name: path.read_text() for path in directory.glob("*")}


def test_a_file_of_others_is_kept_before_it_is_replaced(place: Place) -> None:
    place.files.mkdir()
    (place.files / "a").write_text("theirs\n")
    (place.files / "same").write_text("same\n")
    entries = [place.entry("a", "ours\n"), place.entry("same", "same\n"), place.entry("new", "new\n")]
    assert place.set.update(entries, check_mode=True).changed
    assert kept(place) == {}
    place.set.update(entries)
    assert kept(place) == {"a": "theirs\n"}
    place.set.update([place.entry("a", "ours, another time\n")])
    assert kept(place) == {"a": "theirs\n"}


def test_what_was_kept_is_not_replaced_by_another_copy(place: Place) -> None:
    place.files.mkdir()
    for text in ("first", "second", "first", "third"):
        (place.files / "a").write_text(text)
        place.set.update([place.entry("a", "ours")])
        FileSet("web", place.state).update([], ["", "a"])
        place.set.manifest_path.unlink()
    assert kept(place) == {"a": "first", "a.2": "second", "a.3": "third"}


def test_mode_alone_is_a_change(place: Place) -> None:
    place.set.update([place.entry("a", "one\n")])
    outcome = place.set.update([place.entry("a", "one\n", mode=0o600)])
    assert outcome.changed
    assert "0600" in outcome.diff[0]["after"]


def test_a_file_that_left_the_set_goes(place: Place) -> None:
    place.set.update([place.entry("a", "one\n"), place.entry("b", "two\n")])
    assert place.set.update([place.entry("a", "one\n")]).changed
    assert place.read("b") is None


def test_parts_that_are_not_named_stay(place: Place) -> None:
    place.set.update([place.entry("a", "one\n", "shop"), place.entry("b", "two\n", "blog")])
    place.set.update([place.entry("a", "one\n", "shop")])
    assert place.read("b") == "two\n"


def test_absent_parts_go_whole(place: Place) -> None:
    place.set.update([place.entry("main", "m\n"), place.entry("a", "one\n", "shop"), place.entry("a2", "x\n", "shop")])
    assert place.set.update([], absent_parts=["shop"]).changed
    assert place.read("a") is None
    assert place.read("a2") is None
    assert place.read("main") == "m\n"
    assert not place.set.update([], absent_parts=["shop"]).changed


def manifest(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.set.manifest_path.read_text())
    return found


def test_the_manifest_says_how_each_file_was_written(place: Place) -> None:
    """By which a change by hand is told from the play's."""
    entries = [place.entry("a", "one\n", mode=0o600), place.entry("b", "two\n", "shop"), place.entry("d", None)]
    place.set.update(entries, units={"web.service": "enabled started"})
    of_a, of_b = (str(place.files / name) for name in ("a", "b"))
    assert manifest(place)["files"][of_a] == f"0600 {ME} {MINE} {hashlib.sha256(b'one' + bytes([10])).hexdigest()}"
    assert set(manifest(place)["files"]) == {of_a, of_b}
    assert manifest(place)["units"] == {"web.service": "enabled started"}
    place.set.update([place.entry("a", "other\n")])
    assert manifest(place)["files"][of_a].startswith("0644")
    assert of_b in manifest(place)["files"], "a part that is not named stays"
    place.set.update([], units={"other.service": "- stopped"})
    assert manifest(place)["units"] == {"other.service": "- stopped"}, "those that the set has no more go"
    place.set.update([], absent_parts=["", "shop"])
    assert (manifest(place)["files"], manifest(place)["units"]) == ({}, {})


def test_a_manifest_of_the_version_before_is_completed_without_a_change(place: Place) -> None:
    entries = [place.entry("a", "one\n")]
    place.set.update(entries)
    former = {name: value for name, value in manifest(place).items() if name not in ("files", "units")}
    place.set.manifest_path.write_text(json.dumps({**former, "of_a_later_version": 1}))
    assert not place.set.update(entries).changed
    assert manifest(place)["files"]
    assert manifest(place)["generation"] == former["generation"]


def test_a_refused_part_is_described_as_it_was(place: Place) -> None:
    place.set.update([place.entry("a", "good\n", "shop")])
    before = manifest(place)["files"]
    outcome = place.set.update([place.entry("a", "broken\n", "shop")], validate=place.refuses("broken"))
    assert "shop" in outcome.refused
    assert manifest(place)["files"] == before


def test_a_set_that_fails_its_test_is_put_back_whole(place: Place) -> None:
    place.set.update([place.entry("a", "good\n"), place.entry("gone", "old\n")])
    with pytest.raises(FileSetError, match="put back as it was"):
        place.set.update([place.entry("a", "bad\n"), place.entry("new", "x\n")], validate=place.refuses("bad"))
    assert place.read("a") == "good\n"
    assert place.read("gone") == "old\n"
    assert place.read("new") is None
    assert not place.set.journal_path.exists()


def test_one_broken_part_holds_up_no_other(place: Place) -> None:
    place.set.update([place.entry("a", "1\n", "shop"), place.entry("b", "1\n", "blog")])
    for _turn in range(2):  # the next run says it again
        outcome = place.set.update(
            [place.entry("a", "bad\n", "shop"), place.entry("b", "2\n", "blog")], validate=place.refuses("bad")
        )
        assert list(outcome.refused) == ["shop"]
        assert "bad" in outcome.refused["shop"]
        assert place.read("a") == "1\n"
        assert place.read("b") == "2\n"


def test_a_refused_part_keeps_its_files_listed(place: Place) -> None:
    place.set.update([place.entry("a", "1\n", "shop")])
    place.set.update([place.entry("a2", "bad\n", "shop")], validate=place.refuses("bad"))
    assert place.read("a") == "1\n"
    place.set.update([place.entry("a2", "good\n", "shop")], validate=place.refuses("bad"))
    assert place.read("a") is None


def test_apply_runs_until_it_has_succeeded(place: Place, tmp_path: Path) -> None:
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    apply = f"sh -c 'test -e {gate} && echo x >> {ran}'"
    entries = [place.entry("a", "one\n")]
    with pytest.raises(FileSetError, match="failed"):
        place.set.update(entries, apply=apply)
    gate.touch()
    assert place.set.update(entries, apply=apply).changed
    assert not place.set.update(entries, apply=apply).changed
    assert ran.read_text() == "x\n"


def test_a_run_killed_before_its_test_is_undone_by_the_next(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.set.update([place.entry("a", "good\n")])

    def killed(_command: str) -> None:
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(file_set, "put_back_all", lambda _changes: None)
        patch.setattr(Path, "unlink", lambda _self, **_options: None)
        patch.setattr(file_set, "run", killed)
        with pytest.raises(SystemExit):
            place.set.update([place.entry("a", "half\n"), place.entry("b", "half\n")], validate="true")
    assert place.read("a") == "half\n"
    place.set.recover()
    assert place.read("a") == "good\n"
    assert place.read("b") is None


def test_check_mode_writes_nothing(place: Place) -> None:
    outcome = place.set.update([place.entry("a", "one\n")], validate="false", apply="false", check_mode=True)
    assert outcome.changed
    assert not place.files.exists()
    assert not place.state.exists()


def test_an_owner_who_does_not_exist_yet(place: Place) -> None:
    entry = Entry(str(place.files / "a"), b"x", "nobody-yet", MINE)
    assert place.set.update([entry], check_mode=True).changed
    with pytest.raises(FileSetError, match="there is no user 'nobody-yet'"):
        place.set.update([entry])


def test_a_diff_shows_text_but_no_secret(place: Place) -> None:
    place.set.update([place.entry("a", "one\n"), place.entry("s", "hunter1\n", mode=0o600, secret=True)])
    outcome = place.set.update([place.entry("a", "two\n"), place.entry("s", "hunter2\n", mode=0o600, secret=True)])
    shown = json.dumps(outcome.diff)
    assert "one" in shown
    assert "two" in shown
    assert "hunter" not in shown
    gone = json.dumps(place.set.update([place.entry("a", "two\n")]).diff)
    assert "hunter" not in gone


def test_refused_input(place: Place) -> None:
    with pytest.raises(FileSetError, match="stands twice"):
        place.set.update([place.entry("a", "1"), place.entry("a", "2")])
    with pytest.raises(FileSetError, match="not an absolute path"):
        place.set.update([Entry("a", b"1")])
    place.files.mkdir()
    (place.files / "d").mkdir()
    with pytest.raises(FileSetError, match="is a directory"):
        place.set.update([place.entry("d", "text")])


def test_a_symlink_is_not_followed(place: Place, tmp_path: Path) -> None:
    place.files.mkdir()
    target = tmp_path / "target"
    target.write_text("mine\n")
    (place.files / "a").symlink_to(target)
    with pytest.raises(FileSetError, match="neither a file nor a directory"):
        place.set.update([place.entry("a", "theirs\n")])
    assert target.read_text() == "mine\n"
