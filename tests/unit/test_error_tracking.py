"""Errors of an app reach its tracker, with its release, and no secret does: the entry of a release and the real SDK."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import groundwork_errors
import groundwork_filter
import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers
from error_tracker import Tracker

CANARY = "CANARY"
# Secrets in the forms that they have in practice; what a visitor sends is secret, too.
SECRETS = {
    "SECRET_KEY": f"{CANARY}-key-0123456789",
    "PAYMENT": f"sk_{CANARY}_0123456789",
    "ADDRESS_OF_DB": f"postgresql://shop:{CANARY}%21word@db/shop",
    "CERT": f"-----BEGIN-----\n{CANARY}first0123456789\n{CANARY}second0123456789\n-----END-----",
    "ACCOUNT": json.dumps({"type": "service", "inner": {"text": f"{CANARY}\nof-json"}}),
    "PIN": "80471",
}
APP = """
import json, os, urllib.parse
from flask import Flask, request
app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
class Shown:
    def __repr__(self):
        return "<Shown " + os.environ["PAYMENT"] + ">"
@app.route("/break", methods=["GET", "POST"])
def broken():
    cut = "x" * 4080 + os.environ["PAYMENT"] * 9
    word = urllib.parse.unquote(urllib.parse.urlsplit(os.environ["ADDRESS_OF_DB"]).password)
    line = os.environ["CERT"].splitlines()[2]
    inner = {"list": [json.loads(os.environ["ACCOUNT"])["inner"], {os.environ["PAYMENT"]: 1}]}
    number, shown, reset_password = int(os.environ["PIN"]), Shown(), request.args["token"]
    quoted, seen, environ = urllib.parse.quote(os.environ["ADDRESS_OF_DB"], safe=""), request, request.environ
    request.form, request.cookies
    raise ValueError(f"no luck: {word} {line} {os.environ['PIN']}")
@app.get("/log")
def log():
    app.logger.error("refused %s", os.environ["PAYMENT"])
    return "logged"
@app.get("/")
def index():
    return "fine"
"""
ASK = """
import sys
import groundwork_wsgi
from werkzeug.test import Client
for number, path in enumerate(sys.argv[1:]):
    sent = dict(data={"card": "CANARY-card"}) if "break" in path else {}
    Client(groundwork_wsgi.application).open(path, method="POST" if sent else "GET", headers={
        "X-Request-ID": f"request-{number}", "Cookie": "session=CANARY-cookie", "Authorization": "Bearer CANARY-bearer",
        "X-Own": "CANARY-header", "User-Agent": "Firefox"}, **sent)
