"""The options of an app that are maps or texts with rules of their own: what is refused, and in which words."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, role_inputs
from ansible_collections.groundwork.flask.tests.unit.flask_app import SUM, app, problems

REFUSALS = [
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
    *(
        (
            app(**{key: "make\0dist"}),
            f"flask_apps.shop.{key} contains a zero byte, which no argument can hold: remove it",
        )
        for key in ("release_command", "setup_command", "build_command")
    ),
    (
        app(build_command="true;" * 20_000),
        "flask_apps.shop.build_command has more than 60000 bytes: put it into a script of the source and name that",
    ),
    (
        app(environment={"MAIL_TLS": True}),
        "flask_apps.shop.environment.MAIL_TLS is a boolean: environment variables are text, put it in quotes",
    ),
    (
        app(environment={"STORE": "/x", "RELEASE_DIR": "/y"}),
        "flask_apps.shop.environment.RELEASE_DIR cannot be set here: it is the directory of the release's code",
    ),
    *(
        (
            app(environment=yaml.safe_load(f"SINCE: {text}")),
            f"flask_apps.shop.environment.SINCE is {kind}: environment variables are text, put it in quotes{more}",
        )
        for kind, more, texts in (
            (
                "a number, which YAML may have changed, as it takes 1.10 for 1.1 and 0123 for 83",
                ", and end a template with `| string`",
                ("1.10", "0123", "12:30:45", "1_000", "0x1F", "1.5e+3", ".5", "+5", ".inf", "8080"),
            ),
            ("a date", "", ("2026-11-29", "2026-11-29 12:30:45")),
            ("a boolean", "", ("no", "on")),
            ("empty", "", ("null", "~")),
        )
        for text in texts
    ),
    (
        app(environment={"PICTURE": "x" * 131_064}),
        "flask_apps.shop.environment.PICTURE has 131064 bytes, and Linux hands no process a variable of more than "
        "131063: keep it in a file and set the variable to the file's path",
    ),
    (
        app(environment={"PICTURE": "é" * 70_000}),
        "flask_apps.shop.environment.PICTURE has 140000 bytes, and Linux hands no process a variable of more than "
        "131063: keep it in a file and set the variable to the file's path",
    ),
    (
        app(environment={f"PICTURE_{number}": "x" * 130_000 for number in range(14)}),
        "flask_apps.shop.environment has more than 1750000 bytes in all, which Linux hands to no process: keep the "
        "largest values in files",
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
    *(
        (
            app(source={"git": "https://example.org/shop.git", "subdirectory": named}),
            f"flask_apps.shop.source.subdirectory: {named!r} is not a directory below the top of the source: write it "
            "as backend or apps/shop",
        )
        for named in ("/srv", "..", "../shop", "a/../b", "a/..", "./a", ".", "a//b", "-a", "%h", "a\nb", "a/./b")
    ),
    (
        app(source={"package": "shop==1.4", "subdirectory": "backend"}),
        "flask_apps.shop.source.subdirectory: 'backend' belongs to git, directory and archive: leave it out",
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
        app(source={"package": "shop==1.4"}, build_command="make"),
        "flask_apps.shop.build_command: 'make' has no code to run in, for the source is a package: have its wheel "
        "built with what it makes, or take its code from `git`",
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
        app(skip_checks=["htps"]),
        "flask_apps.shop.skip_checks: 'htps' is not a check: did you mean https (the app knows that its visitors come "
        "over HTTPS)?",
    ),
    (
        app(skip_checks=["?"]),
        "flask_apps.shop.skip_checks: '?' is not a check: known are "
        "debug (the app does not run in debug mode), "
        "environment (no variable names another one, such as `$HOME`, which nothing replaces), "
        "secret_key (SECRET_KEY is long, random, no known sample value, and the same in each process), "
        "session_cookie (the session cookie is sent over HTTPS only), "
        "upload_limit (the app takes no larger uploads than the proxy lets through), "
        "https (the app knows that its visitors come over HTTPS), "
        "health_path (the health path is not answered with a client error, such as 404), "
        "not_found (a page that does not exist is answered with 404, without a traceback), "
        "server_error (an error is answered with 500, without a traceback), "
        "fallbacks (Flask is not 3.1.0 while there are SECRET_KEY_FALLBACKS (CVE-2025-47278)), "
        "prepared_statements (psycopg 3 prepares no statements behind a pooler that does not know them), "
        "git_lfs (no file of the source is a pointer of Git LFS, without its content), "
        "stable (the app still runs a moment after it has answered)",
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
        app(sandbox={"MemoryDenyWriteExecut": False}),
        "flask_apps.shop.sandbox.MemoryDenyWriteExecut is not an option: did you mean MemoryDenyWriteExecute?",
    ),
]


@pytest.mark.parametrize(("apps", "sentence"), REFUSALS, ids=[sentence[:60] for _apps, sentence in REFUSALS])
def test_refused_sections(apps: Any, sentence: str) -> None:
    assert sentence in problems(apps)


def test_the_largest_variable_that_linux_hands_to_a_process_is_taken() -> None:
    """A program starts with it, and does not with one byte more."""
    largest = "x" * (131_072 - len("PICTURE") - 2)
    (loaded,) = model.load(app(environment={"PICTURE": largest}))
    assert loaded.environment["PICTURE"] == largest
    subprocess.run(["/bin/true"], env={"PICTURE": largest}, check=True)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["/bin/true"], env={"PICTURE": f"{largest}x"}, check=True)


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
    assert ("openssh-client" in role_inputs.packages(records)) is is_ssh


def test_each_check_that_is_named_in_a_refusal_can_be_left_out() -> None:
    (problem,) = problems(app(skip_checks=["?"]))
    names = re.findall(r"(?:^|, )(\w+) \(", problem.partition("known are ")[2])
    assert len(names) >= 9
    assert model.load(app(skip_checks=names))[0].skip_checks == tuple(names)
