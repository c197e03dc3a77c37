# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the app's own environment, as its user: imports the app alone and tells the engine what it needs to know.

The engine passes this file's text to the release's Python. The last line it prints is :data:`MARK` and one JSON object.
"""

from __future__ import annotations

import contextlib
import hmac
import importlib.util
import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any

MARK = "groundwork-probe:"
PREPARE_SECONDS = 10  # that what comes before a request may take
CANARY = "groundwork asks for the page of an error"
# What Firefox sends: an app may answer a program with a message, and a person with a page.
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
# As text, in HTML or in JSON: its headline, or the line of a frame.
QUOTE = r"(?:\\?[\"']|&quot;|&#34;|&#39;)"
TRACEBACK = re.compile(
    rf"Traceback \(most recent call last\)|Werkzeug Debugger|File {QUOTE}[^\"'&<>]+{QUOTE}, line \d", re.IGNORECASE
)

# Keys that stand in documentation and tutorials, where everybody finds them.
SAMPLE_KEYS = (
    "dev",
    "development",
    "secret",
    "secret-key",
    "secret_key",
    "secretkey",
    "changeme",
    "change-me",
    "change me",
    "replace-me",
    "default",
    "password",
    "test",
    "mysecret",
    "my-secret-key",
    "my_precious",
    "super secret key",
    "super-secret",
    "supersecretkey",
    "for development only",
    "you-will-never-guess",
    "hard to guess string",
    "a really really really really long secret key",
    '_5#y2L"F4Q8z\\n\\xec]/',
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "5791628bb0b13ce0c676dfde280ba245",
)
KEY_LENGTH, KEY_VARIETY = 16, 8
# Modules of the standard library that Gunicorn has loaded, and whose names modules of an app may have.
OF_GUNICORN = ("argparse", "copy", "csv", "email.utils", "html", "platform", "queue", "select", "tempfile", "zipfile")


def main() -> None:
    """Import the app, and print what is known of it."""
    load_as_server()
    try:
        import groundwork_wsgi  # the entry of the release, through which every server starts the app
    except SystemExit as end:
        traceback.print_exc()
        raise SystemExit(f"the app ended Python with exit status {end.code!r} while it was imported") from end
    except BaseException as error:
        # Without the frame of this file.
        traceback.print_exception(type(error), error, error.__traceback__ and error.__traceback__.tb_next)
        raise SystemExit(1) from error
    sys.stdout.flush()
    sys.stdout.write(f"\n{MARK}{json.dumps(facts(groundwork_wsgi.application))}\n")
    sys.stdout.flush()
    os._exit(0)  # threads that the app started must not keep us waiting


def load_as_server() -> None:
    """Load what the app's server has loaded when it imports the app: an `email.py` of the app hides none of it then."""
    if importlib.util.find_spec("gunicorn"):
        for name in OF_GUNICORN:
            importlib.import_module(name)


def facts(application: Any) -> dict[str, Any]:
    """The facts of a Flask app; none for an app of another kind."""
    app = flask_app(application)
    if app is None:
        return {}
    from importlib.metadata import version

    config = app.config
    return {
        "flask": version("flask"),
        "debug": bool(app.debug),
        "secret_key": judge_key(config.get("SECRET_KEY")),
        "own_key": own_key(config.get("SECRET_KEY")),
        "fallbacks": bool(config.get("SECRET_KEY_FALLBACKS")),
        "session_cookie_secure": bool(config.get("SESSION_COOKIE_SECURE")),
        "max_content_length": config.get("MAX_CONTENT_LENGTH"),
        "server_error": server_error(app),
        "migration_heads": migration_heads(app),
    }


def flask_app(application: Any) -> Any:
    """The Flask object inside what the server calls, behind any middleware that keeps it in a usual place."""
    try:
        from flask import Flask
    except ImportError:
        return None
    for _layer in range(10):
        if isinstance(application, Flask):
            return application
        names = ("app", "application", "wsgi_app", "_app", "__wrapped__", "__self__")
        inner = (getattr(application, name, None) for name in names)
        application = next((found for found in inner if callable(found)), None)
    return None


def judge_key(key: str | bytes | None) -> str:
    """``missing``, ``sample``, ``short``, ``poor`` (of few different characters) or ``good``."""
    if not key:
        return "missing"
    text = key if isinstance(key, str) else key.decode("latin-1")
    if text.lower() in SAMPLE_KEYS or text in SAMPLE_KEYS or text.encode("unicode_escape").decode() in SAMPLE_KEYS:
        return "sample"
    if len(text) < KEY_LENGTH:
        return "short"
    return "poor" if len(set(text)) < KEY_VARIETY else "good"


def own_key(key: str | bytes | None) -> str:
    """A digest of a SECRET_KEY that is not the environment's, by which imports are compared; else "".

    It is keyed with that of the environment, so that no short key can be guessed from it.
    """
    environments = os.environ.get("SECRET_KEY", "").encode()
    own = key.encode() if isinstance(key, str) else key
    return hmac.new(environments, own, "sha256").hexdigest()[:16] if own and own != environments else ""


def server_error(app: Any) -> str:
    """How the app answers a browser when it breaks.

    "" if well, ``traceback`` if visitors see one, ``message`` if they see the exception's message, else what its
    handler raised. Nothing is logged or reported: it is not an accident.
    """
    from flask.signals import got_request_exception
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    def broken(*arguments: Any) -> Any:
        with contextlib.suppress(Exception), at_most(PREPARE_SECONDS):
            app.preprocess_request(*arguments)  # what before_request sets, handlers of errors rely on
        try:
            raise RuntimeError(CANARY)
        except RuntimeError as error:
            return app.finalize_request(*arguments, app.handle_user_exception(*arguments, error))

    muted = getattr(got_request_exception, "muted", contextlib.nullcontext)
    logging.disable(logging.CRITICAL)
    app.full_dispatch_request = broken
    try:
        with muted():
            visit = EnvironBuilder("/", base_url="https://localhost", headers=list(BROWSER.items())).get_environ()
            body, _status, _headers = run_wsgi_app(app, visit)
            text = b"".join(body).decode(errors="replace")
    except BaseException as error:  # an app may raise anything
        return "" if CANARY in str(error) else f"{type(error).__name__}: {error}"
    finally:
        del app.full_dispatch_request
        logging.disable(logging.NOTSET)
    if TRACEBACK.search(text):
        return "traceback"
    return "message" if CANARY in text else ""


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer: that a page does not come is for the health check to say."""

    def over(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def migration_heads(app: Any) -> list[str] | None:
    """The revisions that the app's database is at, as Alembic keeps them; None where there is no Alembic to ask."""
    extensions = getattr(app, "extensions", {})
    database = getattr(extensions.get("migrate"), "db", None)
    if database is None:
        return None
    try:
        from alembic.migration import MigrationContext

        with app.app_context(), database.engine.connect() as connection:
            return sorted(MigrationContext.configure(connection).get_current_heads())
    except Exception:  # a database that does not answer is for the app to report
        return None


if __name__ == "__main__":
    main()
