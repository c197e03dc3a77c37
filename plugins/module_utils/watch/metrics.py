# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look has found in the exposition format of Prometheus, for node-exporter's textfile collector.

Names and units follow https://prometheus.io/docs/practices/naming/. The number of series is bounded by what the
inventory declares (apps, processes, jobs) and by the states in this file; an app can add none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..common import files
from ..common.on_host import path
from ..common.text import line
from .records import BUCKETS, App, Look, Machine, Unit

CLASSES = ("2xx", "3xx", "4xx", "5xx", "other")
APP_STATES = ("up", "down", "maintenance", "stopped", "undeployed")
JOB_RESULTS = ("success", "failed", "missed", "running")
WEB = "web"  # the app's server among its processes; no process may have this name
LABEL_LIMIT = 100  # characters of a label's value

Sample = tuple[str, tuple[str, ...], "float | None"]


@dataclass(frozen=True)
class Family:
    """A metric.

    :ivar kind: its type in Prometheus.
    :ivar doc: the HELP line.
    :ivar labels: the names of its labels, in the order in which samples have their values.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()


_APP, _PROCESS, _JOB, _MOUNT = ("app",), ("app", "process"), ("app", "job"), ("mount",)
FAMILIES = (
    Family("groundwork_look_timestamp_seconds", "gauge", "When the last look began."),
    Family("groundwork_look_duration_seconds", "gauge", "How long the last look took."),
    Family("groundwork_look_interval_seconds", "gauge", "From one look to the next (watch_interval)."),
    Family(
        "groundwork_conditions",
        "gauge",
        "Conditions that the last look found; the subject is an app, or host.",
        ("subject", "kind", "severity"),
    ),
    Family("groundwork_app_up", "gauge", "1 if the app answers on its socket as it should.", _APP),
    Family("groundwork_app_state", "gauge", "1 for the state that the app is in.", ("app", "state")),
    Family(
        "groundwork_app_health_status_code",
        "gauge",
        "HTTP status of the health path through the app's socket; 0 for no answer.",
        _APP,
    ),
    Family("groundwork_app_health_duration_seconds", "gauge", "How long that answer took.", _APP),
    Family(
        "groundwork_app_outside_status_code",
        "gauge",
        "HTTP status of the health path through the public name; 0 for no answer.",
        _APP,
    ),
    Family("groundwork_app_release_info", "gauge", "1 for the live release.", ("app", "release", "version")),
    Family("groundwork_app_release_timestamp_seconds", "gauge", "Since when that release is live.", _APP),
    Family(
        "groundwork_app_last_deploy_timestamp_seconds", "gauge", "When a deploy was last tried, failed or not.", _APP
    ),
    Family(
        "groundwork_requests_total",
        "counter",
        "Requests that the proxy has answered, by the class of their status.",
        ("app", "class"),
    ),
    Family(
        "groundwork_request_duration_seconds",
        "histogram",
        "How long the answers to these requests took, as the proxy measures it.",
        _APP,
    ),
    Family("groundwork_app_workers", "gauge", "Workers of the app's server.", _APP),
    Family("groundwork_process_active", "gauge", "1 if the process's unit is active; web is the server.", _PROCESS),
    Family("groundwork_process_memory_bytes", "gauge", "Memory of the process's unit.", _PROCESS),
    Family("groundwork_process_restarts_total", "counter", "Restarts of the unit by systemd.", _PROCESS),
    Family("groundwork_job_result", "gauge", "1 for the result of the job's last run.", ("app", "job", "result")),
    Family("groundwork_job_last_start_timestamp_seconds", "gauge", "When the job last began.", _JOB),
    Family("groundwork_job_last_end_timestamp_seconds", "gauge", "When the job last ended, well or not.", _JOB),
    Family("groundwork_job_last_success_timestamp_seconds", "gauge", "When a run of the job last ended well.", _JOB),
    Family("groundwork_job_next_start_timestamp_seconds", "gauge", "When the job is due.", _JOB),
    Family(
        "groundwork_certificate_expiry_timestamp_seconds", "gauge", "When the certificate that is served expires.", _APP
    ),
    Family("groundwork_backup_last_success_timestamp_seconds", "gauge", "When the app was last backed up.", _APP),
    Family(
        "groundwork_restore_drill_last_success_timestamp_seconds",
        "gauge",
        "When a restore drill of the app last succeeded.",
        _APP,
    ),
    Family("groundwork_database_connections", "gauge", "Open connections to the app's database.", _APP),
    Family("groundwork_database_connections_limit", "gauge", "How many connections it may have open.", _APP),
    Family("groundwork_host_boot_timestamp_seconds", "gauge", "When the host booted."),
    Family("groundwork_host_load1", "gauge", "Load average of the last minute."),
    Family("groundwork_host_cores", "gauge", "Cores of the host."),
    Family("groundwork_host_memory_bytes", "gauge", "Memory of the host."),
    Family("groundwork_host_memory_available_bytes", "gauge", "Memory that programs can still have."),
    Family("groundwork_host_swap_bytes", "gauge", "Swap of the host."),
    Family("groundwork_host_swap_free_bytes", "gauge", "Swap that is not in use."),
    Family("groundwork_host_reboot_pending", "gauge", "1 if an update waits for a reboot."),
    Family("groundwork_host_clock_synchronized", "gauge", "1 if the clock is synchronized."),
    Family("groundwork_host_failed_units", "gauge", "Units of systemd that have failed."),
    Family("groundwork_disk_size_bytes", "gauge", "Size of the file system.", _MOUNT),
    Family("groundwork_disk_free_bytes", "gauge", "Space that programs can still have on it.", _MOUNT),
    Family("groundwork_disk_inodes", "gauge", "Inodes of the file system.", _MOUNT),
    Family("groundwork_disk_inodes_free", "gauge", "Inodes that are free on it.", _MOUNT),
)


FILE = "groundwork.prom"


def write(look: Look, root: Path = Path("/")) -> None:
    """Keep the metrics of a look where node-exporter reads them; whoever may read nothing else may read these.

    :raises OSError: with the file as it was, whose age then tells.
    """
    files.write(path("metrics", root=root) / FILE, text(look), 0o644)


def text(look: Look) -> str:
    """All that a look has found, in the exposition format; a value that is not known has no sample."""
    found: dict[str, list[str]] = {family.name: [] for family in FAMILIES}
    labels = {family.name: family.labels for family in FAMILIES}
    for name, values, value in _samples(look):
        if value is not None and math.isfinite(value):
            found[name].append(_sample(name, zip(labels[name], values, strict=True), value))
    for app, record in look.apps.items():
        found["groundwork_request_duration_seconds"] += _histogram("groundwork_request_duration_seconds", app, record)
    return "".join(
        f"# HELP {family.name} {family.doc}\n# TYPE {family.name} {family.kind}\n" + "".join(found[family.name])
        for family in FAMILIES
        if found[family.name]
    )


def escaped(value: object) -> str:
    """A label's value between its quotes: one line, bounded, with backslashes, quotes and newlines escaped."""
    return line(str(value), LABEL_LIMIT).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _sample(name: str, labels: Iterable[tuple[str, object]], value: float) -> str:
    pairs = ",".join(f'{label}="{escaped(of)}"' for label, of in labels)
    shown = repr(value) if isinstance(value, float) else str(int(value))
    return f"{name}{{{pairs}}} {shown}\n" if pairs else f"{name} {shown}\n"


