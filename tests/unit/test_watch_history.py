# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last day of each app, as the watch keeps it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch import history
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import BUCKETS, SLOT, App, Look, Slot
from ansible_collections.groundwork.flask.tests.unit.watch_looks import requests

START = 1_795_000_200  # the beginning of a slot


def look(when: float, total: int = 0, errors: int = 0, state: str = "up") -> Look:
    """A look at one app."""
    return Look(when, "web1", apps={"shop": App(state=state, requests=requests(total, errors))})  # type: ignore[arg-type]


def test_counts_what_is_new_in_each_slot() -> None:
    """Two looks in one slot and one in the next: each request is in one of them."""
    first, second, third = look(START, 10, 1), look(START + 30, 30, 1, "down"), look(START + SLOT, 35, 4)
    kept = history.add({}, None, first)
    kept = history.add(kept, first, second)
    kept = history.add(kept, second, third)
    one, two = kept["shop"]
    assert (one.start, one.requests, one.errors, one.looks, one.down) == (START, 30, 1, 2, 1)
    assert (two.start, two.requests, two.errors, two.looks, two.down) == (START + SLOT, 5, 3, 1, 0)
    assert one.p50 == pytest.approx(0.0375)  # all are within (25, 50] ms
    assert one.p95 == pytest.approx(0.0488, abs=1e-4)


def test_percentiles_are_those_of_the_whole_slot() -> None:
    """Of fast requests in one look and slow ones in the next, the median lies between."""
    first, second = look(START, 90), look(START + 30, 90)
    second.apps["shop"].requests.total = 100
    second.apps["shop"].requests.buckets[-1] += 10  # ten more between 5 and 10 s
    kept = history.add(history.loads(history.dumps(history.add({}, None, first))), first, second)
    slot = kept["shop"][0]
    assert slot.requests == 100
    assert 0 < (slot.p50 or 0) <= 0.05
    assert 5 < (slot.p95 or 0) <= 10


def test_is_bounded_to_a_day_and_to_the_apps_there_are() -> None:
    """The oldest slots go, those of a wrong clock's future too, and an app that is no longer looked at."""
    old = [Slot(START - number * SLOT, 1) for number in range(400, 0, -1)]
    future = [Slot(START + DAYS, 1) for DAYS in (SLOT, 86400 * 900)]
    kept = history.add({"shop": [*old, *future], "gone": old}, None, look(START, 1))
    assert list(kept) == ["shop"]
    assert len(kept["shop"]) == history.SLOTS
    assert kept["shop"][0].start == START - 287 * SLOT
    assert kept["shop"][-1].start == START


def test_counters_that_began_anew_count_from_zero() -> None:
    """The watch's state was removed, or the app is new."""
    kept = history.add({}, look(START, 1000), look(START + 30, 7))
    assert kept["shop"][0].requests == 7
    kept = history.add({}, Look(START, "web1"), look(START + 30, 7))
    assert kept["shop"][0].requests == 7


def test_is_kept_and_read_again() -> None:
    """Nothing is lost; only the open slot has its buckets."""
    kept: history.History = {}
    before = None
    for number in range(3):
        now = look(START + number * SLOT, number * 10)
        kept, before = history.add(kept, before, now), now
    again = history.loads(history.dumps(kept))
    assert again == kept
    assert [bool(slot.buckets) for slot in again["shop"]] == [False, False, True]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"shop": 3}', '{"shop": [[1,2,3,4,5,6,7,8,9,10]]}', "null"])
def test_a_damaged_file_is_an_empty_history(text: str) -> None:
    """Pictures are missing then, and the look goes on."""
    assert history.loads(text) == {}


def test_a_day_of_ten_apps_is_small() -> None:
    """It is read and written at each look."""
    slots = [Slot(START + number * SLOT, 12345, 12, 0.0375, 1.2345, 10, 0) for number in range(history.SLOTS)]
    text = history.dumps({f"shop{number}": slots for number in range(10)})
    assert len(text) < 160_000
    assert len(json.loads(text)) == 10


def test_quantiles() -> None:
    """Without requests there is none; above the last bound it is that bound."""
    assert history.quantile([0] * len(BUCKETS), 0, 0.5) is None
    assert history.quantile([0] * len(BUCKETS), 3, 0.5) == BUCKETS[-1]
    assert history.quantile([4] * len(BUCKETS), 4, 0.5) == pytest.approx(0.0025)
