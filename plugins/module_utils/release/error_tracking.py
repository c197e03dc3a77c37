# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release needs to send its errors to a tracker: the SDK, and what says which release they are of.

`SENTRY_DSN` among the app's variables is all that asks for it. The entry of the release starts the SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import trees

if TYPE_CHECKING:
    from .context import Context

# The entry was tried with the oldest of this range, with 2.75, and with 1.45.1 for apps that pin that.
SDK = "sentry-sdk>=2.20,<3"
MODULE = "sentry_sdk"


def is_wanted(context: Context) -> bool:
    """Whether the app has a tracker; an empty SENTRY_DSN is none, as the SDK has it."""
    return bool(context.secrets.get("SENTRY_DSN") or context.spec.environment.get("SENTRY_DSN"))


def requirements(context: Context) -> list[str]:
    """What is installed for it, unless the app itself brings the SDK."""
    return [SDK] if is_wanted(context) else []


def inputs(context: Context) -> dict[str, Any]:
    """What of it defines the release beside the variables; nothing for an app without a tracker."""
    return {"error_tracking": SDK} if is_wanted(context) else {}


def is_installed(venv: Path) -> bool:
    """Whether an environment that is being built has the SDK; the build may have made what is found there."""
    return any(
        trees.is_file(venv, f"lib/{python}/site-packages/{MODULE}/__init__.py") for python in trees.names(venv, "lib")
    )


def variables(context: Context, release: str) -> dict[str, str]:
    """What the SDK reads, and the names of the variables whose values must not leave the host; the user's win."""
    if not is_wanted(context):
        return {}
    return {
        "SENTRY_RELEASE": f"{context.app}@{release}",
        "SENTRY_ENVIRONMENT": "production",
        "GROUNDWORK_SECRETS": " ".join(sorted({*context.secrets, "SECRET_KEY"})),
    }


def failure_hint(context: Context) -> str:
    """What to do where the SDK cannot be installed."""
    wheels = "add its wheel to flask_apps.{app}.wheels, " if context.spec.wheels_archive else ""
    return (
        f"; SENTRY_DSN asks for {SDK}: {wheels}pin a version that fits in the app's requirements, or take SENTRY_DSN "
        "out of flask_app_secrets.{app}"
    ).format(app=context.app)
