"""What may stand in an app's `database`, and that no message shows an address that may hold a password."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.tests.unit.flask_app import app

WHERE = "flask_apps.shop.database"
PASSWORD = "hunter2"


def problems(database: dict[str, Any]) -> list[str]:
    try:
        model.load(app(database=database))
    except model.ModelError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop@db.example.org/shop",
        "postgres://shop@db.example.org:6432/shop?sslmode=require",
        "postgresql+psycopg2://db.example.org/shop",
        "mysql://shop@db.example.org/shop",
        "mariadb+pymysql://shop@[2001:db8::1]:3306/shop",
    ],
)
def test_an_address_of_a_managed_database(url: str) -> None:
    assert problems({"url": url}) == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            f"postgresql://shop:{PASSWORD}@db.example.org/shop",
            "has a password in it (it is not shown): take it out, and",
        ),
        (f"postgresql://db.example.org/shop?user=shop&password={PASSWORD}", "has a password in it"),
        (f"postgresql://shop@db/shop?sslpassword={PASSWORD}", "has a password in it"),
        (f"mysql://shop@db/shop?passwd={PASSWORD}", "has a password in it"),
        (
            f"shop:{PASSWORD}@db.example.org/shop",
            "begins with none of postgres://, postgresql://, mysql://, mariadb://",
        ),
        (f"redis://:{PASSWORD}@db.example.org/0", "begins with none of postgres://"),
        (f"sqlite:///{PASSWORD}.db", "begins with none of postgres://"),
        (f"postgresql://shop:{PASSWORD}@db:port/shop", "is not an address (it is not shown"),
        (f"postgresql://shop:{PASSWORD} @db/shop", "is not an address (it is not shown"),
        ("postgresql:///shop", "names no host: write it as postgresql://shop@db.example.org/shop; for a database on"),
        ("postgresql://shop@db.example.org/", "does not name the database"),
        (f"postgresql://shop@db.example.org/shop#{PASSWORD}", "has a #, which ends an address: write it as %23"),
    ],
)
def test_an_address_that_is_refused_is_not_shown(url: str, sentence: str) -> None:
    found = problems({"url": url})
    assert len(found) == 1, found
    assert f"{WHERE}.url {sentence}" in found[0]
    assert PASSWORD not in found[0]


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (
            {"url": "postgresql://shop@db/shop", "provider": "postgresql", "pool": True, "extensions": ["citext"]},
            [
                f"{WHERE}.{name} is about a database on the host, and `url` names one elsewhere: take one of them out"
                for name in ("provider", "pool", "extensions")
            ],
        ),
        (
            {"extensions": ["citext"], "locale": "de_DE.UTF-8"},
            [
                f"{WHERE}.{name} needs `provider`, the server on the host: write `provider: postgresql`"
                for name in ("extensions", "locale")
            ],
        ),
        (
            {"provider": "mariadb", "extensions": ["citext"]},
            [f"{WHERE}.extensions is PostgreSQL's, and the provider is mariadb: take it out"],
        ),
        ({"provider": "postgresql", "extensions": ["citext"], "locale": "de_DE.UTF-8", "pool": False}, []),
        ({"provider": "mariadb"}, []),
    ],
)
def test_what_stands_beside_each_other(database: dict[str, Any], expected: list[str]) -> None:
    assert problems(database) == expected


def test_a_provider_that_is_none_is_one_problem() -> None:
    assert problems({"provider": "mysql"}) == [
        f"{WHERE}.provider: 'mysql' is not one of postgresql, mariadb: take one of these"
    ]


@pytest.mark.parametrize("name", ["public", "pg_shop", "template1", "all", "information_schema", "pgbouncer"])
def test_a_name_that_a_server_has_for_itself_is_refused(name: str) -> None:
    options = app()["shop"]
    with pytest.raises(model.ModelError, match="is a name that database servers have for themselves"):
        model.load({name: {**options, "database": {"provider": "postgresql"}}})
    model.load({name: {**options, "database": {"url": "postgresql://a@db.example.org/a"}}})
