"""Who is told about alerts: what the variables may be, and that a refusal shows no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.groundwork.flask.plugins.filter.alert_receivers import alert_receivers
from ansible_collections.groundwork.flask.plugins.module_utils.watch import receivers
from ansible_collections.groundwork.flask.plugins.module_utils.watch.sending import SENDERS
from ansible_collections.groundwork.flask.plugins.plugin_utils.alert_receivers import TYPES

ROLE = Path(__file__).parents[2] / "roles" / "watch"
DEFAULTS = {
    name: value
    for name, value in yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()).items()
    if name in ("watch_receivers", "watch_quiet_hours", "watch_ping_url", "watch_alerts_keep", "watch_alerts_per_hour")
}
CANARY = "canary-77"
URL = f"https://hooks.example.org/{CANARY}"
SMTP = {"host": "mail.example.org", "user": "web1", "password": CANARY}


def of(*given: Any, **settings: Any) -> dict[str, Any]:
    """What becomes of these receivers."""
    return alert_receivers({**DEFAULTS, "watch_receivers": list(given), **settings}, ["shop"])


def test_the_defaults_are_right() -> None:
    assert len(DEFAULTS) == 5
    assert alert_receivers(DEFAULTS)["problems"] == []


@pytest.mark.parametrize(
    "given",
    [
        {"type": "mail", "to": "root"},
        {"type": "mail", "to": ["a@example.org", "b@example.org"], "from": "Web <w@example.org>", "smtp": SMTP},
        {
            "type": "mail",
            "to": "a@example.org",
            "from": "w@example.org",
            "smtp": {"host": "127.0.0.1", "port": 25, "tls": "none", "user": "a", "password": "b"},
        },
        {"type": "webhook", "url": URL, "headers": {"X-Key": CANARY}, "severity": "critical", "apps": ["shop", "host"]},
        {"type": "webhook", "url": "http://[::1]:8080/x"},
        {"type": "slack", "url": URL},
        {"type": "ntfy", "url": "https://ntfy.sh/my_topic-1", "token": CANARY, "priority": 4},
        {"type": "ntfy", "url": "https://example.org/ntfy/topic"},
        {"type": "command", "command": f"apprise -t x https://{CANARY}", "user": "ada"},
    ],
)
def test_what_is_right_is_read_on_the_host(tmp_path: Path, given: dict[str, Any]) -> None:
    found = of({"name": "ops", **given})
    assert (found["problems"], found["warnings"]) == ([], [])
    file = tmp_path / "watch.receivers.json"
    file.write_text(json.dumps(found["content"]))
    (receiver,) = receivers.load(file).receivers
    assert (receiver.type, receiver.name) == (given["type"], "ops")
    assert CANARY not in receiver.place


def test_defaults_of_mail() -> None:
    full = {"name": "m", "type": "mail", "to": "a@example.org", "from": "w@example.org"}
    assert of({**full, "smtp": SMTP})["content"]["receivers"][0]["smtp"] == {**SMTP, "port": 587, "tls": "starttls"}
    assert of({**full, "smtp": {**SMTP, "port": 465}})["content"]["receivers"][0]["smtp"]["tls"] == "implicit"
    assert of({"name": "m", "type": "mail", "to": "root"})["content"]["receivers"][0] == {
        "name": "m",
        "type": "mail",
        "to": ["root"],
        "from": "groundwork-alerts",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (URL, "watch_receivers, receiver 1, is not a map"),
        ({"type": "slack", "url": URL}, "receiver 1, has no name that can be used"),
        ({"name": "Ops", "type": "slack", "url": URL}, "has no name that can be used"),
        ({"name": "_ping", "type": "slack", "url": URL}, "has no name that can be used"),
        ({"name": "ops", "type": "slak", "url": URL}, "watch_receivers.ops.type is 'slak': did you mean slack?"),
        ({"name": "ops", "type": ["mail"]}, "watch_receivers.ops.type is ['mail']"),
        ({"name": "ops", "url": URL}, "watch_receivers.ops.type is None"),
        ({"name": "ops", "type": "slack"}, "watch_receivers.ops.url is missing: the type slack needs it."),
        ({"name": "ops", "type": "slack", "url": URL, "chanel": 1}, "watch_receivers.ops.chanel is not an option of"),
        ({"name": "ops", "type": "slack", "url": f"{CANARY} "}, "watch_receivers.ops.url is no URL"),
        ({"name": "ops", "type": "slack", "url": f"https://h/{CANARY}\nX: y"}, "watch_receivers.ops.url is no URL"),
        ({"name": "ops", "type": "slack", "url": f"file:///{CANARY}"}, "watch_receivers.ops.url is no URL"),
        ({"name": "ops", "type": "slack", "url": f"https:///{CANARY}"}, "watch_receivers.ops.url is no URL"),
        ({"name": "ops", "type": "slack", "url": f"https://h:x/{CANARY}"}, "watch_receivers.ops.url is no URL"),
        ({"name": "ops", "type": "slack", "url": f"https://u:{CANARY}@h/"}, "watch_receivers.ops.url has a user in it"),
        ({"name": "ops", "type": "ntfy", "url": "https://ntfy.sh/"}, "watch_receivers.ops.url names no topic"),
        ({"name": "ops", "type": "ntfy", "url": "https://n.org/t", "priority": 9}, "priority is 9: it takes a number"),
        ({"name": "ops", "type": "ntfy", "url": "https://n.org/t", "token": 5}, "token takes a text"),
        (
            {"name": "ops", "type": "webhook", "url": URL, "headers": {"A": f"{CANARY}\n"}},
            "headers has a name or a value",
        ),
        ({"name": "ops", "type": "webhook", "url": URL, "headers": CANARY}, "headers takes a map"),
        ({"name": "ops", "type": "webhook", "url": URL, "severity": "high"}, "severity is 'high'"),
        ({"name": "ops", "type": "webhook", "url": URL, "apps": "shop"}, "apps takes a list"),
        ({"name": "ops", "type": "command", "command": ["a", CANARY]}, "command takes a command of the shell"),
        ({"name": "ops", "type": "command", "command": "a", "user": "A B"}, "user is 'A B'"),
        ({"name": "ops", "type": "mail", "to": "a b"}, "watch_receivers.ops.to takes an address"),
        ({"name": "ops", "type": "mail", "to": "-Xx@y"}, "watch_receivers.ops.to takes an address"),
        ({"name": "ops", "type": "mail", "to": "a@b.org\nBcc: x@y.org"}, "watch_receivers.ops.to takes an address"),
        (
            {"name": "ops", "type": "mail", "to": "a@b.org", "from": "x\ny@z"},
            "watch_receivers.ops.from takes an address",
        ),
        ({"name": "ops", "type": "mail", "to": "a@b.org", "smtp": SMTP}, "watch_receivers.ops.from is missing"),
        (
            {"name": "ops", "type": "mail", "to": "root", "from": "a@b.c", "smtp": SMTP},
            "with smtp it takes whole addresses",
        ),
        (
            {"name": "ops", "type": "mail", "to": "a@b.org", "from": "a@b.c", "smtp": {**SMTP, "tls": "none"}},
            "smtp would send the password without encryption",
        ),
        ({"name": "ops", "type": "mail", "to": "root", "smtp": {**SMTP, "port": 0}}, "smtp has the port 0"),
        ({"name": "ops", "type": "mail", "to": "root", "smtp": {**SMTP, "user": ""}}, "only one of user and password"),
        ({"name": "ops", "type": "mail", "to": "root", "smtp": {**SMTP, "tls": True}}, "smtp has tls True"),
        ({"name": "ops", "type": "mail", "to": "root", "smtp": {"hst": 1}}, "smtp has hst, which is no option of it"),
        ({"name": "ops", "type": "mail", "to": "root", "smtp": CANARY}, "smtp takes a map"),
    ],
)
def test_what_is_wrong_is_refused_without_its_secrets(given: Any, said: str) -> None:
    found = of(given)
    assert found["content"] == {}
    assert any(said in problem for problem in found["problems"]), found["problems"]
    assert all(problem.endswith("Nothing was changed.") for problem in found["problems"])
    assert CANARY not in str(found["problems"])


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("watch_receivers", {"name": "x"}, "watch_receivers takes a list"),
        ("watch_quiet_hours", "22-7", "watch_quiet_hours is '22-7': it takes two times of the day"),
        ("watch_quiet_hours", "22:00-24:00", "watch_quiet_hours is"),
        ("watch_quiet_hours", "22:00-22:00", "watch_quiet_hours is"),
        ("watch_quiet_hours", 1320, "watch_quiet_hours is 1320"),
        ("watch_ping_url", CANARY, "watch_ping_url is no URL"),
        ("watch_alerts_keep", 0, "watch_alerts_keep is 0: it takes a number of days from 1 to 90."),
        ("watch_alerts_per_hour", "many", "watch_alerts_per_hour is 'many'"),
    ],
)
def test_other_variables(setting: str, value: Any, said: str) -> None:
    (problem,) = of(**{setting: value})["problems"]
    assert problem.startswith(said)
    assert CANARY not in problem


def test_names_are_unique_and_apps_are_known() -> None:
    one = {"name": "ops", "type": "slack", "url": URL}
    assert of(one, one)["problems"] == [
        "watch_receivers.ops is there twice: give each receiver a name of its own. Nothing was changed."
    ]
    (warning,) = of({**one, "apps": ["shp", "host"]})["warnings"]
    assert warning.startswith("watch_receivers.ops.apps names shp, no app of this inventory: did you mean shop?")


def test_every_type_can_be_sent_to() -> None:
    assert set(TYPES) == set(SENDERS)
