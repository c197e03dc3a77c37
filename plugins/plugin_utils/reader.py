# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a user wrote, and says of everything that cannot be used where it stands, what it is and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ansible_collections.groundwork.flask.plugins.plugin_utils import servers

Problems = list[str]
Kind = TypeVar("Kind")


class Reader:
    """Reads one mapping of the user's, key by key, and collects what is wrong with it.

    :param where: how a message names the mapping, for example ``flask_apps.shop.server``.
    :param known: its options.
    :param hints: what to do about options that users write here and that are none here.
    """

    def __init__(
        self,
        where: str,
        given: Any,
        problems: Problems,
        known: Iterable[str],
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.where, self.problems = where, problems
        self.given: Mapping[str, Any] = {}
        if isinstance(given, Mapping):
            self.given = given
        elif given is not None:
            self.problem("", given, "is not a map: write its options below it, one `key: value` a line")
        names = list(known)
        for key in self.given:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}"
                hint = (hints or {}).get(str(key), hint)
                self.problems.append(f"{self.field(str(key))} is not an option: {hint}")

    def field(self, key: str) -> str:
        return f"{self.where}.{key}" if key else self.where

    def problem(self, key: str, value: Any, sentence: str) -> None:
        # A URL may hold a password.
        shown = re.sub(r"(?<=://)\S*@", "…@", repr(value))
        self.problems.append(f"{self.field(key)}: {shown} {sentence}")

    def get(self, key: str, kind: type[Kind], default: Kind, noun: str) -> Kind:
        """The value of ``key`` if it is of ``kind``, else the default and a problem."""
        value = self.given.get(key)
        if value is None:
            return default
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self.problem(key, value, f"is not {noun}")
        return default

    def text(self, key: str, default: str = "", pattern: re.Pattern[str] | None = None, remedy: str = "") -> str:
        """The text of ``key``; ``remedy`` tells what the pattern wants."""
        if not pattern:
            return self.get(key, str, default, "a text: put it in quotes")
        value = self.given.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.problem(key, value, remedy)
        return default

    def flag(self, key: str, default: bool) -> bool:
        return self.get(key, bool, default, "true or false")

    def number(self, key: str, option: servers.Option) -> int | None:
        value: int | None = self.get(
            key, int, option.default, f"a whole number from {option.at_least} to {option.at_most}"
        )
        if value is not None and not option.at_least <= value <= option.at_most:
            self.problem(key, value, f"is out of range: take {option.at_least} to {option.at_most}")
            value = option.default
        return value

    def choice(self, key: str, default: str, choices: Iterable[str]) -> str:
        value = self.get(key, str, default, "a text")
        names = list(choices)
        if value in names or value == default:
            return value
        near = difflib.get_close_matches(value, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "take one of these"
        self.problem(key, value, f"is not one of {', '.join(names)}: {hint}")
        return default

    def texts(
        self, key: str, pattern: re.Pattern[str] | None = None, remedy: str = "put it in quotes"
    ) -> tuple[str, ...]:
        values = self.get(key, list, [], f"a list: write `{key}: [first, second]`")
        for value in values:
            if not isinstance(value, str) or (pattern and not pattern.fullmatch(value)):
                self.problem(key, value, f"cannot be used: {remedy}")
        return tuple(str(value) for value in values)


def plain(value: Any) -> Any:
    """A copy in ordinary dicts, lists and strings: what Ansible hands over may be lazy, tagged containers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return value
