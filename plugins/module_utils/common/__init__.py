# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs on the host share; each is installed with a copy of its own, and needs the standard library alone.

On a host a program lies in ``/usr/local/lib/groundwork/python/groundwork_<program>``: its own package, and this one
beside it, so ``..common`` leads here in both places.
"""
