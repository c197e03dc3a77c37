"""What public scanners say of a finished host. Each failure shows what they said."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import pytest
import scanning
import testing
from scanning import Findings
from testinfra.host import Host
from visitor import Site

Scans = Mapping[str, Future[Findings]]
Figure = Callable[[str, object], None]


def test_exposure_of_the_unit(host: Host, figure: Figure) -> None:
    said = host.check_output("systemd-analyze security --no-pager nginx.service")
    exposure = float(re.findall(r"(\d+\.\d)", said.splitlines()[-1])[-1])
    figure("exposure of nginx.service", exposure)
    assert exposure <= 1.5, said


def test_audit_of_the_host(host: Host, figure: Figure) -> None:
    """Lynis, in Debian's version. A container cannot have all points: its clock and kernel.* are the machine's."""
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold"
    # It warns of each package that Debian has mended since the image of the host was made.
    prepare = f"{apt} update && {apt} --with-new-pkgs upgrade && {apt} install lynis"
    # The host's own timers use apt too.
    assert testing.poll(lambda: host.run(prepare).rc == 0, 300, 5), host.run(prepare)
    said = host.check_output("nice lynis audit system --quick --no-colors")
    report = host.check_output("cat /var/log/lynis-report.dat")
    index = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    warnings = re.findall(r"^warning\[\]=(.*)$", report, re.MULTILINE)
    figure("audit (Lynis)", f"{index and index[1]}, {len(warnings)} warnings")
    assert warnings == [], said
    assert index, said
    assert int(index[1]) >= 75, said


def mozilla_issues(output: str) -> list[str]:
    """What sslyze says against Mozilla's profile."""
    return re.findall(r"^ +\* (\w+: .*)$", output.partition("COMPLIANCE")[2], re.MULTILINE)


def test_mozilla_intermediate(host: Host, scans: Scans, figure: Figure) -> None:
    findings = scanning.judged("sslyze", host, scans, lambda found: "OK - Compliant" in found.output)
    issues = mozilla_issues(findings.output)
    figure("Mozilla intermediate (sslyze)", f"{len(issues)} issues")
    assert issues == [], findings.log
    assert "OK - Compliant" in findings.output, findings.log


@pytest.mark.suite("trixie")
def test_post_quantum_key_exchange(scans: Scans, figure: Figure) -> None:
    findings = scans["group"].result()
    group = re.search(r"^(?:Negotiated TLS1.3 group|Peer Temp Key|Server Temp Key): (\w+)", findings.log, re.MULTILINE)
    figure("key exchange (openssl)", group and group[1])
    assert group, findings.log
    assert group[1] == "X25519MLKEM768", findings.log


def test_nginx_configuration(scans: Scans, figure: Figure) -> None:
    findings = scans["gixy"].result()
    assert findings.output.strip(), findings.log
    issues = json.loads(findings.output)
    figure("nginx configuration (gixy)", f"{len(issues)} findings")
    assert issues == [], findings.log


def test_response_headers(host: Host, scans: Scans, figure: Figure) -> None:
    findings = scanning.judged("observatory", host, scans, lambda found: '"A+"' in found.output)
    assert findings.output.startswith("{"), findings.log
    result = json.loads(findings.output)
    grade, score = result["scan"]["grade"], result["scan"]["score"]
    figure("response headers (MDN observatory)", f"{grade}, {score}")
    failed = [name for name, test in result["tests"].items() if not test["pass"]]
    assert (grade, failed) == ("A+", []), findings.log
    assert score >= 120, findings.log


def test_content_security_policy(guestbook: Site, figure: Figure) -> None:
    scanning.wait_until_installed()
    policy = guestbook.get("/").header("Content-Security-Policy")
    assert policy
    run = scanning.on_scanner('node /root/csp-findings.mjs "$(cat)"', policy)
    assert run.returncode == 0, run.stderr
    figure("content security policy (CSP evaluator)", f"{len(json.loads(run.stdout))} high or medium")
    assert json.loads(run.stdout) == [], policy


