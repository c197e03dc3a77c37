"""The module file_set as Ansible calls it, on real files."""

from __future__ import annotations

import getpass
import grp
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import unit_set
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet
from ansible_collections.groundwork.flask.plugins.modules import file_set
from ansible_collections.groundwork.flask.tests.unit.module_call import Caller

OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    monkeypatch.setattr(file_set, "FileSet", partial(FileSet, state=tmp_path / "state"))
    return Caller(file_set, capsys)


def entry(path: Path, content: str, **more: Any) -> dict[str, Any]:
    return {"dest": str(path), "content": content, **OWN, **more}


def test_what_differs_is_written_and_told_and_the_second_call_changes_nothing(call: Caller, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "name": "web",
        "directories": [{"path": str(tmp_path / "conf"), **OWN, "mode": "0711"}],
        "files": [entry(tmp_path / "conf/a", "one\n", mode="0600"), entry(tmp_path / "b", "two\n")],
    }
    first = call(**wanted)
    assert first["changed"]
    assert first["changed_files"] == [str(tmp_path / name) for name in ("conf", "conf/a", "b")]
    assert (tmp_path / "conf/a").read_text() == "one\n"
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("conf", "conf/a", "b")}
    assert modes == {"conf": 0o711, "conf/a": 0o600, "b": 0o644}
    again = call(**wanted)
    assert (again["changed"], again["changed_files"], again["diff"]) == (False, [], [])


def test_check_mode_tells_and_writes_nothing(call: Caller, tmp_path: Path) -> None:
    result = call(check=True, name="web", files=[entry(tmp_path / "a", "one\n")])
    assert result["changed"]
    assert "one" in result["diff"][0]["after"]
    assert list(tmp_path.iterdir()) == []


def test_check_mode_counts_what_the_set_would_have_when_a_unit_replaces_another(
    call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(name="old", files=[entry(tmp_path / f"old-{part}", "1\n", part=part) for part in ("shop", "blog")])
    generations = unit_set.generations
    monkeypatch.setattr(unit_set, "generations", lambda names, _state=None: generations(names, tmp_path / "state"))
    running = unit_set.State.parse("LoadState=loaded\nActiveState=active\nUnitFileState=enabled", 0)
    monkeypatch.setattr(unit_set, "states", lambda names: [running for _name in names])
    old = {"name": "old.service", "file_set": "old", "successor": "new"}
    units = [{"name": "new.service", "follows": ["new"], "replaces": [old]}]
    files = [entry(tmp_path / f"new-{part}", "1\n", part=part) for part in ("shop", "blog")]
    result = call(check=True, name="new", files=files, units=units)
    assert (result["kept"], result["replaced"]) == ({}, ["old.service"])
    assert call(check=True, name="new", files=files[:1], units=units)["kept"] == {"old.service": ["blog"]}


def test_the_arguments_and_secrets_stay_out_of_the_result(call: Caller, tmp_path: Path) -> None:
    result = call(name="web", files=[entry(tmp_path / "key", "hunter2\n", secret=True, mode="0600")])
    assert result["changed"]
    assert result["invocation"] == {"module_args": {"name": "web"}}
    assert "hunter2" not in call.printed


def test_a_set_that_fails_its_test_fails_the_task_and_leaves_the_host_as_it_was(call: Caller, tmp_path: Path) -> None:
    call(name="web", files=[entry(tmp_path / "a", "good\n")])
    said = call(name="web", files=[entry(tmp_path / "a", "bad\n")], validate=f"sh -c '! grep bad {tmp_path}/a'")
    assert said["failed"]
    assert said["msg"].startswith("file set web: ")
    assert "put back as it was" in said["msg"]
    assert (tmp_path / "a").read_text() == "good\n"


def test_a_part_that_fails_it_is_refused_alone(call: Caller, tmp_path: Path) -> None:
    files = [entry(tmp_path / "shop", "bad\n", part="shop"), entry(tmp_path / "blog", "good\n", part="blog")]
    test = f"sh -c '! grep -rl bad {tmp_path} --include=shop --include=blog'"
    result = call(name="web", files=files, validate=test)
    assert list(result["refused"]) == ["shop"]
    assert not (tmp_path / "shop").exists()
    assert (tmp_path / "blog").read_text() == "good\n"
    assert call(name="web", absent_parts=["blog"])["changed"]
    assert not (tmp_path / "blog").exists()


def test_a_command_applies_what_has_changed(call: Caller, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "name": "web",
        "files": [entry(tmp_path / "a", "1\n")],
        "apply": f"touch {tmp_path}/applied",
    }
    assert call(**wanted)["changed"]
    (tmp_path / "applied").unlink()
    assert not call(**wanted)["changed"]
    assert not (tmp_path / "applied").exists()
    failed = call(**{**wanted, "files": [entry(tmp_path / "a", "2\n")], "apply": "false"})
    assert failed["msg"].startswith("file set web: ")


def test_an_absent_set_leaves_nothing(call: Caller, tmp_path: Path) -> None:
    call(name="web", files=[entry(tmp_path / "a", "1\n"), entry(tmp_path / "b", "1\n", part="shop")])
    assert call(name="web", state="absent")["changed"]
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert not call(name="web", state="absent")["changed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing required arguments: name"),
        ({"name": "web", "state": "gone"}, "value of state must be one of: present, absent, got: gone"),
        ({"name": "web", "file": []}, "Unsupported parameters for "),
        ({"name": "web", "files": [{"content": "x"}]}, "missing required arguments: dest found in files"),
        (
            {"name": "web", "state": "absent", "files": [{"dest": "/a", "content": "x"}]},
            "file set web: it cannot be absent and have files",
        ),
        ({"name": "web", "files": [{"dest": "a", "content": "x"}]}, "file set web: 'a' is not an absolute path"),
        (
            {"name": "web", "files": [{"dest": "/a", "content": "x", "mode": "u=rw"}]},
            "file set web: /a: the mode 'u=rw' is not octal: write it as '0644'",
        ),
        (
            {"name": "web", "files": [{"dest": "/a", "content": "x", "owner": "nobody-of-this-name"}]},
            "file set web: /a: there is no user 'nobody-of-this-name'",
        ),
        ({"name": "web", "files": [{"dest": "/a"}]}, "file set web: /a has no content"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(
    call: Caller, arguments: dict[str, Any], message: str
) -> None:
    result = call(**arguments)
    assert result["failed"]
    assert message in result["msg"]
    assert not Path("/a").exists()


@pytest.mark.parametrize("check", [False, True])
def test_a_name_that_is_taken_is_refused_before_anything_is_written(call: Caller, tmp_path: Path, check: bool) -> None:
    result = call(check=check, name="web", apps=["no-such-account", "root"], files=[entry(tmp_path / "a", "one\n")])
    assert result["failed"]
    assert "file set web: root: this name is taken on the host by the account root (uid 0, home /root" in result["msg"]
    assert "no-such-account" not in result["msg"]
    assert list(tmp_path.iterdir()) == []
