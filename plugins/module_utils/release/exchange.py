# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchange of an app's data for a saved copy, on a way back across a migration: all of it, or nothing.

What is about to be done is noted first, so that a run which is killed at any point is healed by the next one: while the
former release is live, everything is put back as it was. The saved dump is loaded into a fresh database, and only then
the names are exchanged. The database that was live stays, under a name that says when.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from ..common.files import make_directory, read_json, write
from ..database import server as database_server
from ..database.errors import DatabaseError
from ..database.server import Server
from .context import Context
from .databases import SavedCopy, SavedDatabases
from .errors import ReleaseError
from .standstill import Standstill

FRESH = "fresh"
KEPT_DAYS = 7


class Exchange:
    """The exchange of one app's data, and the databases that former ones have left."""

    def __init__(self, context: Context, databases: SavedDatabases, standstill: Standstill) -> None:
        self.context, self.databases, self.standstill, self.at = context, databases, standstill, context.at

    def is_settled(self) -> bool:
        """Whether no exchange was cut off."""
        return not self.note()

    @contextlib.contextmanager
    def block(self, copy: SavedCopy, server: Server | None, release: str, undone: list[str]) -> Iterator[None]:
        """Put a copy in place of the data for the time of the block; for good if a release is live at its end.

        Nothing of the app may run meanwhile.

        :param server: where the copy's dump goes; None without one.
        :param release: the one that fits the copy.
        :param undone: releases whose commands the copy undoes.
        :raises ReleaseError: it could not be put in place; all is as it was.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        note = {"release": release, "copy": copy.release, "stamp": stamp, "undone": undone, "stage": "loading"}
        self.write(note={**note, "kept": f"{self.context.app}.before_{stamp}" if server else ""})
        try:
            fresh = self.databases.load(copy, server, FRESH) if server else ""
            self.write(note={**self.note(), "stage": "exchanging"})
            self.databases.exchange("restore", copy.files, stamp)
            if server:
                self.swap(server, fresh, self.note()["kept"])
            yield
        except Exception:
            self.settle()
            raise
        self.settle()

    def heal(self) -> None:
        """End an exchange that was cut off.

        :raises ReleaseError: the data could not be put back; nothing of the app is started on the wrong ones.
        """
        note = self.note()
        if not note:
            return
        if self.at.live() == note["release"]:
            self.keep(note)
            return
        if note["stage"] == "loading":  # nothing was exchanged yet
            try:
                self.settle()
            except ReleaseError as error:
                self.context.notices.append(error.message)
            return
        self.standstill.begin()
        self.settle()
        try:
            self.standstill.end()
        except ReleaseError as error:  # no reason not to deploy another
            self.context.notices.append(error.message)

    def settle(self) -> None:
        """Keep the exchange if the release that it was for is live; else take it back."""
        note = self.note()
        if self.at.live() != note["release"]:
            self.take_back(note)
            self.write()
        elif until := self.keep(note):
            self.context.notices.append(
                f"the database as it was before is kept as {note['kept']}; the first release that goes live after "
                f"{time.strftime('%Y-%m-%d', time.gmtime(until))} drops it"
            )

    def keep(self, note: dict[str, Any]) -> float:
        """Make the exchange final; until when the database that was live is kept, 0 without one."""
        for other in note["undone"]:
            # It counts as not released: deployed again, it has to run its release command again.
            self.at.released(other).unlink(missing_ok=True)
        until = time.time() + KEPT_DAYS * 86400 if note["kept"] else 0.0
        more = [{"database": note["kept"], "until": until}] if until else []
        self.write(kept=[*self.kept(), *more])
        return until

    def take_back(self, note: dict[str, Any]) -> None:
        """Put everything back as it was, as often as it takes."""
        problems = []
        try:
            if note["kept"] and (server := self.server()):
                server.unswap(f"{self.context.app}.{FRESH}", note["kept"])
        except DatabaseError as error:
            problems.append(str(error))
        copy = self.databases.copy(note["copy"])
        if note["stage"] != "loading" and copy.files.exists():
            try:
                self.databases.exchange("undo", copy.files, note["stamp"])
            except ReleaseError as error:
                problems.append(str(error))
        if problems:
            raise ReleaseError(
                "restore",
                f"the data of {self.context.app} could not be put back as they were before the rollback: "
                f"{'; '.join(problems)}. Each run of the engine tries again: `{self.context.app} unlock`, when the "
                "reason is gone",
            )

    def swap(self, server: Server, fresh: str, kept: str) -> None:
        """Exchange the names of two databases."""
        try:
            server.swap(fresh, kept)
        except DatabaseError as error:
            raise ReleaseError("restore", f"the saved database could not be put in place: {error}") from error

    def prune(self) -> None:
        """Drop the kept databases whose time is up."""
        kept = self.kept()
        over = [one for one in kept if one["until"] < time.time()]
        if not over:
            return
        for one in over:
            try:
                if server := self.server():
                    server.drop(one["database"])
                kept.remove(one)
            except DatabaseError as error:
                self.context.notices.append(f"the kept database {one['database']} could not be dropped: {error}")
        self.write(kept=kept)

    def server(self) -> Server | None:
        """The server that the app's database is on; None if it has none on this host any more."""
        record = database_server.read(self.context.app, self.at.root)
        return database_server.of(record) if record else None

    # --- what is written down ----------------------------------------

    def note(self) -> dict[str, Any]:
        """The exchange that goes on or was cut off; empty for none."""
        found: dict[str, Any] = read_json(self.at.exchange).get("note", {})
        return found

    def kept(self) -> list[dict[str, Any]]:
        """The databases that were exchanged, each with the time until which it is kept."""
        found: list[dict[str, Any]] = read_json(self.at.exchange).get("kept", [])
        return found

    def write(self, note: dict[str, Any] | None = None, kept: list[dict[str, Any]] | None = None) -> None:
        """Write down what goes on, and which databases are kept, by default as before."""
        record = {"note": note or {}, "kept": self.kept() if kept is None else kept}
        if not any(record.values()):
            self.at.exchange.unlink(missing_ok=True)
            return
        make_directory(self.at.exchange.parent, 0o700)
        write(self.at.exchange, json.dumps(record) + "\n", 0o600)
