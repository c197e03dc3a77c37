"""How many apps are deployed at the same time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.side_by_side import side_by_side, slots


@pytest.mark.parametrize(
    ("cores", "megabytes", "number"),
    [(2, 8000, 2), (4, 2100, 2), (1, 8000, 1), (8, 900, 1), (8, 0, 1), (2, None, 1)],
)
def test_a_build_for_each_gibibyte_and_no_more_than_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, megabytes: int | None, number: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    if megabytes is not None:
        (tmp_path / "proc").mkdir()
        text = f"MemTotal:       99999999 kB\nMemAvailable:   {megabytes * 1024} kB\n"
        (tmp_path / "proc/meminfo").write_text(text)
    assert slots(tmp_path) == number


@pytest.mark.parametrize("number", [1, 3])
def test_so_many_at_once_and_the_outcomes_in_order(number: int) -> None:
    lock, at_work, most = threading.Lock(), 0, 0
    together = threading.Barrier(number, timeout=60)

    def act(item: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        if item < number:
            together.wait()  # broken unless all of them are there
        time.sleep(0.05 * (6 - item))
        with lock:
            at_work -= 1
        return item * 10

    assert side_by_side(act, range(6), number) == [0, 10, 20, 30, 40, 50]
    assert most == number


def test_a_fault_in_one_lets_the_others_end() -> None:
    ended: list[int] = []

    def act(item: int) -> None:
        if item == 0:
            raise RuntimeError("fault")
        ended.append(item)

    with pytest.raises(RuntimeError, match="fault"):
        side_by_side(act, range(3), 2)
    assert sorted(ended) == [1, 2]
    assert side_by_side(act, [], 2) == []
