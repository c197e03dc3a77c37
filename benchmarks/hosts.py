"""What the benchmarks share: a test host, a command on it, a playbook of the collection run against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".cache/benchmark"


@dataclass(frozen=True)
class Play:
    """What a playbook did: its seconds, the tasks that reached the host, and how many changed something."""

    seconds: float
    tasks: int
    changed: int


def test_host(*arguments: str) -> str:
    """Run script/test-host and return its output; a failure raises CalledProcessError."""
    return subprocess.run((ROOT / "script/test-host", *arguments), check=True, capture_output=True, text=True).stdout


def run_on(host: str, command: str, stdin: Any = None) -> bytes:
    """Run a shell command on a host, and return what it printed."""
    return subprocess.run(
        ("podman", "exec", "-i", test_host("name", host).strip(), "sh", "-c", command),
        check=True,
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
    ).stdout


def install(host: str, *packages: str) -> None:
    """Install apt packages that are the benchmark's own."""
    apt = f"DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install {' '.join(packages)}"
    run_on(host, f"{{ apt-get -q update && {apt}; }} > /root/log 2>&1 || {{ tail -n 20 /root/log >&2; exit 1; }}")


def make_repository(host: str, scenario: str, versions: int) -> None:
    """The scenario's app in a repository on the host, as its prepare.yml makes it."""
    install(host, "git")
    files = ROOT / "molecule" / scenario / "files"
    for path in (files / "shop.py", files / "versions.sh", ROOT / "molecule/shared/repository.sh"):
        with path.open("rb") as stream:
            run_on(host, f"cat > /root/{path.name}", stream)
    run_on(host, f"bash /root/repository.sh /root/shop.py /root/versions.sh {versions}")


def write_inventory(host: str, apps: Mapping[str, Any]) -> None:
    """Write an inventory with this host and these `flask_apps` for the plays that follow."""
    inventory = {
        "flask_hosts": {
            "hosts": {
                host: {
                    "ansible_user": "root",
                    "ansible_ssh_private_key_file": str(ROOT / ".cache/ssh/id_ed25519"),
                    "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
                    f"-o LogLevel=ERROR -o ProxyCommand='{ROOT}/script/test-host connect {host}'",
                    "ansible_python_interpreter": "/usr/bin/python3",
                }
            },
            "vars": {"flask_apps": apps},
        }
    }
    (WORK / "hosts.json").write_text(json.dumps(inventory))


def play(host: str, playbook: str, **variables: Any) -> Play:
    """Run a playbook of the collection on the host of the inventory; its failure ends the benchmark."""
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks/callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "host_tasks",
        "HOST_TASKS": str(WORK / "tasks"),
    }
    command = ("ansible-playbook", "-i", str(WORK / "hosts.json"), "-e", json.dumps(variables))
    began = time.monotonic()
    run = subprocess.run(
        (*command, f"groundwork.flask.{playbook}"),
        cwd=WORK, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - began
    (WORK / "play.log").write_text(run.stdout + run.stderr)
    if run.returncode:
        sys.exit(f"groundwork.flask.{playbook} {variables} failed:\n{(run.stdout + run.stderr)[-3000:]}")
    recap = next(line for line in run.stdout.splitlines() if line.startswith(f"{host} "))
    tasks = len((WORK / "tasks").read_text().splitlines())
    return Play(seconds, tasks, int(recap.split("changed=")[1].split()[0]))
