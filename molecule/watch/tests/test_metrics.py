"""Prometheus with its companions on the host itself: what it has of the apps, whom it tells, and who may connect."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import testing
from testinfra.host import Host
from testing import on_host

pytestmark = pytest.mark.full  # a play, and half a minute for each look
DASHBOARD = Path(__file__).parents[3] / "roles/metrics/files/dashboard.json"
HOOK, HOOK_PORT, ALERTS = "/root/metrics_hook.py", 8099, "/root/metrics_alerts"
CA = "/etc/ssl/moody.pem"
ANSWER = f"{on_host('data', 'moody')}/answer"
PORTS = {"prometheus": 9090, "prometheus-alertmanager": 9093, "prometheus-blackbox-exporter": 9115}
EXPORTER = 9100
# Seconds. An app's condition is told within 35; then a scrape, an evaluation and the group's wait. On a machine that
# has nothing else to do that makes 75, and 120 until its end is told.
ALERTED, RESOLVED = 300, 300
CONNECT = """
import socket, sys
for port in sys.argv[1:]:
    for protocol in (0, 262):  # TCP, MPTCP
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
            made.settimeout(30)
            made.connect(("127.0.0.1", int(port)))
            print(port, "open")
        except ConnectionRefusedError:
            print(port, "refused")
"""


@pytest.fixture(scope="module")
def prometheus(host: Host) -> Iterator[Host]:
    """The host with Prometheus, and a receiver for its alerts."""
    source = (testing.scenario_directory() / "files/hook.py").read_text()
    host.check_output(f"cat > {HOOK} <<'END'\n{source}END\nrm -f {ALERTS}")
    host.check_output(f"systemd-run --unit=metrics-hook /usr/bin/python3 {HOOK} {HOOK_PORT} {ALERTS}")
    host.check_output(f"cp {on_host('certificate', 'moody')}/fullchain.pem {CA}")
    host.check_output("grep -q moody.test /etc/hosts || echo '127.0.0.1 moody.test' >> /etc/hosts")
    result = testing.play(
        host,
        "metrics.yml",
        metrics_group=testing.host_name(host),
        metrics_scrapers=[testing.own_ip(host)],
        metrics_private_ca=CA,
        metrics_receivers=[
            {"name": "hook", "webhook_configs": [{"url": f"http://127.0.0.1:{HOOK_PORT}/canary-of-a-url"}]}
        ],
    )
    assert result.returncode == 0, testing.said(result)
    yield host
    host.run(f"systemctl stop metrics-hook; rm -f {ANSWER}")


def query(host: Host, expression: str) -> list[dict[str, Any]]:
    """The series of an expression."""
    address = f"http://127.0.0.1:{PORTS['prometheus']}/api/v1/query?{urlencode({'query': expression})}"
    fetch = f"import urllib.request; print(urllib.request.urlopen('{address}').read().decode())"
    answer = json.loads(host.check_output(f'/usr/bin/python3 -c "{fetch}"'))
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def alerts(host: Host) -> list[dict[str, Any]]:
    """The alerts that the receiver got, oldest first, each with the time of its arrival."""
    lines = host.run(f"cat {ALERTS}").stdout.split("\n")[:-1]  # without one that is being written
    return [alert | {"arrived": one["time"]} for one in map(json.loads, lines) for alert in one["body"]["alerts"]]


def wait_for(host: Host, status: str, name: str, since: float, seconds: float) -> dict[str, Any]:
    """An alert of moody's with this name and state that has arrived since."""

    def arrived() -> dict[str, Any] | None:
        for one in alerts(host):
            labels = one["labels"]
            of_moody = "moody" in (labels.get("subject"), labels.get("app"))
            if one["arrived"] > since and (one["status"], labels["alertname"], of_moody) == (status, name, True):
                return one
        return None

    found = testing.poll(arrived, seconds, 1)
    assert found, f"no {name} {status} within {seconds} s: {alerts(host)}"
    return found


def test_prometheus_has_the_series_of_the_watch(prometheus: Host) -> None:
    def up() -> list[dict[str, Any]]:
        return query(prometheus, 'groundwork_app_up{app="moody"} == 1 and on (app) probe_success{app="moody"} == 1')

    (series,) = testing.poll(up, 300, 2) or [{}]
    assert series["metric"]["host"] == testing.host_name(prometheus)
    exporter = f'up{{job="hosts", host="{testing.host_name(prometheus)}"}}'
    assert testing.poll(lambda: [one["value"][1] for one in query(prometheus, exporter)] == ["1"], 300, 2)


def test_a_host_is_missed_after_four_of_its_looks(prometheus: Host) -> None:
    cases = (testing.scenario_directory() / "files/rules_test.yml").read_text()
    prometheus.check_output("printf %%s %s > /root/rules_test.yml && promtool test rules /root/rules_test.yml", cases)


def test_each_panel_of_the_dashboard_can_be_asked_for(prometheus: Host) -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            query(prometheus, re.sub(r"\$(host|app)\b", ".*", target["expr"]))


