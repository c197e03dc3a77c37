"""Releases that do well until they are live: the host takes them back, without a play."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import testing
from stranger import App, project
from testinfra.host import Host
from testing import on_host

# FAULT says what becomes of it some seconds after its first visitor; the checks of a deploy are none.
MAYFLY = """
import os, signal, threading, time
from flask import Flask, abort, request

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SECURE=True)
fault, began = os.environ.get("FAULT"), []


def die():
    time.sleep(2)
    os.kill(os.getppid(), signal.SIGKILL)


@app.get("/")
def index():
    if not began and "visitor" in request.args:
        began.append(time.time())
        if fault == "dies":
            threading.Thread(target=die, daemon=True).start()
    if fault == "breaks" and began and time.time() > began[0] + 2:
        abort(500)
    return {"release": os.environ["RELEASE"]}
"""
# Asks for as long as it is told to, on a connection of its own each time; how many were not answered well.
ASK = """
import http.client, json, os, socket, sys, time
until, asked, lost = time.time() + float(sys.argv[2]), 0, 0
while time.time() < until and not os.path.exists("/root/asked.stop"):
    asked += 1
    try:
        connection = http.client.HTTPConnection("x")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(sys.argv[1])
        connection.request("GET", "/?visitor")
        lost += connection.getresponse().status != 200
    except (OSError, http.client.HTTPException):
        lost += 1
    time.sleep(0.04)
open("/root/asked.new", "w").write(json.dumps({"asked": asked, "lost": lost}))
os.rename("/root/asked.new", "/root/asked")
"""
SECONDS = 120


@pytest.fixture(scope="module")
def mayfly(host: Host, tmp_path_factory: pytest.TempPathFactory) -> App:
    source = project(tmp_path_factory.mktemp("mayfly"), {"mayfly.py": MAYFLY, "requirements.txt": "flask>=3.1.1\n"})
    app = App(host, "mayfly", source=source, wsgi_app="mayfly:app", watch=SECONDS)
    app.deploy()
    return app


def asked_meanwhile(app: App, condition: Callable[[], bool]) -> dict[str, Any]:
    """Ask the app until the condition holds; what came of the requests."""
    app.host.check_output("rm -f /root/asked /root/asked.stop; printf %%s %s > /root/ask.py", ASK)
    app.sh(f"python3 /root/ask.py {on_host('socket', app.name)} {SECONDS} >/root/ask.log 2>&1 &")
    try:
        assert testing.poll(condition, SECONDS), app.command("status").stdout
    finally:
        app.sh("touch /root/asked.stop")
        assert testing.poll(lambda: app.host.file("/root/asked").exists, 60)
    found: dict[str, Any] = json.loads(app.sh("cat /root/asked"))
    print(found)
    return found


def has_enough_to_compare_with(app: App) -> bool:
    """Whether the watch has counted 25 requests to the release that is live."""
    watch: dict[str, int] = json.loads(app.command("status --json").stdout)["watch"]
    return watch["requests"] >= 25


# The watch looks every two seconds, and may see the fourth restart with the third.
DIES, BREAKS = r"processes ended and were restarted [3-9] times", "status of 500 or above"


@pytest.mark.parametrize(
    ("fault", "reason", "how"),
    [
        ("dies", DIES, "beside"),
        ("breaks", BREAKS, "exclusive"),
        pytest.param("dies", DIES, "exclusive", marks=pytest.mark.full),
        pytest.param("breaks", BREAKS, "beside", marks=pytest.mark.full),
    ],
)
def test_one_that_fails_late_is_taken_back(mayfly: App, fault: str, reason: str, how: str) -> None:
    mayfly.options.update(environment={"TURN": str(time.time())}, deploy=how)
    mayfly.deploy()
    good = mayfly.live
    assert asked_meanwhile(mayfly, lambda: has_enough_to_compare_with(mayfly))["lost"] == 0
    mayfly.options["environment"]["FAULT"] = fault
    assert mayfly.deploy()["action"] == "deployed", "every check has passed"
    bad = mayfly.live
    assert json.loads(mayfly.command("status --json").stdout)["watch"]["until"]

    found = asked_meanwhile(mayfly, lambda: mayfly.live == good)
    # One that dies loses what it was answering; one that breaks loses 25 a second until it is taken back.
    assert found["lost"] < (200 if fault == "dies" else 25 * 60)
    assert testing.poll(lambda: mayfly.look()["leftovers"] == [])
    assert mayfly.ask().json["release"] == good
    taken_back = f"release {bad} was rolled back automatically at"
    # The run of the engine notes it at its end.
    testing.poll(lambda: taken_back in mayfly.command("status").stdout)
    said = mayfly.command("releases").stdout + mayfly.command("status").stdout
    assert f"{bad} is bad: " in said
    assert taken_back in said
    assert re.search(reason, said), said
    assert re.search(reason, mayfly.refused(f"release {bad} was rolled back automatically"))
