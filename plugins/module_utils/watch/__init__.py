# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over a host: a timer starts a look, which keeps what it found and reports what has changed.

``records`` says what a look finds; whatever is made of it (alerts, metrics, the status page) reads that and nothing
else.
"""
