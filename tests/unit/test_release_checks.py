"""What is proved of a release: real Flask apps are probed, and every finding has its remedy."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import checks, probe
from ansible_collections.groundwork.flask.plugins.module_utils.release.checks import FailedCheck
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import Response
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, servers
from ansible_collections.groundwork.flask.tests.unit.release_app import GOOD

ROOT = Path(probe.__file__).parent
KEY = "0123456789abcdefghij"


@pytest.mark.parametrize(
    ("key", "judged"),
    [
        (None, "missing"),
        ("", "missing"),
        (b"", "missing"),
        ("dev", "sample"),
        ("DEV", "sample"),
        ("change-me", "sample"),
        ("you-will-never-guess", "sample"),
        ("a really really really really long secret key", "sample"),
        ("192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", "sample"),
        (b'_5#y2L"F4Q8z\n\xec]/', "sample"),  # Flask's quick start
        ('_5#y2L"F4Q8z\n\xec]/', "sample"),
        ("0123456789abcde", "short"),
        ("0123456789abcdef", "good"),
        (b"0123456789abcdef", "good"),
        ("a" * 64, "poor"),
        ("abcdefg" * 8, "poor"),
        ("abcdefgh" * 8, "good"),
        ("ünïcödé-ünïcödé-ü", "good"),
    ],
)
def test_keys(key: str | bytes | None, judged: str) -> None:
    assert probe.judge_key(key) == judged


class TestProbe:
    """probe.py, in a process of its own as in a release, with the entry that the servers use."""

    PLAIN = f"""
from flask import Flask, session
app = Flask(__name__)
app.config.update(SECRET_KEY={KEY!r}, SESSION_COOKIE_SECURE=True)
@app.route("/")
def index(): return "hello"
"""

    def probe(self, directory: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (directory / "shop.py").write_text(text)
        (directory / "groundwork_wsgi.py").write_text((servers.FILES / servers.ENTRY).read_text())
        return subprocess.run(
            (sys.executable, "-c", (ROOT / "probe.py").read_text()),
            cwd=directory,
            env={"WSGI_APP": "shop:app", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def facts(self, directory: Path, text: str, **environment: str) -> dict[str, Any]:
        done = self.probe(directory, text, **environment)
        _before, mark, answer = done.stdout.rpartition(probe.MARK)
        assert mark, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(answer)
        return found

    def test_a_good_app(self, tmp_path: Path) -> None:
        facts = self.facts(tmp_path, self.PLAIN)
        assert {**facts, "flask": ""} == {**GOOD, "flask": ""}
        assert tuple(map(int, facts["flask"].split(".")[:2])) >= (3, 1)
        assert list(checks.of_app(facts, 0, False, False)) == []

    @pytest.mark.parametrize(
        ("more", "environment", "found"),
        [
            ("app.debug = True", {}, {"debug": False}),  # the entry has switched it off
            ("app.debug = True", {"GROUNDWORK_DEBUG": "1"}, {"debug": True}),
            ("app.config['SECRET_KEY'] = None", {}, {"secret_key": "missing"}),
            ("app.config['SECRET_KEY'] = 'dev'", {}, {"secret_key": "sample"}),
            ("app.config['SECRET_KEY_FALLBACKS'] = ['x']", {}, {"fallbacks": True}),
            ("app.config['SESSION_COOKIE_SECURE'] = False", {}, {"session_cookie_secure": False}),
            ("app.config['MAX_CONTENT_LENGTH'] = 7", {}, {"max_content_length": 7}),
            ("app = type('Wrap', (), {'app': app, '__call__': lambda *a: None})()", {}, {"secret_key": "good"}),
            (
                "",
                {"SECRET_KEY": KEY, "SECRET_KEY_FALLBACKS": '[{"key": "old", "until": 9999999999}]'},
                {"secret_key": "good", "server_error": ""},
            ),
            ("def app(environ, start_response): ...", {}, {}),
            (
                "@app.errorhandler(500)\ndef broken(e):\n    return open('/nowhere').read()",
                {},
                {"server_error": "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'"},
            ),
            (
                "import traceback\n@app.errorhandler(500)\ndef broken(e):\n    return traceback.format_exc(), 500",
                {},
                {"server_error": "traceback"},
            ),
            ("app.config['PROPAGATE_EXCEPTIONS'] = True", {}, {"server_error": ""}),
            (
                "import threading, time\nthreading.Thread(target=lambda: time.sleep(600)).start()\nprint('said')",
                {},
                {"debug": False},
            ),
        ],
    )
    def test_what_is_found(self, tmp_path: Path, more: str, environment: dict[str, str], found: dict[str, Any]) -> None:
        facts = self.facts(tmp_path, f"{self.PLAIN}\n{more}\n", **environment)
        assert {name: facts.get(name) for name in found} == found
        assert bool(facts) is bool(found)

    def test_a_handler_of_all_exceptions_that_shows_a_traceback(self, tmp_path: Path) -> None:
        more = """
