# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``logs`` of a host: who reads the journals of its apps, and where they are shipped.

From the bottom up: ``config`` reads the files that the role writes, ``acl`` takes rights away, ``readers`` keeps the
groups, ``batch`` cuts a stream of lines into batches, ``delivery`` hands one over, ``ship`` does so for as long as it
runs, ``shippers`` keeps the units that run it, ``cli`` has the verbs.
"""
