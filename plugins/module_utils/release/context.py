# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the engine share in a run for one app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .layout import Layout
from .ledger import Ledger
from .settings import DeploySettings
from .spec import Spec
from .system import System


@dataclass(frozen=True)
class Context:
    """The app, how to deploy it, and the host.

    :ivar spec: what the release is made of.
    :ivar settings: how to deploy.
    :ivar system: the host's systemd, processes and sockets.
    :ivar at: where the app's files are.
    :ivar ledger: the app's events.
    :ivar secrets: secret environment variables of the app.
    :ivar shared_key: the SECRET_KEY that all hosts of the app share; "" if they share none.
    :ivar deploy_key: private SSH key for the repository.
    :ivar skip_checks: the checks to leave out in this run.
    :ivar warnings: what the operator should know of the release for as long as it is live.
    :ivar notices: what the operator should know of this run alone.
    """

    spec: Spec
    settings: DeploySettings
    system: System
    at: Layout
    ledger: Ledger
    secrets: Mapping[str, str] = field(default_factory=dict)
    shared_key: str = ""
    deploy_key: str = ""
    skip_checks: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def app(self) -> str:
        """The app's name."""
        return self.spec.name

    @property
    def subdirectory(self) -> str:
        """The directory of the source that has the app, relative to its top; "" for the whole of it."""
        return self.spec.source.get("subdirectory", "")
