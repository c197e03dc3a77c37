"""The playbook `verify`: green on a finished host, and a failure that names what a visitor would not like.

What each finding says in which situation is in tests/unit/test_outside.py; tests/unit/test_wire.py has real servers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import testing
from testinfra.host import Host

PLAYBOOK = str(testing.ROOT / "playbooks" / "verify.yml")
# What the test machine has of disk, memory and time.
OF_THE_MACHINE = {"disk", "memory", "clock", "out_of_memory"}


def verify(host: Host, directory: Path, **variables: Any) -> tuple[int, dict[str, Any], str]:
    """The exit status, what the JSON says of the host, and the page."""
    files = {"json": str(directory / "verify.json"), "report": str(directory / "verify.html")}
    done = testing.play(host, PLAYBOOK, **files, **variables)
    found = json.loads(Path(files["json"]).read_text())
    return done.returncode, found["hosts"][testing.host_name(host)], Path(files["report"]).read_text()


# What is said of an app that answers well and takes more than 3 s, as it may while other tests run beside it.
LATE = re.compile(r"https://\S+ answers 200, but in \d+ ms\.")


def by_check(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    """The states of the findings from outside, by check and subject; for several, one that is not ok."""
    shown = [
        {**one, "state": "ok"} if LATE.fullmatch(one["message"]) else one
        for one in found["findings"]
        if one["check"].startswith("public_")
    ]
    return {(one["check"], one["subject"]): one["state"] for one in sorted(shown, key=lambda one: one["state"] != "ok")}


def test_a_finished_host(host: Host, tmp_path: Path) -> None:
    status, found, page = verify(host, tmp_path)
    problems = [one for one in found["findings"] if one["state"] == "problem" and one["check"] not in OF_THE_MACHINE]
    assert problems == []
    assert status == 0 or any(one["state"] == "problem" for one in found["findings"])
    states = by_check(found)
    for app in ("guestbook", "tally"):
        assert states["public_health", app] == "ok"
        assert states["public_redirect", app] == "ok"
        assert states["public_dns", app] == "unchecked"  # .test is in no DNS: it was asked by the host's address
        assert found["public"][app]["status"] == 200
        assert found["facts"]["apps"][app]["release"] in page
    assert "<script" not in page


@pytest.mark.once
def test_a_site_that_is_broken_is_named(host: Host, tmp_path: Path) -> None:
    live = f"tally@{testing.live(host, 'tally')}"
    units = f"{live}.socket {live}.service"
    host.check_output(f"systemctl stop {units}")
    try:
        status, found, _page = verify(host, tmp_path, app="tally")
    finally:
        host.check_output(f"systemctl start {units}")
    assert status != 0
    assert by_check(found)["public_health", "tally"] == "problem"
    assert not [one for one in found["findings"] if one["subject"] == "guestbook"]
