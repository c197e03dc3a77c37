"""The message at the end of a run in which something failed for an app."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.failures import failures
from ansible_collections.groundwork.flask.plugins.module_utils.handover import WAITS
from ansible_collections.groundwork.flask.plugins.plugin_utils.failures import of_releases

END = "Correct the cause and run again. What is not named here is up to date."


@pytest.mark.parametrize(
    ("failed", "not_live", "closing"),
    [
        (["shop"], [], "What was live before serves on."),
        (["shop"], ["shop"], "No release of shop is live: its site answers with status 503 and the number above."),
        (
            ["shop", "blog", "wiki"],
            ["blog", "wiki"],
            "What was live of shop serves on. No release of blog, wiki is live: their sites answer with status 503 and "
            "the number above.",
        ),
    ],
)
def test_what_serves_on_is_said_of_those_of_which_something_was_live(
    failed: list[str], not_live: list[str], closing: str
) -> None:
    facts = {"references": {name: f"{name}-1" for name in failed}, "not_live": not_live}
    said = of_releases(dict.fromkeys(failed, "step import: no"), facts)
    assert said.split("\n\n") == [*(f"{name}, number {name}-1, step import: no" for name in failed), closing]


def test_without_a_number_none_is_promised() -> None:
    said = of_releases({"shop": "step lock: busy"}, {"references": {"shop": ""}, "not_live": ["shop"]})
    assert said == "shop, step lock: busy\n\nNo release of shop is live: its site answers with status 503."


def test_of_what_is_not_known_nothing_is_said() -> None:
    facts = {"not_tried": ["shop"]}
    assert of_releases({"shop": "step command: elsewhere"}, facts) == "shop, step command: elsewhere"


def test_a_site_that_the_proxy_has_refused_is_not_said_to_answer_with_503() -> None:
    """The app that it was to take over from serves on."""
    release = {"failures": {"fakt": "step import: no", "blog": "step import: no"}, "not_live": ["fakt", "blog"]}
    waits = f"{WAITS} fact, but nothing answers. fact serves on. Deploy fakt first"
    said = failures(release, {"refused": {"fakt": waits}}).split("\n\n")
    assert said[2:] == [
        "No release of blog is live: its site answers with status 503. No release of fakt is live.",
        f"The site fakt was left as it was: {waits}.",
        END,
    ]


def test_nothing_failed() -> None:
    found: dict[str, Any] = {"failures": {}, "failed_apps": []}
    assert failures(found, {"refused": {}, "kept": {}}, {"failures": []}, {"failures": []}) == ""
    assert failures({}) == of_releases({}, {}) == ""


def test_everything_failed() -> None:
    said = failures(
        {"failures": {"shop": "step import: no"}},
        {"refused": {"blog": "[emerg] unknown directive\n"}, "kept": {"apache2.service": ["wiki"]}},
        {"failures": ["wiki: refused"]},
        {"failures": ["fact: `exit 7` ended with 7"]},
        "nginx",
    )
    assert said.split("\n\n") == [
        "shop, step import: no",
        "What was live before serves on.",
        "The site blog was left as it was: nginx says: [emerg] unknown directive",
        "apache2.service goes on as it was, because nginx would not serve wiki.",
        "Correct what is named there: a line of the site's `directives`, a file in its `certificate` directory, or a "
        "site that is neither in proxy_sites nor in proxy_absent.",
        "certificate: wiki: refused",
        "backup: fact: `exit 7` ended with 7",
        END,
    ]
