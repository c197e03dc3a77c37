"""What tests of the proxy share: an app that is stopped for a while, a reload, a page of the proxy's own, its log."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import testing
from providers import Provider
from testinfra.host import Host


@contextmanager
def stopped(host: Host, socket_path: str) -> Iterator[None]:
    """Stop the app on this socket, and wait for it afterwards."""
    unit = f"backend@{socket_path.strip('/').replace('/', '-')}"
    host.check_output(f"systemctl stop {unit}")
    try:
        yield
    finally:
        host.check_output(f"systemctl start {unit}")
        listening = f'grep -q "00010000 .* {socket_path}$" /proc/net/unix'
        assert testing.poll(lambda: host.run(listening).rc == 0)


def accepting(host: Host, provider: Provider) -> set[str]:
    """The processes that take visitors' connections, by their numbers; the main process, which takes none, aside."""
    found = re.findall(r"pid=(\d+)", host.check_output("ss --no-header --listening --tcp --processes 'sport = :443'"))
    return set(found) - {host.check_output(f"cat {provider.pid_file}")}


@contextmanager
def reloaded(host: Host, provider: Provider) -> Iterator[None]:
    """Wait until the reload in the block is through: until then a process of before may answer now and then."""
    before = accepting(host, provider)
    yield
    assert testing.poll(lambda: not before & accepting(host, provider)), before


def logged(host: Host, provider: Provider, number: str) -> list[dict[str, Any]]:
    """The lines of the access log for the requests with this number.

    Not its last lines: a process may write a request's line when another one has written those of later requests.
    """
    # nginx writes bytes beyond ASCII as they came.
    found = host.check_output(
        "grep --text --fixed-strings --regexp=%s %s/access.log | base64 -w 0", number, provider.logs
    )
    lines = base64.b64decode(found).decode(errors="replace").split("\n")
    return [json.loads(line) for line in lines if line.endswith('"}')]  # one may be half written


def assert_own_page(provider: Provider, page: str, status: int) -> None:
    page = re.sub("<code>.*?</code>", "", page)  # the number of the request, which may be any letters
    assert f'<p class="code">{status}</p>' in page
    assert provider.server not in page
    assert "http" not in page, "the page asks for something elsewhere"
