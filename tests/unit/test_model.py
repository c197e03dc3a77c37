"""The model: what it takes, what it refuses and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter.app_problems import app_problems
from ansible_collections.groundwork.flask.plugins.filter.apps_for import apps_for
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain
from ansible_collections.groundwork.flask.tests.unit.flask_app import SMALLEST, SUM, app, problems


def test_the_smallest_app_gets_every_default() -> None:
    (shop,) = model.load(app())
    assert shop.health_path == "/"
    assert shop.server == "gunicorn"
    assert shop.server_options["worker_class"] == "gthread"
    assert shop.server_options["workers"] is None
    assert shop.certificate.provider == "acme"
    assert shop.proxy.site.settings.client_max_body_size == "1m"
    assert shop.proxy_fix
    assert not shop.debug


def test_no_apps_are_no_problem() -> None:
    assert model.load(None) == ()
    assert model.load({}) == ()


REFUSALS = [
    (
        {**app(), "old": {**SMALLEST, "domains": ["old.example.org"], "replaces": "x, shop"}},
        "flask_apps.old.replaces: 'shop' is in flask_apps itself: take it out there if old has come in its place; a "
        "domain moves from one app of flask_apps to another when you move it there",
    ),
    (
        app(replaces=["old"]),
        "flask_apps.shop.replaces: ['old'] is not the name of an app: write the one from which this app takes over "
        "domains",
    ),
    (
        app(workers=3),
        "flask_apps.shop.workers is not an option: it belongs below server, as `server: {workers: …}`",
    ),
    (
        app(relase_command="x"),
        "flask_apps.shop.relase_command is not an option: did you mean release_command?",
    ),
    (
        {"shop": {key: value for key, value in SMALLEST.items() if key != "domains"}},
        "flask_apps.shop.domains is missing: write `domains: [www.example.org]`",
    ),
    (
        {"shop": {key: value for key, value in SMALLEST.items() if key != "wsgi_app"}},
        "flask_apps.shop.wsgi_app is missing: write `wsgi_app: module:app or wsgi_app: module:create_app()`",
    ),
    (
        {"shop": {key: value for key, value in SMALLEST.items() if key != "source"}},
        "flask_apps.shop.source is missing: write `source: {git: URL, version: v1.2} or source: {directory: PATH}`",
    ),
    (
        {**app(), "other": SMALLEST},
        "flask_apps.other.domains: 'shop.example.org' stands in flask_apps.shop.domains too: keep it in one place, "
        "or give one of them a prefix of its own (proxy.prefix)",
    ),
    (
        app(checksum=SUM),
        "flask_apps.shop.checksum is not an option: it belongs below source, as `source: {checksum: …}`",
    ),
    (
        app(release_command_timeout=0),
        "flask_apps.shop.release_command_timeout: 0 is out of range: take 1 to 86400",
    ),
    (
        app(requirements=["set up tools"]),
        'flask_apps.shop.requirements: \'set up tools\' cannot be used: write each as "name" or "name>=1.2", in quotes '
        "(the app's own project is installed anyway)",
    ),
    (
        app(release_command_hosts="frist"),
        "flask_apps.shop.release_command_hosts: 'frist' is not one of first, each: did you mean first?",
    ),
    (
        app(python=3.12),
        'flask_apps.shop.python: 3.12 is not a Python version: write it as "3.12", in quotes',
    ),
    (
        app(health_path="healthz"),
        "flask_apps.shop.health_path: 'healthz' is not a path: begin it with /",
    ),
    (
        {"www-data": SMALLEST},
        "flask_apps.www-data: 'www-data' is the name of a system account: call the app www-data-app or the like",
    ),
    (
        {"My Shop": SMALLEST},
        "flask_apps.My Shop: 'My Shop' cannot be an app's name: use at most 30 of a-z, 0-9, - and _, "
        "beginning with a letter",
    ),
    (
        {"shop": "git"},
        "flask_apps.shop: 'git' is not a map: write its options below it, one `key: value` a line",
    ),
    (
        ["shop"],
        "flask_apps: ['shop'] is not a map: write each app as `name:` with its options below it",
    ),
]


@pytest.mark.parametrize(("apps", "sentence"), REFUSALS, ids=[sentence[:60] for _apps, sentence in REFUSALS])
def test_refusals_name_app_field_value_and_remedy(apps: Any, sentence: str) -> None:
    assert sentence in problems(apps)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("apt", "a directory of the system"),
        ("dpkg", "a directory of the system"),
        ("private", "a directory of the system"),
        ("letsencrypt", "a directory of the system"),
        ("cloud", "a directory of the system"),
        ("getty", "a unit of systemd"),
        ("user", "a unit of systemd"),
        ("serial-getty", "a unit of systemd"),
        ("systemd-networkd", "a part of the system"),
        ("systemd", "a directory of the system"),
        ("docker", "a system account"),  # installing Docker would make the app's group its own
        ("sshd", "a system account"),
        ("python3", "a program of the system"),
        ("sh", "a program of the system"),
    ],
)
def test_names_of_the_system_cannot_be_apps(name: str, what: str) -> None:
    said = f"flask_apps.{name}: {name!r} is the name of {what}: call the app {name}-app or the like"
    assert problems({name: SMALLEST}) == [said]


@pytest.mark.parametrize("name", ["git", "deploy", "gunicorn", "api", "status", "wiki", "user-portal", "cloudy"])
def test_names_that_only_some_hosts_have(name: str) -> None:
    """Whether they are free is looked up on the host."""
    assert [record.name for record in model.load({name: SMALLEST})] == [name]


def test_all_problems_are_told_at_once() -> None:
    found = problems(app(wsgi_app="?", domains=[7], server={"threads": -1}))
    assert len(found) == 3


@pytest.mark.parametrize(
    ("secrets", "sentence"),
    [
        ({"shpo": {"A": "b"}}, "flask_app_secrets.shpo is not an option: did you mean shop?"),
        (
            {"shop": {"A": True}},
            "flask_app_secrets.shop.A is a boolean: environment variables are text, put it in quotes",
        ),
        (
            {"shop": {"FLASK_APP": "x"}},
            "flask_app_secrets.shop.FLASK_APP cannot be set here: it follows from wsgi_app, and another one, which is "
            "no secret, belongs into environment",
        ),
        (
            {"shop": {"TOKEN": "x"}},
            "flask_app_secrets.shop.TOKEN stands in flask_apps.shop.environment too: keep the one here",
        ),
        ({"shop": "x"}, "flask_app_secrets.shop is not a map: write `shop: {NAME: value}`"),
        (["shop"], "flask_app_secrets is not a map: write each app as `name:` with what belongs to it below"),
    ],
)
def test_refused_secrets(secrets: Any, sentence: str) -> None:
    assert sentence in problems(app(environment={"TOKEN": "public"}), secrets)


def test_a_secret_is_never_shown() -> None:
    said = "\n".join(problems(app(), {"shop": {"KEY": ["hunter2"], "BAD-NAME": "hunter2", "ZERO": "hunter2\0"}}))
    assert "hunter2" not in said


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n"


BY_SSH = app(source={"git": "git@example.org:acme/shop.git"})


@pytest.mark.parametrize(
    ("apps", "keys", "sentence"),
    [
        (BY_SSH, {"shpo": KEY}, "flask_deploy_keys.shpo is not an option: did you mean shop?"),
        (
            BY_SSH,
            {"shop": "~/.ssh/hunter2"},
            "flask_deploy_keys.shop is not a private key: give the whole text of the key's file, which begins with "
            "-----BEGIN",
        ),
        (
            BY_SSH,
            {"shop": ["hunter2"]},
            "flask_deploy_keys.shop is not a private key: give the whole text of the key's file, which begins with "
            "-----BEGIN",
        ),
        (
            app(source={"package": "shop==1.4"}),
            {"shop": KEY},
            "flask_deploy_keys.shop has no use: flask_apps.shop.source is a package of the index, for which nothing is "
            "fetched by SSH: remove the key",
        ),
        (BY_SSH, KEY, "flask_deploy_keys is not a map: write each app as `name:` with what belongs to it below"),
    ],
)
def test_refused_deploy_keys(apps: Any, keys: Any, sentence: str) -> None:
    found = problems(apps, None, keys)
    assert sentence in found
    assert "hunter2" not in "\n".join(found)
    assert app_problems(apps, {}, None, keys) == found


def test_a_secret_key_may_be_given_as_a_secret() -> None:
    assert model.load(app(), {"shop": {"SECRET_KEY": "k" * 64}})


def test_variables_that_follow_from_a_database_or_redis_cannot_be_set() -> None:
    """Those alone that do: an app with a cache on this host may have its Celery's broker elsewhere."""
    wanted = {"database": {"provider": "postgresql"}, "redis": {"purpose": "cache"}}
    given = {"DATABASE_URL": "x", "REDIS_URL": "x", "CELERY_BROKER_URL": "amqp://x"}
    for where, found in (
        ("flask_apps.shop.environment", problems(app(environment=given, **wanted))),
        ("flask_app_secrets.shop", problems(app(**wanted), {"shop": given})),
    ):
        assert found == [
            f"{where}.DATABASE_URL cannot be set here: it follows from `database`: take it out here, or `database` out "
            "of flask_apps",
            f"{where}.REDIS_URL cannot be set here: it follows from `redis`: take it out here, or `redis` out of "
            "flask_apps",
        ]
    assert model.load(app(environment=given)), "an app without either has them for itself"