def test_everything_listens_where_it_is_declared_alone(prometheus: Host) -> None:
    own = prometheus.check_output("hostname -I").split()[0]
    declared = {f"127.0.0.1:{port}" for port in (*PORTS.values(), EXPORTER)} | {f"{own}:{EXPORTER}"}

    def listening() -> set[str]:
        found = {row.split()[3] for row in prometheus.check_output("ss -Hltn").splitlines()}
        return {one for one in found if int(one.rpartition(":")[2]) in (*PORTS.values(), EXPORTER, 9094)}

    testing.poll(lambda: declared <= listening())  # one that is started begins to listen when it has read its files
    assert listening() == declared


def test_the_scraper_alone_is_let_in(prometheus: Host) -> None:
    """The machine of the tests is declared. A stranger comes from a network of its own, over a link to the host."""
    address = testing.host_ip(prometheus)
    assert testing.tcp_open(address, EXPORTER)
    prometheus.check_output(
        "ip netns add stranger && ip link add stranger type veth peer name eth0 netns stranger"
        " && ip addr add 198.51.100.1/24 dev stranger && ip link set stranger up"
        " && ip -n stranger addr add 198.51.100.2/24 dev eth0 && ip -n stranger link set eth0 up"
        " && ip -n stranger route add default via 198.51.100.1"
    )
    try:
        ask = f"ip netns exec stranger timeout %d bash -c 'exec 3<>/dev/tcp/{address}/%d'"
        assert testing.poll(lambda: prometheus.run(ask % (30, 80)).rc == 0)  # once the link is up
        assert prometheus.run(ask % (3, EXPORTER)).rc == 124  # no answer
    finally:
        prometheus.check_output("ip netns del stranger; ip link del stranger 2>/dev/null || true")


def test_an_app_cannot_connect_and_root_can(prometheus: Host) -> None:
    """Neither to silence an alert, nor to have blackbox-exporter ask for what the app must not reach."""
    ports = " ".join(map(str, PORTS.values()))
    command = f"/usr/bin/python3 - {ports} <<'END'\n{CONNECT}END"
    shut = prometheus.check_output(f"setpriv --reuid moody --regid moody --clear-groups {command}")
    assert set(shut.splitlines()) == {f"{port} refused" for port in PORTS.values()}
    assert set(prometheus.check_output(command).splitlines()) == {f"{port} open" for port in PORTS.values()}


def test_secrets_of_receivers_are_for_alertmanager_alone(prometheus: Host) -> None:
    found = prometheus.check_output(f"grep -rl canary-of-a-url /etc {on_host('state')} /run/systemd || true").split()
    assert found == [f"{on_host('configuration')}/metrics/alertmanager.yml"]
    assert prometheus.check_output(f"stat -c '%U %G %a' {found[0]}") == "root prometheus 640"


def test_a_configuration_that_cannot_be_read_is_refused_and_prometheus_goes_on(prometheus: Host) -> None:
    result = testing.play(
        prometheus,
        "metrics.yml",
        "--tags=metrics",
        metrics_group=testing.host_name(prometheus),
        metrics_scrapers=[testing.own_ip(prometheus)],
        metrics_private_ca=CA,
        metrics_receivers=[{"name": "hook", "webhok_configs": []}],
    )
    assert result.returncode != 0
    assert "webhok_configs" in testing.said(result)
    assert (
        prometheus.check_output("systemctl is-active " + " ".join(f"{unit}.service" for unit in PORTS)).split()
        == ["active"] * 3
    )
    assert "canary-of-a-url" in prometheus.check_output(f"cat {on_host('configuration')}/metrics/alertmanager.yml")


def test_an_app_that_answers_500_raises_an_alert_and_its_recovery_another(prometheus: Host) -> None:
    began = time.time()
    prometheus.check_output(f"echo 500 > {ANSWER}")
    try:
        told = wait_for(prometheus, "firing", "GroundworkCondition", began, ALERTED)
        assert told["labels"]["host"] == testing.host_name(prometheus)
        site = wait_for(prometheus, "firing", "GroundworkSiteDown", began, ALERTED)
        counted = 'increase(groundwork_requests_total{app="moody", class="5xx"}[5m]) > 0'
        assert testing.poll(lambda: query(prometheus, counted), 240, 2), "no request of blackbox-exporter was counted"
    finally:
        prometheus.check_output(f"rm -f {ANSWER}")
    ended = time.time()
    resolved = wait_for(prometheus, "resolved", "GroundworkCondition", ended, RESOLVED)
    print(
        f"alert of the watch after {told['arrived'] - began:.1f} s, of blackbox-exporter after "
        f"{site['arrived'] - began:.1f} s, resolved after {resolved['arrived'] - ended:.1f} s"
    )


def test_units_are_as_confined_as_stated(prometheus: Host) -> None:
    shown = prometheus.check_output("systemd-analyze security --no-pager groundwork-metrics.service")
    figure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", shown)
    assert figure
    assert float(figure[1]) <= 1.5
