"""What an app's processes and its steps are told of its database and its Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path as host_path
from ansible_collections.groundwork.flask.plugins.module_utils.release import command, database_url
from ansible_collections.groundwork.flask.plugins.module_utils.release.database_url import Driver
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import Step
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.tests.unit.release_app import App

CA = on_host("ca_bundle")
POSTGRESQL: dict[str, Any] = {
    "provider": "postgresql", "name": "shop", "socket": "/run/postgresql", "port": 5432, "pooler": None,
}  # fmt: skip
POOLER = {"socket": "/run/shop.pooler", "port": 6432, "prepared_statements": True}
MARIADB = {"provider": "mariadb", "name": "shop", "socket": "/run/mysqld/mysqld.sock", "pooler": None}
VERIFIED = f"sslmode=verify-full&sslrootcert={CA}"
WANTED: dict[str, Any] = {"database": {"provider": "postgresql"}}
MANAGED: dict[str, Any] = {"database": {"url": "postgres://shop@db.example.org/shop"}}
PASSWORD = "p@ss/w:rd %21+é"


def versions(*names: str) -> dict[str, str]:
    return {name: "2.1.9" if name == "sqlalchemy" else "3.3" for name in names}


def driver(kind: str, packages: Iterable[str]) -> Driver | None:
    return database_url.installed(kind, versions(*packages))


@pytest.mark.parametrize(
    ("packages", "pooled", "url"),
    [
        (("sqlalchemy", "psycopg"), False, "postgresql+psycopg://shop@/shop?host=/run/postgresql"),
        (("sqlalchemy", "psycopg2-binary"), False, "postgresql+psycopg2://shop@/shop?host=/run/postgresql"),
        (("sqlalchemy", "psycopg2"), True, "postgresql+psycopg2://shop@/shop?host=/run/shop.pooler&port=6432"),
        (("sqlalchemy", "psycopg", "psycopg2"), False, "postgresql+psycopg://shop@/shop?host=/run/postgresql"),
        (
            ("sqlalchemy", "pg8000"),
            True,
            "postgresql+pg8000://shop@/shop?unix_sock=/run/shop.pooler/.s.PGSQL.6432",
        ),
        (("psycopg",), False, "postgresql://shop@/shop?host=/run/postgresql"),
        ((), True, "postgresql://shop@/shop?host=/run/shop.pooler&port=6432"),
    ],
)
def test_postgresql_on_this_host(packages: tuple[str, ...], pooled: bool, url: str) -> None:
    found = driver("postgresql", packages)
    record = {**POSTGRESQL, "pooler": POOLER}
    assert database_url.local(record, "shop", found, versions(*packages), pooled) == url


def test_a_server_on_another_port() -> None:
    record = {**POSTGRESQL, "port": 5433}
    assert (
        database_url.local(record, "shop", None, {}, True) == "postgresql://shop@/shop?host=/run/postgresql&port=5433"
    )


@pytest.mark.parametrize(
    ("packages", "scheme"),
    [
        (("sqlalchemy", "pymysql"), "mysql+pymysql"),
        (("sqlalchemy", "mysqlclient"), "mysql+mysqldb"),
        (("pymysql",), "mysql"),
    ],
)
def test_mariadb_on_this_host(packages: tuple[str, ...], scheme: str) -> None:
    found = database_url.local(MARIADB, "shop", driver("mysql", packages), versions(*packages), True)
    assert found == f"{scheme}://shop@localhost/shop?unix_socket=/run/mysqld/mysqld.sock"


@pytest.mark.parametrize(
    ("given", "packages", "url"),
    [
        ("postgres://shop@db/x", ("sqlalchemy", "psycopg"), f"postgresql+psycopg://shop:PW@db/x?{VERIFIED}"),
        ("postgresql://shop@db:5433/x", (), f"postgresql://shop:PW@db:5433/x?{VERIFIED}"),
        ("postgresql://db/x", (), f"postgresql://:PW@db/x?{VERIFIED}"),
        ("postgresql://shop@[2001:db8::1]:5433/x", (), f"postgresql://shop:PW@[2001:db8::1]:5433/x?{VERIFIED}"),
        ("postgresql://shop@db/x?sslmode=require", (), "postgresql://shop:PW@db/x?sslmode=require"),
        (
            "postgresql://shop@db/x?sslmode=verify-ca",
            (),
            f"postgresql://shop:PW@db/x?sslmode=verify-ca&sslrootcert={CA}",
        ),
        (
            "postgresql://shop@db/x?sslrootcert=/etc/ssl/own.pem&connect_timeout=5",
            (),
            "postgresql://shop:PW@db/x?sslrootcert=/etc/ssl/own.pem&connect_timeout=5&sslmode=verify-full",
        ),
        ("postgresql+psycopg2://shop@db/x", ("sqlalchemy", "psycopg"), f"postgresql+psycopg://shop:PW@db/x?{VERIFIED}"),
        ("mysql://shop@db/x", ("sqlalchemy", "pymysql"), f"mysql+pymysql://shop:PW@db/x?ssl_ca={CA}"),
        (
            "mysql://shop@db/x",
            ("sqlalchemy", "mysqlclient"),
            f"mysql+mysqldb://shop:PW@db/x?ssl_ca={CA}&ssl_mode=VERIFY_IDENTITY",
        ),
        ("mariadb://shop@db/x", ("sqlalchemy", "pymysql"), f"mariadb+pymysql://shop:PW@db/x?ssl_ca={CA}"),
        ("mysql://shop@db/x?ssl_ca=/own.pem", (), "mysql://shop:PW@db/x?ssl_ca=/own.pem"),
    ],
)
def test_a_database_elsewhere(given: str, packages: tuple[str, ...], url: str) -> None:
    found = driver(database_url.kind_of(given), packages)
    encoded = "p%40ss%2Fw%3Ard%20%2521%2B%C3%A9"
    assert database_url.managed(given, PASSWORD, found, versions(*packages)) == url.replace("PW", encoded)


def test_sqlalchemy_1_does_not_know_psycopg_3() -> None:
    old = {"sqlalchemy": "1.4.54", "psycopg": "3.2"}
    assert database_url.installed("postgresql", old) is None
    assert database_url.wanted_driver("postgresql", old) == "psycopg2-binary"
    assert database_url.wanted_driver("postgresql", versions("sqlalchemy")) == "psycopg[binary]"


def install(app: App, *packages: str) -> None:
    """Have the next environment hold these packages, as their directories are called."""
    real = app.system.step

    def step(step: Step) -> tuple[int, str]:
        done = real(step)
        for python in Path(step.cwd).glob("lib/python3/site-packages"):
            for package in packages:
                (python / f"{package}.dist-info").mkdir(exist_ok=True)
        return done

    app.system.step = step  # type: ignore[method-assign]


def record(app: App, name: str, content: dict[str, Any]) -> None:
    file = host_path("services", app.name, app.root) / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


class TestDeployment:
    """A release of an app with a database."""

    def test_servers_go_through_the_pooler_and_steps_do_not(self, app: App) -> None:
        install(app, "sqlalchemy-2.1.9", "psycopg2_binary-2.9.13")
        record(app, "database", {**POSTGRESQL, "pooler": POOLER})
        release = app.deploy(**WANTED).release
        direct = f"postgresql+psycopg2://{app.name}@/shop?host=/run/postgresql"
        pooled = f"postgresql+psycopg2://{app.name}@/shop?host=/run/shop.pooler&port=6432"
        env = read_env_file(app.at.release(release) / "env")
        assert (env["DATABASE_URL"], env["SQLALCHEMY_DATABASE_URI"]) == (pooled, pooled)
        beside = app.at.release(release) / "env.direct"
        assert read_env_file(beside) == {"DATABASE_URL": direct, "SQLALCHEMY_DATABASE_URI": direct}
        assert (beside.stat().st_mode & 0o777) == 0o600
        (imported,) = (step for step in app.system.steps if step.name == "import")
        assert imported.environment["DATABASE_URL"] == direct

    def test_without_sqlalchemy_there_is_one_address(self, app: App) -> None:
        install(app, "psycopg-3.3.9")
        record(app, "database", POSTGRESQL)
        app.deploy(**WANTED)
        env = read_env_file(app.at.current / "env")
        assert "SQLALCHEMY_DATABASE_URI" not in env
        assert env["DATABASE_URL"] == f"postgresql://{app.name}@/shop?host=/run/postgresql"

    @pytest.mark.parametrize(
        ("purpose", "variables"),
        [
            ("queue", {"REDIS_URL": "unix:///q", "CELERY_BROKER_URL": "redis+socket:///q"}),
            ("cache", {"REDIS_URL": "unix:///c", "CACHE_REDIS_URL": "unix:///c"}),
            (
                "both",
                {
                    "REDIS_URL": "unix:///q",
                    "CELERY_BROKER_URL": "redis+socket:///q",
                    "CACHE_REDIS_URL": "unix:///c",
                },
            ),
        ],
    )
    def test_redis(self, app: App, purpose: str, variables: dict[str, str]) -> None:
        record(app, "redis", {"queue": "/q", "cache": "/c"})
        app.deploy(redis={"purpose": purpose})
        env = read_env_file(app.at.current / "env")
        assert {name: env[name] for name in env if "REDIS" in name or "CELERY" in name} == variables
        assert not (app.at.current / "env.direct").exists()

    def test_an_app_that_names_none_gets_none_whatever_is_recorded(self, app: App) -> None:
        record(app, "database", POSTGRESQL)
        record(app, "redis", {"queue": "/q"})
        app.deploy()
        assert not {"DATABASE_URL", "REDIS_URL"} & read_env_file(app.at.current / "env").keys()
        assert not (app.at.current / "env.direct").exists()

    def test_a_pooler_makes_another_release_and_says_so(self, app: App) -> None:
        install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9")
        record(app, "database", POSTGRESQL)
        first = app.deploy(**WANTED)
        assert app.deploy(**WANTED).action == "unchanged"
        record(app, "database", {**POSTGRESQL, "pooler": POOLER})
        second = app.deploy(**WANTED)
        assert second.release != first.release
        assert second.differences == [
            ("database.connections", "direct", "through the pooler /run/shop.pooler:6432"),
        ]

    @pytest.mark.parametrize(
        ("wanted", "pooler", "described"),
        [
            (WANTED, None, "postgresql, direct, by SQLAlchemy"),
            (WANTED, POOLER, "postgresql, through the pooler, by SQLAlchemy"),
            (
                WANTED,
                {**POOLER, "reason": "90 of 100"},
                "postgresql, through the pooler (90 of 100), by SQLAlchemy",
            ),
            (
                WANTED,
                {**POOLER, "prepared_statements": False, "automatic": True},
                "postgresql, past the pooler, by SQLAlchemy",
            ),
            (MANAGED, None, "db.example.org, direct, by SQLAlchemy"),
            ({}, None, ""),
        ],
    )
    def test_how_it_is_reached_is_told(
        self, app: App, wanted: dict[str, Any], pooler: dict[str, Any] | None, described: str
    ) -> None:
        install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9")
        record(app, "database", {**POSTGRESQL, "pooler": pooler})
        assert app.deploy(**wanted).database == described

    @pytest.mark.parametrize(
        ("recorded", "wanted", "message"),
        [
            ({}, WANTED, r"database\.provider of .* is postgresql, and this host has none for it: run groundwork"),
            ({"database": MARIADB}, WANTED, r"is postgresql, and this host has mariadb for it: run groundwork\.flask"),
            (
                {"redis": {"queue": "/q"}},
                {"redis": {"purpose": "both"}},
                r"redis\.purpose of .* is both, and this host has no cache for it: run groundwork\.flask\.site first",
            ),
        ],
    )
    def test_what_the_host_does_not_have_is_refused_before_anything_is_built(
        self, app: App, recorded: dict[str, Any], wanted: dict[str, Any], message: str
    ) -> None:
        for name, content in recorded.items():
            record(app, name, content)
        with pytest.raises(ReleaseError, match=message):
            app.deploy(**wanted)
        assert not app.at.releases.exists()
        assert app.system.steps == []
        predicted = app.engine(**wanted).predict()
        assert predicted.action == "to deploy"
        assert "for it: groundwork.flask.site makes it" in predicted.warnings[0]

    def test_a_server_that_nobody_knows_is_refused(self, app: App) -> None:
        with pytest.raises(ReleaseError, match=r"names no server that is known; these are: postgres, "):
            app.deploy(database={"url": "oracle://shop@db/shop"})

    @pytest.mark.parametrize(
        ("packages", "wanted", "requirement"),
        [
            (("sqlalchemy-2.1.9",), WANTED, "psycopg[binary]"),
            (("SQLAlchemy-1.4.54", "psycopg-3.2.1"), WANTED, "psycopg2-binary"),
            (("sqlalchemy-2.1.9", "psycopg-3.2.1"), {"database": {"url": "mysql://shop@db/shop"}}, "pymysql"),
        ],
    )
    def test_sqlalchemy_without_a_driver_is_refused(
        self, app: App, packages: tuple[str, ...], wanted: dict[str, Any], requirement: str
    ) -> None:
        install(app, *packages)
        record(app, "database", POSTGRESQL)
        with pytest.raises(ReleaseError) as error:
            app.deploy(**wanted)
        assert error.value.step == "install"
        assert f"add {requirement} to what the app requires" in error.value.message
        assert f"`requirements: ['{requirement}']` to flask_apps.{app.name}" in error.value.message

    def test_neither_sqlalchemy_nor_a_driver_is_a_warning(self, app: App) -> None:
        record(app, "database", POSTGRESQL)
        (warning,) = app.deploy(**WANTED).warnings
        assert warning.startswith("database: no driver for PostgreSQL is installed in the app's environment: add ")

    def test_psycopg_3_behind_a_pooler_without_prepared_statements(self, app: App) -> None:
        record(app, "database", {**POSTGRESQL, "pooler": {**POOLER, "prepared_statements": False}})
        install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9")
        with pytest.raises(ReleaseError) as error:
            app.deploy(**WANTED)
        for remedy in (
            "psycopg2-binary",
            "prepare_threshold=None",
            "skip_checks: [prepared_statements]",
            "pool: false",
        ):
            assert remedy in error.value.message
        assert app.deploy("b", **WANTED, skip_checks=["prepared_statements"]).action == "deployed"

    def test_psycopg_3_goes_past_such_a_pooler_that_was_not_asked_for(self, app: App) -> None:
        automatic = {**POOLER, "prepared_statements": False, "automatic": True}
        record(app, "database", {**POSTGRESQL, "pooler": automatic})
        install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9")
        (warning,) = app.deploy(**WANTED).warnings
        assert warning.startswith("database: the app connects directly, past the pooler")
        assert "psycopg2-binary" in warning
        assert "pool: false" in warning
        assert str(POOLER["socket"]) not in read_env_file(app.at.current / "env")["DATABASE_URL"]
        app.deploy("b", **WANTED, skip_checks=["prepared_statements"])
        assert str(POOLER["socket"]) in read_env_file(app.at.current / "env")["DATABASE_URL"]

    def test_with_both_drivers_such_a_pooler_gets_psycopg_2(self, app: App) -> None:
        record(app, "database", {**POSTGRESQL, "pooler": {**POOLER, "prepared_statements": False}})
        install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9", "psycopg2_binary-2.9.13")
        app.deploy(**WANTED)
        assert read_env_file(app.at.current / "env")["DATABASE_URL"].startswith("postgresql+psycopg2://")

    def test_a_driver_that_cannot_check_a_certificate_is_refused(self, app: App) -> None:
        install(app, "sqlalchemy-2.1.9", "pg8000-1.31.2")
        with pytest.raises(ReleaseError, match=r"the driver pg8000 cannot be told .* have the app install psycopg"):
            app.deploy(**MANAGED)


class TestPassword:
    """The password of a database elsewhere stands in the app's variables and nowhere else."""

    @pytest.fixture
    def managed(self, app: App) -> App:
        install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9")
        return app

    def deploy(self, app: App, password: str = PASSWORD, **changes: Any) -> Any:
        return app.engine({"DATABASE_PASSWORD": password}, **MANAGED, **changes).deploy()

    def test_it_is_in_the_address(self, managed: App) -> None:
        self.deploy(managed)
        encoded = quote(PASSWORD, safe="")
        url = f"postgresql+psycopg://shop:{encoded}@db.example.org/shop?{VERIFIED}"
        assert read_env_file(managed.at.current / "env")["DATABASE_URL"] == url

    def test_another_one_is_another_release_and_neither_is_shown(self, managed: App) -> None:
        self.deploy(managed, "first/secret")
        done = self.deploy(managed, "second/secret")
        assert done.changes == ["secrets.DATABASE_PASSWORD"]
        for shown in (json.dumps(done.differences), (managed.at.current / "definition.json").read_text()):
            for secret in ("first", "second"):
                assert secret not in shown

    @pytest.mark.parametrize("spelled", sorted(database_url.spellings(PASSWORD)))
    def test_no_message_has_it_however_it_is_spelled(self, managed: App, spelled: str) -> None:
        failed = f"connection to postgresql+psycopg://shop:{spelled}@db failed"
        managed.system.fail = {"groundwork_wsgi": failed}
        with pytest.raises(ReleaseError) as error:
            self.deploy(managed)
        assert spelled not in str(error.value)
        assert "shop:********@db failed" in str(error.value)
        assert spelled not in managed.at.ledger.read_text()

    def test_a_rollback_knows_it_from_the_live_release(self, managed: App) -> None:
        for colour in "ab":
            self.deploy(managed, environment={"WSGI_APP": "shop:app", "COLOUR": colour})
        encoded = quote(PASSWORD, safe="")
        assert encoded not in managed.on_host().secret_key.masked(f"//shop:{encoded}@db")


def test_a_command_by_hand_goes_past_the_pooler(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    install(app, "sqlalchemy-2.1.9", "psycopg-3.3.9")
    record(app, "database", {**POSTGRESQL, "pooler": POOLER})
    app.deploy(**WANTED)
    ran: list[Step] = []

    def interactive(_self: System, step: Step) -> int:
        ran.append(step)
        return 0

    monkeypatch.setattr(System, "interactive", interactive)
    monkeypatch.setattr(command, "engine", lambda _at, _by="": app.on_host())
    command.run(app.at, ["flask", "shell"], "")
    assert ran[0].environment["DATABASE_URL"].endswith("?host=/run/postgresql")
