"""Evaluates Apache's expressions, as in ``SetEnvIfExpr``, ``<If>``, ``Header … expr=`` and ``RewriteCond expr``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import quote

Lookup = Callable[[str], str]  # the value of a variable, by what stands between %{ and }

VARIABLE = r"%\{(?:[^{}]|%\{[^{}]*\})*\}"
TOKENS = re.compile(
    rf"""\s*(?: (?P<connective>&&|\|\||!(?![=~])) | (?P<operator>==|!=|=~|!~|-ipmatch\b|-ge\b|-z\b|-n\b)
    | (?P<regex>m\#[^#]*\#i?|/(?:[^/\\]|\\.)*/i?) | (?P<text>'[^']*') | (?P<variable>{VARIABLE})
    | (?P<function>reqenv)\('(?P<argument>\w+)'\) | (?P<word>\w+) )""",
    re.VERBOSE,
)


def interpolated(text: str, lookup: Lookup) -> str:
    """A text with the values of its variables."""
    return re.sub(VARIABLE, lambda found: variable(found[0], lookup), text)


def variable(text: str, lookup: Lookup) -> str:
    """The value of ``%{NAME}`` or ``%{escape:…}``."""
    name = text[2:-1]
    if name.startswith("escape:"):
        return quote(interpolated(name.removeprefix("escape:"), lookup))
    return lookup(name)


class Expression:
    """An expression with the values that its variables have now; what it does not know raises AssertionError.

    :ivar groups: of the last regular expression that matched, by which ``$1`` is known.
    """

    def __init__(self, text: str, lookup: Lookup) -> None:
        self.lookup, self.groups = lookup, [""]
        self.tokens: list[re.Match[str]] = []
        position = 0
        while text[position:].strip():
            found = TOKENS.match(text, position)
            assert found, f"no expression of Apache's from {text[position:]!r} on"
            self.tokens.append(found)
            position = found.end()

    def holds(self) -> bool:
        """Whether it is true."""
        found = self.any_of()
        assert not self.tokens, "an expression of Apache's has something behind its end"
        return found

    def any_of(self) -> bool:
        found = self.all_of()
        while self.taken("||"):
            found = self.all_of() or found
        return found

    def all_of(self) -> bool:
        found = self.one()
        while self.taken("&&"):
            found = self.one() and found
        return found

    def taken(self, text: str) -> bool:
        if self.tokens and self.tokens[0][0].strip() == text:
            self.tokens.pop(0)
            return True
        return False

    def one(self) -> bool:
        """A comparison, a test of a text, or `true`."""
        if self.taken("!"):
            return not self.one()
        if self.taken("true"):
            return True
        if self.taken("-z"):
            return not self.value()
        if self.taken("-n"):
            return bool(self.value())
        left, operator = self.value(), self.tokens.pop(0)["operator"]
        if operator in ("=~", "!~"):
            return self.matches(left, self.tokens.pop(0)["regex"]) is (operator == "=~")
        right = self.value()
        if operator == "-ipmatch":
            return ipaddress.ip_address(left) in ipaddress.ip_network(right)
        if operator == "-ge":
            return int(left or 0) >= int(right)
        assert operator in ("==", "!="), operator
        return (left == right) is (operator == "==")

    def value(self) -> str:
        token = self.tokens.pop(0)
        if token["variable"]:
            return variable(token["variable"], self.lookup)
        if token["function"]:
            return self.lookup(f"ENV:{token['argument']}")
        return token["text"][1:-1] if token["text"] else token["word"]

    def matches(self, text: str, regex: str) -> bool:
        start = 2 if regex.startswith("m") else 1
        body, _mark, flags = regex[start:].rpartition(regex[start - 1])
        found = re.search(body, text, re.IGNORECASE if flags else 0)
        if found:
            self.groups = [found[0], *(group or "" for group in found.groups())]
        return bool(found)
