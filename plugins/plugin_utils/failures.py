# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says of the apps for which something failed: each with its step, its reason, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.handover import WAITS

Facts = Mapping[str, Any]
REMEDY = "Correct the cause and run again."


def of_releases(failed: Mapping[str, str], facts: Facts, unserved: Collection[str] = (), remedy: str = "") -> str:
    """The apps that were not deployed, each with its reason, then what their sites answer meanwhile; "" for none.

    :param failed: the reason of each.
    :param facts: what the module release returned: ``references``; ``not_live``, those of which nothing is live; and
        ``not_tried``, those of which this host does not know whether anything is.
    :param unserved: those whose sites the proxy has refused.
    :param remedy: ends the message.
    """
    references, not_live = facts.get("references") or {}, facts.get("not_live") or []
    paragraphs = [
        f"{name}, number {references[name]}, {reason}" if references.get(name) else f"{name}, {reason}"
        for name, reason in failed.items()
    ]
    closing = []
    serving = [name for name in failed if name not in (*not_live, *(facts.get("not_tried") or ()))]
    if serving:
        closing.append(
            f"What was live of {', '.join(serving)} serves on." if not_live else "What was live before serves on."
        )
    if answering := [name for name in not_live if name not in unserved]:
        number = " and the number above" if any(references.get(name) for name in answering) else ""
        site = "its site answers" if len(answering) == 1 else "their sites answer"
        closing.append(f"No release of {', '.join(answering)} is live: {site} with status 503{number}.")
    if silent := [name for name in not_live if name in unserved]:
        closing.append(f"No release of {', '.join(silent)} is live.")
    return "\n\n".join([*paragraphs, " ".join([*closing, remedy]).strip()]).strip() if paragraphs else ""


def of_proxy(served: Facts, provider: str) -> list[str]:
    """The sites that the proxy refused.

    :param served: what the module file_set returned for the sites.
    :param provider: the proxy's name.
    """
    refused, kept = served.get("refused") or {}, served.get("kept") or {}
    waiting = {name: why for name, why in refused.items() if why.startswith(WAITS)}
    paragraphs = [f"The site {name} was left as it was: {why.strip()}." for name, why in waiting.items()]
    wrong = [
        f"The site {name} was left as it was: {provider} says: {why.strip()}"
        for name, why in refused.items()
        if name not in waiting
    ]
    wrong += [
        f"{unit} goes on as it was, because {provider} would not serve {', '.join(names)}."
        for unit, names in kept.items()
    ]
    if wrong:
        wrong.append(
            "Correct what is named there: a line of the site's `directives`, a file in its `certificate` directory, or "
            "a site that is neither in proxy_sites nor in proxy_absent."
        )
    return paragraphs + wrong


def message(
    release: Facts,
    served: Facts,
    certificate: Facts,
    backup: Facts,
    provider: str = "the proxy",
    outside: Facts | None = None,
) -> str:
    """The message at the end of a run; empty when nothing failed.

    :param release: what the module release returned with ``defer_failures``: its ``failures`` and what
        :func:`of_releases` reads.
    :param served: see :func:`of_proxy`, as for ``provider``.
    :param certificate: the fact of that role; its ``failures`` are lines, as are those of ``backup``.
    :param outside: what ``verify_outside`` returned: its ``problems`` are sentences.
    """
    unreleased = of_releases(release.get("failures") or {}, release, served.get("refused") or {})
    paragraphs: Sequence[str] = [
        *([unreleased] if unreleased else []),
        *of_proxy(served, provider),
        *(f"certificate: {failure}" for failure in certificate.get("failures") or ()),
        *(f"backup: {failure}" for failure in backup.get("failures") or ()),
        *(f"from outside: {problem}" for problem in (outside or {}).get("problems") or ()),
    ]
    return "\n\n".join([*paragraphs, f"{REMEDY} What is not named here is up to date."]) if paragraphs else ""