def test_the_password_of_a_database_is_a_secret() -> None:
    managed = {"url": "postgresql://shop@db.example.org/shop"}
    assert problems(app(database=managed, environment={"DATABASE_PASSWORD": "hunter2"})) == [
        "flask_apps.shop.environment.DATABASE_PASSWORD cannot be set here: it is a secret, so put it into "
        "flask_app_secrets.shop"
    ]
    assert model.load(app(database=managed), {"shop": {"DATABASE_PASSWORD": "hunter2"}})


FOUR = {
    "shop": SMALLEST,
    "blog": {**SMALLEST, "domains": ["blog.example.org"], "source": {"package": "blog[pg]==1.4"}},
    "wiki": {**SMALLEST, "domains": ["wiki.example.org"], "source": {"directory": "../wiki"}},
    "feed": {**SMALLEST, "domains": ["feed.example.org"], "source": {"archive": "feed.zip"}},
}


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("", ["shop", "blog", "wiki", "feed"]),
        (None, ["shop", "blog", "wiki", "feed"]),
        ([], ["shop", "blog", "wiki", "feed"]),
        ("blog", ["blog"]),
        ("blog, shop,", ["shop", "blog"]),
        (["wiki", "shop"], ["shop", "wiki"]),
    ],
)
def test_some_apps_in_their_order(only: Any, names: list[str]) -> None:
    for role in ("release", "proxy", "backup"):
        assert [record["name"] for record in apps_for(FOUR, role, only)] == names


