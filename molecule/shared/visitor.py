"""What the scenarios' tests ask a site with: from outside, by its name, as a visitor."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode


@dataclass
class Answer:
    """An HTTP answer; `headers` in the order and as often as they were sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    http_version: int = 11

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        """Return the values of every header of this name."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the header's value, None without it; a header that was sent twice is an error."""
        values = self.all(name)
        assert len(values) < 2, f"{name} was sent {len(values)} times: {values}"
        return values[0] if values else None


@dataclass
class Site:
    """A site on a test host, asked by its name from this machine.

    `name` goes into the Host header and, over HTTPS, into SNI; the connection goes to `address`. Over HTTPS the
    certificate must be valid for `name` under `root`, a PEM text; without a root the machine's trust store decides, and
    verify=False trusts all.
    """

    name: str
    address: str
    root: str | None = None
    verify: bool = True
    # Longer than a server takes to start anew while other scenarios keep the machine busy: 30 s were too few.
    timeout: float = 120
    headers: Mapping[str, str] = field(default_factory=dict)

    def context(self) -> ssl.SSLContext:
        """Return the TLS settings by which this site is judged."""
        context = ssl.create_default_context(cadata=self.root)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        scheme: str = "https",
        port: int | None = None,
    ) -> Answer:
        """Ask once, following no redirect; failures are OSError (ssl.SSLError among them)."""
        port = port or (443 if scheme == "https" else 80)
        connection = http.client.HTTPConnection(self.name, port, timeout=self.timeout)
        plain = socket.create_connection((self.address, connection.port), self.timeout)
        try:
            connection.sock = (
                self.context().wrap_socket(plain, server_hostname=self.name) if scheme == "https" else plain
            )
            try:
                connection.request(
                    method, path, body=body, headers={"Host": self.name, **self.headers, **(headers or {})}
                )
            except (ConnectionError, ssl.SSLEOFError):
                if not body:
                    raise
                # A server that refuses a body answers before it has all of it, and then closes: that answer is read.
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read(), response.version)
        finally:
            connection.close()
            plain.close()

    def get(self, path: str = "/", **options: Any) -> Answer:
        """GET over HTTPS; the options are those of `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, form: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """POST over HTTPS; `form` is sent as a browser sends a form without files."""
        if form is not None:
            options["body"] = urlencode(form)
            options["headers"] = {"Content-Type": "application/x-www-form-urlencoded", **options.get("headers", {})}
        return self.request("POST", path, **options)

    def certificate(self) -> dict[str, Any]:
        """Return the served certificate as ssl.SSLSocket.getpeercert() does; it is verified, verify=False an error."""
        assert self.verify, "an unverified certificate cannot be read"
        with (
            socket.create_connection((self.address, 443), self.timeout) as plain,
            self.context().wrap_socket(plain, server_hostname=self.name) as secured,
        ):
            return dict(secured.getpeercert() or {})


MakeSite = Callable[..., Site]


def sign(guestbook: Site, message: str) -> Answer:
    """Sign examples/guestbook as a browser does; 303 when that worked."""
    page = guestbook.get("/")
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token, page.text[:500]
    cookie = (page.header("Set-Cookie") or "").partition(";")[0]
    return guestbook.post(
        "/",
        {"name": "Ada", "message": message, "csrf_token": token[1]},
        headers={"Cookie": cookie, "Referer": f"https://{guestbook.name}/"},
    )
