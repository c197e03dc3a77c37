"""The files a release brings to start its server, as the server will run them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, servers

APPS: dict[str, Any] = {"shop": {"source": {"git": "x"}, "wsgi_app": "shop", "domains": ["shop.example.org"]}}


@pytest.fixture
def conf(tmp_path: Path) -> dict[str, Any]:
    """gunicorn.conf.py of a release, executed."""
    for name, text in model.releases(model.load(APPS)[0])["files"].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return runpy.run_path(str(tmp_path / "gunicorn.conf.py"))


@pytest.mark.parametrize(
    ("asked", "cores", "megabytes", "workers", "words"),
    [
        (None, 2, 4096, 5, "5 workers: (2 x 2 cores) + 1; half of 4096 MB would hold 20 of 100 MB"),
        (None, 32, 1024, 5, "5 workers: 65 for 32 cores, but half of 1024 MB holds 5 of 100 MB"),
        (None, 1, 100, 1, "1 workers: 3 for 1 cores, but half of 100 MB holds 1 of 100 MB"),
        (3, 32, 512, 3, "3 workers, as configured"),
    ],
)
def test_workers(conf: dict[str, Any], asked: int | None, cores: int, megabytes: int, workers: int, words: str) -> None:
    assert conf["choose_workers"](asked, cores, megabytes, 100) == (workers, words)


@pytest.mark.parametrize(("quota", "count"), [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 64)])
def test_cores_of_a_quota_above(
    conf: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, count: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(64)))
    group = tmp_path / "cgroup/app.slice/shop.service"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/app.slice/shop.service\n")
    (group / "cpu.max").write_text("max 100000\n")
    (group.parent / "cpu.max").write_text(quota + "\n")
    assert conf["cores"](tmp_path / "cgroup", str(tmp_path / "own")) == count


def test_memory_is_the_smallest_of_all_limits(conf: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:        4096000 kB\n")
    group = tmp_path / "cgroup/app.slice"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/app.slice\n")
    arguments = (tmp_path / "cgroup", str(tmp_path / "own"), str(tmp_path / "meminfo"))
    assert conf["memory"](*arguments) == 4000
    (group / "memory.max").write_text(f"{512 * 2**20}\n")
    assert conf["memory"](*arguments) == 512


def test_the_start_script_finds_its_release(tmp_path: Path) -> None:
    files = servers.release_files("gunicorn", {"worker_class": "sync"})
    (tmp_path / "venv/bin").mkdir(parents=True)
    fake = tmp_path / "venv/bin/gunicorn"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "start").write_text(files["start"])
    said = subprocess.run(("sh", str(tmp_path / "start")), cwd="/", capture_output=True, text=True, check=True).stdout
    assert said == f"--config {tmp_path}/gunicorn.conf.py\n"
    assert json.loads(files["server.json"]) == {"worker_class": "sync"}


class TestEntry:
    """groundwork_wsgi.py, imported by a fresh interpreter as a server does."""

    APP = """
class App:
    debug = True
    def __call__(self, environ, start_response): ...
def create_app(name="x", debug=False):
    app = App(); app.name = name; return app
app = create_app("plain"); number = 7
class nested: app = create_app("nested")
"""

    def load(self, tmp_path: Path, spec: str, expression: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "shop.py").write_text(self.APP)
        (tmp_path / "groundwork_wsgi.py").write_text((servers.FILES / servers.ENTRY).read_text())
        code = f"import groundwork_wsgi as g; print({expression})"
        return subprocess.run(
            (sys.executable, "-c", code),
            cwd=tmp_path,
            env={"WSGI_APP": spec, "GROUNDWORK_PROXY_FIX": "0", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @pytest.mark.parametrize(
        ("spec", "name"),
        [
            ("shop:app", "plain"),
            ("shop:create_app()", "x"),
            ("shop:create_app('y', debug=False)", "y"),
            ("shop:nested.app", "nested"),
        ],
    )
    def test_callables(self, tmp_path: Path, spec: str, name: str) -> None:
        assert self.load(tmp_path, spec, "g.application.name").stdout == f"{name}\n"

    def test_debug_is_off_unless_one_insists(self, tmp_path: Path) -> None:
        quiet = self.load(tmp_path, "shop:app", "g.application.debug", FLASK_DEBUG="1")
        assert quiet.stdout == "False\n"
        assert "the app turned debug mode on; it is off here" in quiet.stderr
        assert self.load(tmp_path, "shop:app", "g.application.debug", GROUNDWORK_DEBUG="1").stdout == "True\n"

    FLASK = """
import json
from flask import Flask, session
app = Flask(__name__)
app.config.update(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=OWN)
@app.get("/")
def index(): return json.dumps(session.get("user"))
"""
    # Asks at each time with a session signed with each key, and prints whom the app took the visitor for.
    ASK = """
import json, sys, time, types
import groundwork_wsgi
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.test import Client
def cookie(key):
    app = Flask("other"); app.secret_key = key
    return "session=" + SecureCookieSessionInterface().get_signing_serializer(app).dumps({"user": "ann"})
clock = 1000.0
groundwork_wsgi.time = types.SimpleNamespace(time=lambda: clock)
client = Client(groundwork_wsgi.application, use_cookies=False)
found = []
for clock, key in json.loads(sys.argv[1]):
    found.append(json.loads(client.get("/", headers={"Cookie": cookie(key)}).text))
print(json.dumps(found))
"""

    @pytest.mark.parametrize(
        ("key", "own", "asked", "known"),
        [
            ("present", None, [(1000, "present"), (1000, "former"), (1000, "older"), (1000, "forged")], "yyyn"),
            ("present", None, [(1000, "older"), (1999, "older"), (2001, "older"), (2001, "former")], "yyny"),
            ("present", None, [(1000, "former"), (5000, "former"), (5000, "older"), (5000, "present")], "ynny"),
            ("present", ["own"], [(1000, "present"), (1000, "own"), (1000, "former")], "yyn"),
            ("another", None, [(1000, "another"), (1000, "former")], "yn"),
        ],
    )
    def test_sessions_signed_with_a_former_key(
        self, tmp_path: Path, key: str, own: list[str] | None, asked: list[tuple[int, str]], known: str
    ) -> None:
        """Older keys are good until their times, 2000 and 3000, when the app uses the key that the release gives it."""
        (tmp_path / "flaskr.py").write_text(self.FLASK.replace("KEY,", f"{key!r},").replace("OWN", repr(own)))
        (tmp_path / "groundwork_wsgi.py").write_text((servers.FILES / servers.ENTRY).read_text())
        former = [{"key": "former", "until": 3000}, {"key": "older", "until": 2000}]
        for proxy_fix in "01":
            done = subprocess.run(
                (sys.executable, "-c", self.ASK, json.dumps(asked)),
                cwd=tmp_path,
                env={
                    "WSGI_APP": "flaskr:app",
                    "GROUNDWORK_PROXY_FIX": proxy_fix,
                    "SECRET_KEY": "present",
                    "SECRET_KEY_FALLBACKS": json.dumps(former),
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout, done.stderr
            assert json.loads(done.stdout) == ["ann" if each == "y" else None for each in known]

    def test_what_is_not_callable(self, tmp_path: Path) -> None:
        assert "TypeError: shop:number: 7 is not a WSGI application" in self.load(tmp_path, "shop:number", "1").stderr
