"""MariaDB's root: what it is told where it is not let in, and what it knows an app's account by."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.database import mariadb
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.maria_root import Found, Root

OURS = Found("shop", is_there=True, plugin="unix_socket", is_plain=True, granted=("shop",), has_database=True)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR 1045 (28000): Access denied for user 'root'@'localhost'", "IDENTIFIED VIA unix_socket"),
        ("ERROR 2002", ""),
    ],
)
def test_a_root_that_is_not_let_in_is_told_how(monkeypatch: pytest.MonkeyPatch, said: str, remedy: str) -> None:
    monkeypatch.setattr(programs, "run", lambda argv, **_more: subprocess.CompletedProcess(argv, 1, "", said))
    with pytest.raises(DatabaseError) as refused:
        Root("/run/mysqld/mysqld.sock").sql("SELECT 1")
    assert (remedy in str(refused.value)) if remedy else str(refused.value) == f"MariaDB: {said}"


def test_what_an_app_has_is_known_by_its_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sock").touch()
    monkeypatch.setattr(mariadb, "SOCKET", str(tmp_path / "sock"))
    for one, number in ((OURS, 1), (replace(OURS, is_there=False, granted=()), 0), (replace(OURS, is_plain=False), 0)):
        monkeypatch.setattr(Root, "look", lambda _root, _app, one=one: one)
        assert len(mariadb.left_over("shop")) == number
