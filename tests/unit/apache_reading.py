"""Reads a rendered configuration as Apache does: which host, rules and sections a request meets, and what holds there.

As far as the role writes it: a directive, flag or expression that is new here raises AssertionError where it counts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

from ansible_collections.groundwork.flask.tests.unit.apache_directives import Directive, covers, names_of, parse, values
from ansible_collections.groundwork.flask.tests.unit.apache_expressions import Expression, interpolated
from ansible_collections.groundwork.flask.tests.unit.apache_place import Place, Request, Upstream
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import ROLE, render

MAIN = "apache/apache2.conf.j2"


class Configuration:
    """A site's configuration within that of the host.

    :param files: by their paths below /etc/apache2, those that other sites or a maintenance bring; of the role's own
        files each is rendered where it is included.
    :param on_disk: the files that there are.
    :param missing: the directories that there are not.
    :param given: variables of the role.
    """

    def __init__(
        self,
        text: str,
        files: Mapping[str, str] | None = None,
        on_disk: Iterable[str] = (),
        missing: Iterable[str] = (),
        **given: Any,
    ) -> None:
        self.files, self.on_disk, self.missing, self.given = dict(files or {}), set(on_disk), set(missing), given
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
        if pattern == "!-d":
            return [] if text in self.missing else None
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
