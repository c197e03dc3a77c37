"""What holds for every role: one interface, said twice and the same; names that tell whose they are; a README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
# What a task binds: registers, facts it sets, loop variables.
BOUND = re.compile(r"^\s*(?:register|loop_var|index_var):\s*[\"']?(\w+)", re.MULTILINE)

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> Any:
    """A YAML file's content; an empty dictionary for an empty or missing one."""
    return (yaml.safe_load(path.read_text()) if path.exists() else None) or {}


def options(role: Path, entry: str = "main") -> dict[str, Any]:
    """The options of an entry point in the role's argument_specs."""
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return dict(specs[entry].get("options") or {})


def test_there_are_roles() -> None:
    assert ROLES


@each_role
def test_defaults_are_those_of_the_argument_specs(role: Path) -> None:
    defaults, specified = load(role / "defaults" / "main.yml"), options(role)
    optional = {name for name, option in specified.items() if not option.get("required")}
    assert set(defaults) == optional, "defaults/main.yml and meta/argument_specs.yml name different variables"
    assert {name: specified[name].get("default") for name in defaults} == defaults


@each_role
def test_every_option_has_a_type_and_a_description(role: Path) -> None:
    def walk(found: dict[str, Any], above: str) -> None:
        for name, option in found.items():
            assert option.get("type"), f"{above}{name} has no type"
            assert option.get("description"), f"{above}{name} has no description"
            if option["type"] == "list":
                assert option.get("elements"), f"{above}{name} does not say what its elements are"
            walk(option.get("options") or {}, f"{above}{name}.")

    walk(options(role), "")


@each_role
def test_public_names_begin_with_the_role(role: Path) -> None:
    names = set(options(role)) | set(load(role / "defaults" / "main.yml"))
    assert not {name for name in names if not name.startswith(f"{role.name}_")}


@each_role
def test_private_names_begin_with_two_underscores_and_the_role(role: Path) -> None:
    prefixes = (f"__{role.name}_", f"{role.name}_")
    for path in sorted((role / "vars").rglob("*.yml")):
        assert not {name for name in load(path) if not name.startswith(prefixes[0])}, path.relative_to(ROOT)
    for path in sorted((role / "tasks").rglob("*.yml")):
        bound = set(BOUND.findall(path.read_text()))
        assert not {name for name in bound if not name.startswith(prefixes)}, path.relative_to(ROOT)


def texts(found: Any) -> list[str]:
    """The texts in a YAML file."""
    if isinstance(found, dict):
        return [text for value in found.values() for text in texts(value)]
    if isinstance(found, list):
        return [text for value in found for text in texts(value)]
    return [found] if isinstance(found, str) else []


def test_no_expression_has_a_line_end_that_ansible_prints_as_a_backslash_and_an_n() -> None:
    """YAML makes a line end of it between double quotes alone; elsewhere a loop of the template writes lines."""
    files = [*(ROOT / "playbooks").glob("*.yml"), *(path for role in ROLES for path in role.glob("*/*.yml"))]
    found = {path.relative_to(ROOT): text for path in files for text in texts(load(path)) if re.search(r"'\\n'", text)}
    assert not found


@each_role
def test_every_role_says_what_it_is(role: Path) -> None:
    readme = (role / "README.md").read_text()
    for name in options(role):
        assert name in readme, f"README.md does not mention {name}"
    assert f"groundwork.flask.{role.name}" in readme, "README.md has no example play"
    info = load(role / "meta" / "main.yml")["galaxy_info"]
    assert info["license"] == "GPL-3.0-or-later"
    assert info["min_ansible_version"] == "2.18"
    assert {platform["name"] for platform in info["platforms"]} == {"Debian", "Ubuntu"}
    assert load(role / "meta" / "main.yml").get("dependencies", []) == []


@each_role
def test_no_role_but_that_of_the_accounts_makes_them(role: Path) -> None:
    """While an app is removed, its account goes before the file that would make it again."""
    if role.name == "service_user":
        return
    tasks = "".join(path.read_text() for path in sorted((role / "tasks").glob("*.yml")))
    assert not re.findall(r"systemd-sysusers(?! \S+\.conf)", tasks), "name the file, or all accounts are made"
