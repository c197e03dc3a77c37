"""What the playbooks refuse before a host is reached: the table of requests, the action plugin, and who uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.action import check_request as check_request_action
from ansible_collections.groundwork.flask.plugins.action.check_request import ActionModule
from ansible_collections.groundwork.flask.plugins.modules import check_request
from ansible_collections.groundwork.flask.plugins.plugin_utils import request

ROOT = Path(__file__).parents[2]
PLAYBOOKS = {path.stem: path for path in (ROOT / "playbooks").glob("*.yml")}
APPS = ("shop", "blog")
ONE_APP = sorted(name for name, playbook in request.PLAYBOOKS.items() if not playbook.several)
SEVERAL_APPS = sorted(name for name, playbook in request.PLAYBOOKS.items() if playbook.several)
NOTHING = dict.fromkeys(("since", "until", "release", "process", "request", "level", "grep"), "")
EVERY_LINE = {**NOTHING, "follow": False, "lines": 200}
NEEDED = {"maintenance": {"state": "on"}, "run": {"command": "flask routes"}}


def refusal(name: str, known: Any = APPS, /, **given: Any) -> str:
    """What the playbook says to a request that it refuses."""
    with pytest.raises(request.RequestError) as caught:
        request.read(name, given, known)
    said = str(caught.value)
    assert said.endswith((". Nothing was done.", "? Nothing was done."))
    return said.removesuffix(" Nothing was done.")


@pytest.mark.parametrize(
    ("playbook", "given", "apps", "options"),
    [
        ("database_upgrade", {}, [], {"shared": False}),
        ("database_upgrade", {"shared": "true"}, [], {"shared": True}),
        ("database_upgrade", {"shared": False}, [], {"shared": False}),
        ("deploy", {}, [], {}),
        ("deploy", {"app": ""}, [], {}),
        ("deploy", {"app": "shop"}, ["shop"], {}),
        ("deploy", {"app": "shop, blog"}, ["shop", "blog"], {}),
        ("deploy", {"app": ["shop", "blog"]}, ["shop", "blog"], {}),
        ("logs", {"app": "shop"}, ["shop"], {**EVERY_LINE}),
        (
            "logs",
            {"app": "gone", "since": "-1h", "lines": "7", "level": "WARNING", "process": "web,worker"},
            ["gone"],
            {**EVERY_LINE, "since": "-1h", "lines": 7, "level": "warning", "process": "web,worker"},
        ),
        ("logs", {"app": "shop", "level": 3, "lines": 5000}, ["shop"], {**EVERY_LINE, "level": "3", "lines": 5000}),
        ("processes", {}, [], {"restart": ""}),
        ("processes", {"app": "shop", "restart": "worker"}, ["shop"], {"restart": "worker"}),
        ("releases", {}, [], {}),
        ("releases", {"app": "shop,gone"}, ["shop", "gone"], {}),
        ("remove", {"app": "gone"}, ["gone"], {}),
        ("restore", {"app": "1.mail"}, ["1.mail"], {}),
        ("rollback", {"app": "shop"}, ["shop"], {"data": ""}),
        ("rollback", {"app": "shop", "data": ""}, ["shop"], {"data": ""}),
        ("rollback", {"app": "shop", "data": "saved"}, ["shop"], {"data": "saved"}),
        ("run", {"app": "shop", "command": "flask routes"}, ["shop"], {"command": "flask routes"}),
        ("unlock", {"app": "shop", "state": "is no option of this one"}, ["shop"], {}),
        ("maintenance", {"app": "shop", "state": "on"}, ["shop"], {"state": True, "allow": []}),
        ("maintenance", {"app": "shop", "state": "OFF"}, ["shop"], {"state": False, "allow": []}),
        ("maintenance", {"app": "shop", "state": True}, ["shop"], {"state": True, "allow": []}),
        ("maintenance", {"app": "shop", "state": False}, ["shop"], {"state": False, "allow": []}),
        (
            "maintenance",
            {"app": "shop", "state": "on", "allow": "203.0.113.7, 2001:db8::/32"},
            ["shop"],
            {"state": True, "allow": ["203.0.113.7", "2001:db8::/32"]},
        ),
        (
            "maintenance",
            {"app": "shop", "state": "on", "allow": ["203.0.113.7", "203.0.113.9/24"]},
            ["shop"],
            {"state": True, "allow": ["203.0.113.7", "203.0.113.9/24"]},
        ),
    ],
)
def test_what_can_be_carried_out(
    playbook: str, given: dict[str, Any], apps: list[str], options: dict[str, Any]
) -> None:
    assert request.read(playbook, given, APPS) == request.Request(apps, options, [])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"follow": "true"}, f"follow: {request.FOLLOW}"),
        ({"lines": "many"}, "lines: 'many' is no number from 1 to 5000."),
        ({"lines": 0}, "lines: 0 is no number from 1 to 5000."),
        ({"lines": 5001}, "lines: 5001 is no number from 1 to 5000."),
        (
            {"level": "eror"},
            "level: 'eror' is not one of emerg, alert, critical, error, warning, notice, info, debug, ",
        ),
        ({"process": "../etc"}, "process: '../etc' cannot be one. Give it as in -e 'process=\"web\"'."),
        ({"release": "--help"}, "release: '--help' cannot be one."),
        ({"request": "a b c d"}, "request: 'a b c d' cannot be one."),
        ({"since": "a\nb"}, "since: 'a\\nb' cannot be one. Give it as in -e 'since=\"-1h\"'."),
        ({"grep": True}, "grep: True cannot be one."),
    ],
)
def test_what_a_log_cannot_be_asked_for(given: dict[str, Any], said: str) -> None:
    assert refusal("logs", app="shop", **given).startswith(said)


@pytest.mark.parametrize("playbook", ONE_APP)
@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        (None, "No app is named. Name the app, as in -e app=shop."),
        ("", "No app is named. Name the app, as in -e app=shop."),
        ([], "No app is named. Name the app, as in -e app=shop."),
        (
            "shop,blog",
            "app: shop, blog are 2 apps; this playbook takes one at a time. Name the app, as in -e app=shop.",
        ),
        (["shop", "blog"], "app: shop, blog are 2 apps; this playbook takes one at a time."),
        ("Shop!", "app: 'Shop!' is not the name of an app. Name the app, as in -e app=shop."),
        ("../etc", "app: '../etc' is not the name of an app."),
        ("shop ", "app: 'shop ' is not the name of an app."),
        ("shop,", "app: 'shop,' is not the name of an app."),
        ("shop\n", "app: 'shop\\n' is not the name of an app."),
        (["shop"], "app: ['shop'] is not the name of an app."),
        (7, "app: 7 is not the name of an app."),
    ],
)
def test_one_app_must_be_named(playbook: str, app: Any, sentence: str) -> None:
    assert refusal(playbook, app=app, **NEEDED.get(playbook, {})).startswith(sentence)


@pytest.mark.parametrize("playbook", SEVERAL_APPS)
@pytest.mark.parametrize("app", ["shop,../etc", ["shop", "../etc"], "-,../etc"])
def test_each_of_several_apps_has_a_name(playbook: str, app: Any) -> None:
    assert "app: '../etc' is not the name of an app. Name the app, as in -e app=shop." in refusal(playbook, app=app)


@pytest.mark.parametrize(
    ("app", "known", "sentence"),
    [
        ("shap", APPS, "app: 'shap' is not in flask_apps: did you mean shop?"),
        ("wiki", APPS, "app: 'wiki' is not in flask_apps: known are shop, blog."),
        ("shop", [], "app: 'shop' is not in flask_apps: known are none."),
        ("shop,blug", APPS, "app: 'blug' is not in flask_apps: did you mean blog?"),
    ],
)
def test_a_deploy_takes_only_what_is_in_flask_apps(app: str, known: list[str], sentence: str) -> None:
    assert refusal("deploy", known, app=app) == sentence


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "restart is about one app. Name it too, as in -e app=shop -e restart=worker."),
        ({"app": "shop,blog"}, "restart is about one app. Name it too, as in -e app=shop -e restart=worker."),
        ({"app": "shop", "restart": "a b"}, "restart: 'a b' cannot be a name. Give one, as in -e restart=worker."),
    ],
)
def test_a_process_is_restarted_of_one_app(given: dict[str, Any], sentence: str) -> None:
    assert refusal("processes", **{"restart": "worker", **given}) == sentence


@pytest.mark.parametrize("playbook", [*ONE_APP, "releases"])
def test_an_app_that_left_flask_apps_may_be_on_the_host(playbook: str) -> None:
    """A name that is nearly another is taken, with a warning; one that is near none without."""
    near = request.read(playbook, {"app": "shap", **NEEDED.get(playbook, {})}, APPS)
    assert (near.apps, near.warnings) == (["shap"], ["app: 'shap' is not in flask_apps: did you mean shop?"])
    assert request.read(playbook, {"app": "wiki", **NEEDED.get(playbook, {})}, APPS).warnings == []


@pytest.mark.parametrize(
    ("playbook", "given", "sentence"),
    [
        ("maintenance", {}, "Say -e state=on or -e state=off."),
        ("maintenance", {"state": ""}, "Say -e state=on or -e state=off."),
        ("maintenance", {"state": "maybe"}, "Say -e state=on or -e state=off, not maybe."),
        (
            "maintenance",
            {"state": "on", "message": "Back", "_raw_params": "at noon."},
            "Put the message into two pairs of quotes, as in -e 'message=\"Back at noon.\"', or write it as JSON. "
            "What stood after a space (at noon.) would be lost.",
        ),
        (
            "maintenance",
            {"state": "on", "allow": "203.0.113.7, 203.0.113.300"},
            "allow: '203.0.113.300' does not appear to be an IPv4 or IPv6 network. Give addresses or networks, as in "
            "-e allow=203.0.113.7,2001:db8::/32.",
        ),
        (
            "maintenance",
            {"state": "on", "allow": ["::1/129"]},
            "allow: '::1/129' does not appear to be an IPv4 or IPv6 network. Give addresses or networks, as in "
            "-e allow=203.0.113.7,2001:db8::/32.",
        ),
        (
            "maintenance",
            {"state": "on", "allow": ""},
            "allow: '' does not appear to be an IPv4 or IPv6 network. Give addresses or networks, as in "
            "-e allow=203.0.113.7,2001:db8::/32.",
        ),
        ("rollback", {"data": "safed"}, "data: 'safed' is not one of keep, saved: did you mean saved?"),
        ("rollback", {"data": ["keep"]}, "data: ['keep'] is not one of keep, saved: did you mean keep?"),
        ("rollback", {"data": 1}, "data: 1 is not one of keep, saved."),
        ("run", {}, "Name the command, as in -e 'command=\"flask routes\"'."),
        ("run", {"command": ""}, "Name the command, as in -e 'command=\"flask routes\"'."),
        (
            "run",
            {"command": "flask", "_raw_params": "routes"},
            "Put the command into two pairs of quotes, as in -e 'command=\"flask routes\"', or write it as JSON. "
            "What stood after a space (routes) would be lost.",
        ),
        (
            "unlock",
            {"_raw_params": "blog"},
            "Put the app into two pairs of quotes, as in -e 'app=\"shop,blog\"', or write it as JSON. "
            "What stood after a space (blog) would be lost.",
        ),
    ],
)
def test_an_option_that_cannot_be_used(playbook: str, given: dict[str, Any], sentence: str) -> None:
    assert refusal(playbook, app="shop", **given) == sentence


@pytest.mark.parametrize("option", ["load", "dump"])
def test_a_file_is_looked_for_where_the_command_is_given(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    for given, meant in (("a.dump", tmp_path / "a.dump"), ("/b.dump", "/b.dump"), ("~/c.dump", "/home/ada/c.dump")):
        assert request.read("database", {"app": "shop", option: given}).options[option] == str(meant)
    assert refusal("database", app="shop", **{option: "."}) == (
        f"{option}: . is a directory. Give a file, as in -e {option}=shop.dump."
    )


def test_all_problems_are_told_at_once() -> None:
    assert refusal("rollback", data="all").splitlines() == [
        "No app is named. Name the app, as in -e app=shop.",
        "data: 'all' is not one of keep, saved.",
    ]


@pytest.mark.parametrize(
    ("group", "sentence"),
    [
        ("web", "The inventory has no host in the group web. Put your server there, give the inventory with -i, "),
        ("nobody", "The inventory has no host in the group nobody. Put your server there, "),
        (
            "flask_host",
            "The inventory has no host in the group flask_host: did you mean flask_hosts? Put your server there, ",
        ),
    ],
)
def test_a_group_without_hosts(group: str, sentence: str) -> None:
    with pytest.raises(request.RequestError) as caught:
        request.check_hosts(group, {"all": ["web1"], "flask_hosts": ["web1"], "nobody": []})
    said = str(caught.value)
    assert said.startswith(sentence)
    assert said.endswith("or name another group with -e flask_hosts_group=NAME. Nothing was done.")


def test_a_group_with_hosts() -> None:
    request.check_hosts("flask_hosts", {"flask_hosts": ["web1"]})


# --- the action plugin ----------------------------------------


def run_action(arguments: Mapping[str, Any], **variables: Any) -> dict[str, Any]:
    task = SimpleNamespace(args=dict(arguments), async_val=0, check_mode=True)
    loader = DataLoader()
    shell = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    plugin = ActionModule(task, shell, None, loader, Templar(loader=loader, variables=variables))
    return plugin.run(task_vars=variables)


def test_the_plugin_returns_the_request() -> None:
    done = run_action({"playbook": "maintenance"}, app="shop", state="on", flask_apps={"shop": {}})
    assert (done["apps"], done["state"], done["allow"]) == (["shop"], True, [])
    assert not {"failed", "changed", "warnings"} & {key for key, value in done.items() if value}


def test_the_plugin_warns() -> None:
    done = run_action({"playbook": "remove"}, app="shap", flask_apps={"shop": {"source": "{{ undefined_here }}"}})
    assert done["warnings"] == ["app: 'shap' is not in flask_apps: did you mean shop?"]


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ({"hosts": "web"}, {"groups": {"web": []}}, "The inventory has no host in the group web."),
        ({"playbook": "remove"}, {}, "No app is named. Name the app, as in -e app=shop. Nothing was done."),
        ({"playbook": "deploy"}, {"app": "shap", "flask_apps": {"shop": {}}}, "did you mean shop? Nothing was done."),
        ({"playbook": "deploy"}, {"app": "shop"}, "app: 'shop' is not in flask_apps: known are none."),
    ],
)
def test_the_plugin_refuses(arguments: dict[str, Any], variables: dict[str, Any], sentence: str) -> None:
    done = run_action(arguments, **variables)
    assert done["failed"]
    assert sentence in done["msg"]


@pytest.mark.parametrize(
    "words", ["echo $HOME ~ {{ undefined_here }} {% raw %}", "flask 'a' \"b\" \\ %i %%\n--x", "-x", "{{ app }}"]
)
def test_a_command_of_the_command_line_is_no_template(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setattr(check_request_action, "load_extra_vars", lambda _loader: {"command": words, "app": "shop"})
    assert run_action({"playbook": "run"}, app="shop", command=words)["command"] == words


def test_a_command_of_a_playbook_that_imports_this_one_is_a_template() -> None:
    command = trust_as_template("flask {{ verb }}")
    assert run_action({"playbook": "run"}, app="shop", verb="routes", command=command)["command"] == "flask routes"


@pytest.mark.parametrize("command", [5, True, ["flask", "routes"], {"a": 1}])
def test_a_command_is_a_text(command: Any) -> None:
    done = run_action({"playbook": "run"}, app="shop", command=command)
    assert "is not a text. Write it as one, as in -e 'command=\"flask routes\"'." in done["msg"]


@pytest.mark.parametrize("arguments", [{}, {"playbook": "reboot"}, {"host": "web"}])
def test_the_plugin_is_given_what_it_takes(arguments: dict[str, Any]) -> None:
    with pytest.raises((AnsibleActionFail, AnsibleError)):
        run_action(arguments)


# --- the playbooks ----------------------------------------


def plays(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(PLAYBOOKS[name].read_text())
    return loaded


def test_each_playbook_has_a_record() -> None:
    assert set(request.PLAYBOOKS) == set(PLAYBOOKS) - {"site", "hosts", "metrics"}  # which take no request
    documented = yaml.safe_load(check_request.DOCUMENTATION)
    assert documented["options"]["playbook"]["choices"] == sorted(request.PLAYBOOKS)


@pytest.mark.parametrize("name", sorted(set(PLAYBOOKS) - {"hosts"}))
def test_each_playbook_looks_at_the_inventory_first(name: str) -> None:
    assert plays(name)[0]["ansible.builtin.import_playbook"] == "hosts.yml"


@pytest.mark.parametrize("name", sorted(request.PLAYBOOKS))
def test_a_request_is_checked_before_the_host_is_asked(name: str) -> None:
    """On the hosts' own play: with --limit there is none for localhost."""
    (play,) = plays(name)[1:]
    tasks = play.get("pre_tasks", []) + play["tasks"]
    before = [task for task in tasks if "groundwork.flask.check_request" not in task]
    place = next(number for number, task in enumerate(tasks) if "groundwork.flask.check_request" in task)
    assert tasks[place]["groundwork.flask.check_request"] == {"playbook": name}
    on_the_controller = ("ansible.builtin.assert", "groundwork.flask.check_problems")
    assert all(any(action in task for action in on_the_controller) for task in before[:place])
