"""What on a PostgreSQL server is an app's, how it is handed over, and on which servers it is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.database import (
    mariadb,
    operate,
    ours,
    postgresql,
    server,
)
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (ours.Found("shop", role=True), 'ALTER ROLE "shop" PASSWORD NULL$'),
        (ours.Found("shop", role=True, owner="shop"), 'PASSWORD NULL; REVOKE ALL ON DATABASE "shop" FROM PUBLIC$'),
        (ours.Found("shop", role=True, is_mighty=True), "with rights on the whole server: .* NOSUPERUSER"),
        (ours.Found("shop", role=True, is_ours=True, owner="theirs"), "belongs to theirs: choose another name"),
    ],
)
def test_what_is_foreign_is_refused_with_what_hands_it_over_whole(found: ours.Found, sentence: str) -> None:
    with pytest.raises(DatabaseError, match=sentence):
        found.refuse_if_foreign("15/main")


class TestEverywhere:
    """An app that goes loses its databases on every server, the one that it had before too."""

    @pytest.mark.parametrize("record", [None, {"provider": "postgresql", "name": "shop", "port": 5432}])
    def test_servers_of_before_are_among_them(
        self, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any] | None
    ) -> None:
        monkeypatch.setattr(server, "read", lambda _app: record)
        monkeypatch.setattr(
            postgresql, "left_over", lambda app: [{"provider": "postgresql", "name": app, "port": 5432}]
        )
        monkeypatch.setattr(mariadb, "left_over", lambda app: [{"provider": "mariadb", "name": app}])
        assert [type(one) for one in operate.everywhere("shop")] == [postgresql.PostgreSQL, mariadb.MariaDB]
