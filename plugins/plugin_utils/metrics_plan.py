# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Prometheus, Alertmanager and blackbox-exporter, from the hosts and apps of the inventory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

CONFIGURATION = f"{on_host('configuration')}/metrics"
STATUS = f"{on_host('programs')}/watch status"
INTERVAL = "15s"  # between two scrapes, and two visits of a site
EVALUATION = "5s"  # with the group's wait, Alertmanager tells of a condition within 25 s of the look that told it
PROBE_SECONDS = "10s"
# The third look in a row that is missing is a fault, not a slow one; the shortest intervals are given two minutes too.
LOOKS, LOOK_SECONDS = 4, 120
# Alertmanager tells of a state once, and again after a month. It must remember for longer (--data.retention=744h).
REPEAT = "720h"
NOBODY = "nobody"  # the receiver where none is declared: alerts are then seen on Alertmanager's page alone


def host(name: str, variables: Mapping[str, Any], apps: Sequence[Mapping[str, Any]], local: bool) -> dict[str, Any]:
    """What the configuration takes of a host.

    :param variables: the host's own: ``metrics_address`` or ``ansible_host``, ``metrics_node_port``.
    :param apps: as the role ``watch`` takes them: ``name``, ``domains``, ``health_path``.
    :param local: whether Prometheus runs on this very host.
    """
    address = "127.0.0.1" if local else str(variables.get("metrics_address") or variables.get("ansible_host") or name)
    port = int(variables.get("metrics_node_port") or 9100)
    shown = f"[{address}]" if ":" in address else address
    return {
        "name": name,
        "target": f"{shown}:{port}",
        "sites": [
            {"app": app["name"], "url": f"https://{app['domains'][0]}{app['health_path']}"}
            for app in apps
            if app["domains"]
        ],
    }


def prometheus(hosts: Sequence[Mapping[str, Any]], alertmanager: str, blackbox: str) -> dict[str, Any]:
    """What Prometheus scrapes, which rules it has, and where it sends alerts.

    :param hosts: as :func:`host` returns them.
    :param alertmanager: its address and port.
    :param blackbox: address and port of blackbox-exporter.
    """
    probe = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": blackbox},
    ]
    return {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": "10s", "evaluation_interval": EVALUATION},
        "rule_files": [f"{CONFIGURATION}/rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": "hosts",
                # What an exporter says of its own name and host does not count, whoever has got hold of it.
                "honor_labels": False,
                "sample_limit": 20_000,
                "static_configs": [{"targets": [one["target"]], "labels": {"host": one["name"]}} for one in hosts],
            },
            {
                "job_name": "sites",
                "metrics_path": "/probe",
                "params": {"module": ["site"]},
                "static_configs": list(_sites(hosts)),
                "relabel_configs": probe,
            },
        ],
    }


