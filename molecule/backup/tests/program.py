"""Calling the backup program on a host, and what it remembers."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host
from testing import on_host

PROGRAM = f"{on_host('programs')}/backup"


def backup(host: Host, arguments: str) -> str:
    """Run the program; it must succeed."""
    result = host.run(f"{PROGRAM} {arguments}")
    assert result.rc == 0, result.stdout + result.stderr
    return str(result.stdout)


def status(host: Host) -> dict[str, Any]:
    """What the host remembers."""
    return dict(json.loads(backup(host, "status --json")))


def newest(host: Host, name: str) -> str:
    """The newest snapshot of a set, as the host remembers it; to ask restic costs half a second for its key."""
    return str(status(host)["sets"][name]["snapshot"])


def snapshots(host: Host) -> dict[str, list[str]]:
    """The snapshots that are in the repository, by set, oldest first."""
    listed = json.loads(backup(host, "list --json"))
    return {name: [item["snapshot"] for item in items] for name, items in listed.items()}
