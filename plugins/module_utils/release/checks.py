# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a release: what keeps it from going live, what deserves a warning, and what to do about either.

Every check has a name by which an app can switch it off (``skip_checks``).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..common.text import line, visible
from .environment import literal_references
from .errors import TRACEBACK, ReleaseError, megabytes
from .unix_http import Response

# A process that does not stay up ends within seconds: a missing table, a port that is taken, memory that runs out.
STABLE_SECONDS = 3.0
OWN_KEY_REMEDY = "leave SECRET_KEY out of the code and read it from the environment, which has a good one"


@dataclass(frozen=True)
class FailedCheck:
    """A check that a release did not pass.

    :ivar check: its name.
    :ivar text: what is wrong and what to do.
    :ivar error: it keeps the release from going live; else it is a warning.
    """

    check: str
    text: str
    error: bool = False


MIGRATION_HEAD = re.compile(r"[\w.-]{1,64}")
# Not by packaging, which a host does not have.
VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?!\d)[\w.+!-]{0,30}", re.ASCII)
OWN_KEY = re.compile(r"(?:[0-9a-f]{16})?")
# The facts that the probe reports of a Flask app, and what each may be: the app could print anything in its place.
FACTS: Mapping[str, Callable[[Any], bool]] = {
    "flask": lambda value: isinstance(value, str) and bool(VERSION.fullmatch(value)),
    "debug": lambda value: isinstance(value, bool),
    "secret_key": lambda value: value in ("missing", "sample", "short", "poor", "good"),
    "own_key": lambda value: isinstance(value, str) and bool(OWN_KEY.fullmatch(value)),
    "fallbacks": lambda value: isinstance(value, bool),
    "session_cookie_secure": lambda value: isinstance(value, bool),
    "max_content_length": lambda value: value is None or (type(value) in (int, float) and 0 <= value < 2**63),
    "server_error": lambda value: isinstance(value, str),
    "migration_heads": lambda value: (
        value is None
        or (
            isinstance(value, list)
            and len(value) < 100
            and all(isinstance(head, str) and MIGRATION_HEAD.fullmatch(head) for head in value)
        )
    ),
}


def read(answer: str) -> dict[str, Any]:
    """Read the facts that the probe printed; empty for an app that is none of Flask's. Output may follow them.

    :raises ReleaseError: when that is nothing a probe prints.
    """
    try:
        facts = json.JSONDecoder().raw_decode(answer)[0]
    except (ValueError, RecursionError):
        facts = None
    if facts == {}:
        return {}
    if not isinstance(facts, dict) or facts.keys() != FACTS.keys():
        raise ReleaseError("import", "the result of the app's import cannot be read: does the app print at exit?")
    for name, fits in FACTS.items():
        if not fits(facts[name]):
            raise ReleaseError("import", f"the app's import reports an impossible {name}: {line(repr(facts[name]))}")
    return {**facts, "server_error": line(facts["server_error"])}


def of_app(facts: Mapping[str, Any], body_limit: int, fallbacks: bool, debug: bool) -> Iterator[FailedCheck]:
    """What the app's own settings say (see ``probe.py``).

    :param body_limit: the largest request body the proxy lets through, in bytes; 0 for any.
    :param fallbacks: former SECRET_KEYs are still accepted.
    :param debug: the user insists on debug mode.
    """
    if not facts:
        return
    if facts["debug"] and not debug:
        yield FailedCheck(
            "debug", "the app is in debug mode, which shows visitors the app's internals and lets them run code", True
        )
    yield from of_secret_key(facts["secret_key"])
    yield from of_fallbacks(facts, fallbacks)
    if facts["secret_key"] != "missing" and not facts["session_cookie_secure"]:  # noqa: S105 - a verdict, no key
        yield FailedCheck(
            "session_cookie",
            "the session cookie may travel unencrypted: set SESSION_COOKIE_SECURE = True in the app's configuration",
        )
    limit = facts["max_content_length"]
    if limit and body_limit and limit > body_limit:
        yield FailedCheck(
            "upload_limit",
            f"the app takes uploads up to {megabytes(limit)} (MAX_CONTENT_LENGTH), and the proxy "
            f"{megabytes(body_limit)} only: raise proxy.client_max_body_size",
        )
    if facts["server_error"] == "traceback":
        yield FailedCheck(
            "server_error",
            "when the app breaks, visitors see its traceback: answer errors with a page of your own",
            True,
        )
    elif facts["server_error"] == "message":
        yield FailedCheck(
            "server_error",
            "when the app breaks, visitors see the message of the exception, which may tell of its internals: answer "
            "errors with a text of your own",
        )
    elif facts["server_error"]:
        yield FailedCheck("server_error", f"the app's own handler of errors is broken: {facts['server_error']}")


