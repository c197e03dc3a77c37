"""The measurements of benchmarks/servers."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

from benchmarks import hosts
from benchmarks.hosts import ROOT, WORK, run_on, test_host

HOST = "bench-servers"
PICTURE = ROOT / "docs/servers.svg"
CONNECTIONS, SECONDS, ROUNDS = 32, 3, 3
ROUTES = {"fast": "/", "waiting": "/wait/0.05"}
FIRST_PORT = 9001
DEVELOPMENT = "flask run"


@dataclass
class Kind:
    """A server with its options, and what was measured of it; one sample a round."""

    name: str
    server: Mapping[str, Any]
    rates: dict[str, list[float]] = field(default_factory=lambda: {route: [] for route in ROUTES})
    memory: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)

    @property
    def app(self) -> str:
        """The name of its app: the kind's name, in lower case, with dashes."""
        return re.sub(r"[\W_]+", "-", self.name.lower()).strip("-")


# The first is what the others are compared with.
KINDS = [
    Kind("Gunicorn gthread", {}),
    Kind("Gunicorn gthread, preload", {"preload_app": True}),
    Kind("Gunicorn sync", {"worker_class": "sync"}),
    Kind("Gunicorn gevent", {"worker_class": "gevent"}),
    Kind("uWSGI threads", {"provider": "uwsgi"}),
    Kind("uWSGI processes", {"provider": "uwsgi", "threads": 1}),
    Kind("uWSGI gevent", {"provider": "uwsgi", "gevent": 100}),
    Kind("Waitress", {"provider": "waitress"}),
    Kind("Waitress, one process", {"provider": "waitress", "workers": 1}),
    Kind("mod_wsgi", {"provider": "mod_wsgi"}),
]

# One server of nginx's for each app, on a port of its own and without TLS; the app is reached as its site reaches it.
NGINX = """server {{
    listen 127.0.0.1:{port};
    location / {{
        include groundwork/app.conf;
        proxy_pass {app};
    }}
}}
"""
# Starts an instance anew and waits for its first good answer. The number is in seconds.
START = """set -e
unit={app}@$(basename $(readlink {current}))
systemctl stop $unit.service $unit.socket
began=$(date +%s.%N)
systemctl start $unit.socket $unit.service
ask="curl -sf --max-time 10 -o /dev/null --unix-socket {current}/app.sock"
until $ask http://{app}.test/healthz; do :; done
echo "$(date +%s.%N) $began" | awk '{{ print $1 - $2 }}'
"""
# The development server with the code, packages and environment of the first app, as that app's user.
DEVELOPMENT_UNIT = """[Service]
User={app}
WorkingDirectory={current}/code
EnvironmentFile={current}/env
ExecStart={current}/venv/bin/flask run --port {port}
LogNamespace={app}
"""


# The sum of the PSS of a unit's processes, in MB.
PSS = """import pathlib, subprocess, sys
show = ('systemctl', 'show', '--value', '--property=ControlGroup', sys.argv[1])
group = subprocess.check_output(show, text=True).strip().lstrip('/')
root = pathlib.Path('/sys/fs/cgroup')
root = root if (root / 'cgroup.procs').exists() else root / 'systemd'
pids = (root / group / 'cgroup.procs').read_text().split()
texts = [pathlib.Path('/proc', pid, 'smaps_rollup').read_text() for pid in pids]
print(sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith('Pss:')) / 1024)
"""


def make_host(suite: str) -> None:
    """A fresh host with an app for each kind."""
    test_host("create", f"{HOST}:{suite}")
    hosts.install(HOST, "curl", "wrk")
    hosts.make_repository(HOST, "servers", 9)
    apps = {
        kind.app: {
            "source": {"git": "file:///usr/local/share/shop.git", "version": "v1"},
            "wsgi_app": "shop:create_app('EUR')",
            "domains": [f"{kind.app}.test"],
            "certificate": {"provider": "self_signed"},
            "health_path": "/healthz",
            "server": kind.server,
        }
        for kind in KINDS
    }
    hosts.write_inventory(HOST, apps)
    hosts.play(HOST, "site")
    servers = [NGINX.format(port=FIRST_PORT + n, app=f"http://groundwork-{kind.app}") for n, kind in enumerate(KINDS)]
    port = FIRST_PORT + len(KINDS)
    servers.append(NGINX.format(port=port, app=f"http://127.0.0.1:{port + 1}"))
    unit = DEVELOPMENT_UNIT.format(app=KINDS[0].app, current=on_host("current", KINDS[0].app), port=port + 1)
    run_on(HOST, f"cat > /etc/nginx/conf.d/benchmark.conf <<'END'\n{''.join(servers)}END\n")
    run_on(HOST, f"cat > /etc/systemd/system/development.service <<'END'\n{unit}END\n")
    run_on(HOST, "systemctl daemon-reload && systemctl start development.service && systemctl reload nginx.service")


