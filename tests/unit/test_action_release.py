"""The action plugin: what it sends to the host, and the one result it makes of two calls of the module."""

from __future__ import annotations

import copy
import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.groundwork.flask.plugins.action import release as plugin
from ansible_collections.groundwork.flask.plugins.action.release import ActionModule, merge

URL = "postgresql://db.example.org/shop"


class Action(ActionModule):
    """The plugin with a host in memory.

    :param needed: names of the apps whose release the host does not have.
    :param at_work: who is at work on which app when the host is asked first.
    """

    def __init__(
        self, arguments: Mapping[str, Any], needed: tuple[str, ...] = (), at_work: Mapping[str, str] | None = None
    ) -> None:
        shell = SimpleNamespace(tmpdir=None, join_path=lambda *parts: "/".join(parts))
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=False)
        super().__init__(task, SimpleNamespace(_shell=shell), None, None, None)
        self.needed, self.at_work = needed, dict(at_work or {})
        self.calls: list[dict[str, Any]] = []
        self.files: dict[str, list[str] | bytes] = {}
        self.transfers = 0

    def _execute_module(self, *, module_args: Any = None, **_options: Any) -> dict[str, Any]:
        self.calls.append(copy.deepcopy(module_args))
        at_work = self.at_work if "wait" in module_args else {}
        apps = {
            app["name"]: {
                "needs_archive": app["name"] in self.needed and not app.get("archive", app.get("wheels_archive"))
            }
            for app in module_args["apps"]
            if app["name"] not in at_work
        }
        done = {"changed": len(self.calls) > 1, "apps": apps, "failed_apps": {}, "others": ["blog", *self.needed]}
        return {**done, "at_work": at_work} if "wait" in module_args else done

    def _make_tmp_path(self, _remote_user: Any = None) -> str:
        self._connection._shell.tmpdir = "/tmp/ansible-1"
        return "/tmp/ansible-1"

    def _remove_tmp_path(self, _tmp_path: str | None, _force: bool = False) -> None:
        self._connection._shell.tmpdir = None

    def _transfer_file(self, local_path: str, remote_path: str) -> str:
        self.transfers += 1
        if tarfile.is_tarfile(local_path):
            with tarfile.open(local_path) as packed:
                self.files[remote_path] = packed.getnames()
        else:
            self.files[remote_path] = Path(local_path).read_bytes()
        return remote_path


def app(name: str = "shop", **options: Any) -> dict[str, Any]:
    return {"name": name, "source": {"git": "x", "version": "v1"}, "wheels": "", "release_command_hosts": "", **options}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/shop.py").write_text("app = 1\n")
    return tmp_path / "code"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/flask-3-py3-none-any.whl").write_text("flask")
    return tmp_path / "wheels"


@pytest.mark.parametrize(
    "source",
    [
        {"git": "x", "version": "v1"},
        {"package": "shop==1.4"},
        {"archive": "https://example.org/shop.zip", "checksum": "sha256:1234"},
    ],
)
def test_what_the_host_fetches_itself_is_left_to_it(source: dict[str, str]) -> None:
    action = Action({"apps": [app(source=source)], "keep": 3, "deploy_keys": {"shop": "k"}, "by": "me"})
    action.run(task_vars={})
    assert action.calls == [
        {
            "apps": [{"name": "shop", "source": source, "run_release_command": True, "wheels_tree": ""}],
            "keep": 3,
            "deploy_keys": {"shop": "k"},
            "by": "me",
            "wait": 0,
        }
    ]


def test_nothing_is_sent_that_the_host_has(code: Path, wheels: Path) -> None:
    action = Action({"apps": [app(source={"directory": str(code)}, wheels=str(wheels))]})
    action.run(task_vars={})
    ((told,),) = (call["apps"] for call in action.calls)
    assert told["source"]["description"] == "code"
    assert len(told["source"]["tree"]) == len(told["wheels_tree"]) == 64
    assert "wheels" not in told
    assert action.transfers == 0


