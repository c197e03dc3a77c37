# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a user wrote, and says of everything that cannot be used where it stands, what it is and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import Option

Problems = list[str]
# Of a text that becomes an argument: Linux takes 131,072 bytes, and systemd may be handed it as hexadecimal digits.
MOST_BYTES = 60_000
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
        """How a message names an option of the mapping; the mapping itself for ""."""
        return f"{self.where}.{key}" if key else self.where

    def problem(self, key: str, value: Any, sentence: str) -> None:
        """Note what is wrong with a value, which is shown."""
        # A URL may hold a password.
        shown = re.sub(r"(?<=://)\S*@", "…@", repr(value))
        self.problems.append(f"{self.field(key)}: {shown} {sentence}")

    def values(self, known: Mapping[str, Option]) -> dict[str, Any]:
        """The values of all these options."""
        return {key: self.value(key, one) for key, one in known.items()}

    def value(self, key: str, one: Option) -> Any:
        """The value of an option, its default where nothing is written or where it cannot be used."""
        if one.kind is int:
            return self.number(key, one)
        if one.kind is bool:
            return self.flag(key, one.default)
        if one.kind is list:
            return self.texts(key, one)
        if one.choices:
            return self.choice(key, one.default, one.choices)
        return self.text(key, one)

    def get(self, key: str, kind: type[Kind], default: Kind, noun: str) -> Kind:
        """The value of ``key`` if it is of ``kind``, else the default and a problem."""
        value = self.given.get(key)
        if value is None:
            return default
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self.problem(key, value, f"is not {noun}")
        return default

    def text(self, key: str, one: Option) -> str:
        """A text that matches the record's pattern, if it has one, and that a program can be handed."""
        default: str = one.default
        if not one.pattern:
            text = self.get(key, str, default, "a text: put it in quotes")
            return text if self.is_handed_on(key, text) else default
        value = self.given.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, str) and re.fullmatch(one.pattern, value):
            return value
        self.problem(key, value, one.remedy)
        return default

    def is_handed_on(self, key: str, value: str) -> bool:
        """Whether a program can be handed a text as an argument; if not, that is noted."""
        if "\0" in value:
            self.problems.append(f"{self.field(key)} contains a zero byte, which no argument can hold: remove it")
        elif len(value.encode(errors="surrogateescape")) > MOST_BYTES:
            self.problems.append(
                f"{self.field(key)} has more than {MOST_BYTES} bytes: put it into a script of the source and name that"
            )
        else:
            return True
        return False

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        return self.get(key, bool, default, "true or false")

    def number(self, key: str, one: Option) -> int | None:
        """A whole number in the record's range; None where that is its default."""
        value: int | None = self.get(key, int, one.default, f"a whole number from {one.at_least} to {one.at_most}")
        if value is not None and not one.at_least <= value <= one.at_most:
            self.problem(key, value, f"is out of range: take {one.at_least} to {one.at_most}")
            value = one.default
        return value

    def choice(self, key: str, default: str, choices: Iterable[str]) -> str:
        """One of some texts."""
        value = self.get(key, str, default, "a text: put it in quotes")
        names = list(choices)
        if value in names or value == default:
            return value
        near = difflib.get_close_matches(value, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "take one of these"
        self.problem(key, value, f"is not one of {', '.join(names)}: {hint}")
        return default

    def texts(self, key: str, one: Option) -> tuple[str, ...]:
        """A list of texts, each of which matches the record's pattern or is one of its choices."""
        values = self.get(key, list, [], f"a list: write `{key}: [first, second]`")
        for value in values:
            if one.choices:
                if str(value) not in one.choices:
                    self.problem(key, value, f"{one.remedy}: {meant(str(value), one.choices)}")
            elif not isinstance(value, str) or (one.pattern and not re.fullmatch(one.pattern, value)):
                self.problem(key, value, f"cannot be used: {one.remedy or 'put it in quotes'}")
        return tuple(str(value) for value in values)


def meant(name: str, choices: Iterable[str]) -> str:
    """What a user may have meant by a name, with what that means where the choices are a mapping."""
    near = difflib.get_close_matches(name, list(choices), n=1)
    known = ", ".join(
        f"{choice} ({choices[choice]})" if isinstance(choices, Mapping) else choice for choice in near or choices
    )
    return f"did you mean {known}?" if near else f"known are {known}"


def plain(value: Any) -> Any:
    """A copy in ordinary dicts, lists and strings: what Ansible hands over may be lazy, tagged containers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return value
