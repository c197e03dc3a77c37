"""What acts for an app on its database: what it prints is bounded and judged before root uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TransientUnit
from ansible_collections.groundwork.flask.plugins.module_utils.database import as_app
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.mariadb import (
    MariaDB,
    step_as_app,
)
from ansible_collections.groundwork.flask.plugins.module_utils.database.server import Server


class Counting:
    """A server of which a command prints what it is told to."""

    def __init__(self, code: str) -> None:
        self.code = code

    def counts(self, _database: str = "") -> list[str]:
        return [sys.executable, "-c", self.code]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, int]]:
    """Count by a command of which the code is given."""
    monkeypatch.setattr(TransientUnit, "command", lambda unit, *_options: list(unit.argv))
    return lambda code: as_app.counted("shop", cast(Server, Counting(code)))


def test_the_last_line_is_the_answer(counted: Callable[[str], dict[str, int]]) -> None:
    code = r"""print('NOTICE'); print('{"tables": {"public.a\\u001b": 3}}')"""
    assert counted(code) == {"public.a\\x1b": 3}


@pytest.mark.parametrize(
    "code",
    [
        "print('{}')", "print('[]')", "print('{')", "print('[' * 100_000)", """print('{"tables": []}')""",
        """print('{"tables": {"a": Infinity}}')""", """print('{"tables": {"a": "many"}}')""", "",
        f"print(' ' * {as_app.ANSWER_LIMIT} + '{{}}')",
    ],
)  # fmt: skip
def test_what_is_no_count_is_refused(counted: Callable[[str], dict[str, int]], code: str) -> None:
    with pytest.raises(DatabaseError, match=r"^a command (printed|did not say)"):
        counted(code)


def test_a_failure_is_what_it_says_on_one_line(counted: Callable[[str], dict[str, int]]) -> None:
    with pytest.raises(DatabaseError, match=r"^no\\x1b such") as caught:
        counted("raise SystemExit('no\\x1b such\\nthing')")
    assert "\n" not in str(caught.value)


def test_a_file_takes_the_place_of_input_and_output(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"dump")
    with source.open("rb") as stdin, target.open("wb") as stdout:
        done = programs.run(("/bin/sh", "-c", "cat; echo said >&2"), stdin=stdin, stdout=stdout)
    assert (done.returncode, done.stdout, done.stderr, target.read_bytes()) == (0, "", "said\n", b"dump")


@pytest.mark.parametrize("printed", ["", "[]", "[" * 100_000, "{}"])
def test_a_step_of_a_swap_that_prints_no_result_is_an_error(printed: str) -> None:
    stock = MariaDB({"name": "stock"}, step=lambda _app, _argv, _payload: printed)
    with pytest.raises(DatabaseError, match=r"MariaDB: a step of stock (printed no result|did not print what)"):
        stock.exchange.objects("stock")


def test_a_step_of_a_swap_gets_its_payload_and_may_print_more(counted: object) -> None:
    assert counted
    code = f"import sys; print(sys.stdin.read() + ' ' * {as_app.ANSWER_LIMIT})"
    assert step_as_app("stock", [sys.executable, "-c", code], "DROP VIEW v;").startswith("DROP VIEW v; ")
