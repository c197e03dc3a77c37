# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a live host: whether what was declared is in effect.

It reads and never writes. A check is a function of one module here, which takes what is expected and the host, and
yields findings; ``checks.py`` has the list of them. What an app can write is read as data: bounded, regular, escaped.
"""
