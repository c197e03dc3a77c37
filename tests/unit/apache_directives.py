"""Takes a text of Apache's apart into directives and sections."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))""")


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


def names_of(host: Iterable[Directive]) -> list[str]:
    """The names of a host, that by which it calls itself first."""
    return [name for one in host if one.name in ("ServerName", "ServerAlias") for name in one.args]


def covers(section: str, path: str) -> bool:
    """Whether a Location or a Directory holds for a path."""
    return path.startswith(section) and (section.endswith("/") or path[len(section) :][:1] in ("", "/"))
