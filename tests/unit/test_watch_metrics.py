"""The text file for node-exporter, as a parser of Prometheus reads it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path
from ansible_collections.groundwork.flask.plugins.module_utils.watch import metrics
from ansible_collections.groundwork.flask.plugins.module_utils.watch.look import remember_successes
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import (
    BUCKETS,
    App,
    Condition,
    Job,
    Look,
    Machine,
    Requests,
    Unit,
)
from prometheus_client.parser import text_string_to_metric_families

HOSTILE = 'v1"\n# TYPE x gauge\nx{a="\\"} 1 \x1b[31m\u202e\udc80 ' + "y" * 10_000
SHOP = App(
    state="up",
    domains=["shop.test"],
    release="20260101-abc",
    version="v1.2",
    since=1_700_000_000.5,
    status=204,
    answered=0.012,
    outside=200,
    requests=Requests(
        total=10,
        by_class={"2xx": 7, "5xx": 2, "other": 1},
        buckets=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9],
        seconds=12.5,
    ),
    server=Unit("active", 50_000_000, 1, 5),
    processes={"worker": Unit("failed", None, 7)},
    jobs={"nightly": Job("failed", 100.0, 110.0, 200.0, 50.0), "weekly": Job()},
    certificate_expires=1_800_000_000.0,
    backup=1_700_000_100.0,
    drill=1_700_000_200.0,
    connections=12,
    connection_limit=20,
    deploys=[{"release": "20260101-abc", "version": "v1.2", "time": 1_700_000_000.0, "state": "live", "by": "ada"}],
)
HOST = Machine(
    boot=1.0,
    load=0.5,
    cores=2,
    memory=2_000,
    memory_available=1_000,
    swap=10,
    swap_free=5,
    disks=[{"mount": "/", "size": 100, "free": 40, "inodes": 10, "inodes_free": 4}],
    reboot_pending=True,
    clock_synchronized=False,
    failed_units=["x.service"],
)
LOOK = Look(
    time=1_700_000_300.0,
    host="web1",
    seconds=0.05,
    interval=300,
    machine=HOST,
    apps={"shop": SHOP},
    conditions=[
        Condition("job", "shop", "nightly"),
        Condition("job", "shop", "weekly"),
        Condition("disk", "host", "/", severity="critical"),
    ],
)


def samples(look: Look) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text(look))
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (("groundwork_look_timestamp_seconds",), 1_700_000_300),
        (("groundwork_look_duration_seconds",), 0.05),
        (("groundwork_look_interval_seconds",), 300),
        (("groundwork_conditions", "shop", "job", "warning"), 2),
        (("groundwork_conditions", "host", "disk", "critical"), 1),
        (("groundwork_app_up", "shop"), 1),
        (("groundwork_app_state", "shop", "up"), 1),
        (("groundwork_app_state", "shop", "maintenance"), 0),
        (("groundwork_app_health_status_code", "shop"), 204),
        (("groundwork_app_health_duration_seconds", "shop"), 0.012),
        (("groundwork_app_outside_status_code", "shop"), 200),
        (("groundwork_app_release_info", "shop", "20260101-abc", "v1.2"), 1),
        (("groundwork_app_release_timestamp_seconds", "shop"), 1_700_000_000.5),
        (("groundwork_app_last_deploy_timestamp_seconds", "shop"), 1_700_000_000),
        (("groundwork_requests_total", "shop", "2xx"), 7),
        (("groundwork_requests_total", "shop", "4xx"), 0),
        (("groundwork_requests_total", "shop", "5xx"), 2),
        (("groundwork_requests_total", "shop", "other"), 1),
        (("groundwork_request_duration_seconds_bucket", "shop", "0.005"), 0),
        (("groundwork_request_duration_seconds_bucket", "shop", "10.0"), 9),
        (("groundwork_request_duration_seconds_bucket", "shop", "+Inf"), 10),
        (("groundwork_request_duration_seconds_sum", "shop"), 12.5),
        (("groundwork_request_duration_seconds_count", "shop"), 10),
        (("groundwork_app_workers", "shop"), 5),
        (("groundwork_process_active", "shop", "web"), 1),
        (("groundwork_process_active", "shop", "worker"), 0),
        (("groundwork_process_memory_bytes", "shop", "web"), 50_000_000),
        (("groundwork_process_restarts_total", "shop", "worker"), 7),
        (("groundwork_job_result", "shop", "nightly", "failed"), 1),
        (("groundwork_job_result", "shop", "nightly", "success"), 0),
        (("groundwork_job_last_start_timestamp_seconds", "shop", "nightly"), 100),
        (("groundwork_job_last_end_timestamp_seconds", "shop", "nightly"), 110),
        (("groundwork_job_last_success_timestamp_seconds", "shop", "nightly"), 50),
        (("groundwork_job_next_start_timestamp_seconds", "shop", "nightly"), 200),
        (("groundwork_certificate_expiry_timestamp_seconds", "shop"), 1_800_000_000),
        (("groundwork_backup_last_success_timestamp_seconds", "shop"), 1_700_000_100),
        (("groundwork_restore_drill_last_success_timestamp_seconds", "shop"), 1_700_000_200),
        (("groundwork_database_connections", "shop"), 12),
        (("groundwork_database_connections_limit", "shop"), 20),
        (("groundwork_host_boot_timestamp_seconds",), 1),
        (("groundwork_host_reboot_pending",), 1),
        (("groundwork_host_clock_synchronized",), 0),
        (("groundwork_host_failed_units",), 1),
        (("groundwork_disk_free_bytes", "/"), 40),
        (("groundwork_disk_inodes_free", "/"), 4),
    ],
)
def test_sample(sample: tuple[str, ...], value: float) -> None:
    assert samples(LOOK)[sample] == value


def test_each_metric_has_a_sample_its_type_and_help() -> None:
    read = {family.name: family for family in text_string_to_metric_families(metrics.text(LOOK))}
    for family in metrics.FAMILIES:
        found = read[family.name.removesuffix("_total")]  # the parser's name of a counter
        assert (found.type, found.documentation) == (family.kind, family.doc)
        assert {label for sample in found.samples for label in sample.labels} - {"le"} == set(family.labels)


def test_names_follow_the_conventions_of_prometheus() -> None:
    for family in metrics.FAMILIES:
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert "timestamp" not in family.name or family.name.endswith("_timestamp_seconds"), family.name


@pytest.mark.parametrize(
    ("app", "absent"),
    [
        (App(state="maintenance"), "groundwork_app_health_status_code"),
        (App(state="up", status=200), "groundwork_app_outside_status_code"),
        (App(), "groundwork_app_release_info"),
        (App(), "groundwork_process_active"),
        (App(backup=float("nan")), "groundwork_backup_last_success_timestamp_seconds"),
    ],
)
def test_what_is_not_known_has_no_sample(app: App, absent: str) -> None:
    assert absent not in {key[0] for key in samples(Look(1.0, "web1", apps={"shop": app}))}


def test_no_answer_is_status_0() -> None:
    dead = samples(Look(1.0, "web1", apps={"shop": App(state="down", outside_error="connection refused")}))
    assert dead["groundwork_app_up", "shop"] == 0
    assert dead["groundwork_app_health_status_code", "shop"] == 0
    assert dead["groundwork_app_outside_status_code", "shop"] == 0


def test_buckets_are_those_of_the_records() -> None:
    bounds = [key[2] for key in samples(LOOK) if key[0] == "groundwork_request_duration_seconds_bucket"]
    assert bounds == [*map(str, BUCKETS), "+Inf"]


def test_a_hostile_version_stays_one_bounded_label() -> None:
    hostile = metrics.text(replace(LOOK, apps={"shop": replace(SHOP, version=HOSTILE)}))
    plain = metrics.text(LOOK)
    assert len(hostile.splitlines()) == len(plain.splitlines())
    assert len(hostile.encode()) < len(plain.encode()) + 4 * metrics.LABEL_LIMIT
    assert {family.name for family in text_string_to_metric_families(hostile)} == {
        family.name for family in text_string_to_metric_families(plain)
    }
    (version,) = [
        sample.labels["version"]
        for family in text_string_to_metric_families(hostile)
        if family.name == "groundwork_app_release_info"
        for sample in family.samples
    ]
    assert version.startswith('v1" # TYPE x gauge x{a="\\"} 1 \\x1b[31m\\u202e\\udc80 yyy')


def test_unknown_classes_add_no_series() -> None:
    odd = replace(SHOP, requests=Requests(total=3, by_class={"9xx": 2, "other": 1}))
    found = samples(replace(LOOK, apps={"shop": odd}))
    assert {key[2] for key in found if key[0] == "groundwork_requests_total"} == set(metrics.CLASSES)
    assert found["groundwork_requests_total", "shop", "other"] == 3


def test_the_file_is_replaced_and_anybody_can_read_it(tmp_path: Path) -> None:
    directory = path("metrics", root=tmp_path)
    directory.mkdir(parents=True)
    for look in (Look(1.0, "web1"), LOOK):
        metrics.write(look, tmp_path)
    assert [(one.name, oct(one.stat().st_mode & 0o777)) for one in directory.iterdir()] == [
        ("groundwork.prom", "0o644")
    ]
    assert (directory / "groundwork.prom").read_text() == metrics.text(LOOK)


@pytest.mark.parametrize(
    ("result", "succeeded"), [("success", 110.0), ("failed", 50.0), ("running", 50.0), ("missed", 50.0)]
)
def test_the_last_success_of_a_job_outlives_its_failures(result: str, succeeded: float) -> None:
    before = replace(LOOK, apps={"shop": App(jobs={"nightly": Job("success", 40.0, 50.0, succeeded=50.0)})})
    now = Look(200.0, "web1", apps={"shop": App(jobs={"nightly": Job(result, 100.0, 110.0), "new": Job("failed")})})
    remember_successes(now, before.plain())
    assert now.apps["shop"].jobs["nightly"].succeeded == succeeded
    assert now.apps["shop"].jobs["new"].succeeded is None


def test_the_first_look_knows_of_no_success() -> None:
    now = Look(200.0, "web1", apps={"shop": App(jobs={"nightly": Job("failed", 100.0, 110.0)})})
    remember_successes(now, {})
    assert now.apps["shop"].jobs["nightly"].succeeded is None


# --- documentation and dashboard --------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
# Of node-exporter and blackbox-exporter.
OF_OTHERS = {"node_cpu_seconds_total", "probe_duration_seconds", "probe_success"}
PARTS = ("_bucket", "_count", "_sum")


def test_the_documentation_has_each_metric() -> None:
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.doc} |"
        for family in metrics.FAMILIES
    ]
    table = "\n".join(["| metric | type | labels | |", "|---|---|---|---|", *rows])
    assert table in (ROOT / "docs/metrics.md").read_text(), f"docs/metrics.md lacks this table:\n{table}"


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    panels = json.loads((ROOT / "roles/metrics/files/dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    known = {family.name: family for family in metrics.FAMILIES}
    asked = set()
    for expression in (target["expr"] for panel in panels for target in panel["targets"]):
        for name, selector in re.findall(r"\b((?:groundwork|node|probe)_\w+)(?:{([^}]*)})?", expression):
            asked.add(name)
            family = known.get(name) or next(
                (known[name.removesuffix(part)] for part in PARTS if name.endswith(part)), None
            )
            assert family or name in OF_OTHERS, f"{name} in {expression}"
            if family:
                labels = set(re.findall(r"(\w+)=~?\"", selector))
                assert labels <= {"host", *family.labels}, f"{name} has no label {labels} in {expression}"
    assert len(asked) > 20
