"""The action plugin file_set: templates become text on the controller, and one call takes all of them to the host."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.action.file_set import ActionModule


class Action(ActionModule):
    """The plugin with a host that answers each call in the same way.

    :ivar calls: the arguments of each call of the module.
    """

    def __init__(self, directory: Path, arguments: dict[str, Any]) -> None:
        loader = DataLoader()
        loader.set_basedir(str(directory))
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=False)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None, join_path=lambda *parts: "/".join(parts)))
        super().__init__(task, connection, None, loader, Templar(loader=loader))
        self.calls: list[dict[str, Any]] = []

    def _execute_module(self, *, module_args: Any = None, **_options: Any) -> dict[str, Any]:
        self.calls.append(module_args)
        return {"changed": True, "changed_files": ["/etc/a"]}


def sent(directory: Path, variables: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """The arguments with which the module is called, once."""
    action = Action(directory, {"name": "web", **arguments})
    result = action.run(task_vars=variables or {})
    assert (result["changed"], result["changed_files"]) == (True, ["/etc/a"])
    (call,) = action.calls
    return call


@pytest.fixture
def greeting(tmp_path: Path) -> str:
    """A template that greets the element that a file is for, or whom a variable of the play names."""
    path = tmp_path / "greeting.j2"
    path.write_text("Good {{ time }}, {{ item.who | default(nobody) }}\n")
    return str(path)


def test_a_template_sees_the_play_s_variables_and_becomes_content(tmp_path: Path, greeting: str) -> None:
    variables = {"time": "morning", "nobody": trust_as_template("{{ fallback }}"), "fallback": "all"}
    call = sent(tmp_path, variables, files=[{"template": greeting, "dest": "/etc/a"}], validate="nginx -t")
    assert call["files"] == [{"dest": "/etc/a", "content": "Good morning, all\n"}]
    assert (call["name"], call["directories"], call["validate"]) == ("web", [], "nginx -t")


def test_each_makes_a_file_for_every_element(tmp_path: Path, greeting: str) -> None:
    each = [{"who": "ann", "team": "web"}, {"who": "bob", "team": "db"}]
    file = {"template": greeting, "dest": "/etc/{who}", "owner": "{who}", "group": "{team}", "part": "{who}"}
    directory = {"path": "/var/{who}", "owner": "{who}", "each": each}
    call = sent(tmp_path, {"time": "day"}, files=[{**file, "mode": "0600", "each": each}], directories=[directory])
    assert call["files"] == [
        {
            "dest": f"/etc/{who}",
            "owner": who,
            "group": team,
            "part": who,
            "mode": "0600",
            "content": f"Good day, {who}\n",
        }
        for who, team in (("ann", "web"), ("bob", "db"))
    ]
    assert call["directories"] == [{"path": f"/var/{who}", "owner": who} for who in ("ann", "bob")]


def test_content_and_files_of_the_controller_are_taken_as_they_are(tmp_path: Path) -> None:
    for name, text in (("b.conf", "{{ not a template }}\n"), ("a.conf", "one\n"), ("other", "")):
        (tmp_path / name).write_text(text)
    files = [
        {"content": "{braces}", "dest": "/etc/c"},
        {"glob": f"{tmp_path}/*.conf", "dest": "/etc/d/", "mode": "0600"},
    ]
    assert sent(tmp_path, files=files)["files"] == [
        {"content": "{braces}", "dest": "/etc/c"},
        {"content": "one\n", "dest": "/etc/d/a.conf", "mode": "0600"},
        {"content": "{{ not a template }}\n", "dest": "/etc/d/b.conf", "mode": "0600"},
    ]


def test_no_template_changes_what_the_next_one_sees(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{% set time = 'night' %}{{ time }} {{ item.who }}")
    (tmp_path / "b.j2").write_text("{{ time }} {{ item.who | default('nobody') }}")
    files = [{"template": str(tmp_path / "a.j2"), "dest": "/a", "each": [{"who": "ann"}]}]
    files.append({"template": str(tmp_path / "b.j2"), "dest": "/b"})
    call = sent(tmp_path, {"time": "day"}, files=files)
    assert [file["content"] for file in call["files"]] == ["night ann", "day nobody"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"files": [{"dest": "/a"}]}, "file_set: /a needs either template or content"),
        (
            {"files": [{"dest": "/a", "template": "a.j2", "content": "x"}]},
            "file_set: /a needs either template or content",
        ),
        ({"files": ["/a"]}, "file_set: each of files must be a dictionary, not '/a'"),
        ({"directories": [7]}, "file_set: each of directories must be a dictionary, not 7"),
        (
            {"files": [{"dest": "/{who}", "content": "x", "each": [{"name": "ann"}]}]},
            "file_set: '/{who}' names 'who', which {'name': 'ann'} lacks",
        ),
        ({"files": [{"dest": "/a", "glob": "/none/*"}]}, "file_set: no file on the controller matches '/none/*'"),
        ({"files": [{"dest": "/a", "template": "/none.j2"}]}, "file_set: /a: "),
    ],
)
def test_what_is_no_file_is_refused_before_the_host_is_asked(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    action = Action(tmp_path, {"name": "web", **arguments})
    with pytest.raises(AnsibleActionFail) as refused:
        action.run(task_vars={})
    assert str(refused.value).startswith(message)
    assert action.calls == []


def test_a_variable_that_a_template_lacks_is_told_with_the_file(tmp_path: Path, greeting: str) -> None:
    action = Action(tmp_path, {"name": "web", "files": [{"template": greeting, "dest": "/etc/a"}]})
    with pytest.raises(AnsibleActionFail, match=r"^file_set: /etc/a: .*'time' is undefined"):
        action.run(task_vars={})
    assert action.calls == []
