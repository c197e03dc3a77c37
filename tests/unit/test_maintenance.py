"""What playbooks/maintenance.yml refuses before it looks at a host: its own conditions and messages, evaluated here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "maintenance.yml"
HOSTS = {"flask_hosts": ["web1"]}


def refusal(groups: dict[str, list[str]] | None = None, **given: Any) -> str | None:
    """What the first play says to these variables; None when it lets them pass."""
    loader = DataLoader()
    (first, *_others) = loader.load_from_file(str(PLAYBOOK), trusted_as_template=True)
    assert first["hosts"] == "localhost"
    variables = {"ansible_playbook_python": sys.executable, "groups": HOSTS if groups is None else groups, **given}
    for task in first["tasks"]:
        templar = Templar(loader=loader, variables=variables)
        if command := task.get("ansible.builtin.command"):
            result = subprocess.run(templar.template(command["argv"]), capture_output=True, text=True, check=False)
            variables[task["register"]] = {"rc": result.returncode, "stderr_lines": result.stderr.splitlines()}
            continue
        checked = task["ansible.builtin.assert"]
        conditions = checked["that"] if isinstance(checked["that"], list) else [checked["that"]]
        for condition in conditions:
            held = templar.template(trust_as_template("{{ " + condition + " }}"))
            assert isinstance(held, bool), condition
            if not held:
                return str(templar.template(checked["fail_msg"]))
    return None


@pytest.mark.parametrize(
    "given",
    [
        {"state": "on"},
        {"state": "off"},
        {"state": "ON"},
        {"state": True},
        {"state": False},
        {"state": "on", "message": "Back at noon.", "allow": "203.0.113.7, 2001:db8::/32"},
        {"state": "on", "allow": ["203.0.113.7", "203.0.113.9/24"]},
    ],
)
def test_what_passes(given: dict[str, Any]) -> None:
    assert refusal(app="shop", **given) is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"state": "on"}, "Name the app, as in -e app=shop"),
        ({"app": "Shop!", "state": "on"}, "Name the app, as in -e app=shop"),
        ({"app": "", "state": "on"}, "Name the app, as in -e app=shop"),
        ({"app": "shop", "state": "on", "groups": {}}, "see that the inventory has a host in the group flask_hosts"),
        ({"app": "shop", "state": "on", "flask_hosts_group": "web"}, "has a host in the group web"),
        ({"app": "shop"}, "Say -e state=on or -e state=off. Nothing was done."),
        ({"app": "shop", "state": "maybe"}, "Say -e state=on or -e state=off, not maybe."),
        (
            {"app": "shop", "state": "on", "message": "Back", "_raw_params": "at noon."},
            "What stood after a space (at noon.)",
        ),
        (
            {"app": "shop", "state": "on", "allow": "203.0.113.7, 203.0.113.300"},
            "allow: '203.0.113.300' does not appear to be an IPv4 or IPv6 network. Give addresses or networks",
        ),
        ({"app": "shop", "state": "on", "allow": ["::1/129"]}, "allow: '::1/129' does not appear to be"),
    ],
)
def test_what_is_refused(given: dict[str, Any], sentence: str) -> None:
    said = refusal(**given)
    assert said is not None
    assert sentence in said
    assert said.endswith("Nothing was done.")
