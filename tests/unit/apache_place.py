"""A request, and the place in Apache's configuration where it ends: who may come in, and what is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ansible_collections.groundwork.flask.tests.unit.apache_directives import Directive, values
from ansible_collections.groundwork.flask.tests.unit.apache_expressions import Expression


@dataclass
class Request:
    """What a visitor asks for, and what the rules have found out about it.

    :ivar peer: who has the connection; a proxy that is trusted says who the visitor is.
    :ivar line: the request line.
    :ivar assigned: each variable that a rule has set, in their order.
    """

    host: str
    target: str
    port: int = 443
    peer: str = "198.51.100.7"
    headers: Mapping[str, str] = field(default_factory=dict)
    line: str = ""
    visitor: str = ""
    server_name: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    assigned: list[tuple[str, str]] = field(default_factory=list)
    sent: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        self.path = unquote(self.target.partition("?")[0])
        self.line = self.line or f"GET {self.target} HTTP/1.1"
        self.visitor = self.visitor or self.peer

    def lookup(self, name: str) -> str:
        """The value of a variable."""
        kind, _mark, rest = name.partition(":")
        if kind in ("HTTP", "req_novary"):
            return self.headers.get(rest, "")
        if kind == "resp":
            return next((table[rest] for table in self.sent if table.get(rest)), "")
        if kind == "ENV":
            return self.environment.get(rest, "")
        return {
            "THE_REQUEST": self.line, "REQUEST_URI": self.path, "SERVER_NAME": self.server_name,
            "REMOTE_ADDR": self.visitor, "CONN_REMOTE_ADDR": self.peer, "HTTPS": "on" if self.port == 443 else "off",
        }[name]  # fmt: skip

    def assign(self, words: Iterable[str], groups: list[str]) -> None:
        """Set variables, each written NAME=value or !NAME."""
        for word in words:
            name, _mark, value = word.partition("=")
            self.environment.pop(name.removeprefix("!"), None)
            if not name.startswith("!"):
                self.environment[name] = re.sub(r"\$(\d)", lambda found: groups[int(found[1])], value)


@dataclass(frozen=True)
class Upstream:
    """What a request is passed to: a socket, by a name to which Apache keeps the options, and with which path."""

    socket: str
    worker: str
    path: str
    options: Mapping[str, str]


@dataclass
class Place:
    """Where a request ends."""

    request: Request
    host: list[Directive]
    sections: list[Directive]
    status: int = 0
    address: str = ""
    upstream: Upstream | None = None
    file: str = ""

    @property
    def locations(self) -> list[str]:
        return [one.args[0] for one in self.sections if one.name == "Location"]

    def assigned(self, name: str) -> list[str]:
        """The values that rules gave to a variable, one after the other."""
        return [value for one, value in self.request.assigned if one == name]

    def effective(self, name: str) -> list[list[str]]:
        """What holds of a directive: that of the last section which has it, else the host's."""
        blocks = [self.host, *(one.block for one in self.sections)]
        return next((found for block in reversed(blocks) if (found := values(block, name))), [])

    def admits(self, visitor: str, password: bool = False) -> bool:
        """Whether a visitor may come in: the last section that requires anything counts."""
        for section in reversed(self.sections):
            asked = [one for one in section.block if one.name == "RequireAll" and one.block]
            required = values(asked[0].block if asked else section.block, "Require")
            if required:
                return all(fulfilled(one, visitor, password) for one in required)
        return True

    def header(self, name: str, of_app: str = "", **of_the_app: str) -> str:
        """The value that is added of a header to an answer in which the app gave it this value; "" for none."""
        from_app = {name: of_app, **{key.replace("_", "-"): value for key, value in of_the_app.items()}}
        added: dict[str, str] = {}
        self.request.sent = (from_app, added)
        for block in (self.host, *(one.block for one in self.sections)):
            # Without `always` a directive changes what the app itself has sent.
            for action, header, *rest in (row[1:] for row in values(block, "Header") if row[0] == "always"):
                *value, condition = [*rest, ""] if not rest or not rest[-1].startswith("expr=") else rest
                if condition and not Expression(condition.removeprefix("expr="), self.request.lookup).holds():
                    continue
                if action == "unset":
                    added.pop(header, None)
                elif action == "set" or header not in added:
                    added[header] = self.formatted(value[0])
        return added.get(name, "")

    def formatted(self, value: str) -> str:
        """What Apache makes of a header's value; it does not start with a % that means nothing to it."""

        def one(found: re.Match[str]) -> str:
            assert found[0] != "%", f"{value!r} has a single %"
            return "%" if found[0] == "%%" else self.request.environment.get(found[1], "")

        return re.sub(r"%%|%\{(\w+)\}e|%", one, value)


def fulfilled(required: list[str], visitor: str, password: bool) -> bool:
    """Whether a visitor is what a Require asks for."""
    kind, *rest = required
    if kind == "ip":
        return any(ipaddress.ip_address(visitor) in ipaddress.ip_network(network) for network in rest)
    return {"all granted": True, "all denied": False, "valid-user": password}[" ".join(required)]
