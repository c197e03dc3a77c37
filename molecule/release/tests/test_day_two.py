"""Day two: the command that bears the app's name, who is at work, keys that change, hooks, what would happen.

The tests share one app, and each goes on from where the one before it has left it.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
import testing
from stranger import REPOSITORY, App
from testinfra.host import Host
from testing import on_host

CURRENT = on_host("current", "counter")
DATA = on_host("data", "counter")
HOOKS = ("before_build", "after_build", "before_switch", "after_switch", "on_failure")


def version(app: App, version: str) -> None:
    """Define another version of the app."""
    app.options["source"] = {"git": REPOSITORY, "version": version}


@pytest.fixture(scope="module")
def counter(host: Host) -> App:
    """An app with three releases."""
    app = App(host, "counter", release_command="flask migrate")
    app.secrets = {"TOKEN": 'ca"na$r\\y`'}
    for number in (1, 2, 3):
        version(app, f"v{number}")
        app.deploy()
    return app


# --- the command on the host ----------------------------------------


def test_a_command_runs_as_the_app_would(counter: App) -> None:
    assert counter.command("run sh -c 'exit 7'").returncode == 7
    assert counter.command("run id -un").stdout == "counter\n"
    assert counter.command("""run sh -c 'echo "$RELEASE $TOKEN $PWD"'""").stdout == (
        f'{counter.live} ca"na$r\\y` {counter.sh(f"realpath {CURRENT}/code")}\n'
    )
    assert "migrate" in counter.command("run flask --help").stdout
    words = ["$HOME", "~", "{{ x }}", "%i %%", "a\\b", "*", "-x", "--", "two\nlines", ""]
    printed = counter.command(f"run printf '[%s]' {' '.join(map(shlex.quote, words))}").stdout
    assert printed == "".join(f"[{word}]" for word in words)
    assert counter.command("run sh -c 'echo $HOME'").stdout == f"{DATA}\n"
    assert counter.command("run --release nowhere true").returncode == 1
    first = counter.sh(f"head -n 1 {DATA}/migrations")
    assert counter.command(f"run --release {first} sh -c 'echo $RELEASE'").stdout == f"{first}\n"


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
    assert len(counter.sh(f"cat {DATA}/migrations").split()) == 3


# --- one deploy at a time ----------------------------------------


def test_the_second_of_two_deploys_says_who_is_at_work(counter: App) -> None:
    before = counter.live
    command = counter.options["release_command"]
    counter.options["release_command"] = "sleep 100"
    with testing.playing(counter.host, "deploy.yml", **counter.variables()) as first:
        try:
            assert testing.poll(lambda: "at step command" in counter.command("status").stdout, 120, 1)
            holder = json.loads(counter.command("status --json").stdout)["at_work"]
            second = counter.with_accident("", "", wait=1)
        finally:
            unlocked = counter.command("unlock")
            said = first.communicate(timeout=120)[0]
            counter.options["release_command"] = command
            still_at_work = counter.host.run("pgrep -a -u counter -x sleep").stdout
            counter.host.run("pkill -u counter -x sleep")
    assert second.returncode == 1
    assert holder in second.stderr
    who = f"a deploy of counter by root@{os.uname().nodename} since 2"
    for words in (who, "groundwork.flask.unlock -e app=counter"):
        assert words in second.stderr
    assert unlocked.stdout.startswith("ended: a deploy of counter by"), unlocked.stderr
    assert first.returncode != 0, said
    found = counter.look()
    assert (found["live"], found["instances"]) == (before, [before])
    assert "no run is at work" in counter.command("unlock").stdout

    counter.options["environment"] = {"TURN": "after unlock"}
    counter.deploy()
    assert counter.look()["leftovers"] == []
    assert still_at_work == ""


# --- hooks ----------------------------------------


def cookie(app: App) -> str:
    """A new session's cookie."""
    return str(app.ask("/login").header("Set-Cookie")).partition(";")[0]


