"""The entry through which every WSGI server starts the app.

It loads the callable named by WSGI_APP, keeps debug mode off, and shows the app the visitor as the proxy saw it:
with exactly one trusted hop, because the proxy overwrites the headers that a visitor may have sent. An app below a path
of its domain gets that path as its SCRIPT_NAME, and what an app logs gets the number of the request.
"""

import ast
import contextlib
import contextvars
import importlib
import json
import logging
import os
import struct
import sys
import threading
import time
from typing import Any


def put_code_first() -> None:
    """Put the directories of the code first on the path, in the app's own order, however the server has started."""
    code = [directory for directory in os.environ.get("GROUNDWORK_PATH", "").split(":") if directory]
    sys.path[:] = [*code, *(entry for entry in sys.path if entry not in code)]


def load(spec: str) -> Any:
    """Load ``module``, ``module:app``, ``module:package.app`` or ``module:create_app('literal', debug=False)``.

    Without a name the callable is ``application``, as WSGI servers have it. What is not callable raises TypeError.
    """
    module, _colon, expression = spec.partition(":")
    node = ast.parse(expression or "application", mode="eval").body
    call = node if isinstance(node, ast.Call) else None
    found: Any = importlib.import_module(module)
    for name in ast.unparse(call.func if call else node).split("."):
        found = getattr(found, name)
    if call:
        arguments = [ast.literal_eval(argument) for argument in call.args]
        found = found(*arguments, **{str(word.arg): ast.literal_eval(word.value) for word in call.keywords})
    if not callable(found):
        raise TypeError(f"{spec}: {found!r} is not a WSGI application")
    return found


class FormerKeys:
    """Lets sessions signed with a former SECRET_KEY stay good until that key's time is up (Flask 3.1 and newer).

    :param keys: maps with ``key`` and ``until``, seconds since the epoch.
    """

    def __init__(self, app: Any, keys: list[dict[str, Any]]) -> None:
        self.app, self.keys = app, keys
        self.drop_at = 0.0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request; the app's fallback keys are set anew when one has expired."""
        if (now := time.time()) >= self.drop_at:
            left = [entry for entry in self.keys if entry["until"] > now]
            self.app.config["SECRET_KEY_FALLBACKS"] = [entry["key"] for entry in left] or None
            self.drop_at = min((entry["until"] for entry in left), default=float("inf"))
        return self.app(environ, start_response)


class Below:
    """An app that lives below a path: the path is its SCRIPT_NAME, and what lies outside of it is not there.

    :param prefix: the path, without a slash at its end.
    """

    def __init__(self, app: Any, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request below the path, and every other one with 404."""
        path = environ.get("PATH_INFO", "")
        if not f"{path}/".startswith(f"{self.prefix}/"):
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "10")])
            return [b"Not found\n"]
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + self.prefix
        environ["PATH_INFO"] = path[len(self.prefix) :]
        return self.app(environ, start_response)


REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("groundwork_request_id", default="-")


class Numbered:
    """Says in each record that is logged meanwhile under which number the proxy logged the request: ``request_id``."""

    def __init__(self, app: Any) -> None:
        self.app = app
        make = logging.getLogRecordFactory()

        def numbered(*arguments: Any, **words: Any) -> logging.LogRecord:
            record = make(*arguments, **words)
            record.request_id = REQUEST_ID.get()
            return record

        logging.setLogRecordFactory(numbered)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request, and note its number for what is logged meanwhile."""
        # Not reset at the end: an answer may be made after this returns, and the next request sets its own.
        REQUEST_ID.set(environ.get("HTTP_X_REQUEST_ID") or "-")
        return self.app(environ, start_response)


class Counted:
    """Counts requests for the watch over a new release: begun, ended, and failed, which are those with 5xx or an error.

    Each process has a file of its own with the three numbers, in the directory that systemd has made for the unit.
    """

    def __init__(self, app: Any, directory: str) -> None:
        self.app, self.directory = app, directory
        self.pid, self.file = 0, -1
        self.begun = self.ended = self.failed = 0
        self.lock = threading.Lock()

    def count(self, begun: int, ended: int = 0, failed: int = 0) -> None:
        """Add to the numbers."""
        with self.lock:
            if self.pid != os.getpid():  # after a fork
                self.pid, self.file = os.getpid(), -1
                self.begun = self.ended = self.failed = 0
                with contextlib.suppress(OSError):
                    self.file = os.open(f"{self.directory}/answers-{self.pid}", os.O_CREAT | os.O_WRONLY, 0o600)
            self.begun, self.ended, self.failed = self.begun + begun, self.ended + ended, self.failed + failed
            if self.file >= 0:
                with contextlib.suppress(OSError):
                    os.pwrite(self.file, struct.pack("<QQQ", self.begun, self.ended, self.failed), 0)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request, and count it."""
        status = ""

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line
            return start_response(line, *rest)

        self.count(1)
        try:
            answer = self.app(environ, start)
        except BaseException:
            self.count(0, 1, 1)
            raise
        self.count(0, 1, status.startswith("5"))
        return answer


def show_request_id() -> None:
    """Have Flask's own handler of logs, if the app uses it as it is, show the number."""
    handler: Any = getattr(sys.modules.get("flask.logging"), "default_handler", None)

    def number(record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):  # the app makes its own records
            record.request_id = REQUEST_ID.get()
        return True

    as_it_is = "[%(asctime)s] %(levelname)s in %(module)s: %(message)s"
    if getattr(getattr(handler, "formatter", None), "_fmt", "") == as_it_is:
        handler.addFilter(number)
        handler.setFormatter(logging.Formatter(as_it_is.replace(": ", " [%(request_id)s]: ", 1)))


def entry() -> Any:
    """The app as the server calls it."""
    put_code_first()
    if os.environ.get("SENTRY_DSN"):
        import groundwork_errors  # beside this file

        groundwork_errors.start(
            "flask.FlaskIntegration", request_id=REQUEST_ID.get, seconds=groundwork_errors.SERVER_SECONDS
        )
    app = load(os.environ["WSGI_APP"])
    show_request_id()
    if getattr(app, "debug", False) and os.environ.get("GROUNDWORK_DEBUG") != "1":
        app.debug = False
        logging.getLogger("groundwork").warning("the app turned debug mode on; it is off here (option debug)")
    config: Any = getattr(app, "config", None)
    former = json.loads(os.environ.get("SECRET_KEY_FALLBACKS", "[]"))
    # An app that has another key, or looks after former keys itself, is left alone.
    same_key = config and config.get("SECRET_KEY") == os.environ.get("SECRET_KEY")
    if former and same_key and not config.get("SECRET_KEY_FALLBACKS"):
        app = FormerKeys(app, former)
    if prefix := os.environ.get("GROUNDWORK_PREFIX"):
        app = Below(app, prefix)
    app = Numbered(app)
    if directory := os.environ.get("RUNTIME_DIRECTORY"):
        app = Counted(app, directory)
    if os.environ.get("GROUNDWORK_PROXY_FIX", "1") == "1":
        from werkzeug.middleware.proxy_fix import ProxyFix  # an app that is not Flask's may run without it

        return ProxyFix(app, x_for=1, x_proto=1, x_host=1)
    return app


application = entry()
