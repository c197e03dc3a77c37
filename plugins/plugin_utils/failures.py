# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says of the apps for which something failed: each with its step, its reason, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
REMEDY = "Correct the cause and run again."


def of_releases(failed: Mapping[str, str], facts: Facts, unknown: Collection[str] = (), remedy: str = "") -> str:
    """The apps that were not deployed, each with its reason, then what their sites answer meanwhile; "" for none.

    :param failed: the reason of each.
    :param facts: what the module release returned: ``references``, and ``not_live``, those of which nothing is live.
    :param unknown: those of which it is not known whether anything is live.
    :param remedy: ends the message.
    """
    references, not_live = facts.get("references") or {}, facts.get("not_live") or []
    said = [
        f"{name}, number {references[name]}, {reason}" if references.get(name) else f"{name}, {reason}"
        for name, reason in failed.items()
    ]
    closing = []
    serving = [name for name in failed if name not in not_live and name not in unknown]
    if serving:
        closing.append(
            f"What was live of {', '.join(serving)} serves on." if not_live else "What was live before serves on."
        )
    if not_live:
        number = " and the number above" if any(references.get(name) for name in not_live) else ""
        site = "its site answers" if len(not_live) == 1 else "their sites answer"
        closing.append(f"No release of {', '.join(not_live)} is live: {site} with status 503{number}.")
    return "\n\n".join([*said, " ".join([*closing, remedy]).strip()]).strip() if said else ""


def of_proxy(served: Facts, provider: str) -> list[str]:
    """The sites that the proxy refused.

    :param served: what the module file_set returned for the sites.
    :param provider: the proxy's name.
    """
    refused, kept = served.get("refused") or {}, served.get("kept") or {}
    said = [f"The site {name} was left as it was: {provider} says: {why.strip()}" for name, why in refused.items()]
    said += [
        f"{unit} goes on as it was, because {provider} would not serve {', '.join(names)}."
        for unit, names in kept.items()
    ]
    if said:
        said.append(
            "Correct what is named there: a line of the site's `directives`, a file in its `certificate` directory, or "
            "a site that is neither in proxy_sites nor in proxy_absent."
        )
    return said


def message(release: Facts, served: Facts, certificate: Facts, backup: Facts, provider: str = "the proxy") -> str:
    """The message at the end of a run; empty when nothing failed.

    :param release: what the module release returned with ``defer_failures``.
    :param served: see :func:`of_proxy`, as for ``provider``.
    :param certificate: the fact of that role; its ``failures`` are lines, as are those of ``backup``.
    """
    said: Sequence[str] = [
        *([release["message"]] if release.get("message") else []),
        *of_proxy(served, provider),
        *(f"certificate: {failure}" for failure in certificate.get("failures") or ()),
        *(f"backup: {failure}" for failure in backup.get("failures") or ()),
    ]
    return "\n\n".join([*said, f"{REMEDY} What is not named here is up to date."]) if said else ""