from traceback import format_exception
@app.errorhandler(Exception)
def broken(error): return "".join(format_exception(error)), 500
"""
        assert self.facts(tmp_path, self.PLAIN + more)["server_error"] == "traceback"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
            ("def app(:", "SyntaxError"),
            ("import sys; sys.exit(0)", "the app ended Python with exit status 0 while it was imported"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("", "AttributeError: module 'shop' has no attribute 'app'"),
            ("app = 7", "TypeError: shop:app: 7 is not a WSGI application"),
        ],
    )
    def test_an_app_that_cannot_be_imported(self, tmp_path: Path, text: str, said: str) -> None:
        done = self.probe(tmp_path, text)
        assert done.returncode == 1
        assert said in done.stderr
        assert probe.MARK not in done.stdout
        assert 'File "<string>"' not in done.stderr or "sys.exit" in text, "the probe's own frames help nobody"

    def test_the_heads_of_a_migrated_database(self, tmp_path: Path) -> None:
        text = f"""{self.PLAIN}
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///{tmp_path}/shop.db"
db = SQLAlchemy(app)
Migrate(app, db)
"""
        assert self.facts(tmp_path, text)["heads"] == []
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.executemany("INSERT INTO alembic_version VALUES (?)", [("rev2",), ("rev1",)])
            connection.commit()
        assert self.facts(tmp_path, text)["heads"] == ["rev1", "rev2"]
        assert self.facts(tmp_path, text.replace(f"{tmp_path}/shop", "/nowhere/shop"))["heads"] is None


SAID: list[tuple[str, dict[str, Any], dict[str, Any], str, bool, str]] = [
    ("debug", {"debug": True}, {}, "debug", True, "the app is in debug mode"),
    ("a sample key", {"secret_key": "sample"}, {}, "secret_key", True, "stands in documentation, so anybody can forge"),
    ("a short key", {"secret_key": "short"}, {}, "secret_key", True, "fewer than 16 characters"),
    ("a poor key", {"secret_key": "poor"}, {}, "secret_key", True, "less than 8 different characters"),
    ("no key", {"secret_key": "missing"}, {}, "secret_key", False, 'app.config["SECRET_KEY"] = os.environ'),
    ("the wrong key signs", {"flask": "3.1.0"}, {"fallbacks": True}, "fallbacks", True, "(CVE-2025-47278): take 3.1.1"),
    ("the app's own fallbacks", {"flask": "3.1.0", "fallbacks": True}, {}, "fallbacks", True, "CVE-2025-47278"),
    ("an old Flask", {"flask": "3.0.3"}, {"fallbacks": True}, "fallbacks", False, "logs everybody out; Flask 3.1.1 wo"),
    ("an older Flask", {"flask": "2.3"}, {"fallbacks": True}, "fallbacks", False, "Flask 2.3 knows no SECRET_KEY_FALL"),
    ("a cookie", {"session_cookie_secure": False}, {}, "session_cookie", False, "SESSION_COOKIE_SECURE = True"),
    (
        "uploads",
        {"max_content_length": 16 * 2**20},
        {"body_limit": 2**20},
        "upload_limit",
        False,
        "uploads up to 16 MB (MAX_CONTENT_LENGTH), and the proxy 1 MB only: raise proxy.client_max_body_size",
    ),
    ("a traceback", {"server_error": "traceback"}, {}, "server_error", True, "visitors see its traceback"),
    (
        "a handler",
        {"server_error": "KeyError: x"},
        {},
        "server_error",
        False,
        "handler of errors is broken: KeyError: x",
    ),
]
SILENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("all is well", {}, {}),
    ("one insists on debug", {"debug": True}, {"debug": True}),
    ("former keys", {}, {"fallbacks": True}),
    ("Flask 3.1.0 without former keys", {"flask": "3.1.0"}, {}),
    ("Flask 3.0 without former keys", {"flask": "3.0.3"}, {}),
    ("Flask 3.1.1", {"flask": "3.1.1", "fallbacks": True}, {"fallbacks": True}),
    ("uploads within", {"max_content_length": 2**20}, {"body_limit": 2**20}),
    ("no limit of the proxy", {"max_content_length": 2**30}, {"body_limit": 0}),
]


def of_app(facts: dict[str, Any], call: dict[str, Any]) -> list[FailedCheck]:
    return list(checks.of_app({**GOOD, **facts}, **{"body_limit": 0, "fallbacks": False, "debug": False, **call}))


class TestOfApp:
    """What the app's settings say."""

    @pytest.mark.parametrize(("name", "facts", "call", "check", "error", "text"), SAID, ids=[row[0] for row in SAID])
    def test_found(
        self, name: str, facts: dict[str, Any], call: dict[str, Any], check: str, error: bool, text: str
    ) -> None:
        (finding,) = of_app(facts, call)
        assert (finding.check, finding.error) == (check, error)
        assert text in finding.text

    @pytest.mark.parametrize(("name", "facts", "call"), SILENT, ids=[row[0] for row in SILENT])
    def test_nothing_found(self, name: str, facts: dict[str, Any], call: dict[str, Any]) -> None:
        assert of_app(facts, call) == []

    def test_a_missing_key_needs_no_secure_cookie(self) -> None:
        assert len(of_app({"secret_key": "missing", "session_cookie_secure": False}, {})) == 1

    def test_of_an_app_of_another_kind_nothing_is_said(self) -> None:
        assert list(checks.of_app({}, 1, True, False)) == []