def user(app: App, cookie: str) -> str | None:
    """Whom the app takes the holder of a cookie for."""
    name: str | None = app.ask("/user", Cookie=cookie).json["user"]
    return name


def test_hooks_are_called_in_their_order(counter: App, tmp_path: Path) -> None:
    """The play does no more than to make a new SECRET_KEY, once for its three calls of the module."""
    for hook in HOOKS:
        line = f"echo {hook} $(basename $(readlink {CURRENT})) >> /root/hooks"
        (tmp_path / f"{hook}.yml").write_text(f"- ansible.builtin.shell: {line}\n")
    before, session = counter.live, cookie(counter)
    counter.sh("rm -f /root/hooks")
    counter.by_play(hooks=str(tmp_path), rotate_secret_key=True)
    after = counter.live
    called = counter.sh("cat /root/hooks").splitlines()
    assert called == [
        f"before_build {before}", f"after_build {before}", f"before_switch {before}", f"after_switch {after}"
    ]  # fmt: skip
    assert after != before
    assert counter.look()["leftovers"] == []
    assert user(counter, session) == "ann"
    fallbacks = counter.command("""run sh -c 'echo "$SECRET_KEY_FALLBACKS"'""").stdout
    assert len(json.loads(fallbacks)) == 1

    counter.sh("rm /root/hooks")
    assert "changed=0" in counter.by_play(hooks=str(tmp_path))
    assert counter.host.run("ls /root/hooks").rc != 0

    version(counter, "unhealthy")
    counter.options["health_timeout"] = 15
    counter.refused_by_play("was not answered well within", "status 500", hooks=str(tmp_path))
    called = counter.sh("cat /root/hooks").splitlines()
    assert called == [f"before_build {after}", f"after_build {after}", f"on_failure {after}"]
    version(counter, "v3")
    counter.options["health_timeout"] = 60


# --- SECRET_KEY ----------------------------------------


def test_a_new_secret_key_logs_nobody_out(counter: App) -> None:
    first = cookie(counter)
    counter.deploy(rotate_secret_key=True)
    second = cookie(counter)
    assert user(counter, first) == user(counter, second) == "ann"
    assert counter.deploy()["action"] == "unchanged"

    counter.secrets["SECRET_KEY"] = "canary-one-0123456789abcdef"
    counter.deploy()
    assert user(counter, first) == user(counter, second) == "ann"
    third = cookie(counter)
    counter.refused("stands in flask_app_secrets: change it there", rotate_secret_key=True)

    counter.secrets["SECRET_KEY"] = "canary-two-0123456789abcdef"
    assert "canary" not in counter.by_play("--diff", "-vv", fallback_days=0)
    assert user(counter, third) is None
    assert user(counter, cookie(counter)) == "ann"
    assert "canary" not in counter.sh(f"cat {CURRENT}/definition.json") + str(counter.events())


# --- looking first ----------------------------------------


def test_a_dry_run_tells_what_would_happen(counter: App) -> None:
    places = f"{on_host('home', 'counter')} {on_host('state')} {on_host('configuration')}"
    list_files = f"find {places} -printf '%p %T@\\n' | sort | sha256sum"
    version(counter, "v4")
    counter.options["environment"] = {"COLOUR": "red"}
    counter.deploy()
    before = counter.sh(list_files)
    counter.options["environment"] = {"COLOUR": "blue"}
    counter.secrets = {**counter.secrets, "TOKEN": "canary-new"}
    said = counter.by_play("--check", "--diff", "-v")
    assert before == counter.sh(list_files)
    assert "changed=1" in said
    assert "action: to deploy" in said
    assert "changes: - environment.COLOUR - secrets.TOKEN" in said
    assert "commands: - flask migrate" in said
    assert "-environment.COLOUR: red" in said
    assert "+environment.COLOUR: blue" in said
    assert "+secrets.TOKEN: secret, " in said
    assert "canary" not in said
    assert counter.deploy()["action"] == "deployed"
    assert f"release: {counter.live}" in said
    assert counter.deploy()["action"] == "unchanged"
