"""Day two: who is at work, keys that change, hooks, what would happen, and the command that bears the app's name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import testing
from stranger import REPOSITORY, App, project
from testinfra.host import Host

bookworm, trixie = pytest.mark.suite("bookworm"), pytest.mark.suite("trixie")

SHOP = """
import os
from flask import Flask, session

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SECURE=True)
print("the desk is open", flush=True)

@app.get("/")
def index():
    return {"user": session.get("user")}

@app.get("/login")
def login():
    session["user"] = "ann"
    return {}
"""
HOOKS = ("before_build", "after_build", "before_switch", "after_switch", "on_failure")


@pytest.fixture(scope="module")
def desk(host: Host, tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App(host, "desk", wsgi_app="shop:app")
    app.options["source"] = project(
        tmp_path_factory.mktemp("desk"), {"requirements.txt": "flask>=3.1.1\n", "shop.py": SHOP}
    )
    app.deploy()
    return app


def cookie(app: App) -> str:
    """A new session's cookie."""
    return str(app.ask("/login").header("Set-Cookie")).partition(";")[0]


def user(app: App, cookie: str) -> str | None:
    """Whom the app takes the holder of a cookie for."""
    name: str | None = app.ask("/", Cookie=cookie).json["user"]
    return name


# --- one deploy at a time ----------------------------------------


@bookworm
def test_the_second_of_two_deploys_says_who_is_at_work(host: Host) -> None:
    stile = App(host, "turnstile")
    stile.deploy()
    before = stile.live
    stile.options["release_command"] = "sleep 100"
    command = testing.play_command(
        stile.host, "deploy.yml", my_apps={stile.name: stile.options}, release_secrets={}, release_installer="uv"
    )
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert testing.poll(lambda: "at step command" in stile.command("status").stdout, 30, 1)
            holder = json.loads(stile.command("status --json").stdout)["at_work"]
            second = stile.with_accident("", "")
        finally:
            unlocked = stile.command("unlock")
            said = first.communicate(timeout=30)[0]
            stile.options["release_command"] = ""
            still_at_work = stile.host.run("pgrep -a -u turnstile -x sleep").stdout
            stile.host.run("pkill -u turnstile -x sleep")
    assert second.returncode == 1
    assert holder in second.stderr
    for words in (f"@{os.uname().nodename} since 2", "a deploy by", "groundwork.flask.unlock -e app=turnstile"):
        assert words in second.stderr
    assert unlocked.stdout.startswith("ended: a deploy by"), unlocked.stderr
    assert first.returncode != 0, said
    found = stile.look()
    assert (found["live"], found["instances"]) == (before, [before])
    assert "nobody is at work" in stile.command("unlock").stdout

    # What a process that is gone wrote into the lock's file stops nobody.
    gone = json.loads(stile.sh("cat /run/groundwork/turnstile.lock"))["pid"]
    assert stile.host.run(f"kill -0 {gone}").rc != 0
    stile.options["environment"] = {"TURN": "after unlock"}
    stile.deploy()
    assert stile.look()["leftovers"] == []
    assert still_at_work == ""


# --- SECRET_KEY ----------------------------------------


@bookworm
def test_a_new_secret_key_logs_nobody_out(desk: App) -> None:
    first = cookie(desk)
    desk.deploy(release_rotate_secret_key=True)
    second = cookie(desk)
    assert user(desk, first) == user(desk, second) == "ann"
    assert "changed=0" in desk.deploy()

    desk.secrets = {"SECRET_KEY": "canary-one-0123456789abcdef"}
    assert "canary-one" not in desk.deploy("--diff", "-vv")
    assert user(desk, first) == user(desk, second) == "ann"
    third = cookie(desk)
    assert "canary" not in desk.sh("cat /srv/desk/current/definition.json /var/lib/groundwork/releases/desk.jsonl")

    desk.secrets = {"SECRET_KEY": "canary-two-0123456789abcdef"}
    desk.deploy(release_fallback_days=0)
    assert user(desk, third) is None
    assert user(desk, cookie(desk)) == "ann"


@bookworm
def test_a_key_of_the_users_is_not_rotated(desk: App) -> None:
    desk.refused("stands in flask_app_secrets: change it there", release_rotate_secret_key=True)


# --- the command on the host ----------------------------------------


@pytest.fixture(scope="module")
def counter(host: Host) -> App:
    """An app with three releases."""
    app = App(host, "counter", release_command="flask migrate")
    app.secrets = {"TOKEN": 'ca"na$r\\y`'}
    for version in ("v1", "v2", "v3"):
        app.options["source"] = {"git": REPOSITORY, "version": version}
        app.deploy()
    return app


@trixie
def test_a_command_runs_as_the_app_would(counter: App) -> None:
    assert counter.command("run sh -c 'exit 7'").returncode == 7
    assert counter.command("run id -un").stdout == "counter\n"
    assert counter.command("""run sh -c 'echo "$RELEASE $TOKEN $PWD"'""").stdout == (
        f'{counter.live} ca"na$r\\y` {counter.sh("realpath /srv/counter/current/code")}\n'
    )
    assert "migrate" in counter.command("run flask --help").stdout
    assert counter.command("run --release nowhere true").returncode == 1
    first = counter.sh("head -n 1 /var/lib/counter/migrations")
    assert counter.command(f"run --release {first} sh -c 'echo $RELEASE'").stdout == f"{first}\n"


