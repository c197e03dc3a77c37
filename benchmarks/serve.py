"""The measurements of benchmarks/serve."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from dataclasses import dataclass, field
from statistics import median

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

from benchmarks import hosts
from benchmarks.hosts import ROOT, WORK, run_on, test_host

HOST = "bench-serve"
APP = "tally"
SITE = f"{APP}.test"
ROUTE, FILE = "/whoami", "/static/style.css"
CURRENT, SOCKET, CERTIFICATE = (on_host(name, APP) for name in ("current", "socket", "certificate"))
CONNECTIONS, SECONDS, ROUNDS = 32, 4, 5


@dataclass
class Way:
    """A way to ask; one sample of requests a second for each round. `least`: of the requests of `beside`."""

    name: str
    url: str
    options: str = ""
    beside: str = ""
    least: float = 0
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median of its samples, in requests a second."""
        return median(self.rates)


WAYS = [
    Way("Gunicorn on its socket", f"http://{SITE}{ROUTE}", f"--base-uri=unix:{SOCKET}"),
    Way("the proxy", f"https://{SITE}{ROUTE}", "", "Gunicorn on its socket", 0.9),
    Way("as in Flask's documentation", f"https://{SITE}:8443{ROUTE}", "", "Gunicorn on its socket"),
    Way("nginx as packaged, file", f"https://{SITE}:8443{FILE}"),
    Way("the proxy, file", f"https://{SITE}{FILE}", "", "nginx as packaged, file", 0.95),
]

# nginx.conf as packaged, beside the collection's, with what Flask's documentation says of nginx as its one site.
BY_HAND = f"""set -e
mkdir -p /root/package /etc/by-hand
cd /root/package
apt-get -q download nginx-common 2>/dev/null
dpkg-deb --fsys-tarfile nginx-common_*.deb | tar -xO ./etc/nginx/nginx.conf |
    sed 's#^pid .*#pid /run/by-hand.pid;#; s#/var/log/nginx/#/var/log/by-hand-#
         s#/etc/nginx/conf.d/.*#/etc/by-hand/none*;#
         s#/etc/nginx/sites-enabled/\\*#/etc/by-hand/site.conf#' >/etc/by-hand/nginx.conf
cat >/etc/by-hand/site.conf <<'CONF'
server {{
    listen 8443 ssl;
    server_name {SITE};
    ssl_certificate {CERTIFICATE}/fullchain.pem;
    ssl_certificate_key {CERTIFICATE}/privkey.pem;
    location / {{
        proxy_pass http://127.0.0.1:8000/;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Prefix /;
    }}
    location /static/ {{
        alias {CURRENT}/public/static/;
    }}
}}
CONF
cat >/etc/systemd/system/by-hand-nginx.service <<'UNIT'
[Service]
ExecStart=/usr/sbin/nginx -c /etc/by-hand/nginx.conf -g 'daemon off;'
UNIT
cat >/etc/systemd/system/by-hand-app.service <<'UNIT'
[Service]
User={APP}
WorkingDirectory={CURRENT}/code
EnvironmentFile={CURRENT}/env
ExecStart={CURRENT}/venv/bin/gunicorn -w 4 --no-control-socket {APP}:app
UNIT
echo '127.0.0.1 {SITE}' >>/etc/hosts
systemctl daemon-reload
systemctl start by-hand-nginx.service by-hand-app.service
"""


def make_host(suite: str) -> None:
    """A fresh host with an app, and beside it the same app as one would set it up by hand."""
    test_host("create", f"{HOST}:{suite}")
    hosts.install(HOST, "curl", "nghttp2-client")
    app = {
        "source": {"directory": str(ROOT / "examples" / APP)},
        "wsgi_app": f"{APP}:app",
        "domains": [SITE],
        "certificate": {"provider": "self_signed"},
        "proxy": {"static": {"/static/": "static"}},
    }
    hosts.write_inventory(HOST, {APP: app})
    hosts.play(HOST, "site")
    run_on(HOST, BY_HAND)
    for way in WAYS:
        wait_for(way)


def wait_for(way: Way) -> None:
    """Wait until this way answers; after 30 attempts a second apart the benchmark fails."""
    socket = f"--unix-socket {SOCKET}" if way.options else ""
    run_on(HOST, f"curl -skf --retry 30 --retry-all-errors --retry-delay 1 -o /dev/null {socket} {way.url}")


def sample(way: Way) -> float:
    """Requests a second; a failed one ends the benchmark."""
    # Now and then h2load does not notice that its time is over.
    command = (
        f"timeout {SECONDS + 10} h2load --h1 --threads=1 --clients={CONNECTIONS} --warm-up-time=1 --duration={SECONDS}"
    )
    once = f"{command} {way.options} '{way.url}'"
    said = run_on(HOST, f"{once} || {once}").decode()
    done = re.search(r"finished in .*?, ([\d.]+) req/s", said)
    answers = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if not done or not answers or int(answers[1]) == 0 or any(int(answers[n]) for n in (2, 3, 4)):
        sys.exit(f"{way.name}: {way.url} was not answered\n{said}")
    return float(done[1])


def report(suite: str) -> bool:
    """Print the medians and their ratios; say whether each is as high as it must be."""
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {suite}; medians of {ROUNDS} samples of {SECONDS} s, "
        f"{CONNECTIONS} kept connections"
    )
    good = True
    rates = {way.name: way.rate for way in WAYS}
    for way in WAYS:
        line = f"{way.name:30}{way.rate:10.0f} requests a second"
        if way.beside:
            ratio = way.rate / rates[way.beside]
            line += f"{ratio:8.2f} of {way.beside}"
            if way.least:
                good = good and ratio >= way.least
                line += f" (at least {way.least})"
        print(line)
    return good


def main() -> None:
    """Make the host, sample each way in turn, print the report; exit with 1 if a ratio is too low."""
    suite = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {suite} host with an app …", flush=True)
    try:
        make_host(suite)
        for turn in range(ROUNDS):
            print(f"round {turn + 1} of {ROUNDS} …", flush=True)
            for way in WAYS:  # in turn, so that a busy moment falls on all
                way.rates.append(sample(way))
                time.sleep(0.5)
    finally:
        test_host("remove", HOST)
    if not report(suite):
        sys.exit("The proxy costs more than it may.")


if __name__ == "__main__":
    main()
