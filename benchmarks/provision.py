"""The measurements of benchmarks/provision."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".cache/benchmark"
HOSTS = ("bench-site", "bench-shell")

# What one would write by hand: no question asked, nothing looked at twice, nothing in between. The files come from the
# host that site.yml has made, so that both hosts end up with the same ones.
SCRIPT = """set -e
export DEBIAN_FRONTEND=noninteractive PIP_CERT=/etc/ssl/certs/ca-certificates.crt
apt-get -q update
apt-get -q -y --no-install-recommends install {packages}
tar -xzf /root/files.tar.gz -C /
systemd-sysusers
systemd-tmpfiles --create --prefix=/srv --prefix=/var/lib --prefix=/var/cache || true
systemctl daemon-reload
systemctl enable --now groundwork-firewall.service
cd /srv/guestbook/releases/{release}
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check -r code/requirements.txt {requirements}
(cd code && set -a && . ../env && PYTHONPATH=../entry ../venv/bin/flask db upgrade)
chown -R guestbook:guestbook /var/lib/guestbook
systemctl enable --now guestbook@{release}.socket guestbook@{release}.service
ln -s releases/{release} /srv/guestbook/current
nginx -t
systemctl reload-or-restart nginx
export RESTIC_REPOSITORY=/var/backups/restic RESTIC_PASSWORD=benchmark
restic -q init
restic -q backup /var/lib/guestbook /etc/groundwork
"""


def guestbook() -> dict[str, Any]:
    return {
        "source": {"directory": str(ROOT / "examples/guestbook")},
        "wsgi_app": "guestbook:create_app()",
        "domains": ["guestbook.test"],
        "release_command": "flask db upgrade",
        "health_path": "/healthz",
        "proxy": {"static": {"/static/": "guestbook/static"}, "client_max_body_size": "8m"},
        "certificate": {"provider": "self_signed"},
    }


def tally(number: int) -> dict[str, Any]:
    return {
        "source": {"directory": str(ROOT / "examples/tally")},
        "wsgi_app": "tally:app",
        "domains": [f"tally{number}.test"],
        "server": {"workers": 1},
        "certificate": {"provider": "self_signed"},
    }


def test_host(*arguments: str) -> str:
    return subprocess.run((ROOT / "script/test-host", *arguments), check=True, capture_output=True, text=True).stdout


def on_host(host: str, command: str, stdin: Any = None) -> bytes:
    return subprocess.run(
        ("podman", "exec", "-i", test_host("name", host).strip(), "sh", "-c", command),
        check=True,
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
    ).stdout


@contextmanager
def clock(seconds: list[float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds.append(time.monotonic() - began)


def site(apps: dict[str, Any]) -> tuple[float, int, int]:
    """Run site.yml; seconds, tasks on the host, and changed tasks."""
    inventory = {
        "flask_hosts": {
            "hosts": {
                "bench-site": {
                    "ansible_user": "root",
                    "ansible_ssh_private_key_file": str(ROOT / ".cache/ssh/id_ed25519"),
                    "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
                    f"-o LogLevel=ERROR -o ProxyCommand='{ROOT}/script/test-host connect bench-site'",
                    "ansible_python_interpreter": "/usr/bin/python3",
                }
            },
            "vars": {"flask_apps": apps},
        }
    }
    (WORK / "hosts.json").write_text(json.dumps(inventory))
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks/callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "host_tasks",
        "HOST_TASKS": str(WORK / "tasks"),
    }
    command = ("ansible-playbook", "-i", str(WORK / "hosts.json"), "groundwork.flask.site")
    seconds: list[float] = []
    with clock(seconds):
        run = subprocess.run(command, cwd=WORK, env=environment, capture_output=True, text=True, check=False)
    (WORK / "site.log").write_text(run.stdout + run.stderr)
    if run.returncode:
        sys.exit(f"site.yml failed; the end of {WORK / 'site.log'}:\n{(run.stdout + run.stderr)[-3000:]}")
    recap = next(line for line in run.stdout.splitlines() if line.startswith("bench-site "))
    changed = int(recap.split("changed=")[1].split()[0])
    return seconds[0], len((WORK / "tasks").read_text().splitlines()), changed


def shell() -> float:
    """Make the other host by one script, with the files of the first; seconds."""
    current = json.loads(on_host("bench-site", "cat /srv/guestbook/current/release.json"))
    release = current["id"]
    gunicorn = next(name for name in current["packages"] if name.startswith("gunicorn=="))
    manifests = on_host("bench-site", "cat /var/lib/groundwork/file_sets/*.json").decode()
    paths = sorted(line.strip().strip('",') for line in manifests.splitlines() if line.strip().startswith('"/'))
    paths += ["/etc/ssl/groundwork", f"/srv/guestbook/releases/{release}"]
    pack = f"tar -czf - --exclude venv --exclude app.sock {' '.join(paths)} 2>/dev/null"
    (WORK / "files.tar.gz").write_bytes(on_host("bench-site", pack))
    with open(WORK / "files.tar.gz", "rb") as stream:
        on_host("bench-shell", "cat > /root/files.tar.gz", stream)
    script = SCRIPT.format(packages=" ".join(packages()), release=release, requirements=gunicorn)
    (WORK / "provision.sh").write_text(script)
    seconds: list[float] = []
    with clock(seconds), open(WORK / "provision.sh", "rb") as stream:
        on_host("bench-shell", "sh -s > /root/log 2>&1 || { tail -n 20 /root/log >&2; exit 1; }", stream)
    return seconds[0]


def packages() -> Sequence[str]:
    """What apt was asked for on the first host."""
    history = on_host("bench-site", "grep -h ^Commandline: /var/log/apt/history.log").decode()
    names: list[str] = []
    for line in history.splitlines():
        if " install " in line:
            words = line.partition(" install ")[2].split()
            names += [word.partition("=")[0] for word in words if not word.startswith("-") and "::" not in word]
    return sorted(set(names))


def main() -> None:
    suite = sys.argv[1]
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"Fresh {suite} hosts …", flush=True)
    test_host("create", *(f"{host}:{suite}" for host in HOSTS))
    try:
        print("site.yml on a fresh host, one app …", flush=True)
        first, _tasks, _changed = site({"guestbook": guestbook()})
        print("the shell script on a fresh host …", flush=True)
        by_hand = shell()
        print("site.yml again, three times …", flush=True)
        runs = [site({"guestbook": guestbook()}) for _turn in range(3)]
        second, tasks, changed = min(run[0] for run in runs), runs[0][1], max(run[2] for run in runs)
        print("ten apps, then site.yml again, three times …", flush=True)
        ten = {"guestbook": guestbook(), **{f"tally{number}": tally(number) for number in range(1, 10)}}
        site(ten)
        runs = [site(ten) for _turn in range(3)]
        tenth, ten_tasks, ten_changed = min(run[0] for run in runs), runs[0][1], max(run[2] for run in runs)
    finally:
        test_host("remove", *HOSTS)
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {suite}\n"
        f"first run:            {first:6.1f} s, {first / by_hand:.2f} x the shell script ({by_hand:.1f} s)\n"
        f"second run, one app:  {second:6.1f} s, {tasks} tasks on the host, {changed} changed\n"
        f"second run, ten apps: {tenth:6.1f} s, {tenth / second:.2f} x one app, {ten_tasks} tasks on the host, "
        f"{ten_changed} changed"
    )


if __name__ == "__main__":
    main()
