"""The host from which sites are judged: commands on it, and the scanners that run side by side."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache

import testing
from testinfra.host import Host

SCANNER = "scan-scanner"
Outcome = subprocess.CompletedProcess[str]


def suite(host: Host) -> str:
    """Return the host's Debian release."""
    return testing.host_name(host).rpartition("-")[2]


def guestbook_name(host: Host) -> str:
    """Return the canonical name of the guestbook on this host."""
    return f"{suite(host)}.guestbook.test"


def witness_name(host: Host) -> str:
    """Return the name of the app that answers whatever reaches it."""
    return f"{suite(host)}.witness.test"


def on_scanner(command: str, stdin: str = "", seconds: float = 3600) -> Outcome:
    """Run a shell command on the scanners' host, failed or not."""
    environment = "PATH=/opt/scanners/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin"
    return subprocess.run(
        ("podman", "exec", "-i", "--env", environment, testing.container(SCANNER), "sh", "-c", command),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


@cache
def wait_until_installed() -> None:
    """Wait for what prepare.yml began; its failure is an assertion with the end of its output."""

    def state() -> str:
        found = on_scanner("systemctl is-active install-scanners.service").stdout.strip()
        return "" if found == "activating" else found

    if testing.poll(state, 1800, 1) != "active":
        raise AssertionError(on_scanner("journalctl --unit=install-scanners --no-pager --output=cat --lines=30").stdout)


@dataclass(frozen=True)
class Findings:
    """What a scanner said: `output` on its standard output, `report` in its file, `log` all of it for a reader."""

    output: str
    report: str
    log: str
    seconds: float


def scan(command: str, report: str, stdin: str) -> Findings:
    wait_until_installed()
    began = time.monotonic()
    run = on_scanner(command, stdin)
    seconds = time.monotonic() - began
    text = on_scanner(f"cat {report}").stdout if report else ""
    return Findings(run.stdout, text, f"{command}: exit status {run.returncode}\n{run.stdout}\n{run.stderr}", seconds)


def judged(title: str, host: Host, scans: Mapping[str, Future[Findings]], good: Callable[[Findings], bool]) -> Findings:
    """The findings of a scan. Those of one that went badly beside the other scans are of another one, after them."""
    findings = scans[title].result()
    return findings if good(findings) else again(title, host, scans)


def again(title: str, host: Host, scans: Mapping[str, Future[Findings]]) -> Findings:
    """The findings of another scan of the host, once all others of it have ended."""
    wait(scans.values())
    return scan(*commands(f"scan-{suite(host)}", guestbook_name(host), "", "")[title])


@cache
def start_scans(host_name: str, name: str, configuration: str, gixy_options: str) -> Mapping[str, Future[Findings]]:
    """Begin all scans of a host that only read, once; a test waits for the result of its own."""
    scans = commands(host_name, name, configuration, gixy_options)
    if not host_name.endswith("-trixie"):
        del scans["wapiti"]
    pool = ThreadPoolExecutor(len(scans))
    return {title: pool.submit(scan, *arguments) for title, arguments in scans.items()}


def commands(host_name: str, name: str, configuration: str, gixy_options: str) -> dict[str, tuple[str, str, str]]:
    """Each scan's command, the file that it writes its report to, and what it reads."""
    root = f"/etc/ssl/{host_name}.pem"
    node = "/opt/scanners/node/node_modules"
    # What is not asked of wapiti: to have a host on the internet count requests for it.
    modules = "common,ssl,csp,http_headers,methods,backup,-ssrf"
    return {
        "testssl": (
            f"testssl -p -s -f -S -P -h -U --add-ca {root} --color 0 --quiet --overwrite "
            f"--jsonfile /tmp/testssl-{name}.json {name}",
            f"/tmp/testssl-{name}.json",
            "",
        ),
        "nmap": (f"nmap -sT -Pn -n -p- --min-rate 4000 --max-retries 2 -oG - {name}", "", ""),
        "wapiti": (
            f"SSL_CERT_FILE={root} wapiti -u https://{name}/ -m {modules} --flush-session --no-bugreport --timeout 20 "
            f"-f json -o /tmp/wapiti-{name}.json",
            f"/tmp/wapiti-{name}.json",
            "",
        ),
        # Few connections at once: what runs out of time beside the other scans counts as a fault of the site.
        "sslyze": (f"sslyze --slow_connection --mozilla_config=intermediate --certinfo_ca_file={root} {name}", "", ""),
        "observatory": (
            # It calls a site down that takes longer to answer than so many milliseconds.
            "ABORT_TIMEOUT=60000 CLIENT_TIMEOUT=50000 "
            f"NODE_EXTRA_CA_CERTS={root} node {node}/@mdn/mdn-http-observatory/src/scan.js {name}",
            "",
            "",
        ),
        "gixy": (
            f"cat > /tmp/nginx-{name}.conf && gixy --format json {gixy_options} /tmp/nginx-{name}.conf",
            "",
            configuration,
        ),
        "group": (f"openssl s_client -brief -connect {name}:443 -servername {name} -CAfile {root}", "", ""),
    }
