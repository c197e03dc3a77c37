"""The model: what it takes, what it refuses and in which words, and what each role is given."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter.app_problems import app_problems
from ansible_collections.groundwork.flask.plugins.filter.apps_for import apps_for
from ansible_collections.groundwork.flask.plugins.filter.release_once import release_once
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

SUM = "sha256:" + "ab" * 32
SMALLEST: dict[str, Any] = {
    "source": {"git": "https://example.org/shop.git", "version": "v1.2"},
    "wsgi_app": "shop:create_app()",
    "domains": ["shop.example.org"],
}


def app(**options: Any) -> dict[str, Any]:
    """flask_apps with one app, the smallest one plus these options."""
    return {"shop": {**SMALLEST, **options}}


def problems(apps: Any, secrets: Any = None, deploy_keys: Any = None) -> list[str]:
    with pytest.raises(model.ModelError) as refusal:
        model.load(apps, secrets, deploy_keys)
    return refusal.value.problems


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
        "flask_apps.other.domains: 'shop.example.org' stands in flask_apps.shop.domains too: keep it in one place, "
        "or give one of them a prefix of its own (proxy.prefix)",
    ),
    (
        app(domains=["a.example.org", "a.example.org"]),
        "flask_apps.shop.domains: 'a.example.org' stands twice: keep it in one place",
    ),
    (
        app(domains=["https://shop.example.org"]),
        "flask_apps.shop.domains: 'https://shop.example.org' cannot be used: a domain is written in lower case, "
        "without scheme or port, as www.example.org",
    ),
    (
        app(domains=["shop.example.org", "*.shop.example.org"]),
        "flask_apps.shop.domains: '*.shop.example.org' is a wildcard, which an authority certifies by a DNS record "
        "alone: write `certificate: {challenge: dns-01}` and set certificate_dns_plugin or certificate_dns_auth_hook, "
        "or bring a certificate of your own with provider files",
    ),
    (
        app(domains=["*.shop.example.org"], certificate={"challenge": "dns-01"}),
        "flask_apps.shop.domains: '*.shop.example.org' cannot come first: the first is the canonical name, put another "
        "there",
    ),
    (
        app(domains=["shop.example.org", "*.*.example.org"], certificate={"challenge": "dns-01"}),
        "flask_apps.shop.domains: '*.*.example.org' cannot be used: * stands for one whole label, as *.example.org",
    ),
    (
        app(domains=["192.0.2.1"]),
        "flask_apps.shop.domains: '192.0.2.1' is an IP address, which an authority certifies for six days alone: "
        "write `certificate: {profile: shortlived}` and set certificate_certbot to pypi, or use provider "
        "self_signed or files",
    ),
    (
        app(domains=["192.0.2.1"], certificate={"challenge": "dns-01", "profile": "shortlived"}),
        "flask_apps.shop.domains: '192.0.2.1' is an IP address, which has no DNS record: write `challenge: http-01`",
    ),
    (
        app(domains=["2001:DB8::0:1"], certificate={"provider": "self_signed"}),
        "flask_apps.shop.domains: '2001:DB8::0:1' is not how that address is written: write '2001:db8::1'",
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
        "flask_apps.shop.server.worker_class: 'gthred' is not one of sync, gthread, gevent, eventlet: did "
        "you mean gthread?",
    ),
    (
        app(server={"worker_class": "eventlet"}),
        "flask_apps.shop.server.worker_class: 'eventlet' is not offered: Gunicorn 26 removed the eventlet worker, and "
        "eventlet's authors ask not to use it for new projects: take gevent or gthread, or, to keep it, pin the last "
        'Gunicorn that has it among the app\'s requirements: `requirements: ["gunicorn[eventlet]==25.3.0"]`',
    ),
    (
        app(server={"provider": "unicorn"}),
        "flask_apps.shop.server.provider: 'unicorn' is not one of gunicorn, uwsgi, waitress, mod_wsgi: did you mean "
        "gunicorn?",
    ),
    (
        app(server={"provider": "uwsgi", "harakir": 20}),
        "flask_apps.shop.server.harakir is not an option: did you mean harakiri?",
    ),
    (
        app(server={"provider": "waitress", "worker_class": "sync"}),
        "flask_apps.shop.server.worker_class is not an option: it is an option of gunicorn; waitress has workers, "
        "worker_memory, threads, connection_limit, channel_timeout, max_request_header_size, graceful_timeout",
    ),
    (
        app(server={"provider": "mod_wsgi", "processes": 4}),
        "flask_apps.shop.server.processes is not an option: here it is called workers",
    ),
    (
        app(server={"provider": "waitress", "channel_timeout": 0}),
        "flask_apps.shop.server.channel_timeout: 0 is out of range: take 1 to 86400",
    ),
    (
        app(server={"provider": "mod_wsgi", "options": {"port": 8080}}),
        "flask_apps.shop.server.options.port cannot be set: how mod_wsgi is run here depends on it",
    ),
    (
        app(server={"options": {"threads": 4}}),
        "flask_apps.shop.server.options.threads has a place of its own: write `server: {threads: …}`",
    ),
    (
        app(server={"provider": "uwsgi", "options": {"log date": True}}),
        "flask_apps.shop.server.options.log date: 'log date' cannot be an option of uwsgi: write its name as "
        "uwsgi has it",
    ),
    (
        app(server={"provider": "uwsgi", "options": {"env": {"A": "1"}}}),
        "flask_apps.shop.server.options.env: {'A': '1'} is not a text, a number, true or false, or a list of these: "
        "write one of them",
    ),
    (
        app(server={"options": "limit_request_line"}),
        "flask_apps.shop.server.options: 'limit_request_line' is not a map: write its options below it, one `key: "
        "value` a line",
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
        app(environment={"SECRET_KEY_FALLBACKS": "old"}),
        "flask_apps.shop.environment.SECRET_KEY_FALLBACKS cannot be set here: a changed SECRET_KEY is followed for a "
        "while by itself (release_fallback_days)",
    ),
    (
        app(environment={"MAIL_TLS": True}),
        "flask_apps.shop.environment.MAIL_TLS is a boolean: environment variables are text, put it in quotes",
    ),
    (
        app(source={"git": "x", "directory": "y"}),
        "flask_apps.shop.source: {'git': 'x', 'directory': 'y'} needs exactly one of git, directory, archive, package",
    ),
    (
        app(source={"directory": "../shop", "version": "v1"}),
        "flask_apps.shop.source.version: 'v1' belongs to git: a package has it in its requirement, a directory and an "
        "archive are taken as they are",
    ),
    (
        app(source={"version": "v1"}),
        "flask_apps.shop.source: {'version': 'v1'} needs exactly one of git, directory, archive, package",
    ),
    (
        app(source={"git": "x", "checksum": SUM}),
        f"flask_apps.shop.source.checksum: '{SUM}' belongs to archive: leave it out",
    ),
    (
        app(source={"git": "x", "version": 1.2}),
        "flask_apps.shop.source.version: 1.2 is not a branch, tag or commit: write it exactly and in quotes, as v1.2",
    ),
    (
        app(source={"git": "x", "version": "--upload-pack=x"}),
        "flask_apps.shop.source.version: '--upload-pack=x' is not a branch, tag or commit: write it exactly and in "
        "quotes, as v1.2",
    ),
    (
        app(source={"git": "https://me:hunter2@example.org/shop.git"}),
        "flask_apps.shop.source.git: 'https://…@example.org/shop.git' has a password or a token in it: use an SSH "
        "deploy key in flask_deploy_keys instead",
    ),
    (
        app(source={"git": "https://hunter2@example.org/shop.git"}),
        "flask_apps.shop.source.git: 'https://…@example.org/shop.git' has a password or a token in it: use an SSH "
        "deploy key in flask_deploy_keys instead",
    ),
    (
        app(source={"archive": "https://me:hunter2@example.org/shop.tar.gz", "checksum": SUM}),
        "flask_apps.shop.source.archive: 'https://…@example.org/shop.tar.gz' has a password or a token in it: fetch "
        "the archive yourself and give its path instead",
    ),
    (
        app(source={"archive": "https://example.org/shop.tar.gz"}),
        'flask_apps.shop.source.checksum is missing: an archive from a URL needs `checksum: "sha256:…"`, with what '
        "sha256sum prints",
    ),
    (
        app(source={"archive": "shop.tar.gz", "checksum": "md5:1234"}),
        "flask_apps.shop.source.checksum: 'md5:1234' is not a checksum: write sha256: and 64 hexadecimal digits",
    ),
    (
        app(source={"archive": "ftp://example.org/shop.tar.gz"}),
        "flask_apps.shop.source.archive: 'ftp://example.org/shop.tar.gz' is neither a path nor an http or https URL: "
        "give one of these",
    ),
    *[
        (
            app(source={"package": package}),
            f"flask_apps.shop.source.package: {package!r} is not a package with its exact version, as a release needs "
            "it: write shop==1.4",
        )
        for package in ("shop", "shop>=1.4", "shop==1.*", "shop==1.4,<2", 1.4)
    ],
    (
        app(source={"package": "shop==1.4"}, extras=["pg", "redis"]),
        "flask_apps.shop.extras: ['pg', 'redis'] belongs into the package's brackets: write `package: "
        "shop[pg,redis]==1.4`",
    ),
    (
        app(extras=["pg; rm"]),
        "flask_apps.shop.extras: 'pg; rm' cannot be used: an extra is written in letters, digits, ., - and _",
    ),
    (
        app(extras="pg"),
        "flask_apps.shop.extras: 'pg' is not a list: write `extras: [first, second]`",
    ),
    (
        app(checksum=SUM),
        "flask_apps.shop.checksum is not an option: it belongs below source, as `source: {checksum: …}`",
    ),
    (
        app(skip_checks=["htps"]),
        "flask_apps.shop.skip_checks: 'htps' is not a check: did you mean https (the app knows that its visitors come "
        "over HTTPS)?",
    ),
    (
        app(skip_checks=["?"]),
        "flask_apps.shop.skip_checks: '?' is not a check: known are "
        + ", ".join(f"{name} ({proof})" for name, proof in model.CHECKS.items()),
    ),
    (
        app(release_command_timeout=0),
        "flask_apps.shop.release_command_timeout: 0 is out of range: take 1 to 86400",
    ),
    (
        app(requirements=["set up tools"]),
        'flask_apps.shop.requirements: \'set up tools\' cannot be used: write each as "name" or "name>=1.2", in quotes',
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
        app(proxy={"media": {"/media/": "/srv"}}),
        "flask_apps.shop.proxy.media./media/: '/srv' is not a directory of the app's data: "
        "write it relative to its data directory",
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
        app(certificate={"provider": "self_signed", "challenge": "dns-01"}),
        "flask_apps.shop.certificate.challenge: 'dns-01' belongs to provider acme, not to self_signed",
    ),
    (
        app(certificate={"profile": "short"}),
        "flask_apps.shop.certificate.profile: 'short' is not one of classic, tlsserver, shortlived: "
        "did you mean shortlived?",
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
        (["shop"], "flask_app_secrets is not a map: write each app as `name:` with what belongs to it below"),
    ],
)
def test_refused_secrets(secrets: Any, sentence: str) -> None:
    assert sentence in problems(app(environment={"TOKEN": "public"}), secrets)


def test_a_secret_is_never_shown() -> None:
    said = "\n".join(problems(app(), {"shop": {"KEY": ["hunter2"], "BAD-NAME": "hunter2", "ZERO": "hunter2\0"}}))
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "given",
    [
        app(source={"git": "https://me:hunter2@example.org/shop.git", "directory": "x"}),
        app(source="https://me:hunter2@example.org/shop.git"),
        app(source={"git": "ssh://me:hunter2@example.org/shop.git"}),
        app(git="https://me:hunter2@example.org/shop.git"),
    ],
)
def test_a_password_in_an_address_is_never_shown(given: Any) -> None:
    assert "hunter2" not in "\n".join(problems(given))


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
            app(),
            {"shop": KEY},
            "flask_deploy_keys.shop has no use: flask_apps.shop.source is not git over SSH: write its address as "
            "git@host:path or ssh://git@host/path, or remove the key",
        ),
        (BY_SSH, KEY, "flask_deploy_keys is not a map: write each app as `name:` with what belongs to it below"),
    ],
)
def test_refused_deploy_keys(apps: Any, keys: Any, sentence: str) -> None:
    found = problems(apps, None, keys)
    assert sentence in found
    assert "hunter2" not in "\n".join(found)
    assert app_problems(apps, {}, None, keys) == found


@pytest.mark.parametrize(
    ("address", "is_ssh"),
    [
        ("git@example.org:acme/shop.git", True),
        ("example.org:shop.git", True),
        ("ssh://git@example.org:2222/shop.git", True),
        ("https://example.org:8443/shop.git", False),
        ("git+https://example.org/shop.git", False),
        ("file:///srv/shop.git", False),
        ("/srv/git/shop:old.git", False),
    ],
)
def test_what_git_fetches_by_ssh(address: str, is_ssh: bool) -> None:
    records = model.load(app(source={"git": address}), None, {"shop": KEY} if is_ssh else None)
    assert ("openssh-client" in model.packages(records)) is is_ssh


def test_a_secret_key_may_be_given_as_a_secret() -> None:
    assert model.load(app(), {"shop": {"SECRET_KEY": "k" * 64}})


def test_an_app_below_a_path_of_another_s_domain() -> None:
    shop, blog = model.load(
        {**app(), "blog": {**SMALLEST, "health_path": "/up?deep=1", "proxy": {"prefix": "/blog", "cache": "1m"}}}
    )
    assert model.certificates(blog) == {}
    assert model.certificates(shop)["name"] == "shop"
    site = model.site(blog)
    assert site["certificate"] == "/etc/ssl/groundwork/shop/current"
    assert site["paths"] == {"/up": {"access_log": False}}
    assert (site["prefix"], site["cache"]) == ("/blog", "1m")
    release = model.releases(blog)
    assert release["environment"]["GROUNDWORK_PREFIX"] == "/blog"
    assert release["health"] == {
        "host": "shop.example.org", "path": "/blog/up?deep=1", "timeout": 60, "prefix": "/blog"
    }  # fmt: skip
    assert "GROUNDWORK_PREFIX" not in model.releases(shop)["environment"]


def test_uploads_are_served_and_run_nothing() -> None:
    (record,) = model.load(
        app(
            proxy={
                "media": {"/media/": {"directory": "uploads/public", "expires": "1d"}},
                "paths": {"/media": {"allow": ["::1"]}},
            }
        )
    )
    assert model.accounts(record) == {"name": "shop", "readable": ["uploads/public"]}
    site = model.site(record)
    assert site["static"] == {"/media/": {"directory": "/var/lib/shop/uploads/public", "expires": "1d"}}
    assert site["paths"]["/media"]["allow"] == ["::1"]
    assert "script-src 'none'" in site["paths"]["/media"]["headers"]["Content-Security-Policy"]
    assert "media" not in site
    assert model.releases(record)["static"] == {}


def test_the_health_check_keeps_what_its_path_has_otherwise() -> None:
    guarded = {"paths": {"/up": {"allow": ["192.0.2.1"]}}}
    (record,) = model.load(app(health_path="/up", proxy=guarded))
    assert model.site(record)["paths"] == {"/up": {"access_log": False, "allow": ["192.0.2.1"]}}


def test_the_largest_body_that_passes_anywhere_counts() -> None:
    def limit(**proxy: Any) -> int:
        (record,) = model.load(app(proxy=proxy))
        return int(model.releases(record)["body_limit"])

    assert limit(paths={"/upload": {"client_max_body_size": "20m"}}) == 20 << 20
    assert limit(client_max_body_size="2m", paths={"/upload": {"client_max_body_size": "0"}}) == 0


def test_static_files_are_published_below_current() -> None:
    (site,) = (model.site(record) for record in model.load(app(proxy={"static": {"/static/": "shop/static"}})))
    assert site["static"] == {"/static/": {"directory": "/srv/shop/current/public/static"}}


def test_the_proxy_waits_longer_than_the_server() -> None:
    (record,) = model.load(app(server={"timeout": 90}))
    assert model.site(record)["read_timeout"] == 95


def test_a_release_brings_its_server_and_finds_the_app() -> None:
    (record,) = model.load(app(server={"worker_class": "gevent"}))
    release = model.releases(record)
    assert release["requirements"] == ["gunicorn[gevent]>=23"]
    assert release["environment"]["FLASK_APP"] == "shop:create_app()"
    assert release["environment"]["FLASK_DEBUG"] == "0"
    assert {"start", "workers.py", "server.json", "gunicorn.conf.py", "entry/groundwork_wsgi.py"} == set(
        release["files"]
    )


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
    assert model.releases(record)["source"] == given


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
    release = model.releases(plain)
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
    release = model.releases(full)
    assert {key: release[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("size", "limit"), [("0", 0), ("512", 512), ("8k", 8192), ("20M", 20 * 1024**2), ("1g", 1024**3)]
)
def test_the_proxys_limit_in_bytes(size: str, limit: int) -> None:
    (record,) = model.load(app(proxy={"client_max_body_size": size}))
    assert model.releases(record)["body_limit"] == limit


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
    assert model.shares_database({"A": "b", "DATABASE_URL": value}, {}) is shared
    assert model.shares_database({}, {"DATABASE_URL": value}) is shared


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


def test_a_backup_set_s_commands_and_files_are_the_app_s() -> None:
    (plain,) = apps_for(app(), "backup")
    assert plain == {
        "name": "shop",
        "paths": ["/var/lib/shop"],
        "before": [],
        "after": [],
        "user": "shop",
        "owner": "shop",
    }
    (full,) = apps_for(
        app(backup={"paths": ["/srv/exports", "uploads"], "before": ["dump"], "after": ["tidy"]}), "backup"
    )
    assert full["paths"] == ["/var/lib/shop", "/srv/exports"]
    assert (full["before"], full["after"], full["user"]) == (["dump"], ["tidy"], "shop")


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
    assert model.packages(records) == ["gcc", "git", "libpq-dev"]


def test_lazy_containers_become_plain_ones() -> None:
    class Tagged(str):
        """As ansible-core 2.19 hands texts over."""

    assert plain({"a": [Tagged("b")]})["a"][0].__class__ is str


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
        "distribution", [("Debian", "12.9"), ("Debian", "13"), ("Ubuntu", "24.04"), ("Ubuntu", "26.04")]
    )
    def test_supported(self, tmp_path: Any, distribution: tuple[str, str]) -> None:
        assert self.found(tmp_path, distribution=distribution) == []

    def test_unsupported_distribution(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, distribution=("Fedora", "44")) == [
            "the host runs Fedora 44, which is not supported: use Debian 12 or 13, or Ubuntu 24.04 or 26.04"
        ]

    def test_python_older_than_the_app_asks_for(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, '[project]\nname = "x"\nrequires-python = ">=3.12"\n') == [
            "flask_apps.shop.python: '3.11.2' does not fit the app's requires-python '>=3.12': name a Python "
            "that does, or change the app"
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

    EXTRAS = '[project]\nname = "x"\n[project.optional-dependencies]\nPost_gres = []\ns3 = []\n'

    @pytest.mark.parametrize(
        ("pyproject", "extras", "said"),
        [
            (EXTRAS, ["post-gres", "S3"], ""),
            (EXTRAS, ["postgress"], "did you mean Post_gres?"),
            (EXTRAS, ["mail"], "known are Post_gres, s3"),
            ('[project]\nname = "x"\n', ["mail"], "define it there"),
            ("", ["mail"], "define it there"),
            ('[project]\nname = "x"\ndynamic = ["optional-dependencies"]\n', ["mail"], ""),
        ],
    )
    def test_extras_that_the_app_does_not_define(
        self, tmp_path: Any, pyproject: str, extras: list[str], said: str
    ) -> None:
        place = f"is not among the optional-dependencies of {tmp_path}/pyproject.toml"
        expected = [f"flask_apps.shop.extras: {extras[0]!r} {place}: {said}"] if said else []
        assert self.found(tmp_path, pyproject, extras=extras) == expected

    def test_wheels(self, tmp_path: Any) -> None:
        wheels = tmp_path / "wheels"
        said = f"flask_apps.shop.wheels: '{wheels}'"
        assert self.found(tmp_path, wheels=str(wheels)) == [
            f"{said} is not a directory on the controller: correct the path"
        ]
        wheels.mkdir()
        assert self.found(tmp_path, wheels=str(wheels)) == [
            f"{said} has no wheels (*.whl): make them with `pip wheel --wheel-dir {wheels} …`"
        ]
        (wheels / "shop-1.4-py3-none-any.whl").touch()
        assert self.found(tmp_path, wheels=str(wheels)) == []

    @staticmethod
    def of_archive(path: Any) -> list[str]:
        return model.host_problems(model.load(app(source={"archive": str(path)})), "Debian", "12", "3.11.2")

    @pytest.mark.parametrize("kind", ["gztar", "xztar", "zip"])
    @pytest.mark.parametrize("below", [".", "shop-1.2"])
    def test_an_archive_says_what_it_needs(self, tmp_path: Any, kind: str, below: str) -> None:
        content = tmp_path / "content"
        (content / below / "shop").mkdir(parents=True)
        (content / below / "shop/pyproject.toml").touch()
        (content / below / "README.md").touch()
        path = shutil.make_archive(str(tmp_path / "shop"), kind, content)
        assert self.of_archive(path) == [
            f"flask_apps.shop.source.archive: '{path}' has neither requirements.txt nor pyproject.toml: add one that "
            "names Flask"
        ]
        (content / below / "pyproject.toml").touch()
        assert self.of_archive(shutil.make_archive(str(tmp_path / "shop"), kind, content)) == []

    def test_an_archive_that_is_none(self, tmp_path: Any) -> None:
        assert self.of_archive(tmp_path / "none.zip") == [
            f"flask_apps.shop.source.archive: '{tmp_path}/none.zip' is not a file on the controller: correct the path"
        ]
        (tmp_path / "text.zip").write_text("not a zip file")
        (problem,) = self.of_archive(tmp_path / "text.zip")
        assert problem.startswith(
            f"flask_apps.shop.source.archive: '{tmp_path}/text.zip' cannot be read as a tar archive or a zip file ("
        )

    def test_an_archive_from_a_url_is_left_to_the_host(self) -> None:
        records = model.load(app(source={"archive": "https://example.org/shop.zip", "checksum": SUM}))
        assert model.host_problems(records, "Debian", "12", "3.11.2") == []


@pytest.mark.parametrize(
    ("domains", "certificate", "expected"),
    [
        (["a.example.org"], {}, {"provider": "acme", "challenge": "http-01"}),
        (
            ["a.example.org", "*.a.example.org"],
            {"challenge": "dns-01", "profile": "tlsserver"},
            {"provider": "acme", "challenge": "dns-01", "profile": "tlsserver"},
        ),
        (
            ["192.0.2.1"],
            {"profile": "shortlived"},
            {"provider": "acme", "challenge": "http-01", "profile": "shortlived"},
        ),
        (["2001:db8::1", "*.example.org"], {"provider": "self_signed"}, {"provider": "self_signed"}),
        (
            ["a.example.org", "*.a.example.org"],
            {"provider": "files", "fullchain": "a.pem", "privkey": "a.key"},
            {"provider": "files", "fullchain": "a.pem", "privkey": "a.key"},
        ),
    ],
)
def test_wildcards_and_addresses_where_a_certificate_can_be_valid_for_them(
    domains: list[str], certificate: dict[str, str], expected: dict[str, str]
) -> None:
    (shop,) = model.load(app(domains=domains, certificate=certificate))
    assert model.certificates(shop) == {"name": "shop", "domains": domains, **expected}
