"""What root runs on a host starts programs by their absolute paths, and its Python is isolated."""

from __future__ import annotations

import re

import pytest
from ansible_collections.groundwork.flask.tests.unit.trust_programs import STEPS, Checker
from ansible_collections.groundwork.flask.tests.unit.trust_source import EXEMPT, ROOT, sources


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker(sources())


def test_root_calls_programs_by_their_paths_and_its_python_is_isolated(checker: Checker) -> None:
    assert checker.findings() == []
    assert len(checker.literals) >= 15, "the calls of programs are not found any more"
    assert any(key[1] == "run" for key in checker.starters)


def test_the_programs_that_roles_install_are_isolated() -> None:
    """Their first line stands in the role, which writes it before the program."""
    found = []
    for path in sorted(ROOT.glob("roles/*/*/*.yml")):
        if "wsgi_server" not in path.parts:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(r"#! ?/usr/bin/(env )?python3(?! -I)", line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: python3 without -I; write #!/usr/bin/python3 -I")
    assert found == []


def test_the_tables_of_programs_name_what_there_is(checker: Checker) -> None:
    for path in EXEMPT:
        assert (ROOT / path).exists(), path
    classes = {function.name for function in checker.functions}
    assert set(STEPS) <= classes
    assert not set(STEPS) & {name for _module, name in checker.starters}