def _sites(hosts: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each address once. One that several hosts serve, behind a balancer, is no host's: it may be well without any."""
    serving: dict[tuple[str, str], list[str]] = {}
    for one in hosts:
        for site in one["sites"]:
            serving.setdefault((site["url"], site["app"]), []).append(one["name"])
    for (url, app), names in serving.items():
        labels = {"app": app} if len(names) > 1 else {"app": app, "host": names[0]}
        yield {"targets": [url], "labels": labels}


def probes(private_ca: str) -> dict[str, Any]:
    """How blackbox-exporter asks: as a visitor, whose request ends well when it is answered below 400.

    :param private_ca: a file with the CA of the sites' certificates, where that is not in the host's own list.
    """
    http: dict[str, Any] = {
        "method": "GET",
        "valid_status_codes": [*range(200, 400)],
        "follow_redirects": False,  # a page that leads to another answers
        "preferred_ip_protocol": "ip4",
        "ip_protocol_fallback": True,
    }
    if private_ca:
        http["tls_config"] = {"ca_file": private_ca}
    return {"modules": {"site": {"prober": "http", "timeout": PROBE_SECONDS, "http": http}}}


def alertmanager(
    receivers: Sequence[Mapping[str, Any]], route: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Whom Alertmanager tells: one message for the alerts of a host that begin together, another for their end.

    :param receivers: in Alertmanager's own form; the first gets everything, unless the route says otherwise.
    :param route: what differs from the route below, in Alertmanager's own names.
    :param settings: Alertmanager's ``global``, as for SMTP.
    """
    named = [dict(one) for one in receivers] or [{"name": NOBODY}]
    found: dict[str, Any] = {"global": dict(settings)} if settings else {}
    return {
        **found,
        "route": {
            "receiver": named[0]["name"],
            "group_by": ["host"],
            "group_wait": "5s",
            "group_interval": "15s",
            "repeat_interval": REPEAT,
            **route,
        },
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="GroundworkHostDown"'],
                "target_matchers": ['alertname!="GroundworkHostDown"'],
                "equal": ["host"],
            }
        ],
        "receivers": named,
    }


def rules() -> dict[str, Any]:
    """When to alert: at each condition of the watch, with the watch's own thresholds; and at what it cannot tell."""
    looked = 'groundwork_look_timestamp_seconds{job="hosts"}'
    # A host with an earlier version of the watch states no interval; it is to be missed all the same.
    interval = f'groundwork_look_interval_seconds{{job="hosts"}} or 0 * {looked}'
    patience = f"clamp_min({LOOKS} * ({interval}), {LOOK_SECONDS})"
    meant = 'groundwork_app_state{state=~"maintenance|stopped|undeployed"} == 1'
    down = 'probe_success{{job="sites", host{}""}} == 0 unless on ({}) {}'
    return {
        "groups": [
            {
                "name": "groundwork",
                "rules": [
                    _rule(
                        "GroundworkCondition",
                        "groundwork_conditions > 0",
                        "0s",  # the watch itself waits until it is sure
                        {},
                        "{{ $labels.subject }} on {{ $labels.host }}: {{ $labels.kind }}",
                        f"On {{{{ $labels.host }}}}, `{STATUS}` says what is wrong.",
                    ),
                    _rule(
                        "GroundworkHostDown",
                        'up{job="hosts"} == 0',
                        "45s",
                        {"severity": "critical"},
                        "{{ $labels.host }} does not answer",
                        "No node-exporter answers at {{ $labels.instance }}. Is the host up, and its "
                        "prometheus-node-exporter.service? Does its firewall let Prometheus in (metrics_scrapers)?",
                    ),
                    _rule(
                        "GroundworkLookMissing",
                        f'(time() - {looked} > {patience}) or (up{{job="hosts"}} == 1 unless on (host) {looked})',
                        "30s",
                        {"severity": "warning"},
                        "{{ $labels.host }} is not looked at any more",
                        "On {{ $labels.host }}, look at groundwork-watch.timer and groundwork-watch.service.",
                    ),
                    _rule(
                        "GroundworkSiteDown",
                        f"({down.format('!=', 'host, app', meant)}) or ({down.format('=', 'app', meant)})",
                        "30s",
                        {"severity": "critical"},
                        "{{ $labels.app }} does not answer at {{ $labels.instance }}",
                        "Ask for it from elsewhere: `curl -v {{ $labels.instance }}`.",
                    ),
                    _rule(
                        "GroundworkMetricsUnreadable",
                        'node_textfile_scrape_error{job="hosts"} == 1',
                        "2m",
                        {"severity": "warning"},
                        "node-exporter on {{ $labels.host }} cannot read a text file",
                        "`journalctl -u prometheus-node-exporter` on {{ $labels.host }} names the file.",
                    ),
                ],
            }
        ]
    }


def _rule(name: str, expression: str, lasts: str, labels: dict[str, str], summary: str, remedy: str) -> dict[str, Any]:
    found: dict[str, Any] = {"alert": name, "expr": expression, "for": lasts}
    if labels:
        found["labels"] = labels
    return {**found, "annotations": {"summary": summary, "description": remedy}}