"""


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    """An error tracker on loopback."""
    with Tracker() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


# What a process waits at its end for what is not sent yet is enough for a machine that has nothing else to do.
LIMITS = ("SERVER_SECONDS, PROGRAM_SECONDS", "REQUEST_SECONDS")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, tracker: Tracker) -> Run:
    """Run Python code in a release of the app; returns what it printed."""
    entry = tmp_path / "entry"
    entry.mkdir()
    for name in (servers.ENTRY, servers.AT_START, *servers.ERRORS):
        text = (servers.FILES / name).read_text()
        for limit in LIMITS if name in servers.ERRORS else ():
            text = re.sub(rf"\b{limit} = [\d., ]+\d", f"{limit} = {', '.join(['60'] * (limit.count(',') + 1))}", text)
        (entry / name).write_text(text)

    def run(code: str, *arguments: str, app: str = APP, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "shop.py").write_text(app)
        given = {
            "PYTHONPATH": str(entry), "VIRTUAL_ENV": sys.prefix, "GROUNDWORK_PATH": str(tmp_path),
            "WSGI_APP": "shop:app", "SENTRY_DSN": tracker.dsn, "SENTRY_RELEASE": "shop@0123456789ab",
            "SENTRY_ENVIRONMENT": "production", "GROUNDWORK_SECRETS": " ".join(SECRETS), **SECRETS, **environment,
        }  # fmt: skip
        return subprocess.run(
            (sys.executable, "-c", code, *arguments), cwd=tmp_path, env=given, check=False, text=True,
            capture_output=True, timeout=300,
        )  # fmt: skip

    return run


def ask(run: Run, *paths: str, **given: str) -> str:
    """Ask the app for paths as its server does; what it logged."""
    done = run(ASK, *paths, GROUNDWORK_STARTS_SERVER="1", **given)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


class TestServer:
    """An untouched app under its server."""

    def test_an_exception_arrives_once_and_no_secret_with_it(self, run: Run, tracker: Tracker) -> None:
        ask(run, "/", "/break?token=CANARY-reset&page=2", "/log")
        broken, logged = tracker.events()
        assert (broken["release"], broken["environment"]) == ("shop@0123456789ab", "production")
        assert broken["exception"]["values"][0]["type"] == "ValueError"
        assert broken["transaction"] == "broken"
        assert "trace" not in broken.get("contexts", {})
        assert [event["tags"]["request_id"] for event in (broken, logged)] == ["request-1", "request-2"]
        assert broken["request"]["query_string"] == "token=[Filtered]&page=2"
        assert {name.lower() for name in broken["request"]["headers"]} <= set(groundwork_filter.HEADERS)
        frames = broken["exception"]["values"][0]["stacktrace"]["frames"]
        assert [frame["function"] for frame in frames if "vars" in frame] == ["broken"]
        assert frames[-1]["vars"]["shown"] == "<Shown [Filtered]>"
        sent = b"".join(tracker.raw).decode()
        found = [sent[max(0, place - 80) : place + 40] for place in places(sent, CANARY)]
        assert not found
        assert SECRETS["PIN"] not in json.dumps(broken["exception"])

    def test_an_environment_of_the_users_wins(self, run: Run, tracker: Tracker) -> None:
        ask(run, "/log", SENTRY_ENVIRONMENT="staging", GROUNDWORK_SECRETS="SENTRY_ENVIRONMENT")
        assert tracker.events()[0]["environment"] == "staging"

    def test_traces_are_off_until_they_are_asked_for(self, run: Run, tracker: Tracker) -> None:
        ask(run, "/")
        assert not tracker.raw
        ask(run, "/", SENTRY_TRACES_SAMPLE_RATE="1")
        assert b'"type":"transaction"' in b"".join(tracker.raw)

    def test_an_app_that_starts_the_sdk_itself_is_left_alone(self, run: Run, tracker: Tracker) -> None:
        own = "import sentry_sdk\nsentry_sdk.init(release='own@1', server_name='own', shutdown_timeout=60)\n" + APP
        ask(run, "/break?token=", app=own)
        assert [(event["release"], event["server_name"]) for event in tracker.events()] == [("own@1", "own")]

    def test_only_the_integration_of_flask_is_loaded(self, run: Run) -> None:
        done = run(
            "import sys, groundwork_wsgi, sentry_sdk\nprint(sorted(sentry_sdk.get_client().integrations))",
            GROUNDWORK_STARTS_SERVER="1",
        )
        assert done.stdout.strip() == str(
            ["atexit", "dedupe", "excepthook", "flask", "logging", "modules", "threading"]
        )

    @pytest.mark.parametrize(("status", "dsn"), [(502, ""), (200, f"http://{'0' * 32}@127.0.0.1:9/1")])
    def test_a_tracker_that_is_down_is_one_line_of_the_log(
        self, run: Run, tracker: Tracker, status: int, dsn: str
    ) -> None:
        tracker.status = status
        said = ask(run, *["/log"] * 20, **({"SENTRY_DSN": dsn} if dsn else {}))
        assert said.count("the error tracker does not take") == 1
        assert "Retrying" not in said
        assert dsn.partition("@")[0] not in said or not dsn

    def test_a_server_that_ends_on_its_own_waits_for_a_slow_tracker_for_a_moment(
        self, run: Run, tracker: Tracker
    ) -> None:
        tracker.seconds = 0.1
        assert tracker.seconds < groundwork_errors.SERVER_SECONDS <= 1
        done = run(f"{ASK}\nimport groundwork_errors, os\ngroundwork_errors.finish()\nos._exit(0)", "/log")
        assert (done.returncode, len(tracker.events())) == (0, 1)

    def test_without_the_sdk_the_app_runs(self, run: Run) -> None:
        broken = "import sys; sys.modules['sentry_sdk'] = None\n"
        done = run(broken + ASK, "/", GROUNDWORK_STARTS_SERVER="1")
        assert (done.returncode, "errors are not sent" in done.stderr) == (0, True)


class TestPrograms:
    """What else runs for the app."""

    def test_an_exception_that_ends_a_program_arrives(self, run: Run, tracker: Tracker) -> None:
        done = run("import os; raise RuntimeError('no ' + os.environ['PAYMENT'])", INVOCATION_ID="0123")
        assert done.returncode == 1
        assert "RuntimeError" in done.stderr
        (event,) = tracker.events()
        assert event["exception"]["values"][0]["value"] == "no [Filtered]"
        assert (event["release"], event["tags"]["invocation"]) == ("shop@0123456789ab", "0123")

    @pytest.mark.parametrize(
        "code", ["raise SystemExit(3)", "raise KeyboardInterrupt", "import sys; sys.ps1 = ''; 1 / 0"]
    )
    def test_an_end_that_is_wanted_is_no_error(self, run: Run, tracker: Tracker, code: str) -> None:
        run(code)
        assert not tracker.events()

    def test_one_that_starts_the_sdk_itself_reports_once(self, run: Run, tracker: Tracker) -> None:
        run("import sentry_sdk; sentry_sdk.init(shutdown_timeout=60); 1 / 0")
        assert len(tracker.events()) == 1

    def test_a_start_loads_nothing(self, run: Run) -> None:
        modules = "import sys; print({'sentry_sdk', 'logging', 'json', 'groundwork_filter'} & set(sys.modules))"
        assert run(modules, "").stdout.strip() == "set()"

    @pytest.mark.parametrize(
        ("module", "text", "begin", "identifier"),
        [
            ("rq/worker", "class BaseWorker:\n    def work(self): pass", "BaseWorker().work()", "rq"),
            ("huey/consumer", "class Consumer:\n    def start(self): pass", "Consumer().start()", "huey"),
            ("celery/apps/worker", "", "", "celery"),
            ("dramatiq/cli", "", "", "dramatiq"),
        ],
    )
    def test_a_worker_starts_the_sdk_when_it_begins(
        self, run: Run, tmp_path: Path, module: str, text: str, begin: str, identifier: str
    ) -> None:
        """The libraries themselves are those of the scenario `services`; here, what starts it, and when."""
        file = tmp_path / f"{module}.py"
        file.parent.mkdir(parents=True)
        for directory in file.parents[: len(Path(module).parents) - 1]:
            (directory / "__init__.py").touch()
        file.write_text(text + "\n")
        name = module.replace("/", ".")
        show = (
            "import sys, groundwork_errors\n"
            "groundwork_errors.start = lambda *names: print('start', *names)\n"
            f"import {name.partition('.')[0]}\nprint('imported')\nfrom {name} import *\n{begin}"
        )
        said = run(show).stdout.splitlines()
        assert said[0] == "imported"
        assert said[-1].startswith(f"start {identifier}.")


def places(text: str, word: str) -> Iterator[int]:
    """Where a word stands in a text."""
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


HOSTILE = ("token", "?token", "'token': \"", "'token", "token=", "('token', '", "%'")


class TestFilter:
    """What is taken out of an event."""

    @pytest.mark.parametrize(
        ("name", "filtered"),
        [
            ("DB_PASSWORD", True), ("api_key", True), ("reset_token", True), ("HTTP_X_OWN", True), ("code", True),
            ("keyboard", False), ("author", False), ("HTTP_USER_AGENT", False), ("page", False),
        ],
    )  # fmt: skip
    def test_names(self, name: str, filtered: bool) -> None:
        assert groundwork_filter.Filter({}).is_secret(name) is filtered

    def test_a_secret_that_was_cut_is_taken_out(self) -> None:
        keep = groundwork_filter.Filter({"GROUNDWORK_SECRETS": "KEY_OF_SHOP", "KEY_OF_SHOP": "abcdefghij"})
        assert keep.text("it is abcdefg...") == "it is [Filtered]..."
        assert keep.text("it is abc...") == "it is abc..."

    def test_short_and_common_values_leave_texts_readable(self) -> None:
        given = {"GROUNDWORK_SECRETS": "A B C", "A": "1", "B": "true", "C": ""}
        assert groundwork_filter.Filter(given).text("1 is true") == "1 is true"

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("refused {'password': 'a b', 'page': '2'}", "refused {'password': [Filtered], 'page': '2'}"),
            ('refused {"new_password":"a", "n": 1}', 'refused {"new_password":[Filtered], "n": 1}'),
            ("ImmutableMultiDict([('csrf_token', \"it's\"), ('page', '2')])",
             "ImmutableMultiDict([('csrf_token', [Filtered]), ('page', '2')])"),
            ("no user for token=abc, page=2", "no user for token=[Filtered] page=2"),
            ("{'secret': b'ab', 'token': 12}", "{'secret': b[Filtered], 'token': [Filtered]}"),
            ("'password' is missing; token is None", "'password' is missing; token is None"),
        ],
    )  # fmt: skip
    def test_what_a_text_shows_of_a_form(self, text: str, left: str) -> None:
        assert groundwork_filter.Filter({}).text(text) == left

    def test_the_lines_of_the_code_stay_as_they_are(self) -> None:
        line = {"context_line": "check(token=request.args['token'], **{'password': word})"}
        assert groundwork_filter.Filter({}).clean(line) == line

    def test_a_long_hostile_text_takes_no_time(self) -> None:
        keep = groundwork_filter.Filter({"GROUNDWORK_SECRETS": "A", "A": "a" * 200})
        event: dict[str, Any] = {"extra": {str(one): text * (100_000 // len(text)) for one, text in enumerate(HOSTILE)}}
        assert len(keep(event)["extra"]) == len(HOSTILE)


def test_the_files_are_a_part_of_each_release() -> None:
    files = servers.release_files("waitress", {})
    assert {f"entry/{name}" for name in servers.ERRORS} <= files.keys()
