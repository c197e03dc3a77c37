"""An app that keeps its state in memory and takes a lock when it is imported: one release of it runs at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import testing
from stranger import MORTAL, App, project
from testinfra.host import Host
from testing import on_host

# It saves what it was sent when it is told to end, and has it again at its next start.
DIARY = """
import atexit, fcntl, json, os
from flask import Flask, request

lock = open(os.environ["DATA_DIR"] + "/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
app = Flask(__name__)
saved = os.environ["DATA_DIR"] + "/diary.json"
diary = json.load(open(saved)) if os.path.exists(saved) else []
atexit.register(lambda: json.dump(diary, open(saved, "w")))


@app.get("/")
def index():
    return {"release": os.environ["RELEASE"], "diary": diary}


@app.post("/<int:number>")
def write(number):
    diary.append(number)
    return {}
"""
# As a proxy would that asks for nothing twice; what came of each request.
WRITE = """
import http.client, itertools, json, os, socket, sys, threading, time
numbers, wrote, failed, slowest = itertools.count(int(time.time()) * 1000), [], [], [0]
def visit():
    while not os.path.exists("/root/written.stop"):
        number, began = next(numbers), time.time()
        try:
            connection = http.client.HTTPConnection("x", timeout=60)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(60)
            connection.sock.connect(sys.argv[1])
            connection.request("POST", "/%d" % number)
            answer = connection.getresponse()
            answer.read()
            (wrote if answer.status == 200 else failed).append(number if answer.status == 200 else answer.status)
        except OSError as error:
            failed.append(repr(error))
        slowest[0] = max(slowest[0], time.time() - began)
        time.sleep(0.1)
threads = [threading.Thread(target=visit) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
open("/root/written.new", "w").write(json.dumps({"wrote": wrote, "failed": failed, "slowest": slowest[0]}))
os.rename("/root/written.new", "/root/written")
"""


@pytest.fixture(scope="module")
def diary(host: Host, tmp_path_factory: pytest.TempPathFactory) -> App:
    source = project(tmp_path_factory.mktemp("diary"), {"diary.py": DIARY, "requirements.txt": "flask>=3.1.1\n"})
    app = App(host, "diary", source=source, wsgi_app="diary:app", deploy="exclusive")
    app.deploy()
    return app


@contextmanager
def writers(app: App, found: dict[str, Any]) -> Iterator[None]:
    """POST to the app for the time of the block."""
    app.host.check_output("rm -f /root/written /root/written.stop; printf %%s %s > /root/write.py", WRITE)
    app.sh(f"python3 /root/write.py {on_host('socket', app.name)} >/root/write.log 2>&1 &")
    try:
        yield
    finally:
        app.sh("touch /root/written.stop")
        assert testing.poll(lambda: app.host.file("/root/written").exists, 120), app.sh("cat /root/write.log")
        found.update(json.loads(app.sh("cat /root/written")))


def again(app: App, turn: str, **options: Any) -> None:
    """Have another release of it."""
    app.options.update(environment={"TURN": turn}, **options)


def test_no_write_that_was_answered_is_lost(diary: App) -> None:
    """Deploys and a rollback under writers: each request is answered by the one that runs, after a pause at most."""
    found: dict[str, Any] = {}
    first = diary.live
    with writers(diary, found):
        again(diary, "second")
        assert diary.deploy()["action"] == "deployed"
        assert diary.command("rollback").returncode == 0
        assert diary.live == first
        # One that fails after the old one was stopped.
        again(diary, "third", release_command="false")
        result = diary.module()
    assert f"release {first} was stopped for it, and has been started again" in result["failed_apps"]["diary"]
    answer = diary.ask().json
    print(len(found["wrote"]), found["failed"], found["slowest"])
    assert answer["release"] == first
    assert len(found["wrote"]) > 50
    kept = Counter(answer["diary"])
    assert [number for number in found["wrote"] if kept[number] != 1] == [], "each is there, and once"
    assert found["failed"] == []
    assert diary.look()["leftovers"] == []


def test_a_kill_in_the_pause_is_healed(diary: App) -> None:
    """Whoever waits for it starts the release that was live; where nobody does, an unlock or the next run does so."""
    first = diary.live
    again(diary, "killed", release_command="")
    killed = diary.with_accident("start", "begin").stderr
    assert "was ended before it was done" in killed
    assert "the release that was stopped for it has been started again" in killed
    assert diary.ask().json["release"] == first
    assert diary.command("unlock").returncode == 0
    assert diary.ask().json["release"] == first
    assert diary.deploy()["action"] == "deployed"
    assert diary.look()["leftovers"] == []


@pytest.mark.full
def test_after_a_time_visitors_are_told_to_come_again(diary: App) -> None:
    """A release command may take longer than anyone waits."""
    again(diary, "slow", release_command="sleep 34")
    diary.given()
    begun = diary.host.run(
        f"rm -f /root/mortal.done; ({MORTAL}; touch /root/mortal.done) >/dev/null 2>&1 & "
        "for turn in $(seq 900); do pgrep -u diary -x sleep && break; sleep 0.1; done"
    )
    assert begun.stdout, "the release command has never begun"
    answer = diary.ask()
    assert (answer.status, answer.header("Retry-After")) == (503, "10")
    assert testing.poll(lambda: diary.host.file("/root/mortal.done").exists, 120)
    assert diary.ask().status == 200