def test_a_directory_and_its_wheels_are_sent(code: Path, wheels: Path) -> None:
    apps = [app(source={"directory": str(code)}, wheels=str(wheels)), app("blog", wheels=str(wheels)), app("wiki")]
    action = Action({"apps": apps, "absent": ["old"]}, needed=("shop", "blog"))
    result = action.run(task_vars={})
    first, second = action.calls
    assert first["absent"] == ["old"]
    assert second["absent"] == []
    shop, blog = second["apps"]
    assert action.files[shop["archive"]] == ["shop.py"]
    assert action.files[shop["wheels_archive"]] == ["flask-3-py3-none-any.whl"]
    assert "archive" not in blog
    assert blog["wheels_archive"] == shop["wheels_archive"]
    assert action.transfers == 2
    assert result["changed"]
    assert set(result["apps"]) == {"shop", "blog", "wiki"}
    assert result["others"] == []


def test_it_says_whom_it_waits_for_before_it_waits(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, int]] = []
    apps = [app(source={"directory": str(code)}), app("blog"), app("wiki")]
    at_work = {"shop": "a deploy of shop by bob@desk", "old": "a removal of old by bob@desk"}
    arguments = {"apps": apps, "absent": ["old", "older"], "rotate_secret_key": True}
    action = Action(arguments, needed=("shop",), at_work=at_work)
    monkeypatch.setattr(plugin.DISPLAY, "display", lambda text, **_options: said.append((text, len(action.calls))))
    result = action.run(task_vars={})
    assert said == [(f"{name}: waiting for {holder}", 1) for name, holder in at_work.items()]
    first, second, third = action.calls
    assert ([each["name"] for each in first["apps"]], first["absent"]) == (["shop", "blog", "wiki"], ["old", "older"])
    assert ([each["name"] for each in second["apps"]], second["absent"]) == (["shop"], ["old"])
    assert ([each["name"] for each in third["apps"]], third["absent"]) == (["shop"], [])
    assert [call.get("wait", "as long as it takes") for call in action.calls] == [0] + ["as long as it takes"] * 2
    assert [call["rotate_secret_key"] for call in action.calls] == [True, True, False], "a key is made once for each"
    assert action.files[third["apps"][0]["archive"]] == ["shop.py"]
    assert set(result["apps"]) == {"shop", "blog", "wiki"}
    assert "at_work" not in result


def test_the_rest_of_a_first_release_is_waited_for(code: Path) -> None:
    """One result of both calls, in which nothing is under way any more."""
    before = {
        "changed": True,
        "apps": {"blog": {"action": "unchanged"}},
        "failed_apps": {},
        "begun": {"shop": "3f9c"},
        "others": ["old"],
        "failed": False,
    }
    apps = [app(source={"directory": str(code)}), app("blog")]
    arguments = {"apps": apps, "absent": ["gone"], "background": True, "continues": before}
    action = Action(arguments)
    result = action.run(task_vars={})
    (call,) = action.calls
    assert [each["name"] for each in call["apps"]] == ["shop"]
    assert (call["absent"], call["background"], call["continues"]) == ([], False, {"begun": {"shop": "3f9c"}})
    assert "wait" not in call
    assert result["changed"]
    assert set(result["apps"]) == {"shop", "blog"}
    assert result["begun"] == {}


def test_nothing_begun_is_an_ordinary_call() -> None:
    action = Action({"apps": [app()], "continues": {"apps": {}, "begun": {}}})
    action.run(task_vars={})
    (call,) = action.calls
    assert call["wait"] == 0
    assert "continues" not in call


