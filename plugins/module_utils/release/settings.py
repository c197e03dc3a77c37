# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to deploy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DeploySettings:
    """How to deploy, the same for all apps of a call.

    :param build: environment variables of the build only, such as an index or a proxy.
    :param installer: ``uv``, or ``pip``; pip also where uv cannot be fetched, see ``python.py``.
    :param keep: how many releases stay on the disk, the live one included.
    :param fallback_days: how long sessions signed with the SECRET_KEY before a change stay good.
    :param known_hosts: lines of SSH's known_hosts for private repositories; without, the key first seen counts.
    :param by: the operator and where from, for the ledger and for runs that wait.
    """

    build: Mapping[str, str] = field(default_factory=dict)
    installer: str = "uv"
    keep: int = 5
    fallback_days: int = 31
    known_hosts: str = ""
    by: str = ""
