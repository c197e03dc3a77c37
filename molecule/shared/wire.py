"""Bytes sent to a site as they are, and the bytes that came back."""

from __future__ import annotations

import socket
import ssl

from visitor import Site


def exchange(site: Site, data: bytes, port: int = 443, name: str | None = None, silence: float = 1.5) -> bytes:
    """Send bytes, over TLS but on port 80; return what came until the end or until `silence` seconds without a byte.

    For the first byte it waits as long as `site.timeout` says: a busy machine takes its time to answer.
    `name`: what the handshake asks for, by default the site's own name.
    """
    with socket.create_connection((site.address, port), site.timeout) as plain:
        stream = plain
        if port != 80:
            context = site.context()
            context.check_hostname = False
            stream = context.wrap_socket(plain, server_hostname=name or site.name)
        stream.settimeout(site.timeout)
        answer = b""
        try:
            stream.sendall(data)
            while piece := stream.recv(65536):
                answer += piece
                stream.settimeout(silence)
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass  # what came before counts
        return answer


def status(answer: bytes) -> int:
    """Return the status of the answer's first line; 0 when nothing came, as when nginx closes the connection."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1") else 0
