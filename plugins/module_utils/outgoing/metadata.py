# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where clouds hand out what a server is and may do: its user data, and credentials of its role.

An address is in the table if the provider's documentation, its SDK or cloud-init names it. Port 53 of each stays open:
Google's and Oracle's name server is 169.254.169.254, Azure's is 168.63.129.16.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

METADATA: Mapping[str, str] = MappingProxyType(
    {
        "169.254.169.254": "AWS, Azure, Google Cloud, DigitalOcean, Hetzner, Oracle, OpenStack and most others",
        "169.254.170.2": "AWS: credentials of a task of ECS",
        "169.254.170.23": "AWS: credentials of a pod of EKS",
        "169.254.42.42": "Scaleway",
        "169.254.0.23": "Tencent Cloud",
        "100.100.100.200": "Alibaba Cloud",
        # The agent of the virtual machine gets certificates and extensions with secrets from it; Microsoft's own agent
        # closes it to all but root, but for port 53. DHCP is root's, health probes come from it and are answered.
        "168.63.129.16": "Azure: WireServer",
        "192.0.0.192": "Oracle Cloud, classic",
        "fd00:ec2::254": "AWS",
        "fd00:ec2::23": "AWS: credentials of a pod of EKS",
        "fd20:ce::254": "Google Cloud",
        "fd00:c1::a9fe:a9fe": "Oracle Cloud",
        "fd00:a9fe:a9fe::1": "Akamai",
        "fd00:42::42": "Scaleway",
        "fd00:100::100:200": "Alibaba Cloud",
        "fe80::a9fe:a9fe": "OpenStack",
    }
)


def of_version(version: int) -> list[str]:
    """The addresses of IPv4 or IPv6.

    :param version: 4 or 6.
    """
    return [address for address in METADATA if (":" in address) is (version == 6)]
