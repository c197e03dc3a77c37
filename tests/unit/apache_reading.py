"""Reads a rendered configuration as Apache does: which host, rules and sections a request meets, and what holds there.

As far as the role writes it: a directive, flag or expression that is new here raises AssertionError where it counts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any
from urllib.parse import unquote

from ansible_collections.groundwork.flask.tests.unit.apache_expressions import Expression, interpolated
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import ROLE, render

WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))""")
MAIN = "apache/apache2.conf.j2"


@dataclass(frozen=True)
class Directive:
    """A directive, or a section with those inside it."""

    name: str
    args: tuple[str, ...]
    block: tuple[Directive, ...] = ()


def words(text: str) -> tuple[str, ...]:
    """The arguments of a line; in quotes a backslash stands before a quote or another one."""
    found = []
    for double, single, plain in WORD.findall(text):
        found.append(plain or re.sub(r'\\(["\\])' if double else r"\\(['\\])", r"\1", double or single))
    return tuple(found)


def parse(text: str) -> tuple[Directive, ...]:
    """The directives of a text; AssertionError for a section that is not closed by its own end."""
    stack: list[tuple[str, tuple[str, ...], list[Directive]]] = [("", (), [])]
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not (line := line.strip()) or line.startswith("#"):
            continue
        if line.startswith("</"):
            name, args, block = stack.pop()
            assert stack, f"{line} closes nothing"
            assert line == f"</{name}>", f"{line} where <{name}> is open"
            stack[-1][2].append(Directive(name, args, tuple(block)))
        elif line.startswith("<"):
            assert line.endswith(">"), line
            name, _mark, rest = line[1:-1].partition(" ")
            stack.append((name, words(rest), []))
        else:
            name, _mark, rest = line.partition(" ")
            stack[-1][2].append(Directive(name, words(rest)))
    assert len(stack) == 1, f"<{stack[-1][0]}> is not closed"
    return tuple(stack[0][2])


def values(block: Iterable[Directive], name: str) -> list[list[str]]:
    """The arguments of each directive of this name in a block."""
    return [list(one.args) for one in block if one.name == name]


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


def names_of(host: Iterable[Directive]) -> list[str]:
    """The names of a host, that by which it calls itself first."""
    return [name for one in host if one.name in ("ServerName", "ServerAlias") for name in one.args]


def covers(section: str, path: str) -> bool:
    """Whether a Location or a Directory holds for a path."""
    return path.startswith(section) and (section.endswith("/") or path[len(section) :][:1] in ("", "/"))