def _histogram(name: str, app: str, record: App) -> Iterator[str]:
    requests = record.requests
    for bound, count in zip(BUCKETS, requests.buckets, strict=True):
        yield _sample(f"{name}_bucket", (("app", app), ("le", bound)), count)
    yield _sample(f"{name}_bucket", (("app", app), ("le", "+Inf")), requests.total)
    yield _sample(f"{name}_sum", (("app", app),), requests.seconds)
    yield _sample(f"{name}_count", (("app", app),), requests.total)


def _samples(look: Look) -> Iterator[Sample]:
    yield "groundwork_look_timestamp_seconds", (), look.time
    yield "groundwork_look_duration_seconds", (), look.seconds
    yield "groundwork_look_interval_seconds", (), look.interval
    counts: dict[tuple[str, ...], int] = {}
    for condition in look.conditions:
        values = (condition.subject, condition.kind, condition.severity)
        counts[values] = counts.get(values, 0) + 1
    for labels, count in counts.items():
        yield "groundwork_conditions", labels, count
    yield from _of_machine(look.machine)
    for name, app in look.apps.items():
        yield from _of_app(name, app)
        yield from _of_requests(name, app)
        yield from _of_unit(name, WEB, app.server)
        for process, unit in app.processes.items():
            yield from _of_unit(name, process, unit)
        yield from _of_jobs(name, app)


