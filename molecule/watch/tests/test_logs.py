"""What happened to an app is found in its log: by request, by level, by who has written it."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import pytest
import testing
from testinfra.host import Host
from visitor import MakeSite, Site


@pytest.fixture
def moody(site: MakeSite) -> Site:
    """The app as a visitor reaches it, with a number for the requests of a test."""
    return replace(site("moody.test", verify=False), headers={"X-Request-ID": uuid.uuid4().hex})


def rows(host: Host, options: str) -> list[list[str]]:
    """Of each line of ``moody logs``: the process, the level and the text."""
    return [line.split(maxsplit=4)[2:] for line in host.check_output(f"moody logs {options}").splitlines()]


def test_a_request_ties_the_line_of_the_proxy_to_the_traceback_of_the_app(host: Host, moody: Site) -> None:
    request = moody.headers["X-Request-ID"]
    assert moody.get("/broken").status == 500

    def all_lines() -> list[list[str]]:
        found = rows(host, f"--request {request}")
        last = {process: text for process, _level, text in found}
        return found if "proxy" in last and last.get("web", "").startswith("ZeroDivisionError") else []

    found = testing.poll(all_lines) or rows(host, f"--request {request}")
    assert {(process, level) for process, level, _text in found} == {("web", "error"), ("proxy", "error")}
    assert next(text for process, _level, text in found if process == "proxy").startswith(
        "GET moody.test/broken 500 in "
    )
    assert [text for process, _level, text in found if process == "web"][-1] == "ZeroDivisionError: moody"


def test_the_level_of_an_untouched_app_and_what_a_terminal_does_not_obey(host: Host, moody: Site) -> None:
    for level in ("info", "warning", "critical"):
        moody.get(f"/log/{level}/%1b%5b2Jred-{level}")
    testing.poll(lambda: "red-critical" in host.check_output("moody logs --process web --level warning"))
    found = [
        (level, text[-13:]) for _process, level, text in rows(host, "--process web --grep '2Jred' --level warning")
    ]
    assert found[-2:] == [("warning", "2Jred-warning"), ("critical", "Jred-critical")]
    assert "\x1b" not in host.check_output("moody logs --since -1h --grep 2Jred")


def test_the_lines_of_a_deploy_and_systemds_words_about_it(host: Host) -> None:
    release = json.loads(host.check_output("moody status --json"))["release"]
    found = [text for _process, _level, text in rows(host, f"--process deploy --release {release} --lines 1000")]
    assert "step switch" in found
    assert any(text.startswith("systemd: ") for *_rest, text in rows(host, "--process deploy"))


def test_a_process_that_is_not_there_is_refused_with_those_that_are(host: Host) -> None:
    done = host.run("moody logs --process wbe")
    assert done.rc == 1
    assert "moody has no process 'wbe' in its log; known are: web, proxy, deploy" in done.stderr
