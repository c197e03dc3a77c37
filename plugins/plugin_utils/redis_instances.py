# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of Redis that apps have: names, paths and units of each, for the templates of the role ``redis``."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

# What an instance is for, and its name behind the app's and a dot.
NAMES: Mapping[str, str] = {"queue": "redis", "cache": "redis-cache"}
UNITS = {"kb": 2**10, "mb": 2**20, "gb": 2**30}
OVERHEAD = 64 * 2**20  # bytes that the server needs beside its data


def plan(apps: Iterable[Mapping[str, Any]], absent: Sequence[str]) -> dict[str, list[Any]]:
    """What the role writes, starts and removes.

    :param apps: as :func:`~.role_inputs.redis` makes them.
    :param absent: names of apps that lose all that they have, and of single instances, such as ``shop.redis``.
    :raises ValueError: an instance is to be there and to go, or an amount of memory is none.
    """
    present = [app for app in apps if app["name"] not in absent]
    instances = [instance(app, purpose) for app in present for purpose in purposes(app["purpose"])]
    if wanted := [one["name"] for one in instances if one["name"] in absent]:
        raise ValueError(f"{', '.join(wanted)} cannot go: it follows from flask_apps; take it from redis_absent")
    going = leaving(absent)
    return {
        "apps": [record(app) for app in present],
        "instances": instances,
        "units": [unit(one) for one in instances],
        "absent_parts": list(dict.fromkeys([*absent, *going])),
        "absent_units": [{"name": f"{name}.service", "state": "stopped", "enabled": False} for name in going],
    }


def leaving(absent: Iterable[str]) -> list[str]:
    """The names of the instances that go: an app stands for all that it can have."""
    return [name for one in absent for name in (names(one) if "." not in one else [one])]


def left_over(
    apps: Iterable[Mapping[str, Any]], services: Mapping[str, Sequence[str]], absent: Sequence[str]
) -> list[str]:
    """What is said of each instance that goes on although its app, which is in ``flask_apps``, asks for it no more.

    :param apps: the name of each app and the purpose of its Redis, empty for none.
    :param services: the files of each app, as the module ``host_facts`` returns them.
    :param absent: see :func:`plan`; of these nothing is said.
    """
    going = leaving(absent)
    found = [
        (app["name"], f"{app['name']}.{name}")
        for app in apps
        for purpose, name in NAMES.items()
        if f"{name}.conf" in services.get(app["name"], ()) and purpose not in purposes(app["purpose"])
    ]
    return [
        f"flask_apps.{app}.redis: {name}.service goes on, although it is asked for no more: a release that is kept may "
        "need it. When none does any more, remove it, and keep its data, by site.yml with "
        + shlex.join(("-e", json.dumps({"redis_absent": [name]})))
        for app, name in found
        if name not in going
    ]


def purposes(purpose: str) -> list[str]:
    """What instances an app has."""
    return [one for one in NAMES if purpose in (one, "both")]


def names(app: str) -> list[str]:
    """The names of all instances that an app can have, those of their units without the suffix."""
    return [f"{app}.{name}" for name in NAMES.values()]


def socket(app: str, purpose: str) -> str:
    """Where an instance listens."""
    return f"/run/{app}.{NAMES[purpose]}/redis.sock"


def instance(app: Mapping[str, Any], purpose: str) -> dict[str, Any]:
    """One instance. The cache has no directory but that of its socket, and writes nothing there."""
    name = f"{app['name']}.{NAMES[purpose]}"
    maxmemory = app.get("maxmemory") or "128mb"
    return {
        "app": app["name"],
        "name": name,
        "purpose": purpose,
        "maxmemory": maxmemory,
        "memory_max": 2 * size(maxmemory) + OVERHEAD,
        "socket": socket(app["name"], purpose),
        "directory": on_host("redis_data", app["name"]) if purpose == "queue" else f"/run/{name}",
        "configuration": f"{on_host('services', app['name'])}/{NAMES[purpose]}.conf",
        "unit_file": f"/etc/systemd/system/{name}.service",
    }


def record(app: Mapping[str, Any]) -> dict[str, Any]:
    """Where an app finds its instances, and the units that run before its own."""
    return {
        "name": app["name"],
        "record": f"{on_host('services', app['name'])}/redis.json",
        "sockets": {purpose: socket(app["name"], purpose) for purpose in purposes(app["purpose"])},
        "units": [f"{name}.service" for name in names(app["name"])],
    }


def unit(one: Mapping[str, Any]) -> dict[str, Any]:
    """The unit of an instance, as ``file_set`` takes it: a change to the Redis of another app does not restart it."""
    return {
        "name": f"{one['name']}.service",
        "enabled": True,
        "follows": ["redis"],
        "on_change": "ignored",
        "restart_for": [one["unit_file"], one["configuration"]],
    }


def size(written: str) -> int:
    """An amount of memory in bytes.

    :param written: as Redis has it, such as ``128mb``.
    :raises ValueError: it is none.
    """
    found = re.fullmatch(r"([1-9]\d*)(kb|mb|gb)", written)
    if not found:
        raise ValueError(f"{written!r} is not an amount of memory: write it as 128mb")
    return int(found[1]) * UNITS[found[2]]
