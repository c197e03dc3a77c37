"""docs/guarantees.md names tests that exist, and the suite that each of them runs in."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import testing

ROOT = testing.ROOT
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
# | what we promise | tests | suite | what they do not cover |
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not re.match(r"\|[- |]+$|\| promise", line)
]
TEST = re.compile(r"`([\w/]+)\.py::(\w+)`")


def has_mark(node: ast.AST, mark: str) -> bool:
    """Say whether a class or function has the mark, or a module in its `pytestmark`."""
    if isinstance(node, ast.Module):
        marks: list[ast.expr] = [
            one.value
            for one in node.body
            if isinstance(one, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in one.targets)
        ]
    else:
        marks = list(getattr(node, "decorator_list", []))
    return any(
        re.search(rf"mark\.{mark}\b(?!.*parametrize)", ast.unparse(one))
        for one in marks
        if "parametrize" not in ast.unparse(one)
    )


@cache
def found_in(path: Path) -> dict[str, bool]:
    """The tests of a file, each with whether it runs in the full suite only."""
    module = ast.parse(path.read_text())
    found: dict[str, bool] = {}
    scan = path.parts[-3] == "scan"  # the scenario is in the full suite only
    for node in module.body:
        inside = [node] if isinstance(node, ast.FunctionDef) else getattr(node, "body", [])
        for test in inside:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                found[test.name] = scan or any(has_mark(one, "full") for one in (module, node, test))
    return found


def test_the_page_has_promises() -> None:
    assert len(ROWS) >= 20
    assert all(len(row) == 4 for row in ROWS), [row for row in ROWS if len(row) != 4]


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:50] for row in ROWS])
def test_each_promise_is_proved_by_tests_that_exist(row: list[str]) -> None:
    promise, tests, suite, _gaps = row
    named = TEST.findall(tests)
    assert named, f"no test proves: {promise}"
    assert re.sub(TEST, "", tests).strip(" ,") == "", f"not a test: {tests}"
    full_only = []
    for name, test in named:
        path = ROOT / (f"{name}.py" if name.startswith("tests/") else f"molecule/{name.replace('/', '/tests/', 1)}.py")
        assert path.exists(), f"{promise}: there is no {path}"
        assert test in found_in(path), f"{promise}: {path} has no {test}"
        full_only.append(found_in(path)[test])
    expected = "full" if all(full_only) else "default, full" if any(full_only) else "default"
    assert suite == expected, f"{promise}: these tests run in: {expected}"


def test_no_promise_is_proved_in_the_full_suite_alone() -> None:
    """But for what public scanners say."""
    assert [row[0] for row in ROWS if row[2] == "full" and "scanner" not in row[0]] == []
