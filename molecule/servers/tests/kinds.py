"""The apps of the scenario: one for each server and each kind of its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from testing import Site


@dataclass(frozen=True)
class Kind:
    """An app of the scenario, by its server and the kind of its workers.

    :param app: its name.
    :param workers: its worker processes; None for (2 x cores) + 1.
    :param spreads: its workers share many requests at once among them, so that each can be found by asking.
    """

    app: str
    workers: int | None = None
    spreads: bool = True

    @property
    def site(self) -> str:
        return f"{self.app.replace('_', '-')}.test"


KINDS = [
    Kind("gunicorn"),
    Kind("gunicorn-sync"),
    Kind("gunicorn-gevent", spreads=False),
    Kind("gunicorn-eventlet", 2, spreads=False),
    Kind("uwsgi"),
    Kind("uwsgi-processes"),
    Kind("uwsgi-gevent", spreads=False),
    Kind("waitress"),
    Kind("waitress-alone", 1),
    Kind("mod_wsgi"),
]
SERVERS = [kind for kind in KINDS if kind.app in ("gunicorn", "uwsgi", "waitress", "mod_wsgi")]

MakeShop = Callable[[Kind], Site]

FIGURES: list[str] = []  # what the test has counted, shown when all have run
