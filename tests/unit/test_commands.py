"""The commands of a module call, on real programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import commands
from ansible_collections.groundwork.flask.plugins.module_utils.commands import Command, CommandError, run_all
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host


def shell(name: str, script: str, check: str = "", output: str = "json", seconds: float = 10) -> Command:
    """A command that is a shell script."""
    return Command(name, ("sh", "-c", script), ("sh", "-c", check) if check else (), output, seconds)


@pytest.mark.parametrize(
    ("printed", "changed"),
    [
        ('{"changed": true}', True),
        ('{"changed": ["shop"], "names": {}}', True),
        ('{"changed": []}', False),
        ('{"changed": false}', False),
        ("{}", False),
        ('{\n  "changed": true\n}', True),
        ('a line of another program\n{"changed": true}', True),
    ],
)
def test_a_command_says_whether_it_changed_anything(printed: str, changed: bool) -> None:
    outcome = run_all([Command("one", ("printf", "%s", printed))])
    assert outcome.changed is changed
    assert outcome.outputs["one"].get("changed", False) in (True, False, ["shop"], [])


@pytest.mark.parametrize(
    ("script", "printed", "changed"), [("echo loaded again", "loaded again", True), ("true", "", False)]
)
def test_one_that_prints_text_has_changed_something_if_it_printed(script: str, printed: str, changed: bool) -> None:
    outcome = run_all([shell("hold", script, output="text")])
    assert (outcome.outputs, outcome.changed) == ({"hold": printed}, changed)


def test_all_run_in_order_and_one_that_changed_something_is_enough(tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcome = run_all(
        [
            shell("first", f"echo first >> {log}; echo '{{\"changed\": true}}'"),
            shell("second", f"echo second >> {log}; echo '{{\"changed\": false}}'"),
        ]
    )
    assert outcome.changed
    assert list(outcome.outputs) == ["first", "second"]
    assert log.read_text() == "first\nsecond\n"


def test_the_first_that_fails_ends_it_and_says_what_it_printed(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with pytest.raises(CommandError, match=r"`sh -c .* failed: no such queue") as raised:
        run_all([shell("queue", "echo no such queue >&2; exit 3"), shell("next", f"touch {ran}")])
    assert "exit status" not in str(raised.value)
    assert not ran.exists()
    with pytest.raises(CommandError, match="failed: exit status 3"):
        run_all([shell("queue", "exit 3")])


@pytest.mark.parametrize("printed", ["", "done", "[1]", "{broken"])
def test_one_that_prints_no_object_fails(printed: str) -> None:
    with pytest.raises(CommandError, match="printed no JSON object"):
        run_all([Command("one", ("printf", "%s", printed))])


def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(CommandError, match="still running after 0 s and was ended"):
        run_all([shell("slow", "sleep 60", seconds=0.2)])


def test_a_dry_run_does_not_ask_a_program_of_an_earlier_version(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho usage: >&2; exit 2\n")
    program.chmod(0o755)
    asked = Command("rules", (str(program), "compare"), (str(program), "compare"))
    assert run_all([asked], check_mode=True, renewed=[str(program)]).outputs == {}
    with pytest.raises(CommandError, match="usage"):
        run_all([asked], check_mode=True)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="/nowhere/program: No such file"):
        run_all([Command("one", ("/nowhere/program",))])


def test_check_mode_runs_what_is_meant_for_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    outcome = run_all(
        [
            shell("nothing", f"touch {ran}"),
            shell("look", f"touch {ran}", check="echo '{\"changed\": true}'"),
            Command("later", ("/nowhere/program",), ("/nowhere/program", "--dry-run")),
        ],
        check_mode=True,
    )
    assert not ran.exists()
    assert (outcome.changed, outcome.outputs) == (True, {"look": {"changed": True}})


def test_no_shell_reads_the_arguments() -> None:
    outcome = run_all([Command("echo", ("echo", "$HOME;", "a  b"), output="text")])
    assert outcome.outputs == {"echo": "$HOME; a  b"}


def test_what_a_command_printed_is_bounded_and_no_terminal_obeys_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{on_host('home', 'shop')}/venv/bin")
    command = r"""sh -c 'head -c 100000 /dev/zero | tr "\\000" x; printf "\\033[2J\\nend of it\\n"; exit 1'"""
    said = commands.run(command)
    assert said is not None
    assert said.endswith("x\\x1b[2J\nend of it")
    assert len(said) < 10_100
