"""The one table of paths and accounts on a host, and that no other file states one of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter import on_host as plugin
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import (
    OF_AN_APP,
    OF_THE_HOST,
    on_host,
    path,
)


def test_what_is_an_apps_and_what_is_the_hosts() -> None:
    assert on_host("data", "shop") == "/var/lib/shop"
    assert on_host("state") == "/var/lib/groundwork"
    assert path("data", "shop", Path("/tmp/root")) == Path("/tmp/root/var/lib/shop")
    assert plugin.on_host("socket", "shop") == "/srv/shop/current/app.sock"


@pytest.mark.parametrize(
    ("name", "app", "refusal"),
    [
        ("data", "", "'data' is not known of a host; known are acme_webroot, "),
        ("state", "shop", "'state' is not known of an app; known are cache, certificate, current, data, "),
        ("nowhere", "", "'nowhere' is not known of a host"),
    ],
)
def test_a_name_that_is_in_no_table(name: str, app: str, refusal: str) -> None:
    with pytest.raises(AnsibleFilterError, match=refusal):
        plugin.on_host(name, app)


def test_the_documentation_names_all_of_them() -> None:
    described = yaml.safe_load(plugin.DOCUMENTATION)["options"]["_input"]["description"]
    assert [name for name in (*OF_AN_APP, *OF_THE_HOST) if f"V({name})" not in described] == []


# --- nothing else states one of them ----------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("plugins/**/*.py", "roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/defaults/*.yml", "playbooks/*.yml")
TEMPLATES = "roles/*/templates/**/*.j2"
STATED = re.compile(
    r"(?<![\w.])/(?:etc|etc/ssl|var/lib|var/cache|run|usr/local/lib)/groundwork(?![\w-])|/var/www/acme"
    r"|(?<![\w.])/(?:srv|var/lib|var/cache)(?:/?[\"']|/[{\[%])"
)
# What is right all the same, and why.
EXEMPT = {
    "plugins/module_utils/common/on_host.py": "the table",
    "plugins/filter/on_host.py": "its documentation",
}


def statements(text: str) -> list[str]:
    """The lines of a Python file, outside of docstrings and comments, that state a path of the table."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.stmt):
            continue
        name = str(getattr(node.targets[0], "id", "")) if isinstance(node, ast.Assign) else ""
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_docstring or name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    rows = enumerate(text.splitlines(), 1)
    return [row.strip() for number, row in rows if number not in documented and STATED.search(row.partition("#")[0])]


def test_no_other_file_states_a_path_of_the_table() -> None:
    found = []
    for pattern in (*PLACES, TEMPLATES):
        for file in sorted(ROOT.glob(pattern)):
            name, text = str(file.relative_to(ROOT)), file.read_text()
            if name in EXEMPT:
                continue
            if file.suffix == ".py":
                rows = statements(text)
            else:
                rows = [
                    row.strip()
                    for row in text.splitlines()
                    if STATED.search(row) and not re.match(r"\s*(#|(description|Description)[:=])", row)
                ]
            found += [f"{name}: {row}" for row in rows]
    assert found == []


def test_a_statement_is_found() -> None:
    text = (
        '"""About /srv/shop."""\nHOME = "/srv"  # below /srv\nDATA = f"/var/lib/{app}"\nOTHER = "/var/lib/dpkg"\n'
    )
    assert statements(text) == ['HOME = "/srv"  # below /srv', 'DATA = f"/var/lib/{app}"']
