"""Reads a rendered configuration as nginx does: which server and location a request meets, and what holds there."""

from __future__ import annotations

import ipaddress
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crossplane
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import ROLE, render

Directive = dict[str, Any]


def parse(text: str) -> list[Directive]:
    """The directives of a text; what nginx would not take for its form raises AssertionError."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        read = crossplane.parse(file.name, single=True, check_ctx=False)
    assert read["errors"] == []
    found: list[Directive] = read["config"][0]["parsed"]
    return found


def expanded(block: list[Directive], **given: Any) -> Iterator[Directive]:
    """The directives of a block with those of the role's own files where these are included."""
    for one in block:
        template = ROLE / f"templates/nginx/{one['args'][0].removeprefix('groundwork/')}.j2" if one["args"] else Path()
        if one["directive"] == "include" and template.is_file():
            yield from expanded(parse(render(f"nginx/{template.name}", **given)), **given)
        else:
            yield one


def values(block: list[Directive], name: str) -> list[list[str]]:
    """The arguments of each directive of this name in a block."""
    return [one["args"] for one in block if one["directive"] == name]


@dataclass
class Place:
    """Where a request ends: a server's block, and that of its location, if it comes so far."""

    server: list[Directive]
    location: list[Directive]
    prefix: str
    redirect: tuple[str, ...] = ()

    def effective(self, name: str) -> list[list[str]]:
        """What holds of a directive: the location's own, else the server's."""
        return values(self.location, name) or values(self.server, name)


class Configuration:
    """A site's configuration."""

    def __init__(self, text: str, **given: Any) -> None:
        self.top = parse(text)
        self.servers = [list(expanded(one["block"], **given)) for one in self.top if one["directive"] == "server"]

    @property
    def names(self) -> list[str]:
        return [name for server in self.servers for names in values(server, "server_name") for name in names]

    def visit(self, host: str, path: str, secure: bool = True) -> Place:
        """Where a request ends that may be made: none is in maintenance, nor has its path two readings."""
        (server,) = [
            one for one in self.servers if host in [name for names in values(one, "server_name") for name in names]
        ]
        if not secure:
            for one in server:
                if one["directive"] == "if" and one["args"] == ["$groundwork_insecure"]:
                    return Place(server, [], "", tuple(values(one["block"], "return")[0]))
        best = self.location(server, path)
        block = list(expanded(best["block"])) if best else []
        returned = values(block, "return")
        return Place(server, block, best["args"][-1] if best else "", tuple(returned[0]) if returned else ())

    @staticmethod
    def location(server: list[Directive], path: str) -> Directive | None:
        """The location of a path: an exact one, else the longest prefix."""
        locations = [one for one in server if one["directive"] == "location"]
        for one in locations:
            if one["args"] == ["=", path]:
                return one
        prefixes = [
            one for one in locations if one["args"][0] not in ("=", "~", "~*") and path.startswith(one["args"][-1])
        ]
        return max(prefixes, key=lambda one: len(one["args"][-1]), default=None)

    def file(self, host: str, path: str) -> str:
        """The file on the disk that a request is answered with; "" where the app answers."""
        place = self.visit(host, path)
        return "".join(alias + path[len(place.prefix) :] for (alias,) in values(place.location, "alias"))

    def upstream(self, place: Place) -> list[list[str]]:
        """The servers to which a request is passed, in the order in which they are tried."""
        ((target,),) = values(place.location, "proxy_pass")
        name = target.removeprefix("http://")
        return [
            row
            for one in self.top
            if one["directive"] == "upstream" and one["args"] == [name]
            for row in values(one["block"], "server")
        ]

    def header(self, place: Place, name: str, of_app: str = "") -> str:
        """The value that is added of a header to an answer in which the app gave it this value; "" for none."""
        (value,) = [args[1] for args in place.effective("add_header") if args[0] == name]
        if any(one["directive"] == "map" and one["args"][1] == value for one in self.top):
            return mapped(self.top, value)(of_app)
        return str(value)


def mapped(block: list[Directive], variable: str) -> Callable[[str], str]:
    """The value of a variable by that of the one from which a map makes it, where that one alone decides.

    An equal text counts before a regular expression, and of these the first that fits.
    """
    ((_source, rows),) = [
        (one["args"][0], [(row["directive"], row["args"][0]) for row in one["block"]])
        for one in block
        if one["directive"] == "map" and one["args"][1] == variable
    ]

    def value(given: str) -> str:
        found = [made for text, made in rows if text == given and not text.startswith("~")]
        found += [
            made
            for text, made in rows
            if text.startswith("~")
            and re.search(text.removeprefix("~").removeprefix("*"), given, re.IGNORECASE if text[1] == "*" else 0)
        ]
        return str([*found, *(made for text, made in rows if text == "default"), ""][0])

    return value


def geo(block: list[Directive], variable: str) -> Callable[[str], str]:
    """The value of a variable by the visitor's address; the narrowest network counts."""
    ((rows,),) = [[one["block"]] for one in block if one["directive"] == "geo" and one["args"] == [variable]]
    default = next(row["args"][0] for row in rows if row["directive"] == "default")
    networks = {ipaddress.ip_network(row["directive"]): row["args"][0] for row in rows if row["directive"] != "default"}

    def value(address: str) -> str:
        inside = [network for network in networks if ipaddress.ip_address(address) in network]
        return str(networks[max(inside, key=lambda network: network.prefixlen)] if inside else default)

    return value
