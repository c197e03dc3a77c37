"""A run of site.yml with the tag of a role installs what the role needs: the transaction for all has its own tag."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITE = ROOT / "playbooks" / "site.yml"
INSTALLS = "groundwork.flask.packages"


def tasks_of(role: str, name: str) -> list[dict[str, Any]]:
    """The tasks of a file of a role, with those that it imports."""
    found: list[dict[str, Any]] = []
    for task in yaml.safe_load((ROOT / "roles" / role / "tasks" / f"{name}.yml").read_text()) or []:
        imported = task.get("ansible.builtin.import_tasks")
        found += tasks_of(role, imported.removesuffix(".yml")) if imported else [task]
    return found


def imported() -> dict[str, list[dict[str, Any]]]:
    """The tasks of each role that site.yml imports after the transaction."""
    found: dict[str, list[dict[str, Any]]] = {}
    for task in yaml.safe_load(SITE.read_text())[1]["tasks"]:
        given = task["ansible.builtin.import_role"]
        role = given["name"].rpartition(".")[2]
        found.setdefault(role, []).extend(tasks_of(role, given.get("tasks_from", "main")))
    return found


@pytest.mark.parametrize(
    "role", re.findall(r"\b(\w+)_packages\b", SITE.read_text().partition("installed_packages:")[0])
)
def test_each_role_installs_its_packages_by_its_own_tag(role: str) -> None:
    if role in ("wanted", "database", "redis"):  # no role; and those two are for apps that ask for them
        return
    assert any(INSTALLS in task and role in task["tags"] for task in imported()[role])
