# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters are given, in ordinary types. Of another type it raises one error, which names filter and option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


def as_map(value: Any, what: str) -> dict[str, Any]:
    """Return a copy of a map; nothing is an empty one.

    :param what: filter and option, for the error.
    :raises AnsibleFilterError: for anything else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{what}: {value!r} is not a map")
    found: dict[str, Any] = plain(value)
    return found


def as_list(value: Any, what: str) -> list[Any]:
    """Return a copy of a list; nothing is an empty one. ``what`` and errors are as those of ``as_map``."""
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise AnsibleFilterError(f"{what}: {value!r} is not a list")
    found: list[Any] = plain(value)
    return found


def as_maps(value: Any, what: str) -> list[dict[str, Any]]:
    """Return a copy of a list of maps. ``what`` and errors are as those of ``as_map``."""
    return [as_map(item, what) for item in as_list(value, what)]


def as_names(value: Any, what: str) -> list[str]:
    """Return names that were given as a list, or in one text with commas between them."""
    if not isinstance(value, str):
        return [str(name) for name in as_list(value, what)]
    return [name.strip() for name in value.split(",") if name.strip()]