@trixie
def test_what_it_shows(counter: App) -> None:
    rows = json.loads(counter.command("releases --json").stdout)
    assert [(row["state"], row["version"].split()[0]) for row in rows] == [
        ("live", "v3"),
        ("good", "v2"),
        ("good", "v1"),
    ]
    table = counter.command("releases").stdout.splitlines()
    assert table[0].split()[:4] == ["release", "state", "version", "when"]
    assert table[1].startswith(f"{counter.live}  live   v3 (")
    assert len(table) == 4
    status = counter.command("status").stdout
    assert counter.live in status
    assert "active since" in status
    facts = json.loads(counter.command("status --json").stdout)
    assert (facts["release"], facts["state"], facts["at_work"]) == (counter.live, "active", "")
    assert facts["workers"]
    assert "Listening at: unix:" in counter.command("logs").stdout
    for wrong in ("bake", "rollback --data perhaps"):
        assert counter.command(wrong).returncode != 0


@trixie
def test_the_way_back(counter: App) -> None:
    third = counter.live
    result = counter.command("rollback --dry-run")
    assert (result.returncode, counter.live) == (0, third)
    assert counter.command("rollback").returncode == 0
    assert counter.ask().json["version"] == "v2"
    # The second one goes further back, not to what the first one left.
    result = counter.command("rollback --json")
    assert json.loads(result.stdout)["release"] == counter.live
    assert counter.ask().json["version"] == "v1"
    result = counter.command("rollback")
    assert result.returncode == 1
    assert "no earlier good release" in result.stderr
    assert counter.command(f"rollback {third[:6]}").returncode == 0
    assert counter.ask().json["version"] == "v3"
    result = counter.command("rollback 000000000000")
    assert result.returncode == 1
    assert "is no release of counter that is kept; these are:" in result.stderr
    assert "is live already" in counter.command(f"rollback {third}").stderr
    assert counter.look()["leftovers"] == []
    assert len(counter.sh("cat /var/lib/counter/migrations").split()) == 3


# --- hooks ----------------------------------------


@trixie
def test_hooks_are_called_in_their_order(counter: App, tmp_path: Path) -> None:
    for hook in HOOKS:
        line = f"echo {hook} $(basename $(readlink /srv/counter/current)) >> /root/hooks"
        (tmp_path / f"{hook}.yml").write_text(f"- ansible.builtin.shell: {line}\n")
    before = counter.live
    counter.sh("rm -f /root/hooks")
    counter.options["source"] = {"git": REPOSITORY, "version": "v4"}
    counter.deploy(release_hooks=str(tmp_path))
    after = counter.live
    called = counter.sh("cat /root/hooks").splitlines()
    assert called == [
        f"before_build {before}", f"after_build {before}", f"before_switch {before}", f"after_switch {after}"
    ]  # fmt: skip
    assert counter.ask().json["version"] == "v4"
    assert counter.look()["leftovers"] == []

    counter.sh("rm /root/hooks")
    assert "changed=0" in counter.deploy(release_hooks=str(tmp_path))
    assert counter.host.run("ls /root/hooks").rc != 0

    counter.options["source"] = {"git": REPOSITORY, "version": "unhealthy"}
    counter.options["health_timeout"] = 2
    counter.refused("was not answered well within", "status 500", release_hooks=str(tmp_path))
    called = counter.sh("cat /root/hooks").splitlines()
    assert called == [f"before_build {after}", f"after_build {after}", f"on_failure {after}"]
    counter.options["health_timeout"] = 10


# --- looking first ----------------------------------------


@trixie
def test_a_dry_run_tells_what_would_happen(counter: App) -> None:
    counter.options["source"] = {"git": REPOSITORY, "version": "v5"}
    counter.options["environment"] = {"COLOUR": "red"}
    counter.deploy()
    before = counter.sh("find /srv/counter /var/lib/groundwork /etc/groundwork -printf '%p %T@\\n' | sort | sha256sum")
    counter.options["environment"] = {"COLOUR": "blue"}
    counter.secrets = {"TOKEN": "canary-new"}
    said = counter.deploy("--check", "--diff", "-v")
    assert before == counter.sh(
        "find /srv/counter /var/lib/groundwork /etc/groundwork -printf '%p %T@\\n' | sort | sha256sum"
    )
    assert "action: to deploy" in said
    assert "changes: - environment.COLOUR - secrets.TOKEN" in said
    assert "commands: - flask migrate" in said
    assert "-environment.COLOUR: red" in said
    assert "+environment.COLOUR: blue" in said
    assert "+secrets.TOKEN: secret, " in said
    assert "canary" not in said
    assert "changed=1" in counter.deploy()
    assert f"release: {counter.live}" in said
    assert "changed=0" in counter.deploy()
