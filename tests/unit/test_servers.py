"""The files a release brings to start its server, as the server will run them."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import workers
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import Option
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_checks, model, role_inputs, servers

APPS: dict[str, Any] = {"shop": {"source": {"git": "x"}, "wsgi_app": "shop", "domains": ["shop.example.org"]}}


def options(**server: Any) -> dict[str, Any]:
    """The options of a server, as the model makes them."""
    (app,) = model.load({"shop": {**APPS["shop"], "server": server}})
    return dict(app.server_options)


@pytest.mark.parametrize(
    ("asked", "cores", "megabytes", "number", "words"),
    [
        (None, 2, 4096, 5, "5 workers: (2 x 2 cores) + 1; half of 4096 MB would hold 20 of 100 MB"),
        (None, 32, 1024, 5, "5 workers: 65 for 32 cores, but half of 1024 MB holds 5 of 100 MB"),
        (None, 1, 100, 1, "1 worker: 3 for 1 core, but half of 100 MB holds 1 of 100 MB"),
        (None, 1, 4096, 3, "3 workers: (2 x 1 core) + 1; half of 4096 MB would hold 20 of 100 MB"),
        (1, 2, 512, 1, "1 worker, as configured"),
        (3, 32, 512, 3, "3 workers, as configured"),
    ],
)
def test_workers(asked: int | None, cores: int, megabytes: int, number: int, words: str) -> None:
    assert workers.choose_workers(asked, cores, megabytes, 100) == (number, words)


@pytest.mark.parametrize(
    ("megabytes", "others", "words"),
    [
        (1024, 2, "3 workers: 5 for 2 cores, but half of 1024 MB holds 3 of 100 MB beside 2 other processes"),
        (1024, 9, "1 worker: 5 for 2 cores, but half of 1024 MB holds 1 of 100 MB beside 9 other processes"),
        (4096, 1, "5 workers: (2 x 2 cores) + 1; half of 4096 MB would hold 19 of 100 MB beside 1 other process"),
    ],
)
def test_processes_of_the_release_count_as_workers_do(megabytes: int, others: int, words: str) -> None:
    assert workers.choose_workers(None, 2, megabytes, 100, others)[1] == words


def test_the_processes_are_those_of_the_release_s_record(tmp_path: Path) -> None:
    assert workers.other_processes(tmp_path) == 0
    units = [{"name": "shop@A.service", "kind": "web"}, {"name": "shop.worker@A.service", "kind": "process"}]
    (tmp_path / "release.json").write_text(json.dumps({"units": units}))
    assert workers.other_processes(tmp_path) == 1
    (tmp_path / "release.json").write_text("{}")
    assert workers.other_processes(tmp_path) == 0


@pytest.mark.parametrize(("quota", "count"), [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 64)])
def test_cores_of_a_quota_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, count: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(64)))
    group = tmp_path / "cgroup/app.slice/shop.service"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/app.slice/shop.service\n")
    (group / "cpu.max").write_text("max 100000\n")
    (group.parent / "cpu.max").write_text(quota + "\n")
    assert workers.cores(tmp_path / "cgroup", str(tmp_path / "own")) == count


def test_memory_is_the_smallest_of_all_limits(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:        4096000 kB\n")
    group = tmp_path / "cgroup/app.slice"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/app.slice\n")
    arguments = (tmp_path / "cgroup", str(tmp_path / "own"), str(tmp_path / "meminfo"))
    assert workers.memory(*arguments) == 4000
    (group / "memory.max").write_text(f"{512 * 2**20}\n")
    assert workers.memory(*arguments) == 512


@pytest.mark.parametrize(
    ("provider", "program", "arguments"),
    [
        ("gunicorn", "gunicorn", "--config {release}/gunicorn.conf.py"),
        ("uwsgi", "uwsgi", "--ini {release}/uwsgi.ini"),
        ("waitress", "python", "{release}/waitress_server.py"),
        ("mod_wsgi", "python", "{release}/mod_wsgi_server.py"),
    ],
)
def test_the_start_script_counts_the_workers_and_becomes_the_server(
    tmp_path: Path, provider: str, program: str, arguments: str
) -> None:
    release, runtime = tmp_path / "release", tmp_path / "run"
    (release / "venv/bin").mkdir(parents=True)
    runtime.mkdir()
    files = servers.release_files(provider, options(provider=provider, workers=3))
    for name in ("start", "workers.py", "server.json"):
        (release / name).write_text(files[name])
    fake = release / "venv/bin" / program
    python = release / "venv/bin/python"
    say = 'echo "$GROUNDWORK_WORKERS $@"\n'
    fake.write_text(f"#!/bin/sh\n{say}")
    # Counts with the real interpreter, and only tells what it would have run.
    python.write_text(f'#!/bin/sh\ncase $* in *workers.py*) exec {sys.executable} "$@" ;; esac\n{say}')
    for path in (python, fake):
        path.chmod(0o755)
    said = subprocess.run(
        ("sh", str(release / "start")),
        cwd="/", env={"RUNTIME_DIRECTORY": str(runtime)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == f"3 workers, as configured\n3 {arguments.format(release=release)}\n"
    assert (runtime / "workers").read_text() == "3 workers, as configured\n"
    assert json.loads(files["server.json"])["provider"] == provider


def gunicorn_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **server: Any) -> dict[str, Any]:
    """What gunicorn.conf.py says, with a Gunicorn that knows two settings."""
    for name, text in servers.release_files("gunicorn", options(**server)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    known = [types.SimpleNamespace(name=name) for name in ("limit_request_line", "max_requests")]
    monkeypatch.setitem(sys.modules, "gunicorn", types.ModuleType("gunicorn"))
    monkeypatch.setitem(sys.modules, "gunicorn.config", types.SimpleNamespace(KNOWN_SETTINGS=known))
    monkeypatch.setenv("GROUNDWORK_WORKERS", "3")
    return runpy.run_path(str(tmp_path / "gunicorn.conf.py"))


def test_gunicorn_gets_its_options_and_those_we_do_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = gunicorn_settings(tmp_path, monkeypatch, threads=4, timeout=90, options={"limit_request_line": 8190})
    assert [settings[name] for name in ("workers", "threads", "timeout", "limit_request_line")] == [3, 4, 90, 8190]
    with pytest.raises(ValueError, match="this Gunicorn has no setting limit_request_lime"):
        gunicorn_settings(tmp_path, monkeypatch, options={"limit_request_lime": 8190})


# A worker whose handler only notes SIGTERM, as Gunicorn's do, and an app that starts a process of its own.
WORKER = """
import multiprocessing, runpy, signal, sys, threading
settings = runpy.run_path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda number, frame: None)
if sys.argv[2] == "hook":
    settings["post_fork"](None, None)