# What an app may say in the place of the probe.
LIES: list[tuple[str, Any]] = [
    ("flask", None),
    ("flask", 3.1),
    ("flask", ""),
    ("flask", "3"),
    ("flask", "3.1\x1b[2J"),
    ("flask", "3.1\n"),
    ("flask", "3.1x" + "y" * 40),
    ("flask", "\u0663.\u0661"),
    ("flask", "12345.1"),
    ("flask", ["3.1"]),
    ("debug", 0),
    ("debug", None),
    ("debug", "no"),
    ("secret_key", "excellent"),
    ("secret_key", None),
    ("secret_key", True),
    ("secret_key", ["good"]),
    ("fallbacks", 1),
    ("fallbacks", []),
    ("session_cookie_secure", "True"),
    ("max_content_length", -1),
    ("max_content_length", float("nan")),
    ("max_content_length", float("inf")),
    ("max_content_length", "16"),
    ("max_content_length", True),
    ("max_content_length", 2**63),
    ("server_error", None),
    ("server_error", ["traceback"]),
    ("heads", "rev1"),
    ("heads", {"rev1": 1}),
    ("heads", [1]),
    ("heads", [True]),
    ("heads", [None]),
    ("heads", [["rev1"]]),
    ("heads", [""]),
    ("heads", ["rev1\n"]),
    ("heads", ["rev 1"]),
    ("heads", ["\x1b[2J"]),
    ("heads", ["r" * 65]),
    ("heads", ["rev1"] * 100),
]


class TestRead:
    """What comes from the app is data: each of it is as a probe would have it, or the release is refused."""

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"flask": "3.1.0"},
            {"flask": "2.3"},
            {"flask": "3.2.0.dev0"},
            {"flask": "3.1rc1"},
            {"flask": "3.1.3+local.1"},
            {"max_content_length": 0},
            {"max_content_length": 2**40},
            {"max_content_length": 16e6},
            {"heads": []},
            {"heads": ["ae1027a6acf", "rev_2.b-c"]},
            {"server_error": "traceback"},
        ],
        ids=str,
    )
    def test_what_a_probe_says(self, change: dict[str, Any]) -> None:
        facts = {**GOOD, **change}
        assert checks.read(json.dumps(facts)) == facts
        assert checks.read(f"{json.dumps(facts)}\nsaid at the end\n") == facts
        list(checks.of_app(facts, 1, True, False))

    @pytest.mark.parametrize(("name", "value"), LIES, ids=[f"{row[0]}: {row[1]!r}"[:40] for row in LIES])
    def test_what_no_probe_says(self, name: str, value: Any) -> None:
        with pytest.raises(ReleaseError, match=f"what the app said of its {name} cannot be: ") as error:
            checks.read(json.dumps({**GOOD, name: value}))
        assert error.value.step == "import"
        assert len(str(error.value)) < 300
        assert "\x1b" not in str(error.value)

    @pytest.mark.parametrize(
        "answer",
        [
            "",
            "nonsense",
            "{",
            "[]",
            "null",
            "7",
            '"text"',
            json.dumps([GOOD]),
            json.dumps({**GOOD, "more": 1}),
            json.dumps({name: value for name, value in GOOD.items() if name != "heads"}),
            json.dumps({"debug": False}),
            "9" * 5000,
            "[" * 500_000,
            '{"flask":' * 500_000,
        ],
        ids=lambda answer: answer[:20] or "nothing",
    )
    def test_what_is_no_answer(self, answer: str) -> None:
        with pytest.raises(ReleaseError, match="what the app said of itself cannot be understood"):
            checks.read(answer)

    @pytest.mark.parametrize("depth", [10, 300, 900, 1_500, 5_000, 100_000])
    def test_deep_ones(self, depth: int) -> None:
        """Of any depth: what reads it, and what shows it, have limits of their own."""
        deep = "[" * depth + "]" * depth
        with pytest.raises(ReleaseError, match="what the app said of it"):
            checks.read(json.dumps(GOOD).replace('"heads": null', f'"heads": {deep}'))

    def test_of_an_app_of_another_kind(self) -> None:
        assert checks.read("{}") == {}

    def test_what_a_handler_says_is_one_printable_line(self) -> None:
        said = json.dumps({**GOOD, "server_error": "KeyError:\n\x1b[2J" + "x" * 1000})
        error = checks.read(said)["server_error"]
        assert error.startswith("KeyError: \\x1b[2Jxxx")
        assert len(error) == 200