def test_packages_of_some_apps() -> None:
    assert apps_for(FOUR, "packages", "shop") == ["git"]
    assert apps_for(FOUR, "packages", "wiki") == []


@pytest.mark.parametrize(
    ("only", "version", "source"),
    [
        ("shop", "v1.3", {"git": "https://example.org/shop.git", "version": "v1.3"}),
        (["shop"], "1.3", {"git": "https://example.org/shop.git", "version": "1.3"}),
        ("shop", "", {"git": "https://example.org/shop.git", "version": "v1.2"}),
        ("shop", None, {"git": "https://example.org/shop.git", "version": "v1.2"}),
        ("blog", "1.5", {"package": "blog[pg]==1.5"}),
    ],
)
def test_another_version_of_one_app(only: Any, version: Any, source: dict[str, str]) -> None:
    assert apps_for(FOUR, "release", only, version)[0]["source"] == source
    assert apps_for({"shop": SMALLEST}, "release", version="v9")[0]["source"]["version"] == "v9"


@pytest.mark.parametrize(
    ("only", "version", "sentence"),
    [
        ("shpo", "", "app: 'shpo' is not in flask_apps: known are shop, blog, wiki, feed"),
        (
            "shop,blog",
            "v1",
            "version: 'v1' fits one app only, and 2 are chosen (shop, blog): name one, as in -e app=NAME",
        ),
        (
            "",
            "v1",
            "version: 'v1' fits one app only, and 4 are chosen (shop, blog, wiki, feed): name one, as in -e app=NAME",
        ),
        (
            "wiki",
            "v1",
            "version: 'v1' does not fit flask_apps.wiki.source.directory, which is taken as it is: check it out "
            "there, and name none here",
        ),
        (
            "feed",
            "v1",
            "version: 'v1' does not fit flask_apps.feed.source.archive, which is taken as it is: change archive and "
            "checksum instead",
        ),
        (
            "shop",
            1.2,
            "version: 1.2 is not a text: write it exactly and in quotes, as YAML takes 1.10 for the number 1.1",
        ),
        ("shop", 2, "version: 2 is not a text: write it exactly and in quotes, as YAML takes 1.10 for the number 1.1"),
        ("shop", "-x", "version: '-x' is not a branch, tag or commit: write it exactly, as v1.2"),
        ("blog", ">1", "version: '>1' is not the version of a package: write it exactly, as 1.5"),
    ],
)
def test_refused_choices(only: Any, version: Any, sentence: str) -> None:
    with pytest.raises(AnsibleFilterError) as refusal:
        apps_for(FOUR, "release", only, version)
    assert str(refusal.value) == sentence


