# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The apps through their public names: at this host's own web server, and where the names lead.

What is wrong with the web server is told once, of the host; what only the second way meets (a record of DNS, a
firewall, a balancer), of the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .ask import Answer, Question
from .settings import Watched

LOOPBACK = "127.0.0.1"
# Names that are in no public DNS (RFC 2606 and 6761): that they have no address is right.
RESERVED = ("test", "example", "invalid", "localhost", "local", "internal")
HTTPS = 443


@dataclass
class Outside:
    """What came of it.

    :ivar here: the answers of this host's own web server, by app.
    :ivar there: those of where the names lead; without what is not asked.
    """

    here: dict[str, Answer] = field(default_factory=dict)
    there: dict[str, Answer] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Whether nothing listens where the web server should."""
        return bool(self.here) and all(one.status is None and not one.certificate for one in self.here.values())

    @property
    def has_no_resolver(self) -> bool:
        """Whether no name could be looked up, for want of an answer."""
        return bool(self.there) and all(one.is_resolver for one in self.there.values())


def questions(app: Watched) -> dict[str, Question]:
    """What is asked for one app; nothing for one that has no domain."""
    if not app.domains:
        return {}
    domain = app.domains[0]  # which is no wildcard
    found = {"here": Question(domain, app.health_path, (LOOPBACK, HTTPS), tls=True)}
    if app.alerts.outside:
        found["there"] = Question(domain, app.health_path, (domain, HTTPS), tls=True)
    return found


def questions_of(apps: Mapping[str, Watched]) -> dict[str, Question]:
    """The questions of all of them, each named for its way and its app, as in ``here/shop``."""
    return {f"{way}/{app.name}": one for app in apps.values() for way, one in questions(app).items()}


def sorted_by_way(apps: Mapping[str, Watched], answers: Mapping[str, Answer]) -> Outside:
    """The answers to these questions."""
    outside = Outside()
    for key, answer in answers.items():
        way, _slash, name = key.partition("/")
        if way == "here":
            outside.here[name] = answer
        elif way == "there" and not (answer.unresolved and apps[name].domains[0].rpartition(".")[2] in RESERVED):
            outside.there[name] = answer
    return outside


def verdict(here: Answer | None, there: Answer | None) -> Answer | None:
    """The one that says most of an app as a visitor meets it: where its name leads, else this host's own."""
    return there or here


def is_bad(answer: Answer | None) -> bool:
    """Whether a visitor would say that the site is down."""
    return answer is not None and (answer.status is None or answer.status >= 500)