def test_an_archive_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "the shop.tar.gz"
    path.write_bytes(b"content")
    action = Action({"apps": [app(source={"archive": str(path)})]}, needed=("shop",))
    action.run(task_vars={})
    (shop,) = action.calls[1]["apps"]
    tree = hashlib.sha256(b"content").hexdigest()
    assert shop["source"] == {"archive": str(path), "tree": tree, "description": "the shop.tar.gz"}
    assert shop["archive"].endswith("the_shop.tar.gz")
    assert action.files[shop["archive"]] == b"content"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"source": {"directory": "/none"}}, "flask_apps.shop.source.directory: '/none' is not a directory"),
        ({"source": {"archive": "/none"}}, "flask_apps.shop.source.archive: '/none' is not a file"),
        ({"wheels": "/none"}, "flask_apps.shop.wheels: '/none' is not a directory"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_the_host_is_asked(options: Any, sentence: str) -> None:
    action = Action({"apps": [app(**options)]})
    with pytest.raises(AnsibleActionFail, match=f"^{sentence} on the controller: correct the path$"):
        action.run(task_vars={})
    assert action.calls == []


@pytest.mark.parametrize(
    ("host", "hosts", "runs"),
    [
        ("a", ["a", "b"], [True, True, True]),
        ("b", ["a", "b"], [False, True, False]),
        ("b", ["b"], [True, True, True]),
    ],
)
def test_a_release_command_for_all_hosts_runs_on_the_first(host: str, hosts: list[str], runs: list[bool]) -> None:
    apps = [
        app("shop", release_command="flask db upgrade", environment={"DATABASE_URL": URL}),
        app("blog", release_command="flask db upgrade", release_command_hosts="each"),
        app("wiki", release_command="flask db upgrade"),
    ]
    action = Action({"apps": apps, "secrets": {"blog": {"DATABASE_URL": URL}, "wiki": {"DATABASE_URL": URL}}})
    action.run(task_vars={"inventory_hostname": host, "ansible_play_hosts_all": hosts})
    ((*told,),) = (call["apps"] for call in action.calls)
    assert [each["run_release_command"] for each in told] == runs
    assert not [each for each in told if "release_command_hosts" in each]


def test_what_both_calls_said_is_told_once() -> None:
    empty: dict[str, Any] = {"apps": {}, "failed_apps": {}, "others": []}
    first = {**empty, "warnings": ["a", "b"], "diff": {"before": "1"}}
    assert "diff" not in merge(empty, empty, [])
    assert merge(first, {**empty, "warnings": ["b", "c"]}, [])["warnings"] == ["a", "b", "c"]
    assert merge(first, {**empty, "diff": [{"before": "2"}]}, [])["diff"] == [{"before": "1"}, {"before": "2"}]


def test_a_call_that_broke_down_is_the_result() -> None:
    assert merge({"apps": {}}, {"failed": True, "msg": "no route"}, []) == {"failed": True, "msg": "no route"}


def test_who_deploys_and_from_where_is_told_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
    action = Action({"apps": [app()]})
    action.run(task_vars={})
    assert [call["by"] for call in action.calls] == ["ann@laptop"]


def test_what_was_sent_is_removed_from_the_host_s_temporary_directory(wheels: Path) -> None:
    action = Action({"apps": [app(wheels=str(wheels))]}, needed=("shop",))
    action.run(task_vars={})
    assert action.files
    assert action._connection._shell.tmpdir is None


class Failing(Action):
    """A host on which some apps fail."""

    failed: Mapping[str, str] = {"shop": "step install: no space left"}
    apps: Mapping[str, Any] = {}

    def _execute_module(self, *, module_args: Any = None, **_options: Any) -> dict[str, Any]:
        self.calls.append(module_args)
        return {"changed": True, "apps": dict(self.apps), "failed_apps": dict(self.failed), "others": []}


def test_apps_that_failed_fail_the_task_in_words_and_the_others_are_told() -> None:
    action = Failing({"apps": [app(), app("blog")]})
    action.apps = {"blog": {"action": "deployed", "release": "b1", "previous": "b0", "source": "v1", "steps": {"a": 1}}}
    result = action.run(task_vars={})
    assert (result["failed"], result["failed_apps"]) == (True, ["shop"])
    assert result["msg"] == (
        "shop, step install: no space left\n\nWhat was live before serves on. Correct the cause and run again."
    )
    assert result["apps"] == {"blog": {"action": "deployed", "release": "b1", "previous": "b0", "source": "v1"}}


def test_an_app_that_could_not_be_removed_is_not_said_to_serve_on() -> None:
    action = Failing({"apps": [], "absent": ["shop"]})
    assert action.run(task_vars={})["msg"].endswith("no space left\n\nCorrect the cause and run again.")


def deferring(*names: str, task_vars: dict[str, Any] | None = None, **more: Any) -> tuple[Failing, dict[str, Any]]:
    """Run the plugin with deferred failures; the action and its result."""
    action = Failing({"apps": [app(name) for name in names], "defer_failures": True, **more})
    return action, action.run(task_vars=task_vars or {})


def test_failures_that_are_deferred_do_not_fail_the_task() -> None:
    action, result = deferring("blog", "shop")
    assert not result.get("failed")
    assert (result["failed_apps"], result["failures"]) == (["shop"], {"shop": "step install: no space left"})
    assert result["message"] == "shop, step install: no space left\n\nWhat was live before serves on."
    assert "defer_failures" not in action.calls[0]
    action = Failing({"apps": [app()], "defer_failures": True})
    action.failed = {}
    result = action.run(task_vars={})
    assert (result["failed_apps"], result["failures"], result["message"]) == ([], {}, "")


def test_what_failed_before_is_left_as_it_is_and_told_again() -> None:
    before = {
        "apps": {}, "failed_apps": ["fact"], "failures": {"fact": "step import: no"}, "others": [], "begun": {},
        "references": {"fact": "b1"}, "not_live": ["fact"],
    }  # fmt: skip
    action, result = deferring("fact", "shop", continues=before)
    assert [[one["name"] for one in call["apps"]] for call in action.calls] == [["shop"]]
    assert result["message"].split("\n\n") == [
        "fact, number b1, step import: no",
        "shop, step install: no space left",
        "What was live of shop serves on. No release of fact is live: its site answers with status 503 and the number "
        "above.",
    ]
    waiting, result = deferring("fact", "shop", "blog", continues=before | {"begun": {"shop": "3f9c"}})
    assert [[one["name"] for one in call["apps"]] for call in waiting.calls] == [["shop"]]
    assert result["failed_apps"] == ["fact", "shop"]


@pytest.mark.parametrize(
    ("of_first", "active", "left"),
    [
        ({"failed_apps": ["shop"]}, ["a", "b"], "its deploy failed there"),
        ({"failed_apps": ["blog"]}, ["a", "b"], ""),
        ({}, ["b"], "the play ended there"),
    ],
)
@pytest.mark.parametrize("defers", [True, False])
def test_what_the_first_host_could_not_release_is_left_as_it_is_on_the_others(
    of_first: dict[str, Any], active: list[str], left: str, defers: bool
) -> None:
    """Its release command has not run, or has failed."""
    first = app("shop", release_command="flask db upgrade", release_command_hosts="first")
    action = Failing({"apps": [first, app("blog")], "defer_failures": defers})
    action.failed = {}
    task_vars = {
        "inventory_hostname": "b",
        "ansible_play_hosts_all": ["a", "b"],
        "ansible_play_hosts": active,
        "hostvars": {"a": {"release_result": of_first}},
    }
    result = action.run(task_vars=task_vars)
    ((*told,),) = (call["apps"] for call in action.calls)
    assert [each["name"] for each in told] == ([] if left else ["shop"]) + ["blog"]
    assert result["failed_apps"] == (["shop"] if left else [])
    assert result.get("failed", False) is (bool(left) and not defers)
    said = result.get("message") or result.get("msg") or ""
    assert (f"its release command runs on a first, and {left}" in said) if left else said == ""
    assert "serves on" not in said


def test_a_source_that_is_not_on_the_controller_does_not_stop_the_other_apps(code: Path) -> None:
    apps = [app(source={"directory": "/none"}), app("blog", source={"directory": str(code)})]
    action = Failing({"apps": apps, "defer_failures": True})
    action.failed = {}
    result = action.run(task_vars={})
    assert [[one["name"] for one in call["apps"]] for call in action.calls] == [["blog"]]
    assert result["message"] == (
        "shop, step fetch: flask_apps.shop.source.directory: '/none' is not a directory on the controller: correct the "
        "path"
    )


@pytest.mark.parametrize(("host", "runs"), [("a", True), ("b", False)])
def test_the_first_host_of_the_inventory_is_told_to_run_the_jobs_under_limit_too(host: str, runs: bool) -> None:
    hostvars: dict[str, Any] = {name: {"flask_apps": {"shop": {}}} for name in ("a", "b")}
    variables = {
        "inventory_hostname": host,
        "ansible_play_hosts_all": [host],
        "ansible_play_hosts": [host],
        "groups": {"flask_hosts": ["a", "b"]},
        "hostvars": hostvars,
    }
    action = Action({"apps": [app(jobs={"nightly": {"command": "flask report"}}), app("blog")]})
    action.run(task_vars=variables)
    shop, blog = action.calls[0]["apps"]
    assert shop["run_jobs"] is runs
    assert "run_jobs" not in blog
