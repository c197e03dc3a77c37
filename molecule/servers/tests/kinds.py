"""The apps of the scenario: one for each server and each kind of its workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from testing import Site


@dataclass(frozen=True)
class Kind:
    """An app of the scenario, by its server and the kind of its workers.

    :param app: its name.
    :param suite: the Debian release, and with it the proxy, that alone has it; empty for both.
    :param workers: its worker processes; None for (2 x cores) + 1.
    :param spreads: its workers share many requests at once among them, so that each can be found by asking.
    """

    app: str
    suite: str = ""
    workers: int | None = None
    spreads: bool = True

    @property
    def site(self) -> str:
        return f"{self.app.replace('_', '-')}.test"


SERVERS = [Kind("gunicorn"), Kind("uwsgi"), Kind("waitress"), Kind("mod_wsgi")]
OTHERS = [
    Kind("gunicorn-sync", "bookworm"),
    Kind("gunicorn-eventlet", "bookworm", 2, spreads=False),
    Kind("uwsgi-gevent", "bookworm", 2, spreads=False),
    Kind("gunicorn-gevent", "trixie", 2, spreads=False),
    Kind("uwsgi-processes", "trixie"),
    Kind("waitress-alone", "trixie", 1),
]

MakeShop = Callable[[Kind], Site]


def each(kinds: Sequence[Kind]) -> pytest.MarkDecorator:
    """Has a test run once for each of them, where they are."""
    values = [
        pytest.param(kind, id=kind.app, marks=[pytest.mark.suite(kind.suite)] if kind.suite else []) for kind in kinds
    ]
    return pytest.mark.parametrize("kind", values)


FIGURES: list[str] = []  # what the test has counted, shown when all have run
