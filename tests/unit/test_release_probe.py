"""What the import of an app finds out: probe.py in a process of its own, as in a release."""

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
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers
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
            timeout=300,
        )

    def facts(self, directory: Path, text: str, **environment: str) -> dict[str, Any]:
        done = self.probe(directory, text, **environment)
        _before, mark, answer = done.stdout.rpartition(probe.MARK)
        assert mark, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(answer)
        return found

    def test_a_good_app(self, tmp_path: Path) -> None:
        facts = self.facts(tmp_path, self.PLAIN, SECRET_KEY=KEY)
        assert {**facts, "flask": ""} == {**GOOD, "flask": ""}
        assert tuple(map(int, facts["flask"].split(".")[:2])) >= (3, 1)
        assert list(checks.of_app(facts, 0, False, False)) == []

    @pytest.mark.parametrize("name", ["calendar", "email", "html", "queue", "types"])
    def test_an_app_with_a_module_of_a_name_of_the_standard_library(self, tmp_path: Path, name: str) -> None:
        # Gunicorn, which imports such an app without trouble, has loaded these before.
        (tmp_path / "gunicorn").mkdir()
        (tmp_path / "gunicorn" / "__init__.py").touch()
        code = tmp_path / "code"
        code.mkdir()
        (code / f"{name}.py").write_text("MINE = True\n")
        assert self.facts(tmp_path, self.PLAIN, SECRET_KEY=KEY, GROUNDWORK_PATH=str(code))["secret_key"] == "good"

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
            (
                "@app.errorhandler(500)\ndef broken(e):\n    return {'error': str(e.original_exception)}, 500",
                {},
                {"server_error": "message"},
            ),
            (
                "from flask import request\n@app.errorhandler(500)\ndef broken(e):\n"
                "    if request.accept_mimetypes.accept_html: return '<h1>Sorry</h1>', 500\n"
                "    import traceback; return {'error': traceback.format_exc()}, 500",
                {},
                {"server_error": ""},
            ),
            (
                "import traceback\n@app.errorhandler(500)\ndef broken(e):\n"
                "    return {'frames': traceback.format_tb(e.original_exception.__traceback__)}, 500",
                {},
                {"server_error": "traceback"},
            ),
            (
                "import html, traceback\n@app.errorhandler(500)\ndef broken(e):\n"
                "    return html.escape(traceback.format_tb(e.original_exception.__traceback__)[0]), 500",
                {},
                {"server_error": "traceback"},
            ),
            (
                "from flask import g\n@app.before_request\ndef number():\n    g.number = 7\n    return 'come in'\n"
                "@app.errorhandler(500)\ndef broken(e):\n    return f'request {g.number} failed', 500",
                {},
                {"server_error": ""},
            ),
            ("@app.before_request\ndef closed():\n    raise OSError('no database')", {}, {"server_error": ""}),
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

    @pytest.mark.parametrize(
        ("key", "kept"),
        [
            (repr(KEY), True),
            (f"{KEY!r}.encode()", True),
            ("os.environ['SECRET_KEY']", True),
            ("os.urandom(32)", False),
            ("secrets.token_hex()", False),
            ("str(uuid.uuid4())", False),
            (
                "open('key', 'a+').seek(0) or open('key').read() or (open('key', 'w').write('k' * 9 + KEYS), KEYS)[1]",
                True,
            ),
        ],
    )
    def test_a_key_that_each_import_makes_is_told_from_one_that_stays(
        self, tmp_path: Path, key: str, kept: bool
    ) -> None:
        made = self.PLAIN.replace(f"SECRET_KEY={KEY!r}", f"SECRET_KEY={key}")
        text = f"import os, secrets, uuid\nKEYS = {KEY!r}\n{made}"
        (tmp_path / "key").write_text(KEY)
        first, second = (self.facts(tmp_path, text, SECRET_KEY="e" * 64) for _import in range(2))
        assert (first["own_key"] == second["own_key"]) is kept
        assert (first["own_key"] == "") is ("environ" in key)
        assert bool(list(checks.of_imports(first, second))) is not kept

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

    def test_a_page_that_never_comes_is_left_to_the_health_check(self, tmp_path: Path) -> None:
        more = "import time\n@app.before_request\ndef hang():\n    time.sleep(3600)\n"
        assert self.facts(tmp_path, self.PLAIN + more)["server_error"] == ""

    def test_the_heads_of_a_migrated_database(self, tmp_path: Path) -> None:
        text = f"""{self.PLAIN}
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///{tmp_path}/shop.db"
db = SQLAlchemy(app)
Migrate(app, db)
"""
        assert self.facts(tmp_path, text)["migration_heads"] == []
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.executemany("INSERT INTO alembic_version VALUES (?)", [("rev2",), ("rev1",)])
            connection.commit()
        assert self.facts(tmp_path, text)["migration_heads"] == ["rev1", "rev2"]
        assert self.facts(tmp_path, text.replace(f"{tmp_path}/shop", "/nowhere/shop"))["migration_heads"] is None
