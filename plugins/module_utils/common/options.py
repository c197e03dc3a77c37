# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of options: each is declared once, as a field of a dataclass, with all that is to be said about it.

The controller reads what a user wrote by them, a module gets its argument specification from them, and the reference
page and the JSON schema are written from them. This file is in ``module_utils``, because a module on a host cannot
import ``plugin_utils``, and imports nothing, because the programs on a host have neither Ansible nor the collection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

# The scalar types, and the type of YAML by which other ones are written.
SCALARS = (str, int, bool)


@dataclass(frozen=True)
class Option:
    """One option.

    :param kind: type of the value as it is written in YAML: str, int, bool, list or dict.
    :param default: the value where nothing is written; None where it is found later.
    :param at_least: the smallest number allowed; ``at_most`` the largest.
    :param choices: the only texts allowed, of a list those allowed in it; as a mapping, with what each means.
    :param pattern: regular expression that the whole of a text matches, of a list each text in it.
    :param remedy: the end of the message about a text that does not match; how to write it.
    :param doc: a sentence of documentation, in Markdown.
    :param example: a value that is allowed and is not the default.
    :param required: what to write where the option is missing; empty for an option that may be.
    :param roles: the roles whose input it changes.
    :param defines: whether another value makes another release.
    """

    kind: type
    default: Any = None
    at_least: int = 0
    at_most: int = 1_000_000
    choices: Sequence[str] | Mapping[str, str] = ()
    pattern: str = ""
    remedy: str = ""
    doc: str = ""
    example: Any = None
    required: str = ""
    roles: tuple[str, ...] = ()
    defines: bool = False


FOUND: dict[type[Any], dict[str, Option]] = {}


def option(default: Any = None, **record: Any) -> Any:
    """A dataclass's field with the record of an option; its kind is that of the annotation unless it is given."""
    metadata = {"option": {"default": default, **record}}
    first: dict[str, Any] = {"default": default}
    if isinstance(default, dict):
        first = {"default_factory": lambda: dict(default)}
    return field(**first, metadata=metadata)  # pylint: disable=invalid-field-call  # it is called within dataclasses


def options(of: type[Any]) -> Mapping[str, Option]:
    """The options among a dataclass's fields, by name, in their order."""
    if of not in FOUND:
        FOUND[of] = found(of)
    return FOUND[of]


def found(of: type[Any]) -> dict[str, Option]:
    """The same, found out anew."""
    hints = get_type_hints(of)
    return {
        one.name: Option(**{"kind": kind_of(hints[one.name]), **one.metadata["option"]})
        for one in fields(of)
        if "option" in one.metadata
    }


def kind_of(hint: Any) -> type:
    """The type in YAML of an annotation."""
    if isinstance(hint, type) and hint in SCALARS:
        return hint
    scalars = [one for one in get_args(hint) if one in SCALARS]
    if get_origin(hint) in (tuple, Sequence):
        return list
    return scalars[0] if type(None) in get_args(hint) and scalars else dict


def argument_spec(*of: type) -> dict[str, dict[str, Any]]:
    """What an Ansible module takes for these dataclasses, as its ``argument_spec``."""
    return {name: argument(one) for dataclass_ in of for name, one in options(dataclass_).items()}


def argument(one: Option) -> dict[str, Any]:
    """An option as an entry of an ``argument_spec``."""
    entry: dict[str, Any] = {"type": one.kind.__name__}
    if one.kind is list:
        entry["elements"] = "str"
    elif one.choices:
        entry["choices"] = list(one.choices) if one.default in one.choices else [one.default, *one.choices]
    if one.required:
        return {**entry, "required": True}
    return {**entry, "default": list(one.default) if one.kind is list else one.default}
