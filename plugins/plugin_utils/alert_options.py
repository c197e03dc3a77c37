# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app is alerted of, where the defaults do not fit it."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option


@dataclass(frozen=True)
class Alerts:
    """When the watch tells of an app; what is the host's, as its disks, is set by variables of the role ``watch``."""

    enabled: bool = option(
        True,
        doc="Whether anybody is told of this app; false for one under trial. It is looked at all the same.",
        example=False,
        roles=("watch",),
    )
    outside: bool = option(
        True,
        doc="Whether the app is also asked for where its first domain leads, which finds a wrong record of DNS, a "
        "closed firewall, a balancer that is down; false on a host that does not reach its own public address.",
        example=False,
        roles=("watch",),
    )
    error_percent: int = option(
        5,
        at_most=100,
        doc="Percent of requests answered with 5xx in five minutes, of at least 20, from which on it is told; 0 for "
        "never.",
        example=20,
        roles=("watch",),
    )
    p95_ms: int = option(
        0,
        at_most=600_000,
        doc="Milliseconds that one in twenty requests may take, of at least 20 in five minutes, before it is told; 0, "
        "the default, for any: what is slow is for each app to say.",
        example=1500,
        roles=("watch",),
    )
