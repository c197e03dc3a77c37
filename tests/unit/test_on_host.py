"""The one table of paths and accounts on a host, and that no other file states one of them."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
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
PLACES = (
    *("plugins/**/*.py", "benchmarks/*.py", "script/suite/*.py", "molecule/**/*.py", "tests/unit/*.py"),
    *("roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/defaults/*.yml", "playbooks/*.yml", "molecule/**/*.yml"),
    "roles/*/templates/**/*.j2",
)
OF_HOST = (
    r"(?<![\w.])/(?:etc|etc/ssl|var/lib|var/cache|run|usr/local/lib)/groundwork(?![\w-])|/var/www/acme"
    r"|(?<![\w.])/(?:srv|var/lib|var/cache)/[{\[%$]"
)
# Beside the directories of apps: those of Debian's packages, the cache of the backup, and an example in a description.
NEIGHBOURS = (
    "apache2|apt|bind|dpkg|letsencrypt|mailbox|nginx|postgresql|prometheus|redis|systemd|groundwork-backup|exports"
)
STATED = re.compile(
    rf"{OF_HOST}|(?<![\w.])/(?:srv|var/lib|var/cache)/?[\"']"
    rf"|(?<![\w./])/(?:srv|var/lib|var/cache)/(?!(?:{NEIGHBOURS})\b)[a-z]"
)
# Most paths that a unit test has are values like any other, so that only those of its app count.
STATED_IN_UNIT_TEST = re.compile(rf"{OF_HOST}|(?<![\w./])/(?:srv|var/lib|var/cache)/shop(?![\w.-])")
# What is right all the same, and why.
EXEMPT = {
    "plugins/module_utils/common/on_host.py": "the table",
    "plugins/filter/on_host.py": "its documentation",
    "tests/unit/test_on_host.py": "the test of the table",
    "molecule/*/files/*.py": "runs on a host as a stranger's own program, which has nothing of the collection",
    "molecule/*/files/*_test.yml": "is read on a host by a program of others",
}


def statements(text: str, stated: re.Pattern[str] = STATED) -> list[str]:
    """The lines of a Python file, outside of docstrings and comments, that state a path of the table."""
    if not stated.search(text):
        return []  # which spares most files from being parsed
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.stmt):
            continue
        name = str(getattr(node.targets[0], "id", "")) if isinstance(node, ast.Assign) else ""
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_docstring or name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    rows = enumerate(text.splitlines(), 1)
    return [row.strip() for number, row in rows if number not in documented and stated.search(row.partition("#")[0])]


def statements_in_yaml(text: str) -> list[str]:
    """The lines of a YAML file or a template, outside of comments and descriptions, that state a path of the table."""
    rows = (row.strip() for row in text.splitlines())
    return [row for row in rows if STATED.search(row) and not re.match(r"(#|(description|Description)[:=])", row)]


def test_no_other_file_states_a_path_of_the_table() -> None:
    found = []
    for file in sorted(file for place in PLACES for file in ROOT.glob(place)):
        name, text = str(file.relative_to(ROOT)), file.read_text()
        if any(fnmatch(name, pattern) for pattern in EXEMPT):
            continue
        if file.suffix == ".py":
            rows = statements(text, STATED_IN_UNIT_TEST if name.startswith("tests/unit/") else STATED)
        else:
            rows = statements_in_yaml(text)
        found += [f"{name}: {row}" for row in rows]
    assert found == []


@pytest.mark.parametrize("pattern", [*PLACES, *EXEMPT])
def test_each_pattern_names_files(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


def test_a_statement_is_found() -> None:
    text = (
        '"""About /srv/shop."""\nHOME = "/srv"  # below /srv\nDATA = f"/var/lib/{app}"\nOTHER = "/var/lib/dpkg"\n'
        'SOCKET = "/srv/wiki/other.sock"\nSHOP = "rm -r /var/cache/shop"\nURL = "file:///srv/shop.git"\n'
    )
    data, shop = 'DATA = f"/var/lib/{app}"', 'SHOP = "rm -r /var/cache/shop"'
    assert statements(text) == ['HOME = "/srv"  # below /srv', data, 'SOCKET = "/srv/wiki/other.sock"', shop]
    assert statements(text, STATED_IN_UNIT_TEST) == [data, shop]
    task = "# below /srv/shop\ncreates: /srv/shop\ncmd: ls /var/lib/$app\nother: /etc/nginx\n"
    assert statements_in_yaml(task) == ["creates: /srv/shop", "cmd: ls /var/lib/$app"]
