"""The model: what it takes, what it refuses and in which words, and what each role is given."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import model

SMALLEST: dict[str, Any] = {
    "source": {"git": "https://example.org/shop.git", "version": "v1.2"},
    "wsgi_app": "shop:create_app()",
    "domains": ["shop.example.org"],
}


def app(**options: Any) -> dict[str, Any]:
    """flask_apps with one app, the smallest one plus these options."""
    return {"shop": {**SMALLEST, **options}}


def problems(apps: Any, secrets: Any = None) -> list[str]:
    with pytest.raises(model.ModelError) as refusal:
        model.load(apps, secrets)
    return refusal.value.problems


def test_the_smallest_app_gets_every_default() -> None:
    (shop,) = model.load(app())
    assert shop.health_path == "/"
    assert shop.server == "gunicorn"
    assert shop.server_options["worker_class"] == "gthread"
    assert shop.server_options["workers"] is None
    assert shop.certificate.provider == "acme"
    assert shop.proxy.client_max_body_size == "1m"
    assert shop.proxy_fix
    assert not shop.debug


def test_no_apps_are_no_problem() -> None:
    assert model.load(None) == ()
    assert model.load({}) == ()


@pytest.mark.parametrize(
    "callable_",
    [
        "shop",
        "shop:app",
        "shop.web:app",
        "shop:web.app",
        "shop:create_app()",
        "shop:create_app('production', debug=False)",
    ],
)
def test_callables_that_gunicorn_takes(callable_: str) -> None:
    assert model.load(app(wsgi_app=callable_))[0].wsgi_app == callable_


REFUSALS = [
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
        "flask_apps.other.domains: 'shop.example.org' stands in flask_apps.shop.domains too: keep it in one place",
    ),
    (
        app(domains=["a.example.org", "a.example.org"]),
        "flask_apps.shop.domains: 'a.example.org' stands twice: keep it in one place",
    ),
    (
        app(domains=["https://shop.example.org"]),
        "flask_apps.shop.domains: 'https://shop.example.org' cannot be used: a domain is written in lower case, "
        "without scheme, port or *, as www.example.org",
    ),
    (
        app(domains="shop.example.org"),
        "flask_apps.shop.domains: 'shop.example.org' is not a list: write `domains: [first, second]`",
    ),
    (
        app(wsgi_app="shop create_app"),
        "flask_apps.shop.wsgi_app: 'shop create_app' is not a WSGI callable: write module:app, or module:create_app() "
        "for a factory",
    ),
    (
        app(wsgi_app="shop:create_app(os.environ)"),
        "flask_apps.shop.wsgi_app: 'shop:create_app(os.environ)' calls the factory with something else than literals: "
        "give plain values only",
    ),
    (
        app(server={"worker_class": "gthred"}),
        "flask_apps.shop.server.worker_class: 'gthred' is not one of sync, gthread, gevent: did you mean gthread?",
    ),
    (
        app(server={"worker_class": "eventlet"}),
        "flask_apps.shop.server.worker_class: 'eventlet' is not offered: Gunicorn 26 removed the eventlet worker and "
        "eventlet's authors advise against new use: take gevent or gthread",
    ),
    (
        app(server={"threads": 0}),
        "flask_apps.shop.server.threads: 0 is out of range: take 1 to 1024",
    ),
    (
        app(server={"threads": "many"}),
        "flask_apps.shop.server.threads: 'many' is not a whole number from 1 to 1024",
    ),
    (
        app(environment={"SECRET_KEY": "hunter2"}),
        "flask_apps.shop.environment.SECRET_KEY cannot be set here: put it into flask_app_secrets, or leave it out: "
        "one is generated on the host",
    ),
    (
        app(environment={"FLASK_DEBUG": "1"}),
        "flask_apps.shop.environment.FLASK_DEBUG cannot be set here: set `debug: true` if you insist",
    ),
    (
        app(environment={"MAIL_TLS": True}),
        "flask_apps.shop.environment.MAIL_TLS is a boolean: environment variables are text, put it in quotes",
    ),
    (
        app(source={"git": "x", "directory": "y"}),
        "flask_apps.shop.source: {'git': 'x', 'directory': 'y'} needs exactly one of git and directory",
    ),
    (
        app(source={"directory": "../shop", "version": "v1"}),
        "flask_apps.shop.source.version: 'v1' belongs to git: a directory is taken as it is",
    ),
    (
        app(python=3.12),
        'flask_apps.shop.python: 3.12 is not a text: is not a Python version: write it as "3.12", in quotes',
    ),
    (
        app(health_path="healthz"),
        "flask_apps.shop.health_path: 'healthz' is not a path: begin it with /",
    ),
    (
        app(proxy={"static": {"/static": "static"}}),
        "flask_apps.shop.proxy.static./static: '/static' is not a URL prefix: begin and end it with /, as /static/",
    ),
    (
        app(proxy={"static": {"/static/": "../secrets"}}),
        "flask_apps.shop.proxy.static./static/: '../secrets' is not a directory of the source: write it relative to "
        "the source's top",
    ),
    (
        app(proxy={"client_max_body_size": "20 MB"}),
        "flask_apps.shop.proxy.client_max_body_size: '20 MB' is not a size: write it as 20m, in nginx's notation",
    ),
    (
        app(certificate={"provider": "files"}),
        "flask_apps.shop.certificate.fullchain is missing: with provider files, give the path of a PEM file",
    ),
    (
        app(certificate={"provider": "letsencrypt"}),
        "flask_apps.shop.certificate.provider: 'letsencrypt' is not one of acme, self_signed, files: take one of these",
    ),
    (
        app(sandbox={"MemoryDenyWriteExecut": False}),
        "flask_apps.shop.sandbox.MemoryDenyWriteExecut is not an option: did you mean MemoryDenyWriteExecute?",
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
        ({"shop": {"FLASK_APP": "x"}}, "flask_app_secrets.shop.FLASK_APP cannot be set here: it follows from wsgi_app"),
        (
            {"shop": {"TOKEN": "x"}},
            "flask_app_secrets.shop.TOKEN stands in flask_apps.shop.environment too: keep the one here",
        ),
        ({"shop": "x"}, "flask_app_secrets.shop is not a map: write `shop: {NAME: value}`"),
    ],
)
def test_refused_secrets(secrets: Any, sentence: str) -> None:
    assert sentence in problems(app(environment={"TOKEN": "public"}), secrets)


def test_a_secret_is_never_shown() -> None:
    said = "\n".join(problems(app(), {"shop": {"KEY": ["hunter2"], "BAD-NAME": "hunter2", "ZERO": "hunter2\0"}}))
    assert "hunter2" not in said


def test_a_secret_key_may_be_given_as_a_secret() -> None:
    assert model.load(app(), {"shop": {"SECRET_KEY": "k" * 64}})


def test_static_files_are_published_below_current() -> None:
    (site,) = (model.sites(record) for record in model.load(app(proxy={"static": {"/static/": "shop/static"}})))
    assert site["static"] == {"/static/": "/srv/shop/current/public/static"}


def test_the_proxy_waits_longer_than_the_server() -> None:
    (record,) = model.load(app(server={"timeout": 90}))
    assert model.sites(record)["read_timeout"] == 95


def test_a_release_brings_its_server_and_finds_the_app() -> None:
    (record,) = model.load(app(server={"worker_class": "gevent"}))
    release = model.releases(record)
    assert release["requirements"] == ["gunicorn[gevent]>=23"]
    assert release["environment"]["FLASK_APP"] == "shop:create_app()"
    assert release["environment"]["FLASK_DEBUG"] == "0"
    assert {"start", "server.json", "gunicorn.conf.py", "entry/groundwork_wsgi.py"} == set(release["files"])


def test_flask_finds_a_bare_module_as_the_server_does() -> None:
    (record,) = model.load(app(wsgi_app="shop"))
    assert model.releases(record)["environment"]["FLASK_APP"] == "shop:application"


def test_packages_are_named_once() -> None:
    records = model.load(
        {
            "shop": {**SMALLEST, "packages": ["gcc", "libpq-dev"]},
            "blog": {**SMALLEST, "domains": ["blog.example.org"], "packages": ["gcc"], "python": "3.13"},
        }
    )
    assert model.packages(records) == ["gcc", "git", "libpq-dev", "python3.13", "python3.13-venv"]


def test_lazy_containers_become_plain_ones() -> None:
    class Tagged(str):
        """As ansible-core 2.19 hands texts over."""

    assert model.plain({"a": [Tagged("b")]})["a"][0].__class__ is str


class TestHost:
    """What depends on the host and on the controller's files."""

    @staticmethod
    def found(
        tmp_path: Any, pyproject: str = "", distribution: tuple[str, str] = ("Debian", "12"), **options: Any
    ) -> list[str]:
        (tmp_path / "requirements.txt").write_text("flask\n")
        if pyproject:
            (tmp_path / "pyproject.toml").write_text(pyproject)
        records = model.load(app(source={"directory": str(tmp_path)}, **options))
        return model.host_problems(records, *distribution, "3.11.2")

    @pytest.mark.parametrize(
        "distribution", [("Debian", "12.9"), ("Debian", "13"), ("Ubuntu", "22.04"), ("Ubuntu", "24.04")]
    )
    def test_supported(self, tmp_path: Any, distribution: tuple[str, str]) -> None:
        assert self.found(tmp_path, distribution=distribution) == []

    def test_unsupported_distribution(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, distribution=("Fedora", "44")) == [
            "the host runs Fedora 44, which is not supported: use Debian 12 or 13, or Ubuntu 22.04 or 24.04"
        ]

    def test_python_older_than_the_app_asks_for(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, '[project]\nname = "x"\nrequires-python = ">=3.12"\n') == [
            "flask_apps.shop.python: '3.11.2' does not fit the app's requires-python '>=3.12': name a Python "
            "that does, and that the host has, or change the app"
        ]

    def test_python_that_fits(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, '[project]\nname = "x"\nrequires-python = ">=3.12"\n', python="3.13") == []

    def test_source_without_requirements(self, tmp_path: Any) -> None:
        records = model.load(app(source={"directory": str(tmp_path)}))
        assert (
            "neither requirements.txt nor pyproject.toml" in model.host_problems(records, "Debian", "12", "3.11.2")[0]
        )

    def test_static_directory_that_is_not_there(self, tmp_path: Any) -> None:
        (problem,) = self.found(tmp_path, proxy={"static": {"/static/": "shop/static"}})
        assert problem.startswith("flask_apps.shop.proxy.static./static/: 'shop/static' is not a directory in")