def rate(port: int, path: str) -> float:
    """Requests a second; a failed one ends the benchmark."""
    url = f"http://127.0.0.1:{port}{path}"
    said = run_on(
        HOST, f"wrk --threads 1 --connections {CONNECTIONS} --duration {SECONDS}s --timeout 20s {url}"
    ).decode()
    if failed := re.search(r"Non-2xx.*|Socket errors.*", said):
        sys.exit(f"{url}: {failed[0]}\n{said}")
    return float(re.findall(r"Requests/sec: *([\d.]+)", said)[0])


def memory(unit: str) -> float:
    """The memory of a unit's processes in MB, shared pages counted in proportion (PSS)."""
    return float(run_on(HOST, f'python3 -c "{PSS}" {unit}'))


def unit(kind: Kind) -> str:
    """The systemd unit that runs the app of this kind."""
    if kind.name == DEVELOPMENT:
        return "development.service"
    release = run_on(HOST, f"basename $(readlink {on_host('current', kind.app)})").decode().strip()
    return f"{kind.app}@{release}.service"


def measure(kinds: list[Kind]) -> None:
    """One sample of everything of each kind, round by round, so that a busy moment falls on all."""
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS} …", flush=True)
        for number, kind in enumerate(kinds):
            if kind.name != DEVELOPMENT:
                kind.start.append(float(run_on(HOST, START.format(app=kind.app, current=on_host("current", kind.app)))))
            time.sleep(1)
            for route, path in ROUTES.items():
                kind.rates[route].append(rate(FIRST_PORT + number, path))
            kind.memory.append(memory(unit(kind)))


def table(kinds: list[Kind], suite: str) -> str:
    """The report: the medians of each kind as ratios to those of the first."""
    first = kinds[0]
    fast, waiting, size = (median(values) for values in (*first.rates.values(), first.memory))
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, {suite}; medians of {ROUNDS} samples of {SECONDS} s, "
        f"{CONNECTIONS} connections",
        f"1.00 is {fast:.0f} requests a second, {waiting:.0f} that wait 50 ms, {size:.0f} MB",
        f"{'':28}{'at once':>10}{'50 ms':>10}{'memory':>10}{'start':>10}",
    ]
    for kind in kinds:
        start = f"{median(kind.start):.1f} s" if kind.start else ""
        lines.append(
            f"{kind.name:28}{median(kind.rates['fast']) / fast:10.2f}{median(kind.rates['waiting']) / waiting:10.2f}"
            f"{median(kind.memory) / size:10.2f}{start:>10}"
        )
    return "\n".join(lines)


def draw(kinds: list[Kind]) -> str:
    """The table as a picture: a row for each kind, a bar for each number, of which 1.00 is as wide in each column."""
    first, width, height, left, column = kinds[0], 900, 26, 190, 232
    columns = [
        ("requests a second", [median(kind.rates["fast"]) / median(first.rates["fast"]) for kind in kinds]),
        ("those that wait 50 ms", [median(kind.rates["waiting"]) / median(first.rates["waiting"]) for kind in kinds]),
        ("memory", [median(kind.memory) / median(first.memory) for kind in kinds]),
    ]
    scale = (column - 60) / max(max(values) for _title, values in columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * (len(kinds) + 1) + 10}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>WSGI servers beside Gunicorn gthread, which is 1.00</title>",
        "<style>text { fill: #1d1f21 } .bar { fill: #2f6f5e } .memory { fill: #b0703c }",
        "@media (prefers-color-scheme: dark) {",
        "text { fill: #e9eaec } .bar { fill: #74c4ab } .memory { fill: #d9a066 } }</style>",
    ]
    for number, (title, values) in enumerate(columns):
        x = left + number * column
        parts.append(f'<text x="{x}" y="18" font-weight="600">{title}</text>')
        for row, value in enumerate(values, 1):
            colour = "memory" if title == "memory" else "bar"
            y, end = row * height + 6, x + value * scale
            parts.append(f'<rect class="{colour}" x="{x}" y="{y}" width="{value * scale:.1f}" height="16" rx="2"/>')
            parts.append(f'<text x="{end + 6:.1f}" y="{y + 13}">{value:.2f}</text>')
    for row, kind in enumerate(kinds, 1):
        parts.append(f'<text x="0" y="{row * height + 19}">{kind.name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Make the host, measure each kind, print the table; with --draw also write the picture."""
    words = [word for word in sys.argv[1:] if word != "--draw"]
    suite = words[0] if words else "bookworm"
    kinds = [*KINDS, Kind(DEVELOPMENT, {})]
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {suite} host with an app under each server …", flush=True)
    try:
        make_host(suite)
        measure(kinds)
    finally:
        test_host("remove", HOST)
    print(f"\n{table(kinds, suite)}")
    if "--draw" in sys.argv:
        PICTURE.write_text(draw(kinds))
        print(f"\n{PICTURE.relative_to(ROOT)} is drawn.")


if __name__ == "__main__":
    main()
