# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database servers that apps have databases on: dumps and loads as the app, what a superuser does as root.

What reads an app's data, or lets its SQL run, is an argument vector that the caller runs as the app in the app's
sandbox. What only a superuser may do is a method that root calls; it goes into an app's database as little as possible,
and runs nothing there that an app can define.

From the bottom up: ``errors``; ``as_app``; ``clusters``, ``superuser``, ``pg_copy`` (a program of its own); ``ours``,
``extensions``, ``postgresql``; ``maria_root``, ``maria_setup``, ``maria_copy`` (a program of its own),
``maria_swap``, ``mariadb``; ``server``. Beside them the programs ``poolers`` and, with ``standstill``, ``upgrade``.
"""
