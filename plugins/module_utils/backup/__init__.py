# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup program: copies every backup set into its repositories by restic, and restores it.

One run of one set is one snapshot, tagged with the set's name, or there is none. SQLite databases are copied whole and
consistent while their app goes on writing; the copies, and a manifest of what is in the snapshot, travel in it.

Root trusts nothing that an app owns. Directories that others can change are read by descriptors, and by restic in a
mount namespace that follows no link; databases are opened by their owner alone; a restore is made ready where only root
can enter, and comes to its place by renames.

What the app keeps in a database server or in Redis is dumped and copied by steps that run as the app, together with the
number of rows and keys at that moment, and restored beside the live one before names are exchanged.

From the bottom up: ``errors``, ``space``, ``private``, ``links``, ``steps``; ``config``, ``status``, ``units``;
``databases``, ``step_redis`` (a program of its own), ``service_steps``, ``service_redis``, ``service_database``,
``services``; ``stage``, ``commands``, ``restic``, ``repositories``, ``losses``, ``run``; ``snapshot``, ``settle``,
``moves``, ``service_restore``, ``restore``, ``copies``, ``drill``; ``report``, ``cli``.
"""