runs, says = multiprocessing.Pipe(duplex=False)
goes_on, go_on = multiprocessing.Pipe(duplex=False)
own = multiprocessing.get_context("fork").Process(target=lambda: (says.send(1), goes_on.recv()))
starts = threading.Thread(target=own.start)  # in a request, which is a thread
starts.start()
starts.join()
runs.recv()
own.terminate()
go_on.send(1)  # one that heeds no SIGTERM ends well
own.join()
print(own.exitcode)
"""


@pytest.mark.parametrize(("hook", "status"), [("hook", -signal.SIGTERM), ("no hook", 0)])
def test_a_process_that_an_app_starts_under_gunicorn_ends_at_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str, status: int
) -> None:
    gunicorn_settings(tmp_path, monkeypatch)
    (tmp_path / "gunicorn").mkdir()
    (tmp_path / "gunicorn/config.py").write_text("KNOWN_SETTINGS = []\n")
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "gunicorn.conf.py"), hook]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) == status, done.stderr


def test_uwsgi_gets_threads_or_greenlets() -> None:
    threads = servers.release_files("uwsgi", options(provider="uwsgi", threads=4, harakiri=20))["uwsgi.ini"]
    assert threads.count("[uwsgi]") == 1
    assert {"threads = 4", "harakiri = 20", "lazy-apps = true", "reload-mercy = 30"} <= set(threads.splitlines())
    assert "gevent" not in threads
    assert "package" not in threads
    given = options(provider="uwsgi", gevent=50, options={"env": ["A=1", "B=2"], "log-date": True})
    greenlets = servers.release_files("uwsgi", given)["uwsgi.ini"].splitlines()
    assert {"gevent = 50", "gevent-monkey-patch = true", "env = A=1", "env = B=2", "log-date = true"} <= set(greenlets)
    assert not [line for line in greenlets if line.startswith("threads")]


@pytest.mark.parametrize(
    ("server", "requirements", "packages"),
    [
        ({}, ["gunicorn>=23"], []),
        ({"worker_class": "gevent"}, ["gunicorn[gevent]>=23"], []),
        ({"provider": "uwsgi"}, ["pyuwsgi>=2.0.28"], []),
        ({"provider": "uwsgi", "gevent": 100}, ["pyuwsgi>=2.0.28", "gevent"], []),
        ({"provider": "uwsgi", "package": "uwsgi"}, ["uwsgi>=2.0.28"], ["gcc", "libc6-dev", "python3-dev"]),
        ({"provider": "waitress"}, ["waitress>=3.0.1,<4"], []),
        (
            {"provider": "mod_wsgi"},
            ["mod_wsgi>=6"],
            ["apache2-bin", "apache2-dev", "gcc", "libc6-dev", "python3-dev"],
        ),
    ],
)
def test_what_is_installed(server: dict[str, Any], requirements: list[str], packages: list[str]) -> None:
    apps = model.load({"shop": {**APPS["shop"], "source": {"package": "shop==1"}, "server": server}})
    assert role_inputs.releases(apps[0])["requirements"] == requirements
    assert role_inputs.packages(apps) == packages


@pytest.mark.parametrize(
    ("server", "timeout", "stop"),
    [
        ({}, 65, 40),
        ({"timeout": 90, "graceful_timeout": 20}, 95, 30),
        ({"provider": "uwsgi"}, 65, 40),
        ({"provider": "uwsgi", "harakiri": 20, "worker-reload-mercy": 50}, 25, 60),
        ({"provider": "waitress", "graceful_timeout": 5}, 65, 15),
        ({"provider": "mod_wsgi", "request-timeout": 10}, 15, 40),
    ],
)
def test_the_proxy_and_the_unit_wait_longer_than_the_server(server: dict[str, Any], timeout: int, stop: int) -> None:
    (app,) = model.load({"shop": {**APPS["shop"], "server": server}})
    assert role_inputs.site(app)["read_timeout"] == timeout
    assert role_inputs.units(app)["stop_timeout"] == stop


@pytest.mark.parametrize(
    ("requirements", "taken"),
    [
        ([], False),
        (["gunicorn"], False),
        (["gunicorn>=25"], False),
        (["gunicorn==27.0.1"], False),
        (["eventlet==0.41.3"], False),
        (["gunicorn===unknown"], False),
        (["gunicorn==25.3.0"], True),
        (["gunicorn[eventlet]==25.3.0"], True),
        (["Gunicorn[eventlet]>=23,<26"], True),
    ],
)
def test_eventlet_is_for_apps_that_pin_a_gunicorn_that_has_it(
    tmp_path: Path, requirements: list[str], taken: bool
) -> None:
    shop = {**APPS["shop"], "server": {"worker_class": "eventlet"}}

    def problems(app: dict[str, Any]) -> list[str]:
        try:
            return host_checks.host_problems(model.load({"shop": app}), "Debian", "12", "3.11.2")
        except model.ModelError as error:
            return error.problems

    (tmp_path / "requirements.txt").write_text("".join(f"{line}  # as it was\n" for line in ["flask", *requirements]))
    in_directory = problems({**shop, "source": {"directory": str(tmp_path)}})
    for found in (problems({**shop, "requirements": requirements}), in_directory):
        assert found == [] if taken else "eventlet" in found[0] and "gunicorn[eventlet]==25.3.0" in found[0]


def documented(option: Option) -> tuple[str, str]:
    """Default and range as docs/servers.md writes them."""
    if option.kind is bool:
        return str(option.default).lower(), "true, false"
    if option.choices:
        return str(option.default), ", ".join(option.choices)
    default = "(2 \N{MULTIPLICATION SIGN} cores) + 1" if option.default is None else str(option.default)
    return default, f"{option.at_least} to {option.at_most}"


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("Workers", servers.COMMON),
        ("Gunicorn", servers.GUNICORN.options),
        ("uWSGI", servers.UWSGI.options),
        ("Waitress", servers.WAITRESS.options),
        ("mod_wsgi", servers.MOD_WSGI.options),
    ],
)
def test_the_page_tells_each_option_its_default_and_range(section: str, options: dict[str, Option]) -> None:
    page = (servers.FILES.parents[2] / "docs/servers.md").read_text()
    (text,) = (part for part in page.split("\n## ") if part.startswith(f"{section}\n"))
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines() if line.startswith("| `")]
    assert rows == [[f"`{name}`", *documented(option)] for name, option in options.items()]


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

    @staticmethod
    def python(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run code beside the entry, with the rest of the arguments as its own."""
        (directory / "groundwork_wsgi.py").write_text((servers.FILES / servers.ENTRY).read_text())
        return subprocess.run(
            (sys.executable, "-c", *arguments),
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def load(self, tmp_path: Path, spec: str, expression: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "shop.py").write_text(self.APP)
        code = f"import groundwork_wsgi as g; print({expression})"
        return self.python(tmp_path, code, **{"WSGI_APP": spec, "GROUNDWORK_PROXY_FIX": "0", **environment})

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
        assert self.load(tmp_path, spec, "g.application.app.name").stdout == f"{name}\n"

    def test_debug_is_off_unless_one_insists(self, tmp_path: Path) -> None:
        quiet = self.load(tmp_path, "shop:app", "g.application.app.debug", FLASK_DEBUG="1")
        assert quiet.stdout == "False\n"
        assert "the app turned debug mode on; it is off here" in quiet.stderr
        assert self.load(tmp_path, "shop:app", "g.application.app.debug", GROUNDWORK_DEBUG="1").stdout == "True\n"

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
        former = [{"key": "former", "until": 3000}, {"key": "older", "until": 2000}]
        for proxy_fix in "01":
            done = self.python(
                tmp_path,
                self.ASK,
                json.dumps(asked),
                WSGI_APP="flaskr:app",
                GROUNDWORK_PROXY_FIX=proxy_fix,
                SECRET_KEY="present",
                SECRET_KEY_FALLBACKS=json.dumps(former),
            )
            assert done.stdout, done.stderr
            assert json.loads(done.stdout) == ["ann" if each == "y" else None for each in known]

    PREFIXED = """
import logging
from flask import Flask, request, url_for
app = Flask(__name__)
@app.get("/")
@app.get("/<path:rest>")
def index(rest=""):
    app.logger.error("asked for %s", rest)
    links = url_for("static", filename="a.css"), url_for("index", _external=True)
    return " ".join((request.script_root, request.path, *links))
"""

    VISIT = """
import sys
import groundwork_wsgi
from werkzeug.test import Client
headers = {"X-Request-ID": "number-of-the-request", "X-Forwarded-Proto": "https", "Host": "shop.example.org"}
answer = Client(groundwork_wsgi.application).get(sys.argv[1], headers=headers)
print(answer.status_code, answer.location or answer.text)
"""

    def ask(self, tmp_path: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What an app answers at the path, and what it logs."""
        (tmp_path / "flaskr.py").write_text(self.PREFIXED)
        return self.python(tmp_path, self.VISIT, path, WSGI_APP="flaskr:app", **environment)

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("/shop/basket", "200 /shop /basket /shop/static/a.css https://shop.example.org/shop/"),
            ("/shop/", "200 /shop / /shop/static/a.css https://shop.example.org/shop/"),
            ("/shop", "308 https://shop.example.org/shop/"),
            ("/shopping", "404 Not found"),
            ("/", "404 Not found"),
        ],
    )
    def test_an_app_below_a_path(self, tmp_path: Path, path: str, answer: str) -> None:
        assert self.ask(tmp_path, path, GROUNDWORK_PREFIX="/shop").stdout.strip() == answer

    def test_what_an_app_logs_has_the_number_of_the_request(self, tmp_path: Path) -> None:
        said = self.ask(tmp_path, "/basket")
        assert said.stdout.startswith("200  /basket /static/a.css")
        assert "ERROR in flaskr [number-of-the-request]: asked for basket" in said.stderr

    def test_an_app_with_records_of_its_own_logs_on(self, tmp_path: Path) -> None:
        self.PREFIXED = self.PREFIXED.replace(
            "    app.logger", "    logging.setLogRecordFactory(logging.LogRecord); app.logger"
        )
        said = self.ask(tmp_path, "/basket")
        assert "ERROR in flaskr [number-of-the-request]: asked for basket" in said.stderr

    def test_what_is_not_callable(self, tmp_path: Path) -> None:
        assert "TypeError: shop:number: 7 is not a WSGI application" in self.load(tmp_path, "shop:number", "1").stderr