HOME = "https://shop.example.org"
TRACEBACK = "Traceback (most recent call last):\n"
ANSWERS: list[tuple[str, Response, Response, list[tuple[str, bool]]]] = [
    ("well", Response(200), Response(404), []),
    ("a page for all", Response(200), Response(200), []),
    ("a login", Response(302, "", f"{HOME}/login"), Response(404), []),
    ("a relative login", Response(302, "", "/login"), Response(404), []),
    ("another path", Response(301, "", f"{HOME}/healthz/"), Response(404), []),
    ("a query", Response(301, "", f"{HOME}/healthz?lang=en"), Response(404), []),
    ("another name", Response(301, "", "http://www.example.org/healthz"), Response(404), []),
    ("to itself", Response(301, "", f"{HOME}/healthz"), Response(404), [("https", True)]),
    ("to http", Response(302, "", "http://shop.example.org/login"), Response(404), [("https", False)]),
    ("no such page breaks", Response(200), Response(500, "oops"), [("not_found", False)]),
    ("no such page tells", Response(200), Response(404, f"<pre>{TRACEBACK}"), [("not_found", True)]),
    ("the debugger", Response(200), Response(500, "<title>// Werkzeug Debugger</title>"), [("not_found", True)]),
    (
        "both",
        Response(308, "", f"{HOME}/healthz"),
        Response(503),
        [("https", True), ("not_found", False)],
    ),
]


@pytest.mark.parametrize(("name", "home", "lost", "found"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_of_answers(name: str, home: Response, lost: Response, found: list[tuple[str, bool]]) -> None:
    asked: list[str] = []

    def ask(path: str) -> Response:
        asked.append(path)
        return home if path == "/healthz" else lost

    findings = list(checks.of_answers(ask, "shop.example.org", "/healthz"))
    assert [(finding.check, finding.error) for finding in findings] == found
    assert asked[0] == "/healthz"
    assert asked[1].startswith("/groundwork-")


class TestJudge:
    """What stops a release, what warns, what is switched off."""

    FINDINGS = (FailedCheck("debug", "it is in debug mode", True), FailedCheck("https", "it redirects"))

    def test_errors_and_warnings(self) -> None:
        assert checks.judge(self.FINDINGS, ()) == (
            ["it is in debug mode (or, to switch this proof off: `skip_checks: [debug]`)"],
            ["it redirects (or, to switch this proof off: `skip_checks: [https]`)"],
        )

    @pytest.mark.parametrize(
        ("skipped", "counts"), [(["debug"], (0, 1)), (["https"], (1, 0)), (["debug", "https"], (0, 0))]
    )
    def test_switched_off(self, skipped: list[str], counts: tuple[int, int]) -> None:
        errors, warnings = checks.judge(iter(self.FINDINGS), skipped)
        assert (len(errors), len(warnings)) == counts

    def test_every_name_can_be_given_in_flask_apps(self) -> None:
        names = {row[3] for row in SAID} | {check for row in ANSWERS for check, _error in row[3]} | {"stable"}
        assert names == set(model.CHECKS)
