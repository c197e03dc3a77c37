"""The measurements of benchmarks/deploy."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from load import Load
from testing import measuring
from visitor import Site

from benchmarks import hosts
from benchmarks.hosts import WORK, Play, run_on, test_host

HOST = "bench-deploy"
APP = {
    "source": {"git": "file:///usr/local/share/shop.git", "version": "v1"},
    "wsgi_app": "shop:app",
    "domains": ["shop.test"],
    "certificate": {"provider": "self_signed"},
    "release_command": "flask release-check",
    "health_path": "/healthz",
    "server": {"workers": 2},
}
QUIET, ROUNDS = 3, 10
# Not the engine's own: the app starts and is watched for a while, and it finishes what it has begun.
APPS_OWN = ("start", "drain")

# What one would write by hand for the steps of a deploy. Each step prints its name and its seconds.
BY_HAND = """set -euo pipefail
home={home} cache={cache}
old=$(basename "$(readlink $home/current)") new=byhand
directory=$home/releases/$new repository=$cache/byhand.git
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt HOME=$cache
as_app() { setpriv --reuid shop --regid shop --clear-groups -- "$@"; }
began=$EPOCHREALTIME
done_with() { echo "$1 $(python3 -c "print($EPOCHREALTIME - $began)")"; began=$EPOCHREALTIME; }

# As it would be before a second deploy: the repository is there, and pip has a cache.
as_app git clone --quiet --bare --branch v1 --single-branch file:///usr/local/share/shop.git $repository
if [[ ! -d $cache/warm ]]; then
    as_app python3 -m venv $cache/warm
    as_app $cache/warm/bin/pip install -q flask {requirements}
fi
install -d -o shop -g shop $directory $directory/code $directory/venv

began=$EPOCHREALTIME
as_app git -C $repository fetch --quiet origin '+refs/*:refs/*'
as_app git -C $repository archive v40 | as_app tar -x -C $directory/code
done_with fetch
as_app python3 -m venv $directory/venv
as_app $directory/venv/bin/pip install -q -r $directory/code/requirements.txt {requirements}
done_with install
as_app $directory/venv/bin/python -m compileall -q $directory/code
done_with compile
cp -a $home/releases/$old/{start,workers.py,entry,gunicorn.conf.py,server.json,public} $directory
sed "s/$old/$new/g" $home/releases/$old/env >$directory/env
done_with settings
(cd $directory/code; set -a; . $directory/env; as_app $directory/venv/bin/flask release-check >/dev/null)
done_with command
go() { # old new
    systemctl -q enable --now shop@$2.socket shop@$2.service
    until curl -sf --unix-socket $home/releases/$2/app.sock http://shop.test/healthz >/dev/null; do sleep 0.02; done
    done_with $3start
    ln -s releases/$2 $home/.byhand
    mv -T $home/.byhand $home/current
    done_with $3switch
    sleep 0.5
    systemctl -q disable --now shop@$1.service shop@$1.socket
    done_with $3drain
}
go $old $new ''
go $new $old back-
rm -rf $directory $repository
"""


def play(playbook: str, **variables: Any) -> Play:
    """Run a playbook of the collection against the benchmark's host."""
    return hosts.play(HOST, playbook, **variables)


def make_host(suite: str) -> Site:
    """A fresh host with the scenario's repository and the app's first version."""
    test_host("create", f"{HOST}:{suite}")
    hosts.install(HOST, "curl")
    hosts.make_repository(HOST, "deploy", 40)
    hosts.write_inventory(HOST, {"shop": APP})
    play("site")
    certificate = run_on(HOST, f"cat {on_host('certificate', 'shop')}/fullchain.pem").decode()
    return Site("shop.test", test_host("address", HOST).strip(), certificate)


def releases() -> list[dict[str, Any]]:
    """What went live, as the ledger has it."""
    lines = run_on(HOST, f"cat {on_host('state')}/releases/shop.jsonl").decode().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "live"]


