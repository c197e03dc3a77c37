"""The clusters of a host, and how a superuser's session writes names and texts."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.database import clusters, server, superuser
from ansible_collections.groundwork.flask.plugins.module_utils.database.clusters import Cluster
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.postgresql import PostgreSQL, same_locale

LISTED = """\
15  main    5432 down   <unknown> /var/lib/postgresql/15/main /var/log/postgresql/postgresql-15-main.log
17  main    5433 online postgres /var/lib/postgresql/17/main /var/log/postgresql/postgresql-17-main.log
17  old     5432 online,recovery postgres /srv/pg/17 log
"""
MAIN = Cluster(17, "main", 5433)


def test_the_clusters_of_a_host_are_read_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "LSCLUSTERS", "/bin/true")
    monkeypatch.setattr(programs, "run", lambda *_a, **_k: subprocess.CompletedProcess((), 0, LISTED, ""))
    found = clusters.clusters()
    assert [(one.version, one.name, one.port, one.is_online) for one in found] == [
        (17, "main", 5433, True),
        (17, "old", 5432, True),
        (15, "main", 5432, False),
    ]
    assert clusters.at_port(5432, found).name == "old"  # the one that runs
    with pytest.raises(
        DatabaseError, match=r"no PostgreSQL cluster of this host has the port 5444; there are: 17/main"
    ):
        clusters.at_port(5444, found)


@pytest.mark.parametrize(
    ("text", "written"),
    [("shop", "'shop'"), ("o'neil", "'o''neil'"), ("a\\' OR 1", "E'a\\\\'' OR 1'"), ("$$;", "'$$;'")],
)
def test_a_text_is_quoted_whatever_the_settings_of_the_database(text: str, written: str) -> None:
    assert superuser.literal(text) == written


def test_a_name_is_quoted() -> None:
    assert superuser.identifier('a"b; --') == '"a""b; --"'
    assert superuser.connection_string("a'b\\ host=evil") == "dbname='a\\'b\\\\ host=evil'"
    for function in (superuser.identifier, superuser.literal):
        with pytest.raises(DatabaseError):
            function("a\0b")


def test_a_superuser_reads_no_file_and_begins_with_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def run(argv: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
        seen.update(more, argv=argv)
        return subprocess.CompletedProcess(argv, 0, '[{"n": 1}]\n', "")

    monkeypatch.setenv("PGOPTIONS", "-c search_path=evil")
    monkeypatch.setattr(programs, "run", run)
    assert superuser.Superuser(MAIN).rows("SELECT 1 AS n") == [{"n": 1}]
    argv, environment = seen["argv"], seen["environment"]
    assert isinstance(argv, list)
    assert isinstance(environment, dict)
    assert argv[:2] == ["/usr/bin/setpriv", "--reuid=postgres"]
    assert "-X" in argv
    assert "/usr/lib/postgresql/17/bin/psql" in argv
    assert environment["PGPORT"] == "5433"
    assert environment["HOME"] == "/nonexistent"
    assert "search_path=pg_catalog" in environment["PGOPTIONS"]
    assert "evil" not in environment["PGOPTIONS"]


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x1c", "\x0b"])
def test_a_name_that_an_app_gives_does_not_end_a_line(monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    answer = f'[{{"name": "hstore", "schema": "a{separator}b"}}]\n'
    monkeypatch.setattr(programs, "run", lambda *_a, **_k: subprocess.CompletedProcess((), 0, answer, ""))
    if separator in ("\x1c", "\x0b"):  # PostgreSQL writes these as \u001c and \u000b
        assert superuser.Superuser(MAIN).sql("SELECT") == [answer[:-1]]
    else:
        assert superuser.Superuser(MAIN).rows("SELECT")[0]["schema"] == f"a{separator}b"
    monkeypatch.setattr(programs, "run", lambda *_a, **_k: subprocess.CompletedProcess((), 0, "", ""))
    assert superuser.Superuser(MAIN).sql("SELECT WHERE false") == []


def test_a_database_is_dropped_whatever_its_app_has_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template is not dropped, nor one in which a transaction is prepared, for which a shut one is opened."""
    asked: list[str] = []

    def sql(_self: object, *statements: str, database: str = "", **_more: object) -> list[str]:
        asked.extend(f"{database}: {one}".removeprefix(": ") for one in statements)
        answers = {"pg_prepared_xacts": '[{"gid": "it\'s", "database": "shop"}]', "datallowconn": '[{"name": "shop"}]'}
        return [next((found for word, found in answers.items() if word in statements[0]), '[{"found": 1}]')]

    monkeypatch.setattr(superuser.Superuser, "sql", sql)
    PostgreSQL({"name": "shop", "port": 5433}, MAIN).drop("")
    assert 'ALTER DATABASE "shop" ALLOW_CONNECTIONS true' in asked
    assert asked[-3:] == [
        "shop: ROLLBACK PREPARED 'it''s'",
        'ALTER DATABASE "shop" IS_TEMPLATE false',
        'DROP DATABASE IF EXISTS "shop" WITH (FORCE)',
    ]


def test_a_server_touches_no_database_of_another_app() -> None:
    shop = PostgreSQL({"name": "shop", "port": 5433}, MAIN)
    for call in (shop.drop, shop.size, shop.exists):
        with pytest.raises(DatabaseError, match="shopping is no database of shop"):
            call("shopping")


def test_a_command_as_the_app_names_the_programs_of_the_servers_version() -> None:
    shop = PostgreSQL({"name": "shop", "port": 5433}, MAIN)
    argv = shop.dump("/tmp/dump", "shop.fresh")
    assert argv[:2] == ["/usr/bin/python3", "-I"]
    assert argv[3] == "dump"
    assert '"/usr/lib/postgresql/17/bin"' in argv[4]
    assert '"shop.fresh"' in argv[4]


@pytest.mark.parametrize(
    ("more", "written"),
    [
        ({"provider": "c", "icu": None, "locale": None}, ""),
        ({"provider": "i", "icu": "de-DE", "locale": None}, " LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
        ({"provider": "b", "icu": None, "locale": "C.UTF-8"}, " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
    ],
)
def test_a_fresh_database_sorts_as_the_live_one(more: dict[str, object], written: str) -> None:
    live = {"encoding": "UTF8", "collation": "C", "type": "C.UTF-8", **more}
    assert same_locale(live) == f"ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'{written}"


def test_a_record_of_an_unknown_server_is_refused() -> None:
    with pytest.raises(DatabaseError, match="'oracle' is no database server"):
        server.of({"provider": "oracle", "name": "shop"})