def test_lazy_containers_become_plain_ones() -> None:
    class Tagged(str):
        """As ansible-core 2.19 hands texts over."""

    assert plain({"a": [Tagged("b")]})["a"][0].__class__ is str


# --- processes and jobs ----------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": {"web": {"command": "x"}}}, "processes.web: 'web' is the name of the WSGI server"),
        ({"processes": {"Worker": {"command": "x"}}}, "processes.Worker: 'Worker' cannot be a name"),
        ({"processes": {"worker": {}}}, "processes.worker.command is missing: write `command:"),
        ({"processes": {"worker": {"command": "x", "kind": "rqq"}}}, "did you mean rq?"),
        ({"processes": {"worker": {"command": "x", "cuont": 2}}}, "did you mean count?"),
        ({"processes": {"worker": {"command": " "}}}, "processes.worker.command is missing: write `command:"),
        ({"processes": {"beat": {"command": "celery beat", "count": 2}}}, "beat.count: 2 is too many of `celery beat`"),
        (
            {"processes": {"worker": {"command": "dramatiq shop", "stop_timeout": 900}}},
            "stop_timeout: 900 is more than the 600 s after which Dramatiq ends its jobs by itself: add "
            "`--worker-shutdown-timeout 900000` to the command",
        ),
        ({"processes": ["worker"]}, "processes: ['worker'] is not a map: write each as"),
        ({"jobs": {"nightly": {"command": "x"}}}, 'jobs.nightly.schedule is missing: write `schedule: "*-*-* 03:00"`'),
        (
            {"processes": {"mail": {"command": "x"}}, "jobs": {"mail": {"command": "y", "schedule": "daily"}}},
            "jobs.mail is the name of a process too",
        ),
        ({"redis": {"purpose": "queue", "maxmemory": "128 MB"}}, "write it as 128mb"),
        ({"database": {"provider": "postgres"}}, "did you mean postgresql?"),
    ],
)
def test_processes_jobs_and_services_are_checked(options: dict[str, Any], message: str) -> None:
    assert any(message in problem for problem in problems(app(**options)))


@pytest.mark.parametrize(
    ("command", "given", "kind"),
    [("huey_consumer shop.huey", {}, "huey"), ("flask work", {}, "plain"), ("rq worker", {"kind": "plain"}, "plain")],
)
def test_the_kind_of_a_process_follows_from_its_command(command: str, given: dict[str, Any], kind: str) -> None:
    (found,) = model.load(app(processes={"worker": {"command": command, **given}}))
    assert found.processes["worker"]["kind"] == kind
