"""Remedies for errors that many apps meet."""

from __future__ import annotations

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.hints import runtime_hint
from ansible_collections.groundwork.flask.tests.unit.release_app import App

DATA = on_host("data", "shop")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ModuleNotFoundError: No module named 'pkg_resources'", "add setuptools<81 to its requirements"),
        ("ModuleNotFoundError: No module named 'psycopg2'", "the database's driver is missing"),
        ("sqlite3.OperationalError: unable to open database file", f"DATA_DIR alone ({DATA})"),
        (f"PermissionError: [Errno 13] Permission denied: '{on_host('home', 'shop')}/x'", f"DATA_DIR alone ({DATA})"),
        (
            "MemoryError: Cannot allocate write+execute memory for ffi.callback()",
            "`sandbox: {MemoryDenyWriteExecute: fa",
        ),
        (
            "OSError: [Errno 97] Address family not supported by protocol",
            "`sandbox: {RestrictAddressFamilies: …}` in fla",
        ),
    ],
)
def test_what_helps_an_app_that_is_new_to_servers(app: App, said: str, remedy: str) -> None:
    assert remedy in runtime_hint("shop", said)
    app.system.fail = {"-probe:": said}
    with pytest.raises(ReleaseError, match="the app cannot be imported as shop:app; "):
        app.engine().deploy()


def test_against_another_error_nothing_is_known_to_help() -> None:
    assert runtime_hint("shop", "KeyError: 'x'") == ""
