"""An import that does not return: import_watch.py around probe.py, in a process of its own as in a release."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import app_steps, import_watch, probe
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, written_by

TEXT = Path(import_watch.__file__).read_text().replace("PATIENCE, IDLE_SHARE = 5.0", "PATIENCE, IDLE_SHARE = 0.6")
FLASK = "import time, threading, socket\nfrom flask import Flask\napp = Flask(__name__)\n"
MAKE = "from wsgiref.simple_server import make_server\nserver = make_server('127.0.0.1', 0, app)\n"
# A package with a function that listens and does not return, and that is not among the known servers.
UNLISTED = """
import select
import socket
def serve_for_ever():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        while True:
            select.select([listening], [], [])
"""


# As urllib3 does; then its own package goes on for long, as one of many modules does on a busy host.
PROBING = """
import socket
import time
probe = socket.socket()
probe.bind(("127.0.0.1", 0))
probe.close()
time.sleep(1.5)
"""


def import_app(directory: Path, text: str, seconds: float = 4 * PATIENCE) -> subprocess.CompletedProcess[str]:
    (directory / "shop.py").write_text(text)
    (directory / "groundwork_wsgi.py").write_text((servers.FILES / servers.ENTRY).read_text())
    (directory / "lib/site-packages").mkdir(parents=True, exist_ok=True)
    (directory / "lib/site-packages/unlisted.py").write_text(UNLISTED)
    (directory / "lib/site-packages/probing.py").write_text(PROBING)
    return subprocess.run(
        (sys.executable, "-c", app_steps.PROBE, TEXT, str(seconds), Path(probe.__file__).read_text()),
        cwd=directory,
        env={"WSGI_APP": "shop:app", "PYTHONPATH": f"{directory}:{directory}/lib/site-packages"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=5 * PATIENCE,
    )


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("app.run()", 4),
        ("app.run(debug=True, port=0)", 4),
        ("def start():\n    app.run(port=0)\nstart()", 5),
        ("from werkzeug.serving import run_simple\nrun_simple('127.0.0.1', 0, app)", 5),
        ("from waitress import serve\nserve(app, host='127.0.0.1', port=0)", 5),
        ("import unlisted\nunlisted.serve_for_ever()", 5),
        (f"{MAKE}server.serve_forever()", 6),
        (f"{MAKE}server.handle_request()", 6),
        (
            "import asyncio as a\nloop = a.new_event_loop()\nsocket.create_server(('', 0))\nloop.run_forever()",
            7,
        ),
        ("listening = socket.create_server(('127.0.0.1', 0))\nwhile True:\n    listening.accept()", 6),
    ],
)
def test_an_import_that_becomes_a_server_ends_within_seconds_and_the_call_is_named(
    tmp_path: Path, code: str, line: int
) -> None:
    began = time.monotonic()
    done = import_app(tmp_path, FLASK + code)
    assert time.monotonic() - began < PATIENCE
    assert done.returncode == 1
    said = app_steps.no_return(done.stdout, str(tmp_path), 120)
    assert said.startswith(f"line {line} of shop.py starts a server and does not return: put the call below ")
    assert probe.MARK not in done.stdout


def test_what_is_known_to_serve_never_listens(tmp_path: Path) -> None:
    with_port = FLASK + "app.run(port=0, debug=True)"
    assert "Running on" not in import_app(tmp_path, with_port).stdout


@pytest.mark.parametrize(
    "code",
    [
        f"{MAKE}threading.Thread(target=server.serve_forever, daemon=True).start()\ntime.sleep(1.5)",
        "threading.Thread(target=app.run, kwargs={'port': 0}, daemon=True).start()\ntime.sleep(1.5)",
        # It listens and returns in a function that takes long afterwards.
        "def start():\n    socket.create_server(('127.0.0.1', 0))\n    time.sleep(1.5)\nstart()",
        "socket.socket(type=socket.SOCK_DGRAM).bind(('127.0.0.1', 0)); time.sleep(1.5)",
        "import os\nchild = os.fork()\nif not child:\n    app.run(port=0)\ntime.sleep(1)\nos.kill(child, 9)",
        "time.sleep(1.5)",
        "import probing",
        # An exporter, and then a database that is slow.
        f"import asyncio\n{MAKE}asyncio.run(asyncio.sleep(1.5))",
    ],
)
def test_an_import_that_returns_is_left_alone_whatever_listens(tmp_path: Path, code: str) -> None:
    done = import_app(tmp_path, FLASK + code)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.rpartition(probe.MARK)[2])["flask"]
    assert app_steps.no_return(done.stdout, str(tmp_path), 120) == ""


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    pass",
        "time.sleep(60)",
        "threading.Event().wait()",
        "asyncio.run(asyncio.Event().wait())",
        "re.match('(a+)+b', 'a' * 60)",  # never lets another thread of Python go on
    ],
)
def test_any_other_ends_when_its_time_is_up_with_the_place(tmp_path: Path, code: str) -> None:
    # All that takes its time before is over when the code begins.
    before = FLASK.replace("socket\n", "socket, asyncio, re\n").strip() + "; open('begun', 'w').write('yes')\n"
    outcomes: list[subprocess.CompletedProcess[str]] = []
    written_by(tmp_path / "begun", lambda seconds: outcomes.append(import_app(tmp_path, before + code, seconds)))
    done = outcomes[-1]
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    said = app_steps.no_return(done.stdout, str(tmp_path), 120)
    assert said.startswith("the import did not return within 120 s; it was at line ")
    assert "it was at line 4 of shop.py. " in said or "while" in code
    assert "raise health_timeout" in said


def test_an_import_that_asks_for_input_fails_at_once(tmp_path: Path) -> None:
    done = import_app(tmp_path, f"{FLASK}name = input('Who? ')")
    assert 'shop.py", line 4, in <module>' in done.stdout
    assert "EOFError" in done.stdout


def test_the_app_sees_no_arguments(tmp_path: Path) -> None:
    done = import_app(tmp_path, f"{FLASK}import sys\nassert sys.argv == ['-c'], sys.argv")
    assert done.returncode == 0, done.stdout


def test_what_an_app_prints_in_the_watch_s_place_is_bounded_and_escaped() -> None:
    forged = f'{import_watch.BLOCKED}{{"file": "\x1b[31m{"x" * 1000}", "line": 3}}'
    said = app_steps.no_return(forged, "/code", 120)
    assert "\x1b" not in said
    assert len(said) < 400
