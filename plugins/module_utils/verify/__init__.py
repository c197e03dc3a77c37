# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a live host: whether what was declared is in effect.

It reads and never writes. Imports nothing but ``common``, so that a program on the host can have it too.
"""
