"""What each role is given of an app."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.apps_for import apps_for
from ansible_collections.groundwork.flask.plugins.filter.release_once import release_once
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, role_inputs
from ansible_collections.groundwork.flask.tests.unit.flask_app import SMALLEST, SUM, app

DATA = on_host("data", "shop")


def test_an_app_below_a_path_of_another_s_domain() -> None:
    shop, blog = model.load(
        {**app(), "blog": {**SMALLEST, "health_path": "/up?deep=1", "proxy": {"prefix": "/blog", "cache": "1m"}}}
    )
    assert role_inputs.certificates(blog) == {}
    assert role_inputs.certificates(shop)["name"] == "shop"
    site = role_inputs.site(blog)
    assert site["certificate"] == on_host("certificate", "shop")
    assert site["paths"] == {"/up": {"access_log": False}}
    assert (site["prefix"], site["cache"]) == ("/blog", 60)
    release = role_inputs.releases(blog)
    assert release["environment"]["GROUNDWORK_PREFIX"] == "/blog"
    assert release["health"] == {
        "host": "shop.example.org", "path": "/blog/up?deep=1", "timeout": 60, "prefix": "/blog"
    }  # fmt: skip
    assert "GROUNDWORK_PREFIX" not in role_inputs.releases(shop)["environment"]


def test_uploads_are_served_and_run_nothing() -> None:
    (record,) = model.load(
        app(
            proxy={
                "media": {"/media/": {"directory": "uploads/public", "expires": "1d"}},
                "paths": {"/media": {"allow": ["::1"]}},
            }
        )
    )
    assert role_inputs.accounts(record) == {"name": "shop", "readable": ["uploads/public"]}
    site = role_inputs.site(record)
    assert site["static"] == {"/media/": {"directory": f"{DATA}/uploads/public", "expires": 86400}}
    assert site["paths"]["/media"]["allow"] == ["::1"]
    assert "script-src 'none'" in site["paths"]["/media"]["headers"]["Content-Security-Policy"]
    assert "media" not in site
    assert role_inputs.releases(record)["static"] == {}


def test_the_health_check_keeps_what_its_path_has_otherwise() -> None:
    guarded = {"paths": {"/up": {"allow": ["192.0.2.1"]}}}
    (record,) = model.load(app(health_path="/up", proxy=guarded))
    assert role_inputs.site(record)["paths"] == {"/up": {"access_log": False, "allow": ["192.0.2.1"]}}


def test_the_largest_body_that_passes_anywhere_counts() -> None:
    def limit(**proxy: Any) -> int:
        (record,) = model.load(app(proxy=proxy))
        return int(role_inputs.releases(record)["body_limit"])

    assert limit(paths={"/upload": {"client_max_body_size": "20m"}}) == 20 << 20
    assert limit(client_max_body_size="2m", paths={"/upload": {"client_max_body_size": "0"}}) == 0


def test_static_files_are_published_below_current() -> None:
    (site,) = (role_inputs.site(record) for record in model.load(app(proxy={"static": {"/static/": "shop/static"}})))
    assert site["static"] == {"/static/": {"directory": f"{on_host('current', 'shop')}/public/static"}}


def test_the_proxy_waits_longer_than_the_server() -> None:
    (record,) = model.load(app(server={"timeout": 90}))
    assert role_inputs.site(record)["read_timeout"] == 95


def test_a_release_brings_its_server_and_finds_the_app() -> None:
    (record,) = model.load(app(server={"worker_class": "gevent"}))
    release = role_inputs.releases(record)
    assert release["requirements"] == ["gunicorn[gevent]>=23"]
    assert release["environment"]["FLASK_APP"] == "shop:create_app()"
    assert release["environment"]["FLASK_DEBUG"] == "0"
    assert {
        "start",
        "workers.py",
        "server.json",
        "gunicorn.conf.py",
        "entry/groundwork_wsgi.py",
        "entry/sitecustomize.py",
        "entry/groundwork_errors.py",
        "entry/groundwork_filter.py",
    } == set(release["files"])


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ({"git": "x"}, {"git": "x", "version": "HEAD"}),
        ({"directory": "../shop"}, {"directory": "../shop"}),
        ({"archive": "shop.zip"}, {"archive": "shop.zip"}),
        ({"archive": "https://x.org/shop.zip", "checksum": SUM.upper().replace("SHA", "sha")},
         {"archive": "https://x.org/shop.zip", "checksum": SUM}),
        ({"package": "shop[pg,s3]==1.4.post1"}, {"package": "shop[pg,s3]==1.4.post1"}),
    ],
)  # fmt: skip
def test_a_source_has_the_keys_of_its_kind(source: Any, given: Any) -> None:
    (record,) = model.load(app(source=source))
    assert role_inputs.releases(record)["source"] == given


def test_what_a_release_is_told_beside_its_source() -> None:
    (plain,) = model.load(app())
    expected = {
        "extras": [],
        "wheels": "",
        "skip_checks": [],
        "body_limit": 1 << 20,
        "save_commands": [],
        "release_command_hosts": "",
    }
    release = role_inputs.releases(plain)
    assert {key: release[key] for key in expected} == expected
    (full,) = model.load(
        app(
            extras=["postgres"],
            wheels="../wheels",
            skip_checks=["https", "stable"],
            backup={"before": ["dump"]},
            release_command_hosts="each",
        )
    )
    expected |= {
        "extras": ["postgres"],
        "wheels": "../wheels",
        "skip_checks": ["https", "stable"],
        "save_commands": ["dump"],
        "release_command_hosts": "each",
    }
    release = role_inputs.releases(full)
    assert {key: release[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("size", "limit"), [("0", 0), ("512", 512), ("8k", 8192), ("20M", 20 * 1024**2), ("1g", 1024**3)]
)
def test_the_proxys_limit_in_bytes(size: str, limit: int) -> None:
    (record,) = model.load(app(proxy={"client_max_body_size": size}))
    assert role_inputs.releases(record)["body_limit"] == limit


@pytest.mark.parametrize(
    ("value", "shared"),
    [
        ("postgresql://me:pw@db.example.org/shop", True),
        ("postgres://db.example.org/shop", True),
        ("postgresql+psycopg://me:p:/?w@10.0.0.5:5432/shop", True),
        ("mysql+pymysql://me@db/shop", True),
        ("mariadb://[2001:db8::5]/shop", True),
        ("MSSQL+pyodbc://me@db/shop", True),
        ("cockroachdb://db:26257/shop", True),
        ("postgresql:///shop", False),
        ("postgresql:///shop?host=/run/postgresql", False),
        ("postgresql://%2Frun%2Fpostgresql/shop", False),
        ("postgresql://me:pw@localhost/shop", False),
        ("postgresql://127.0.0.1:5432/shop", False),
        ("mysql://me@[::1]:3306/shop", False),
        ("sqlite:////var/lib/shop/shop.db", False),
        ("redis://cache.example.org/0", False),
        ("https://example.org/?next=postgresql://db/shop", False),
        ("", False),
    ],
)
def test_a_network_database_is_shared_by_all_hosts(value: str, shared: bool) -> None:
    assert role_inputs.shares_database({"A": "b", "DATABASE_URL": value}, {}) is shared
    assert role_inputs.shares_database({}, {"DATABASE_URL": value}) is shared


@pytest.mark.parametrize(
    ("options", "url", "once"),
    [
        ({"release_command": "flask db upgrade"}, "postgresql://db/shop", ["shop"]),
        ({"release_command": "flask db upgrade"}, "postgresql:///shop", []),
        ({"release_command": "flask db upgrade", "release_command_hosts": "each"}, "postgresql://db/shop", []),
        ({"release_command": "flask db upgrade", "release_command_hosts": "first"}, "sqlite:///x", ["shop"]),
        ({}, "postgresql://db/shop", []),
    ],
)
def test_where_a_release_command_runs(options: Any, url: str, once: list[str]) -> None:
    assert release_once(apps_for(app(**options), "release"), {"shop": {"DATABASE_URL": url}}) == once
    assert release_once(apps_for(app(environment={"DATABASE_URL": url}, **options), "release")) == once


def test_a_release_command_for_a_database_elsewhere_runs_once() -> None:
    for database, once in (({"url": "postgresql://shop@db/shop"}, ["shop"]), ({"provider": "postgresql"}, [])):
        assert release_once(apps_for(app(release_command="flask db upgrade", database=database), "release")) == once


def test_a_backup_set_s_commands_and_files_are_the_app_s() -> None:
    (plain,) = apps_for(app(), "backup")
    assert plain == {
        "name": "shop",
        "paths": [DATA],
        "before": [],
        "after": [],
        "restore": [],
        "services": [],
        "user": "shop",
        "owner": "shop",
    }
    (full,) = apps_for(
        app(
            backup={"paths": ["/srv/exports", "uploads"], "before": ["dump"], "after": ["tidy"], "restore": ["load"]},
            database={"provider": "postgresql"},
            redis={"purpose": "both"},
        ),
        "backup",
    )
    assert full["paths"] == [DATA, "/srv/exports"]
    assert [full[key] for key in ("before", "after", "restore")] == [["dump"], ["tidy"], ["load"]]
    assert (full["services"], full["user"]) == (["postgresql", "redis"], "shop")
    (other,) = apps_for(app(database={"url": "postgresql://db.example.org/shop"}, redis={"purpose": "cache"}), "backup")
    assert other["services"] == []


def test_a_database_and_redis_are_asked_for_where_an_app_has_them() -> None:
    assert apps_for(app(), "database") == apps_for(app(), "redis") == []
    (database,) = apps_for(
        app(
            database={"provider": "postgresql", "extensions": ["citext"]},
            server={"workers": 3, "threads": 4},
            processes={"worker": {"command": "rq worker", "count": 2}, "beat": {"command": "beat"}},
            jobs={"nightly": {"command": "flask report", "schedule": "daily"}},
        ),
        "database",
    )
    connections = {"workers": 3, "worker_memory": 100, "threads": 4, "processes": 3, "jobs": 1}
    assert database == {
        "name": "shop",
        "provider": "postgresql",
        "pool": None,
        "extensions": ["citext"],
        "locale": "C.UTF-8",
        **connections,
    }
    assert apps_for(app(redis={"purpose": "cache", "maxmemory": "1gb"}), "redis") == [
        {"name": "shop", "purpose": "cache", "maxmemory": "1gb"}
    ]
    assert apps_for(app(database={"url": "postgresql://db.example.org/shop"}), "database") == []


def test_flask_finds_a_bare_module_as_the_server_does() -> None:
    (record,) = model.load(app(wsgi_app="shop"))
    assert role_inputs.releases(record)["environment"]["FLASK_APP"] == "shop:application"
    (record,) = model.load(app(wsgi_app="wrapper:app", environment={"FLASK_APP": "shop.cli:create_app"}))
    environment = role_inputs.releases(record)["environment"]
    assert (environment["FLASK_APP"], environment["WSGI_APP"]) == ("shop.cli:create_app", "wrapper:app")


def test_packages_are_named_once() -> None:
    records = model.load(
        {
            "shop": {**SMALLEST, "packages": ["gcc", "libpq-dev"]},
            "blog": {**SMALLEST, "domains": ["blog.example.org"], "packages": ["gcc"], "python": "3.13"},
        }
    )
    assert role_inputs.packages(records) == ["gcc", "git", "libpq-dev"]
