# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app's queue in Redis: its append-only files are saved as of one moment, loaded to count them, and put back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common import on_host
from .config import Config
from .errors import BackupError
from .private import private_directory
from .service_steps import AsTheApp, record
from .space import MEBIBYTE, need_memory, need_space
from .step_redis import DIRECTORY
from .units import unit_stopped

PROGRAM = str(Path(__file__).with_name("step_redis.py"))
MOST_DATABASES = 10_000


def argv(*arguments: str) -> tuple[str, ...]:
    """The argument vector of the program that copies and counts."""
    return ("/usr/bin/python3", "-I", PROGRAM, *arguments)


def directory(app: str) -> Path:
    """Where the Redis of an app keeps what it has."""
    return on_host.path("redis_data", app)


def unit(app: str) -> str:
    """The unit of an app's queue."""
    return f"{app}.redis.service"


def save(app: AsTheApp, target: Path) -> dict[str, Any]:
    """Copy the append-only files of the running server into a directory of root's; what the manifest says of them."""
    name = app.item.user
    path = str(record(name, "redis").get("queue") or "")
    if not path:
        raise BackupError(f"this host has no queue for {name}. Run the playbook groundwork.flask.site first.")
    data = directory(name)
    try:
        size = sum(file.lstat().st_size for file in (data / DIRECTORY).iterdir())
    except OSError:
        size = 0  # The step says what is wrong with it.
    need_space(target, 1.1 * size + 32 * MEBIBYTE, f"the copy of the Redis of {name}")
    with app.outbox("redis") as out:
        try:
            done = app.as_owner(argv("copy", str(data), path, str(out)), app.sandbox(out))
        except BackupError as error:
            raise BackupError(f"the Redis of {name} could not be copied: {error}") from error
        files = app.take(out, private_directory(target))
    memory = done.get("memory")
    facts = {"version": str(done.get("version", ""))[:40], "memory": memory if isinstance(memory, int) else 0}
    return {"files": files, "keys": counted(done), **facts}


def counted(answer: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """The number of keys by database, as a step that an app could act in has told it; else BackupError."""
    try:
        found = {
            str(name): {kind: int(numbers[kind]) for kind in ("keys", "expires")}
            for name, numbers in answer["keys"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BackupError("the step did not say how many keys there are") from error
    if len(found) > MOST_DATABASES or not all(re.fullmatch(r"db\d{1,9}", name) for name in found):
        raise BackupError("the step did not say how many keys there are")
    return found


def load(app: AsTheApp, entry: Mapping[str, Any], source: Path, place: Path) -> None:
    """Make a data directory of what was saved, and load it into a server of its own; BackupError unless it is whole.

    :param source: the saved files.
    :param place: the data directory to make, on a disk that has room.
    """
    need_memory(1.2 * int(entry.get("memory", 0)) + 32 * MEBIBYTE, "loading it to count its keys")
    private_directory(place)
    app.give(source, entry["files"], place / DIRECTORY)
    app.own(place)
    found = counted(app.as_owner(argv("count", str(place)), app.sandbox(place)))
    if problems := differences(entry["keys"], found):
        raise BackupError("; ".join(problems[:5]))


def differences(saved: Mapping[str, Mapping[str, int]], found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What of the keys is not as it was saved; those that expire may have done so in the meantime."""
    none = {"keys": 0, "expires": 0}
    problems = []
    for name in sorted({*saved, *found}):
        before, now = saved.get(name, none), found.get(name, none)
        lasting = [one["keys"] - one["expires"] for one in (before, now)]
        if lasting[0] != lasting[1]:
            problems.append(f"Redis {name}: {lasting[1]} keys that do not expire instead of {lasting[0]}")
        elif now["expires"] > before["expires"]:
            problems.append(f"Redis {name}: {now['expires']} keys that expire instead of {before['expires']} at most")
    return problems


@contextmanager
def standing_still(config: Config, name: str) -> Iterator[None]:
    """Keep an app's queue stopped for the time of the block; it starts again whatever becomes of that.

    That holds should this process be killed, too.
    """
    with unit_stopped(config, unit(name), again=True):
        yield
