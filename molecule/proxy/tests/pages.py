"""What tests of the proxy's answers share: an app that is stopped for a while, and a page of the proxy's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


def assert_own_page(provider: Provider, page: str, status: int) -> None:
    assert f'<p class="code">{status}</p>' in page
    assert provider.server not in page
    assert "http" not in page, "the page asks for something elsewhere"
