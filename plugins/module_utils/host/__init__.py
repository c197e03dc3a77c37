# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``host`` of a host: brings the machine's settings into effect, and puts back what a part has changed.

From the bottom up: ``machine`` (the host, what was there before, what is reported), a module for each part, ``cli``.
The role writes the files; what no file can do, and whether it is in effect, is done here.
"""
