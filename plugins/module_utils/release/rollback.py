# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release a rollback goes to, whether the database lets it, and the copies of the database it may put back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from .context import Context
from .databases import SavedCopy, SavedDatabases
from .errors import ReleaseError
from .exchange import Exchange
from .standstill import Standstill


class Rollback:
    """A rollback of one app."""

    def __init__(self, context: Context, databases: SavedDatabases, standstill: Standstill, exchange: Exchange) -> None:
        self.context, self.databases, self.standstill, self.exchange = context, databases, standstill, exchange
        self.at, self.ledger = context.at, context.ledger

    def choose(self, to: str, live: str | None) -> str:
        """Return the release to go to.

        :param to: the beginning of its id; "" for the one that was live before, and is good.
        :raises ReleaseError: when there is none, or it is live already, or bad.
        """
        way = self.ledger.way_back()
        kept = [path.name for path in self.at.releases.glob("*") if self.at.is_complete(path.name)]
        others = ", ".join(release for release in kept if release != live) or "none"
        if not to:
            if not way:
                raise ReleaseError("choose", f"there is no earlier good release of {self.at.app} to go back to")
            return way[0]
        found = [release for release in kept if release.startswith(to)]
        if len(found) != 1:
            raise ReleaseError("choose", f"{to!r} is no release of {self.at.app} that is kept; these are: {others}")
        if found[0] == live:
            raise ReleaseError("choose", f"{to} is live already; these are kept: {others}")
        if not self.at.is_good(found[0]):
            reason = self.ledger.last("bad", found[0]).get("reason", "it failed")
            raise ReleaseError("choose", f"{to} is a bad release ({reason}); these are kept: {others}")
        return found[0]

    def check_migration(self, release: str, live: str | None, data: str) -> None:
        """Refuse to run old code on a database that a later migration has changed.

        :param data: ``keep`` leaves the database as it is, ``saved`` puts back the copy from before the migration.
        """
        here, there = self.ledger.migration_heads(live) if live else None, self.ledger.migration_heads(release)
        if here is None or there is None or here == there or data == "keep":
            return
        saved = self.saved_copy(release)
        if data == "saved" and saved:
            return
        restore = (
            f"`-e data=saved` puts back the copy from before it ({saved.files}, made at {modified(saved.files)}) and "
            "loses what was written since"
            if saved
            else "no copy from before that migration is kept here, so restore a backup with groundwork.flask.restore"
        )
        raise ReleaseError(
            "choose",
            f"a migration lies between: the database is at {', '.join(here) or 'its beginning'}, and release {release} "
            f"was made for {', '.join(there) or 'its beginning'}. Two ways out: {restore}; or `-e data=keep` goes back "
            "with the database as it is, if the old code can live with it",
        )

    def saved_copy(self, release: str) -> SavedCopy | None:
        """The copy of the databases made before the first release command after a release."""
        copies = (self.databases.copy(later) for later in self.live_since(release))
        return next((copy for copy in copies if copy.exists()), None)

    def live_since(self, release: str) -> list[str]:
        """The releases that have been live since a release was, oldest first."""
        lived = [event["release"] for event in self.ledger.events() if event["event"] == "live"]
        since = len(lived) - lived[::-1].index(release) if release in lived else 0
        return [other for other in lived[since:] if other != release]

    @contextlib.contextmanager
    def saved_data(self, release: str) -> Iterator[None]:
        """Put the saved databases back while nothing runs; if what follows fails, the live one gets its own again.

        :raises ReleaseError: there is no copy, or it does not fit: nothing was stopped for that.
        """
        copy = self.saved_copy(release)
        if not copy:
            raise ReleaseError("choose", "no saved copy of the databases is kept for this rollback")
        server = self.databases.server_of(copy)
        try:
            self.standstill.begin()
            with self.exchange.block(copy, server, release, self.live_since(release)):
                yield
        finally:
            if self.exchange.is_settled():  # else nothing may be started on the wrong data
                self.standstill.end()


def modified(path: Path) -> str:
    """When a path was changed, as a message states it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(path.stat().st_mtime))