def attack_findings(findings: Findings) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The report of wapiti, and its findings by kind."""
    assert findings.report, findings.log
    report = json.loads(findings.report)
    found: dict[str, list[Any]] = {**report["vulnerabilities"], **report["anomalies"]}
    return report, {kind: items for kind, items in found.items() if items}


@pytest.mark.suite("trixie")  # it takes minutes, and attacks the app more than what is in front of it
def test_black_box_attack(host: Host, scans: Scans, figure: Figure) -> None:
    findings = scans["wapiti"].result()
    report, found = attack_findings(findings)
    if found:
        # It judges by differences between answers, and other visitors make some: what is there is there once more.
        findings = scanning.again("wapiti", host, scans)
        report, again = attack_findings(findings)
        found = {kind: again[kind] for kind in found if kind in again}
    figure("attack (wapiti)", f"{sum(map(len, found.values()))} findings, {report['infos']['crawled_pages_nbr']} pages")
    assert report["infos"]["crawled_pages_nbr"] > 1, findings.log
    assert found == {}, findings.log


def open_ports(findings: Findings) -> set[int]:
    """The ports that nmap has found open."""
    return {int(port) for port in re.findall(r"(\d+)/open/", findings.output)}


def test_ports(host: Host, scans: Scans, figure: Figure) -> None:
    """One that answers too late beside the other scans is asked for again; one too many is never forgiven."""
    findings = scanning.judged("nmap", host, scans, lambda found: open_ports(found) >= {22, 80, 443})
    ports = open_ports(findings)
    rest = re.search(r"Ignored State: (\w+) \((\d+)\)", findings.output)
    figure("ports (nmap)", f"open {sorted(ports)}, rest {rest and rest[1]}")
    assert ports == {22, 80, 443}, findings.log
    assert rest, findings.log
    assert (rest[1], int(rest[2])) == ("filtered", 65535 - 3), findings.log


def test_tls_grade(host: Host, scans: Scans, figure: Figure) -> None:
    findings = scanning.judged("testssl", host, scans, lambda found: '"A+"' in found.report)
    assert findings.report, findings.log
    said = {finding["id"]: finding for finding in json.loads(findings.report)}
    grade, score = said["overall_grade"]["finding"], int(said["final_score"]["finding"])
    # Pebble's certificates name no list of revoked ones, as Let's Encrypt's do.
    del said["cert_revocation"]
    severe = [finding for finding in said.values() if finding["severity"] in ("HIGH", "CRITICAL", "FATAL")]
    figure("TLS (testssl.sh)", f"{grade}, {score}, {len(severe)} high")
    assert severe == [], findings.log
    assert grade == "A+", findings.log
    assert score >= 95, findings.log


def speaks_tls_1_2(site: Site) -> bool:
    """Whether any of several new connections is made by TLS 1.2."""
    context = site.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def speaks() -> bool:
        with socket.create_connection((site.address, 443), site.timeout) as plain:
            try:
                context.wrap_socket(plain, server_hostname=site.name).close()
            except ssl.SSLError:
                return False
        return True

    return any(speaks() for _turn in range(10))


@pytest.mark.suite("trixie")
def test_mozilla_modern_when_asked_for(host: Host, guestbook: Site, figure: Figure) -> None:
    command = f"--certinfo_ca_file=/etc/ssl/{testing.host_name(host)}.pem {guestbook.name}"
    result = testing.play(host, "converge.yml", "--tags", "proxy", proxy_tls="modern")
    try:
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert testing.poll(lambda: not speaks_tls_1_2(guestbook))  # a reload's old workers do, until they have ended
        run = scanning.on_scanner(f"sslyze --slow_connection --mozilla_config=modern {command}")
        # Pebble signs with RSA, which is the authority's choice: Let's Encrypt does so only where it is asked for RSA.
        issues = [issue for issue in mozilla_issues(run.stdout) if not issue.startswith("certificate_signatures: ")]
        figure("Mozilla modern (sslyze)", f"{len(issues)} issues")
        assert "COMPLIANCE" in run.stdout, run.stdout
        assert issues == [], run.stdout
        assert guestbook.get("/").status == 200
    finally:
        result = testing.play(host, "converge.yml", "--tags", "proxy")
    assert result.returncode == 0, testing.said(result)[-3000:]
