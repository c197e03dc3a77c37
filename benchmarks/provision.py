"""The measurements of benchmarks/provision."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

from benchmarks.hosts import ROOT, WORK, Play, play, run_on, test_host, write_inventory

HOSTS = ("bench-site", "bench-shell")

# What one would write by hand: no question asked, nothing looked at twice, nothing in between. The files come from the
# host that site.yml has made, so that both hosts end up with the same ones.
SCRIPT = """set -e
export DEBIAN_FRONTEND=noninteractive PIP_CERT=/etc/ssl/certs/ca-certificates.crt
apt-get -q update
apt-get -q -y --no-install-recommends install {packages}
tar -xzf /root/files.tar.gz -C /
systemd-sysusers
systemd-tmpfiles --create --prefix={homes} --prefix={datas} --prefix={caches} || true
systemctl daemon-reload
systemctl enable --now groundwork-firewall.service
cd {home}/releases/{release}
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check -r code/requirements.txt {requirements}
(cd code && set -a && . ../env && PYTHONPATH=../entry ../venv/bin/flask db upgrade)
chown -R guestbook:guestbook {data}
systemctl enable --now guestbook@{release}.socket guestbook@{release}.service
ln -s releases/{release} {home}/current
install -d -o www-data -g www-data /run/nginx /var/lib/nginx /var/cache/nginx
/etc/nginx/groundwork/test-configuration
systemctl restart nginx
export RESTIC_REPOSITORY=/var/backups/restic RESTIC_PASSWORD=benchmark
restic -q init
restic -q backup {data} {configuration}
"""


def guestbook() -> dict[str, Any]:
    """The example guestbook as an entry of `flask_apps`."""
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
    """The example tally as an entry of `flask_apps`, under a domain of its own for each number."""
    return {
        "source": {"directory": str(ROOT / "examples/tally")},
        "wsgi_app": "tally:app",
        "domains": [f"tally{number}.test"],
        "server": {"workers": 1},
        "skip_checks": ["stable"],
        "certificate": {"provider": "self_signed"},
    }


def site(apps: dict[str, Any]) -> Play:
    """Run site.yml with these apps."""
    write_inventory("bench-site", apps)
    return play("bench-site", "site")


def shell() -> float:
    """Make the other host by one script, with the files of the first; seconds."""
    current = json.loads(run_on("bench-site", f"cat {on_host('current', 'guestbook')}/release.json"))
    release = current["id"]
    gunicorn = next(name for name in current["packages"] if name.startswith("gunicorn=="))
    manifests = run_on("bench-site", f"cat {on_host('state')}/file_sets/*.json").decode()
    paths = sorted(line.strip().strip('",') for line in manifests.splitlines() if line.strip().startswith('"/'))
    paths += [on_host("certificates"), f"{on_host('releases', 'guestbook')}/{release}"]
    pack = f"tar -czf - --exclude venv --exclude app.sock {' '.join(paths)} 2>/dev/null"
    (WORK / "files.tar.gz").write_bytes(run_on("bench-site", pack))
    with open(WORK / "files.tar.gz", "rb") as stream:
        run_on("bench-shell", "cat > /root/files.tar.gz", stream)
    places = {name: on_host(name) for name in ("homes", "datas", "caches", "configuration")}
    places |= {name: on_host(name, "guestbook") for name in ("home", "data")}
    script = SCRIPT.format(packages=" ".join(packages()), release=release, requirements=gunicorn, **places)
    (WORK / "provision.sh").write_text(script)
    began = time.monotonic()
    with open(WORK / "provision.sh", "rb") as stream:
        run_on("bench-shell", "sh -s > /root/log 2>&1 || { tail -n 20 /root/log >&2; exit 1; }", stream)
    return time.monotonic() - began


def packages() -> Sequence[str]:
    """What apt was asked for on the first host."""
    history = run_on("bench-site", "grep -h ^Commandline: /var/log/apt/history.log").decode()
    names: list[str] = []
    for line in history.splitlines():
        if " install " in line:
            words = line.partition(" install ")[2].split()
            names += [word.partition("=")[0] for word in words if not word.startswith("-") and "::" not in word]
    return sorted(set(names))


def main() -> None:
    """Measure, and print the table."""
    suite, many = sys.argv[1], int(sys.argv[2])
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"Fresh {suite} hosts …", flush=True)
    test_host("create", *(f"{host}:{suite}" for host in HOSTS))
    second: dict[int, list[Play]] = {}
    try:
        print("site.yml on a fresh host, one app …", flush=True)
        first = site({"guestbook": guestbook()})
        print("the shell script on a fresh host …", flush=True)
        by_hand = shell()
        for number in (1, 10, many):
            apps = {"guestbook": guestbook(), **{f"tally{other}": tally(other) for other in range(1, number)}}
            print(f"site.yml again, three times, {number} on the host …", flush=True)
            if number > 1:
                site(apps)
            second[number] = [site(apps) for _turn in range(3)]
    finally:
        test_host("remove", *HOSTS)
    one = fastest(second[1])
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, {suite}")
    print(f"{'':24}{'calls':>6} {'seconds':>8}  ratio")
    print(f"{'shell script':24}{'':>6} {by_hand:8.1f}")
    print(f"{'first run':24}{first.tasks:6} {first.seconds:8.1f}  {first.seconds / by_hand:.2f} x the shell script")
    for number, runs in second.items():
        ratio = f"{fastest(runs) / one:.2f} x one app, {max(run.changed for run in runs)} changed"
        print(f"{f'second run, apps: {number}':24}{runs[0].tasks:6} {fastest(runs):8.1f}  {ratio}")


def fastest(runs: Sequence[Play]) -> float:
    """The seconds of the fastest of several runs."""
    return min(run.seconds for run in runs)


if __name__ == "__main__":
    main()