def _of_app(name: str, app: App) -> Iterator[Sample]:
    asked = app.state in ("up", "down")
    yield "groundwork_app_up", (name,), app.state == "up"
    for state in APP_STATES:
        yield "groundwork_app_state", (name, state), app.state == state
    yield "groundwork_app_health_status_code", (name,), (app.status or 0) if asked else app.status
    yield "groundwork_app_health_duration_seconds", (name,), app.answered
    yield "groundwork_app_outside_status_code", (name,), 0 if app.outside_error else app.outside
    if app.release:
        yield "groundwork_app_release_info", (name, app.release, app.version), 1
    yield "groundwork_app_release_timestamp_seconds", (name,), app.since
    yield "groundwork_app_last_deploy_timestamp_seconds", (name,), app.deploys[0]["time"] if app.deploys else None
    yield "groundwork_app_workers", (name,), app.server.workers
    yield "groundwork_certificate_expiry_timestamp_seconds", (name,), app.certificate_expires
    yield "groundwork_backup_last_success_timestamp_seconds", (name,), app.backup
    yield "groundwork_restore_drill_last_success_timestamp_seconds", (name,), app.drill
    yield "groundwork_database_connections", (name,), app.connections
    yield "groundwork_database_connections_limit", (name,), app.connection_limit


def _of_requests(name: str, app: App) -> Iterator[Sample]:
    """Each class from its first look on, though it is 0: rate() sees no increase where a series begins at 1."""
    by_class = app.requests.by_class
    for status in CLASSES:
        if status != "other":
            yield "groundwork_requests_total", (name, status), by_class.get(status, 0)
    others = sum(count for status, count in by_class.items() if status not in CLASSES or status == "other")
    yield "groundwork_requests_total", (name, "other"), others


def _of_unit(name: str, process: str, unit: Unit) -> Iterator[Sample]:
    if unit.state:
        yield "groundwork_process_active", (name, process), unit.state == "active"
        yield "groundwork_process_memory_bytes", (name, process), unit.memory
        yield "groundwork_process_restarts_total", (name, process), unit.restarts


def _of_jobs(name: str, app: App) -> Iterator[Sample]:
    for job, record in app.jobs.items():
        for result in JOB_RESULTS:
            yield "groundwork_job_result", (name, job, result), record.result == result
        yield "groundwork_job_last_start_timestamp_seconds", (name, job), record.began
        yield "groundwork_job_last_end_timestamp_seconds", (name, job), record.ended
        yield "groundwork_job_last_success_timestamp_seconds", (name, job), record.succeeded
        yield "groundwork_job_next_start_timestamp_seconds", (name, job), record.next


def _of_machine(machine: Machine) -> Iterator[Sample]:
    found: Mapping[str, float | None] = {
        "boot_timestamp_seconds": machine.boot,
        "load1": machine.load,
        "cores": machine.cores,
        "memory_bytes": machine.memory,
        "memory_available_bytes": machine.memory_available,
        "swap_bytes": machine.swap,
        "swap_free_bytes": machine.swap_free,
        "reboot_pending": machine.reboot_pending,
        "clock_synchronized": machine.clock_synchronized,
        "failed_units": len(machine.failed_units),
    }
    for name, value in found.items():
        yield f"groundwork_host_{name}", (), value
    for disk in machine.disks:
        mount = (str(disk["mount"]),)
        yield "groundwork_disk_size_bytes", mount, disk["size"]
        yield "groundwork_disk_free_bytes", mount, disk["free"]
        yield "groundwork_disk_inodes", mount, disk["inodes"]
        yield "groundwork_disk_inodes_free", mount, disk["inodes_free"]
