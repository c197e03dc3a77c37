# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at the host finds: the one form that alerts, metrics and the status page are made from.

Times are seconds since the epoch, durations seconds, sizes bytes. None says that something is not known, or does not
apply. A text that an app has a hand in is one bounded printable line (``common/text.py``) before it gets here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# Upper bounds of the buckets of response times, in seconds: Prometheus' default ones. What took longer is in no bucket,
# and in the count.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOT = 300  # seconds of one slot of the history; a day has 288

AppState = Literal["up", "down", "maintenance", "stopped", "undeployed"]


@dataclass
class Requests:
    """What the proxy has answered for an app; counters, which only grow until the watch's state is removed.

    :ivar by_class: requests by the class of their status: ``2xx`` to ``5xx``, and ``other``.
    :ivar buckets: for each of BUCKETS the number of requests that took at most as long.
    :ivar seconds: all durations together.
    """

    total: int = 0
    by_class: dict[str, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    seconds: float = 0.0


@dataclass
class Unit:
    """A unit of an app: its server, or a process.

    :ivar state: systemd's ActiveState.
    :ivar memory: of all its processes; None where the host does not account for it.
    :ivar restarts: since it was started, by systemd.
    """

    state: str = ""
    memory: int | None = None
    restarts: int = 0
    workers: int | None = None


@dataclass
class Job:
    """A job of an app; `result` is `success`, `failed`, `missed`, `running` or empty for one that never ran.

    :ivar succeeded: when a run that ended well has ended, as far as looks have seen any.
    """

    result: str = ""
    began: float | None = None
    ended: float | None = None
    next: float | None = None
    succeeded: float | None = None


@dataclass
class App:
    """One app.

    :ivar status: HTTP status of its health path through its own socket; None when it did not answer.
    :ivar answered: seconds it took.
    :ivar error: why it did not answer; else empty.
    :ivar outside: HTTP status of the health path through the public name; None without an answer, or where not asked.
    :ivar outside_error: why it did not.
    :ivar recent: requests of the last five minutes or so; `p95` of them and the share of 5xx (0 to 1).
    :ivar deploys: the last ones, newest first: `release`, `version`, `time`, `state`, `by`.
    """

    state: AppState = "undeployed"
    domains: list[str] = field(default_factory=list)
    release: str = ""
    version: str = ""
    since: float | None = None
    status: int | None = None
    answered: float | None = None
    error: str = ""
    outside: int | None = None
    outside_error: str = ""
    requests: Requests = field(default_factory=Requests)
    recent: int = 0
    p95: float | None = None
    error_rate: float | None = None
    server: Unit = field(default_factory=Unit)
    processes: dict[str, Unit] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    certificate_expires: float | None = None
    backup: float | None = None
    drill: float | None = None
    connections: int | None = None
    connection_limit: int | None = None
    deploys: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Machine:
    """The host itself. `disks` has a map for each file system that matters: mount, size, free, inodes, inodes_free."""

    boot: float | None = None
    load: float | None = None
    cores: int = 1
    memory: int | None = None
    memory_available: int | None = None
    swap: int | None = None
    swap_free: int | None = None
    disks: list[dict[str, Any]] = field(default_factory=list)
    reboot_pending: bool = False
    clock_synchronized: bool | None = None
    failed_units: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Condition:
    """Something that is wrong now, and that the operator should know of.

    :ivar kind: what, such as ``health``, ``outside``, ``error_rate``, ``latency``, ``certificate``, ``backup``,
        ``drill``, ``job``, ``process``, ``unit``, ``disk``, ``inodes``, ``memory``, ``swap``, ``clock``, ``reboot``,
        ``connections``, ``proxy``, ``release``, ``dns``, ``watch``, ``receiver``, ``ping``,
        ``ship``.
    :ivar subject: an app's name, or ``host``.
    :ivar part: which one of several, such as the job's name or the mount point; else empty. Kind, subject and part
        together are what makes two conditions the same.
    :ivar message: one plain sentence with what was found, the value included; it may change while the condition lasts.
    :ivar line: the log line that says most about it; else empty.
    :ivar command: the command to try, as the operator types it on the host; else empty.
    :ivar severity: ``critical`` when visitors notice, else ``warning``.
    :ivar since: when a look has first found it.
    """

    kind: str
    subject: str
    part: str = ""
    message: str = ""
    line: str = ""
    command: str = ""
    severity: Literal["critical", "warning"] = "warning"
    since: float = 0.0

    @property
    def key(self) -> str:
        """What makes two conditions the same."""
        return f"{self.subject}/{self.kind}/{self.part}"


@dataclass
class Look:
    """All that one look has found.

    :ivar seconds: that the look took.
    :ivar interval: seconds from one look to the next.
    :ivar conditions: what is wrong now, each since it was first found.
    """

    time: float
    host: str
    seconds: float = 0.0
    interval: float = 30
    machine: Machine = field(default_factory=Machine)
    apps: dict[str, App] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As it is kept in ``look.json``."""
        return asdict(self)


@dataclass
class Slot:
    """Five minutes of an app's past, for the pictures of the status page.

    :ivar start: when it began, a multiple of SLOT.
    :ivar down: looks that found the app down, of `looks`.
    :ivar buckets: as in Requests, of this slot alone and while it lasts: percentiles are made from them.
    """

    start: int
    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None
    looks: int = 0
    down: int = 0
    buckets: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """What a message tells: a condition that began or ended.

    :ivar event: ``alert`` when it began, ``resolved`` when it ended, ``test`` for ``alert_test``.
    :ivar time: when the look found that.
    """

    event: Literal["alert", "resolved", "test"]
    condition: Condition
    host: str
    time: float