def of_environment(environment: Mapping[str, str]) -> Iterator[FailedCheck]:
    """Check that no variable is left with the name of another one in it."""
    for name, references in literal_references(environment).items():
        yield FailedCheck(
            "environment",
            f"environment.{name}: {line(', '.join(references))} stays as it is written, for only $DATA_DIR and "
            "$RELEASE_DIR are replaced: write the value itself",
        )


def of_imports(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[FailedCheck]:
    """Check that two imports of the app, each in a process of its own, have the same SECRET_KEY."""
    if first.get("own_key") != second.get("own_key"):
        yield FailedCheck(
            "secret_key",
            "the app makes another SECRET_KEY each time it starts, so each of its processes has one of its own and "
            f"logs out the visitors of the others: {OWN_KEY_REMEDY}",
            True,
        )


def of_secret_key(verdict: str) -> Iterator[FailedCheck]:
    """Check the app's SECRET_KEY, of which ``probe.py`` has the verdict."""
    faults = {
        "sample": "is one that stands in documentation, so anybody can forge sessions",
        "short": "has fewer than 16 characters, so it can be guessed, and sessions forged with it",
        "poor": "consists of less than 8 different characters, so it can be guessed, and sessions forged with it",
    }
    if fault := faults.get(verdict):
        yield FailedCheck("secret_key", f"the app's SECRET_KEY {fault}: {OWN_KEY_REMEDY}", True)
    elif verdict == "missing":
        yield FailedCheck(
            "secret_key",
            "the app has no SECRET_KEY, so sessions and flashed messages fail: "
            'set app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]',
        )


def of_fallbacks(facts: Mapping[str, Any], fallbacks: bool) -> Iterator[FailedCheck]:
    """Check that Flask can do with former SECRET_KEYs what is asked of it."""
    if (fallbacks or facts["fallbacks"]) and facts["flask"] == "3.1.0":
        yield FailedCheck(
            "fallbacks",
            "Flask 3.1.0 signs with the wrong key when there are SECRET_KEY_FALLBACKS (CVE-2025-47278): take 3.1.1",
            True,
        )
    elif fallbacks and (found := VERSION.fullmatch(facts["flask"])) and (int(found[1]), int(found[2])) < (3, 1):
        yield FailedCheck(
            "fallbacks",
            f"Flask {facts['flask']} knows no SECRET_KEY_FALLBACKS: the change of SECRET_KEY logs everybody out; "
            "Flask 3.1.1 would not",
        )


def of_answers(ask: Callable[[str], Response], host: str, health_path: str, prefix: str = "") -> Iterator[FailedCheck]:
    """Check how a running server answers; ``prefix`` is the path below which the app lives."""
    at_home = ask(health_path)
    if 300 <= at_home.status < 400:
        to = urlsplit(at_home.location)
        path = f"{to.path or '/'}{'?' + to.query if to.query else ''}"
        if to.scheme == "https" and to.netloc == host and path == health_path:
            yield FailedCheck(
                "https",
                f"{health_path} redirects to itself: the app does not see that the visitor came over https. "
                "Leave proxy_fix on, or apply werkzeug's ProxyFix in the app",
                True,
            )
        elif to.scheme == "http" and to.netloc == host:
            yield FailedCheck("https", f"{health_path} redirects to {line(at_home.location)}, which is not https")
        elif to.path and not to.netloc and path == health_path:
            yield FailedCheck(
                "health_path",
                f"{health_path} redirects to itself, so it does not tell whether the app is well, and whoever has no "
                "cookies gets no page: set health_path to a page that visitors get",
            )
    if 400 <= at_home.status < 500:
        yield FailedCheck(
            "health_path",
            f"{health_path} is answered with {at_home.status}, so it does not tell whether the app is well: set "
            f"health_path to a page that visitors get. The answer begins: {visible(at_home.body)}",
        )
    lost = ask(f"{prefix}/groundwork-{secrets.token_hex(8)}")
    if TRACEBACK in lost.body or "Werkzeug Debugger" in lost.body:
        yield FailedCheck("not_found", "a page that is not there is answered with a traceback", True)
    elif lost.status >= 500:
        yield FailedCheck("not_found", f"a page that is not there is answered with {lost.status} instead of 404")


# How the text of a check that was not passed ends.
SWITCH = " (or, to switch this check off: `skip_checks: [{}]`)"


def without(texts: Iterable[str], skipped: Iterable[str]) -> list[str]:
    """The texts that :func:`judge` has made, but those of checks that are switched off since."""
    ends = tuple(SWITCH.format(check) for check in skipped)
    return [text for text in texts if not text.endswith(ends)]


def judge(findings: Iterable[FailedCheck], skipped: Iterable[str]) -> tuple[list[str], list[str]]:
    """The errors and the warnings, each with the way to switch its check off."""
    left = [finding for finding in findings if finding.check not in set(skipped)]
    texts = {finding: finding.text + SWITCH.format(finding.check) for finding in left}
    return [texts[f] for f in left if f.error], [texts[f] for f in left if not f.error]
