# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays on the host of a deploy that failed: its reference, and the page of an app of which nothing is live.

The reference is the id of the refused release; where none was determined, a keyed hash of the reason, so that the same
fault has the same reference at every run. The play's message, the ledger, `releases` and `status` have it, and so has
the page, which says nothing else of the fault.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ..common.files import write
from .context import Context
from .identity import Identity, digest
from .ledger import LOG_KEPT

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>503 Not available yet</title>
</head>
<body>
<h1>Not available yet</h1>
<p>This site is being set up. Please try again later.</p>
<p>If you ask for help, give this number: <code>{reference}</code></p>
</body>
</html>
"""


def settle(context: Context, identity: Identity, error: dict[str, Any] | None) -> None:
    """Keep what a failed deploy leaves, and remove the page once a release is live.

    :param error: step, message and log of the failure, which get a ``reference``; None after a deploy that went well.
    """
    at = context.at
    is_own = not context.system.ownership(context.app, at.root).conflicts()  # else nothing of ours has its name
    with contextlib.suppress(OSError):  # the disk may be full, which is no reason to hide the first error
        if error and is_own:
            error["reference"] = identity.id or attempt(context, identity, error)
        if at.live():
            at.undeployed.unlink(missing_ok=True)
        elif error and is_own and at.home.exists():
            write(at.undeployed, PAGE.format(reference=error["reference"]), 0o644)


def attempt(context: Context, identity: Identity, error: dict[str, Any]) -> str:
    """The reference of a deploy that failed before its release was determined; the ledger has it from here on."""
    key, source = identity.secret_key, context.spec.source
    reason, log = key.masked(error["message"]), key.masked(error["log"])
    reference = digest(f"{context.app} {error['step']} {reason}", key.read())[:12]
    words = ("git", "directory", "archive", "package", "version")
    where = " ".join(source[word] for word in words if word in source)
    context.ledger.append(
        "bad", reference, by=context.settings.by, previous=context.at.live(), step=error["step"], source=where,
        version=source.get("version", ""), reason=reason, log=log[-LOG_KEPT:],
    )  # fmt: skip
    return reference
