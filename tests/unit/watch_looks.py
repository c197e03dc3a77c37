# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks as tests of the status page need them."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.module_utils.watch.history import History, add
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import (
    BUCKETS,
    SLOT,
    App,
    Condition,
    Job,
    Look,
    Machine,
    Requests,
    Unit,
)

NOW = 1_795_000_000.0
DAY = 86400
GB = 1 << 30
# What an app may write into whatever it has a hand in.
HOSTILE = (
    '"><script>alert(1)</script><!--#exec cmd="id" --> \x1b[31m\u202egpj.exe\n</style>\'onload=x </section>\x00&#x3c;'
    + "w" * 300
)


def requests(total: int, errors: int = 0) -> Requests:
    """Requests of which each took up to 50 ms."""
    return Requests(
        total, {"2xx": total - errors, "5xx": errors}, [0, 0, 0] + [total] * (len(BUCKETS) - 3), total * 0.04
    )


def app(number: int = 0) -> App:
    """A healthy app with everything an app can have."""
    return App(
        state="up",
        domains=[f"shop{number}.example.org", f"www.shop{number}.example.org"],
        release=f"0a1b2c3d4e{number:02}",
        version="v1.2",
        since=NOW - 3 * DAY,
        status=200,
        answered=0.012,
        outside=200,
        requests=requests(4000, 3),
        recent=120,
        p95=0.045,
        error_rate=0.001,
        server=Unit("active", 90 << 20, 0, 4),
        processes={"worker": Unit("active", 60 << 20, 0)},
        jobs={"nightly": Job("success", NOW - 9000, NOW - 8990, NOW + 70000)},
        certificate_expires=NOW + 61 * DAY,
        backup=NOW - 20000,
        drill=NOW - 3 * DAY,
        connections=7,
        connection_limit=100,
        deploys=[
            {"release": f"0a1b2c3d4e{n:02}", "version": f"v1.{n}", "time": NOW - n * DAY, "state": "live", "by": "ada"}
            for n in range(5)
        ],
    )


def machine() -> Machine:
    """A machine that is well."""
    disk = {"mount": "/", "size": 40 * GB, "free": 22 * GB, "inodes": 2_600_000, "inodes_free": 2_200_000}
    return Machine(NOW - 12 * DAY, 0.42, 2, 4 * GB, 2 * GB, GB, GB, [disk], False, True, [])


def well(apps: int = 1) -> Look:
    """A look that found nothing wrong."""
    return Look(NOW, "web1", 0.08, machine=machine(), apps={f"shop{number}": app(number) for number in range(apps)})


def trouble(apps: int = 3) -> Look:
    """A look that found some things wrong."""
    look = well(apps)
    look.apps["shop1"].state, look.apps["shop1"].status = "down", 500
    look.conditions = [
        Condition(
            "backup", "shop0", "", "The last backup is 3 days old", "", "groundwork-backup run shop0", since=NOW - 90000
        ),
        Condition(
            "health",
            "shop1",
            "",
            "/healthz answers 500 through its own socket",
            "File \"/srv/shop1/current/code/shop.py\", line 12, in index: KeyError: 'price'",
            "shop1 logs --since -15min --level error",
            "critical",
            NOW - 720,
        ),
    ]
    return look


def day(look: Look, rate: int = 40) -> History:
    """A day of looks that ends with this one: with a night, and errors in an hour of the evening."""
    history: History = {}
    before = None
    total = errors = 0
    for number in range(288):
        hour = number / 12
        total += int(rate * (1.5 if 9 < hour < 20 else 0.3)) + number % 7
        errors += 6 if 240 < number < 252 else 0
        now = Look(look.time - (287 - number) * SLOT, look.host)
        now.apps = {
            name: App(state=one.state if number > 284 else "up", requests=requests(total, errors))
            for name, one in look.apps.items()
        }
        history = add(history, before, now)
        before = now
    return history
