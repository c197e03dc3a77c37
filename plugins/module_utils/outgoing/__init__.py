# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outgoing policy of each app: which addresses and ports its account may talk to, enforced by nftables.

``metadata`` has the addresses that are closed by default, ``policies`` reads what the role ``service_user`` has written
for each app, ``rules`` makes one nftables table of it, and ``cli`` loads that.
"""
