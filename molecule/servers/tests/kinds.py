"""The apps of the scenario: one for each server and each kind of its workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from visitor import Site

FULL = os.environ.get("TEST_FULL") == "1"


@dataclass(frozen=True)
class Kind:
    """An app of the scenario, by its server and the kind of its workers.

    :param app: its name.
    :param workers: its worker processes; None for (2 x cores) + 1.
    :param spreads: its workers share many requests at once among them, so that each can be found by asking.
    """

    app: str
    workers: int | None = 2
    spreads: bool = True

    @property
    def site(self) -> str:
        return f"{self.app.replace('_', '-')}.test"


GUNICORN, UWSGI, WAITRESS, MOD_WSGI = Kind("gunicorn", None), Kind("uwsgi"), Kind("waitress"), Kind("mod_wsgi")
SERVERS = [GUNICORN, UWSGI, WAITRESS, MOD_WSGI]
OTHERS = [  # which the hosts have in script/test full only
    Kind("gunicorn-sync", None),
    Kind("gunicorn-eventlet", spreads=False),
    Kind("gunicorn-gevent", spreads=False),
    Kind("uwsgi-gevent", spreads=False),
    Kind("uwsgi-processes", None),
    Kind("waitress-alone", 1),
]

MakeShop = Callable[[Kind], Site]


def each(kinds: Sequence[Kind], full: Sequence[Kind] = ()) -> pytest.MarkDecorator:
    """Has a test run once for each of these kinds, and in script/test full for each of those in `full`."""
    values = [pytest.param(kind, id=kind.app) for kind in kinds]
    values += [pytest.param(kind, id=kind.app, marks=pytest.mark.full) for kind in full]
    return pytest.mark.parametrize("kind", values)


FIGURES: list[str] = []  # what the test has counted, shown when all have run
