# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over the host: whether it looks, and whether somebody is told."""

from __future__ import annotations

from collections.abc import Iterator

from ..common import clock
from ..common.on_host import on_host
from ..watch import outbox, receivers
from .expected import Expected
from .finding import Finding
from .look import Look

PROGRAM = f"{on_host('programs')}/watch"
LOOKS = 3  # intervals after which the last look is too old


def watch(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the watch looks, and its receivers take what it tells; nothing on a host without one."""
    if not look.has(PROGRAM):
        return
    configuration, state = (look.path(on_host(name)) for name in ("configuration", "watch"))
    last = float(look.json(f"{on_host('watch')}/look.json").get("time") or 0)
    interval = int(look.json(f"{on_host('configuration')}/watch.json").get("interval") or 30)
    written = look.path(PROGRAM).stat().st_mtime
    found = list(looks(last, interval, look.now)) if look.now - written > interval else []
    deliver = receivers.load(configuration / "watch.receivers.json")
    if not deliver.receivers:
        text = "No receiver is set: what the watch finds is told to nobody."
        found.append(Finding("watch", "host", "warning", text, "Set watch_receivers, and run site.yml again."))
    for one in outbox.conditions(deliver, look.now, state / "outbox"):
        found.append(Finding("watch", "host", "problem", one.message, f"`{one.command}` tries it."))
    yield from found
    if not found and not last:
        yield Finding("watch", "host", "unchecked", "It was set up just now and has not looked yet.")
    elif not found:
        names = ", ".join(one.name for one in deliver.receivers)
        yield Finding("watch", "host", "ok", f"It looked last at {clock.timestamp(last)}, and tells {names}.")


def looks(last: float, interval: int, now: float) -> Iterator[Finding]:
    """Whether the last look is recent."""
    if now - last <= LOOKS * interval:
        return
    when = f"The last look was at {clock.timestamp(last)}" if last else "There was no look yet"
    text = f"{when}; there is to be one every {interval} s."
    remedy = "See `systemctl status groundwork-watch.timer` and `journalctl -t watch`."
    yield Finding("watch", "host", "problem", text, remedy)
