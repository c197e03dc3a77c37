# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put restored files in place by renames, and what was there aside."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import paths, programs, trees
from .databases import SIDECARS
from .errors import BackupError
from .settle import unused
from .snapshot import below


def plan_moves(restored: Mapping[str, Any], stamp: str) -> list[dict[str, str]]:
    """How each path comes to its place: ``new`` takes the place of ``path``, and what was there goes to ``old``.

    ``new`` is on the same file system as ``path``: where it would not be, it is copied there first, into a directory
    that only root enters.
    """
    moves = []
    for saved in restored["paths"]:
        path = paths.resolved(saved)
        if os.path.ismount(path):
            raise BackupError(
                f"{path} is a mount point and cannot be put aside. Restore to a directory and copy from there."
            )
        new = str(below(restored["target"], saved))
        with paths.parent_of(path, create=True) as (parent, name):
            found = paths.status_of(new)
            if found is None:
                raise BackupError(f"the snapshot {restored['snapshot']} does not hold {path}")
            if found.st_dev != os.fstat(parent).st_dev:
                beside = f".{name}.restored-{restored['snapshot']}"
                trees.remove_at(parent, beside)
                os.mkdir(beside, 0o700, dir_fd=parent)
                copy_into(parent, beside, new)
                new = f"{os.path.dirname(path)}/{beside}/{name}"
        moves.append({"new": new, "path": path, "old": f"{path}.before-restore-{stamp}"})
    return moves


def copy_into(parent: int, name: str, source: str) -> None:
    """Copy a restored tree into a directory that was just made, wherever it may be moved meanwhile."""
    directory = os.open(name, paths.DIRECTORY, dir_fd=parent)
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or os.listdir(directory):
            raise BackupError(f"{name} was exchanged while {source} was restored. Find out by whom, and try again.")
        copied = subprocess.run(
            ("/usr/bin/cp", "-a", "--", source, f"/proc/self/fd/{directory}/"),
            pass_fds=(directory,),
            env=programs.ENVIRONMENT,
            cwd="/",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    finally:
        os.close(directory)
    if copied.returncode:
        raise BackupError(f"{source} could not be copied to its file system: {copied.stderr.strip()}")


def carry_out(moves: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Make the moves that are not made yet: a crash between any two steps leaves a state from which this goes on.

    Directories are held by descriptors, and what is renamed is a name in one of them: no link is followed.

    :returns: each path, with where its previous content is now.
    """
    for move in moves:
        if paths.status_of(move["new"]):  # Else it is in its place.
            with (
                paths.parent_of(move["new"]) as (source, new),
                paths.parent_of(move["path"], create=True) as (parent, name),
            ):
                exchange(source, new, parent, name, os.path.basename(move["old"]))
                if move["new"].startswith(f"{os.path.dirname(move['path'])}/.{name}.restored-"):
                    with contextlib.suppress(OSError):
                        os.rmdir(os.path.basename(os.path.dirname(move["new"])), dir_fd=parent)
    os.sync()
    return [{"path": move["path"], "previous": move["old"] if paths.status_of(move["old"]) else ""} for move in moves]


def take_back(moves: Sequence[Mapping[str, str]]) -> None:
    """Undo moves, as far as they were made: what was restored goes back, and what was there comes to its place."""
    for move in reversed(moves):
        old = os.path.basename(move["old"])
        with (
            paths.parent_of(move["new"], create=True) as (source, new),
            paths.parent_of(move["path"]) as (parent, name),
        ):
            if not paths.status_at(source, new):
                os.rename(name, new, src_dir_fd=parent, dst_dir_fd=source)
            for suffix in ("", *SIDECARS):
                if paths.status_at(parent, old + suffix) and not paths.status_at(parent, name + suffix):
                    os.rename(old + suffix, name + suffix, src_dir_fd=parent, dst_dir_fd=parent)
    os.sync()


def exchange(source: int, new: str, parent: int, name: str, old: str) -> None:
    """Put ``new`` of one directory in the place of ``name`` in another, and what is there aside."""
    status = paths.status_at(source, new)
    # A database's old log beside its new file would be played into it; a directory has none beside it.
    suffixes = ("",) if status is None or stat.S_ISDIR(status.st_mode) else ("", *SIDECARS)
    for _turn in range(20):
        for suffix in suffixes:
            if paths.status_at(parent, name + suffix):
                os.rename(name + suffix, unused(parent, old + suffix), src_dir_fd=parent, dst_dir_fd=parent)
        try:
            os.rename(new, name, src_dir_fd=source, dst_dir_fd=parent)
        except OSError as error:
            if paths.status_at(parent, name) is None:
                raise BackupError(f"{name} cannot be put in its place: {error.strerror}") from error
            continue  # It was recreated in between.
        return
    raise BackupError(
        f"{name} is recreated again and again while it is restored: stop what recreates it, and try again"
    )