class Configuration:
    """A site's configuration within that of the host.

    :param files: by their paths below /etc/apache2, those that other sites or a maintenance bring; of the role's own
        files each is rendered where it is included.
    :param on_disk: the files that there are.
    :param given: variables of the role.
    """

    def __init__(
        self, text: str, files: Mapping[str, str] | None = None, on_disk: Iterable[str] = (), **given: Any
    ) -> None:
        self.files, self.on_disk, self.given = dict(files or {}), set(on_disk), given
        self.rendered: dict[str, tuple[Directive, ...]] = {}
        self.main = parse(render(MAIN, **given))
        self.hosts = [
            (one, list(self.expanded(one.block))) for one in (*self.main, *parse(text)) if one.name == "VirtualHost"
        ]

    def expanded(self, block: Iterable[Directive]) -> Iterator[Directive]:
        """The directives of a block with those of the files that it includes."""
        for one in block:
            if one.name not in ("Include", "IncludeOptional"):
                yield one
                continue
            for part in self.included(one):
                yield from self.expanded(part)

    def included(self, include: Directive) -> list[tuple[Directive, ...]]:
        """The files that an Include means."""
        (pattern,) = include.args
        template = f"apache/{pattern.removeprefix('groundwork/')}.j2"
        if (ROLE / "templates" / template).is_file():
            if template not in self.rendered:
                self.rendered[template] = parse(render(template, **self.given))
            return [self.rendered[template]]
        found = [parse(text) for name, text in sorted(self.files.items()) if fnmatch(name, pattern)]
        assert found or include.name == "IncludeOptional", pattern
        return found

    def names(self, port: int) -> list[str]:
        """The names that are answered on a port."""
        return [name for block in self.on_port(port) for name in names_of(block)]

    def on_port(self, port: int) -> list[list[Directive]]:
        """The hosts of a port; the first takes the names that no other has."""
        return [block for host, block in self.hosts if host.args[0] == f"*:{port}"]

    def visit(self, host: str, target: str = "/", **asked: Any) -> Place:
        """Where a request ends."""
        request = Request(host, target, **asked)
        on_port = self.on_port(request.port)
        block = next((one for one in on_port if any(fnmatch(host, name) for name in names_of(one))), on_port[0])
        by_header = values(block, "UseCanonicalName") == [["Off"]]
        request.server_name = host if by_header else (names_of(block) or [host])[0]
        self.find_out(request, block)
        place = Place(request, block, [])
        if not self.rewritten(place):
            place.sections = [
                one for one in block if one.name == "Location" and covers(one.args[0], request.path)
            ] + [
                one for one in block if one.name == "If" and Expression(one.args[0], request.lookup).holds()
            ]  # fmt: skip
            self.answered(place)
        return place

    def find_out(self, request: Request, block: list[Directive]) -> None:
        """What the configuration finds out about a request before any rule."""
        trusted = [ipaddress.ip_network(network) for (network,) in values(self.main, "RemoteIPInternalProxy")]
        for (header,) in values(self.main, "RemoteIPHeader"):
            if any(ipaddress.ip_address(request.peer) in network for network in trusted):
                request.visitor = request.headers.get(header, request.visitor).rpartition(",")[2].strip()
        request.environment["UNIQUE_ID"] = "made-by-apache"
        for condition, *assignments in values((*self.main, *block), "SetEnvIfExpr"):
            expression = Expression(condition, request.lookup)
            if expression.holds():
                request.assign(assignments, expression.groups)

    def rewritten(self, place: Place) -> bool:
        """Go through the rules; whether one of them has answered the request."""
        request, conditions = place.request, list[list[str]]()
        assert values(place.host, "RewriteEngine") == [["on"]]
        for one in place.host:
            if one.name == "RewriteCond":
                conditions.append(list(one.args))
            if one.name != "RewriteRule":
                continue
            pattern, target, flags = one.args
            matched = re.search(pattern.removeprefix("!"), request.path)
            met = bool(matched) is not pattern.startswith("!")
            groups = [str(group or "") for group in (matched[0], *matched.groups())] if matched else []
            before: list[str] = []
            for condition in conditions if met else ():
                if (found := self.condition(request, condition, groups)) is None:
                    met = False
                    break
                before = found
            conditions = []
            if met and self.applied(place, target, flags[1:-1].split(","), groups, before):
                return True
        return False

    def condition(self, request: Request, condition: list[str], groups: list[str]) -> list[str] | None:
        """What a RewriteCond has matched; None if it does not hold."""
        text, pattern, *flags = condition
        assert flags in ([], ["[NC]"]), flags
        if text == "expr":
            return [] if Expression(pattern, request.lookup).holds() else None
        text = re.sub(r"\$(\d)", lambda found: groups[int(found[1])], interpolated(text, request.lookup))
        if pattern == "-f":
            return [] if text in self.on_disk else None
        if pattern.startswith("="):
            return [] if text == pattern[1:] else None
        found = re.search(pattern, text, re.IGNORECASE if flags else 0)
        return [str(group or "") for group in (found[0], *found.groups())] if found else None

    def applied(self, place: Place, target: str, flags: list[str], groups: list[str], before: list[str]) -> bool:
        """Do what a rule says; whether the request is answered by it."""
        request = place.request
        target = interpolated(target, request.lookup)
        target = re.sub(r"\$(\d)", lambda found: groups[int(found[1])], target)
        target = re.sub(r"%(\d)", lambda found: before[int(found[1])], target)
        for flag in flags:
            kind, _mark, value = flag.partition("=")
            assert kind in ("R", "L", "END", "PT", "NE", "E", "T"), flag
            if kind == "E":
                request.assign([value.replace(":", "=", 1)], groups)
                request.assigned.append((value.partition(":")[0], value.partition(":")[2]))
            if kind == "R":
                query = request.target.partition("?")[1:]
                place.status, place.address = int(value), "" if target == "-" else target + "".join(query)
        if target != "-" and not place.status:
            request.path = request.target = target
        return bool(place.status)

    def answered(self, place: Place) -> None:
        """By whom a request is answered that no rule has answered: an app, or a file."""
        target, path = place.request.target, place.request.path
        passes = [
            (one.args[0], *row) for one in reversed(place.sections) for row in values(one.block, "ProxyPass")[-1:]
        ]
        passes = passes[:1] or [
            (row[0], *row[1:]) for row in values(place.host, "ProxyPass") if path.startswith(row[0])
        ]  # fmt: skip
        if passes and passes[0][1] != "!":
            prefix, to, *options = passes[0]
            socket, _mark, address = to.removeprefix("unix:").partition("|")
            worker, slash, base = address.removeprefix("http://").partition("/")
            settings = {name: value for name, _mark, value in (option.partition("=") for option in options)}
            place.upstream = Upstream(socket, worker, slash + base + target[len(prefix) :], settings)
            return
        for prefix, directory in values(place.host, "Alias"):
            if path.startswith(prefix):
                place.file = directory + path[len(prefix) :]
                break
        directories = [
            one for one in (*self.main, *place.host) if one.name == "Directory" and covers(one.args[0], place.file)
        ]
        place.sections = sorted(directories, key=lambda one: one.args[0].count("/")) + place.sections
