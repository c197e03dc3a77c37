# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SECRET_KEY of an app: where it comes from, and which former ones are still accepted."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from ..common.files import make_directory, write
from . import setting_files
from .context import Context
from .database_url import spellings
from .environment import read_env_file
from .errors import ReleaseError
from .services import Services


class SecretKey:
    """The SECRET_KEY of one app on this host."""

    def __init__(self, context: Context) -> None:
        self.context, self.at = context, context.at

    def read(self, create: bool = False, rotate: bool = False) -> str:
        """Return the user's key; else the one that all hosts of the app share; else 256 bits made on this host once.

        :param create: keep the shared one on the host, or make one where there is none.
        :param rotate: make a new one; a shared one is replaced where it was made, on the controller.
        :returns: "" when there is none and none is to be made.
        :raises ReleaseError: when the user's own key is to be rotated.
        """
        if key := self.context.secrets.get("SECRET_KEY"):
            if rotate:
                raise ReleaseError(
                    "rotate",
                    f"the SECRET_KEY of {self.context.app} stands in flask_app_secrets: change it there and deploy; "
                    "sessions signed with the old one stay good for a while",
                )
            return key
        path = self.at.secret_key
        key = path.read_text().strip() if path.exists() else ""
        wanted = self.context.shared_key or (secrets.token_hex(32) if create and (rotate or not key) else key)
        if create and wanted != key:
            make_directory(path.parent, 0o700)
            write(path, wanted, 0o600)
        return wanted

    def former(self, release: str) -> list[dict[str, Any]]:
        """The keys before the present one that a release accepts, each with the time (``until``) when that ends.

        A release that is built keeps those it was built with.
        """
        if self.at.is_complete(release):
            return fallbacks(read_env_file(self.at.release(release) / "env"))
        old = read_env_file(self.at.current / "env")
        present, last = self.read(), old.get("SECRET_KEY", "")
        until = int(time.time()) + self.context.settings.fallback_days * 86400
        former: list[dict[str, Any]] = [{"key": last, "until": until}] if last else []
        former += fallbacks(old)
        return [entry for entry in former if entry["key"] != present and entry["until"] > time.time()]

    def masked(self, text: str) -> str:
        """A text without the app's secrets, and without what stands in its files of settings."""
        for value in sorted(self.hidden(), key=len, reverse=True):
            if len(value) > 3:
                text = text.replace(value, "********")
        return text

    def hidden(self) -> set[str]:
        """The app's secrets, and what stands in its files of settings."""
        hidden = {*self.context.secrets.values(), self.read(), *setting_files.masked(self.context.spec.settings)}
        # Addresses have the password of a database in a spelling of their own.
        live = read_env_file(self.at.current / "env").get("DATABASE_PASSWORD", "")
        return hidden | {*Services(self.context).hidden(), *spellings(live)}


def fallbacks(environment: dict[str, str]) -> list[dict[str, Any]]:
    """The former keys in the environment of a release."""
    found: list[dict[str, Any]] = json.loads(environment.get("SECRET_KEY_FALLBACKS", "[]"))
    return found