def by_hand() -> dict[str, float]:
    """The seconds of each plain command."""
    packages = json.loads(run_on(HOST, f"cat {on_host('current', 'shop')}/release.json"))["packages"]
    gunicorn = next(name for name in packages if name.startswith("gunicorn=="))
    script = BY_HAND
    given = {"requirements": gunicorn, "home": on_host("home", "shop"), "cache": on_host("cache", "shop")}
    for name, value in given.items():
        script = script.replace(f"{{{name}}}", value)  # the script has braces of its own
    (WORK / "deploy.sh").write_text(script)
    with open(WORK / "deploy.sh", "rb") as stream:
        said = run_on(HOST, "bash -s", stream).decode()
    return {name: float(seconds) for name, seconds in (line.split() for line in said.splitlines())}


def under_load(site: Site) -> tuple[Load, int, int]:
    """Deploys and rollbacks in a row; the load, and how many of each went live."""
    before = len(releases())
    with Load(site) as load:
        for turn in range(ROUNDS):
            for version in (2 * turn, 2 * turn + 1):
                play("deploy", app="shop", version=f"v{version + QUIET + 2}")
            run_on(HOST, "shop rollback")
    actions = [event["action"] for event in releases()[before:]]
    return load, actions.count("deployed"), actions.count("rolled_back")


def middle(events: list[dict[str, Any]], without: Sequence[str] = ()) -> float:
    """The median of the runs' seconds, less those of some steps."""
    seconds: list[float] = [event["seconds"] - sum(event["steps"][step] for step in without) for event in events]
    return median(seconds)


def beside(seconds: float, hand: dict[str, float]) -> str:
    """One line of the report: the seconds, and how they compare with the shell commands."""
    by_hand = sum(hand.values())
    return f"{seconds:5.1f} s, {seconds / by_hand:.2f} x the shell commands ({by_hand:.1f} s)"


def compare() -> str:
    """Deploy and roll back with no visitors, and do the same by hand; the figures of both."""
    print(f"{QUIET} deploys and rollbacks, and the same by hand …", flush=True)
    before, turns = len(releases()), []
    for turn in range(QUIET):
        play("deploy", app="shop", version=f"v{turn + 2}")
        play("rollback", app="shop")
        turns.append(by_hand())
    quiet = releases()[before:]
    again = play("deploy", app="shop", version="v1")
    new = [event for event in quiet if event["action"] == "deployed"]
    back = [event for event in quiet if event["action"] == "rolled_back"]
    hand = {name: median(turn[name] for turn in turns) for name in turns[0]}
    hand_back = {name: hand.pop(f"back-{name}") for name in ("start", "switch", "drain")}
    hand_own = {name: seconds for name, seconds in hand.items() if name not in (*APPS_OWN, "install")}
    return (
        f"seconds on the host, medians of {QUIET}\n"
        f"deploy of changed code:    {beside(middle(new), hand)}\n"
        f"  without start and drain: {beside(middle(new, APPS_OWN), hand_own)} without venv and pip\n"
        f"  its steps:               {told(new[-1]['steps'])}\n"
        f"  by hand:                 {told(hand)}\n"
        f"rollback:                  {beside(middle(back), hand_back)}\n"
        f"  its steps:               {told(back[-1]['steps'])}\n"
        f"  by hand:                 {told(hand_back)}\n"
        f"the live version again:    {again.tasks} tasks on the host, {again.changed} changed\n"
    )


def main() -> None:
    """Make the host, measure, print the report; exit with the failed requests if there are any."""
    arguments = argparse.ArgumentParser(
        prog="benchmarks/deploy", description="How long releases take, and what they cost visitors."
    )
    arguments.add_argument("suite", nargs="?", default="bookworm", help="the Debian release of the host")
    arguments.add_argument("--load", action="store_true", help="only count the requests that fail")
    given = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {given.suite} host with an app …", flush=True)
    try:
        site = make_host(given.suite)
        with measuring():
            compared = "" if given.load else compare()
            print(f"{2 * ROUNDS} deploys and {ROUNDS} rollbacks under load …", flush=True)
            load, deployed, rolled_back = under_load(site)
    finally:
        test_host("remove", HOST)
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {given.suite}\n{compared}"
        f"under load:                {deployed} deploys, {rolled_back} rollbacks; {load.summary()}"
    )
    if load.failures:
        sys.exit("\n".join(["These requests failed:", *map(str, load.failures)]))


def told(steps: dict[str, float]) -> str:
    """The seconds of each step in one line."""
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in steps.items())


if __name__ == "__main__":
    main()
