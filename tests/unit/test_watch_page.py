# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's status page: what stands on it, and that nothing an app writes breaks it."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path
from ansible_collections.groundwork.flask.plugins.module_utils.watch.page import html
from ansible_collections.groundwork.flask.plugins.module_utils.watch.page_style import STYLE
from ansible_collections.groundwork.flask.plugins.module_utils.watch.publish import publish
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import App, Condition, Job, Look, Unit
from ansible_collections.groundwork.flask.plugins.module_utils.watch.settings import Settings
from ansible_collections.groundwork.flask.plugins.module_utils.watch.state import State
from ansible_collections.groundwork.flask.tests.unit.watch_looks import DAY, HOSTILE, NOW, day, trouble, well

VOID = {"meta", "link", "br", "hr", "img", "input"}
ELEMENTS = re.compile(
    "html|head|meta|link|title|style|body|main|header|div|h1|h2|h3|p|span|section|nav|a|b|bdi|time|pre|code|dl|dt|dd|u|i|"
    "table|tr|td|details|summary|figure|figcaption|svg|path|circle"
)


class Strict(HTMLParser):
    """Reads a page, and notes what is not well formed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _value in attrs}
        self.labels += [str(value) for name, value in attrs if name == "aria-label"]
        if not ELEMENTS.fullmatch(tag):
            self.problems.append(f"<{tag}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Strict:
    """The page, which must be well formed."""
    found = Strict()
    found.feed(page)
    found.close()
    assert found.problems == []
    assert found.open == []
    return found


def words(page: str) -> str:
    """What a reader sees, on one line."""
    return " ".join("".join(read(page.partition("<body>")[2].removesuffix("</body></html>")).text).split())


def test_all_is_well() -> None:
    """It says so first, and of which host."""
    page = html(well(), day(well()))
    assert "<title>All is well · web1</title>" in page
    assert "All is well on web1" in words(page)
    assert 'class="condition' not in page


def test_what_is_wrong_stands_first() -> None:
    """Critical before warning; each with since when, the line that says most, and the command to try."""
    look = trouble()
    shown = words(html(look, day(look)))
    assert "2 problems on web1" in shown
    assert shown.index("answers 500") < shown.index("The last backup is 3 days old") < shown.index("Machine")
    for text in ("12 min", "KeyError: 'price'", "shop1 logs --since -15min --level error", "25 h"):
        assert text in shown
    assert shown.index("#app-shop1" if "#app-shop1" in shown else "shop1") < shown.index("shop2")


def test_what_stands_of_an_app_and_of_the_machine() -> None:
    """Each value that a look has found."""
    shown = words(html(well(), day(well())))
    for text in (
        *("shop0up · shop0.example.org", "0a1b2c3d4e00 (v1.2)", "Live3 days ago", "200 in 12 ms", "From outside200"),
        *(
            "120 requests",
            "Memory150 MB",
            "Workers4",
            "ends in 61 days",
            "6 h ago",
            "7 of 100",
            "worker",
            "nightly",
            "success",
        ),
        *("next in 19 h", "Last deploys (5)", "ada", "0.42 on 2 cores", "2.0 GB of 4.0 GB", "18 GB of 40 GB"),
        *("15 % used", "12 days ago", "synchronized", "not needed"),
    ):
        assert text in shown


def test_pictures_have_words_and_numbers() -> None:
    """A reader who does not see them knows what they show."""
    page = html(well(), day(well()))
    assert {"Requests, last day", "Latency, last day", "Up, last day"} <= set(read(page).labels)
    shown = words(page)
    assert re.search(r"66 errors \(0.6 %\); at most 1\d\d in 15 min, at \d\d:\d\d UTC", shown)
    assert "Latency 49 ms95th percentile; median 38 ms, highest of the day 49 ms" in shown
    assert "Up 100 %at each of 287 looks" in shown


def test_an_app_that_was_down_is_not_shown_as_always_up() -> None:
    """What is missing is a number, and has its colour."""
    look = trouble()
    assert "Up 99.0 %3 looks of 287 found it down" in words(html(look, day(look)))


def test_a_page_that_is_no_longer_made_says_so() -> None:
    """The proxy writes the time of the request into the page; from then on the style counts."""
    page = html(well(), {})
    assert page.count('<!--#echo var="DATE_GMT" -->') == 2
    form = re.findall(r'timefmt="([^"]+)"', page)[1 - 1]
    for age, waits in ((0, 180), (100, 80), (3600, -3420)):
        served = time.strftime(form, time.gmtime(NOW + age))
        assert calculated(page, served) == waits
    assert "animation: late 1ms linear var(--wait) forwards" in page
    assert '<meta http-equiv="refresh" content="30">' in page
    assert calculated(html(well(), {}, interval=120), time.strftime(form, time.gmtime(NOW))) == 480


def calculated(page: str, served: str) -> float:
    """The seconds after which a page that was asked for then shows that it is old."""
    looked = re.search(r"--looked: calc(.*?);", page)
    patience = re.search(r"var\(--served\) \+ (\d+)\)", page)
    assert looked
    assert patience
    return arithmetic(looked[1]) - arithmetic(served.removeprefix("calc")) + int(patience[1])


def arithmetic(expression: str) -> float:
    """The value of numbers with brackets, + - and *; leading zeros are CSS's."""
    assert re.fullmatch(r"[\d+*() -]+", expression)
    return float(eval(re.sub(r"\b0+(?=\d)", "", expression)))  # noqa: S307 - numbers and operators only


def test_nothing_that_an_app_writes_breaks_it() -> None:
    """Names, messages, log lines, versions, errors: all of them hostile."""
    hostile = App(
        state=HOSTILE,  # type: ignore[arg-type]
        domains=[HOSTILE] * 5,
        release=HOSTILE,
        version=HOSTILE + "2",
        outside_error=HOSTILE,
        server=Unit(HOSTILE),
        processes={HOSTILE: Unit(HOSTILE, None, 5)},
        jobs={HOSTILE: Job(HOSTILE, 1e30, -1e30, float("1e300"))},
        since=1e18,
        deploys=[{"release": HOSTILE, "version": HOSTILE, "state": HOSTILE, "by": HOSTILE, "time": HOSTILE}] * 50,
    )
    look = Look(NOW, HOSTILE, apps={"shop": hostile, HOSTILE: hostile})
    look.machine.failed_units = [HOSTILE] * 100
    look.machine.disks = [{"mount": HOSTILE, "size": 1, "free": 1, "inodes": 1}]
    look.conditions = [Condition(HOSTILE, HOSTILE, HOSTILE, HOSTILE * 50, HOSTILE * 50, HOSTILE * 50, "critical", NOW)]
    page = html(look, {HOSTILE: []})
    found = read(page)
    assert not found.attributes & {"onload", "onerror", "onclick"}
    assert "<script" not in page
    assert page.count("<!--#") == 4
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert len(page.encode()) < 100_000
    page.encode()


def test_a_sparse_look_is_shown() -> None:
    """The first look after a boot knows little."""
    shown = words(html(Look(NOW, "web1", apps={"shop": App()}), {}))
    assert "no release is live" in shown
    assert words(html(Look(NOW, "web1"), {}))


@pytest.mark.parametrize(("left", "text"), [(2 * DAY - 60, "ends in 48 h"), (-5, "has ended")])
def test_a_certificate_near_its_end(left: float, text: str) -> None:
    """It stands out."""
    look = well()
    look.apps["shop0"] = replace(look.apps["shop0"], certificate_expires=NOW + left)
    page = html(look, {})
    assert text in words(page)
    assert '<dd class="critical">' in page


def test_ten_apps_cost_little() -> None:
    """Each look makes the page: its size, and CPU."""
    look = well(10)
    history = day(look)
    best = 1.0
    for _time in range(5):
        began = time.thread_time()
        page = html(look, history)
        best = min(best, time.thread_time() - began)
    assert len(page.encode()) < 100_000
    assert best < 0.5  # 0.010 on a quiet machine


def test_loads_nothing() -> None:
    """No script, no request to anywhere, and no way to be framed or to be asked for more."""
    page = html(well(2), day(well(2)))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'" in page
    assert not re.search(r"""(src|action)=|url\(|@import|href="(?!#|data:)""", page)
    assert '<html lang="en">' in page


def test_it_is_written_where_the_proxy_reads_it_and_removed_when_it_is_not_wanted(tmp_path: Path) -> None:
    """Each look adds to the history."""
    state = State(tmp_path)
    page = path("status", root=tmp_path) / "index.html"
    page.parent.mkdir(parents=True)
    state.directory.mkdir(parents=True)
    publish(well(), {}, Settings(page=True), state)
    publish(replace(well(), time=NOW + 30), well().plain(), Settings(page=True, interval=120), state)
    assert "All is well on web1" in words(page.read_text())
    assert "of 2 looks" in words(page.read_text())
    assert "Requests 4,000" in words(page.read_text())
    assert 'content="120"' in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o644
    assert (state.directory / "history.json").stat().st_mode & 0o777 == 0o600
    publish(well(), {}, Settings(), state)
    publish(well(), {}, Settings(), state)
    assert list(page.parent.iterdir()) == []


def luminance(colour: str) -> float:
    """The relative luminance of a colour, as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_every_text_can_be_read(scheme: int) -> None:
    """In light and in dark colours, with the contrast that WCAG 2 asks of small text (AA, 4.5)."""
    colours = [dict(re.findall(r"--([\w-]+): (#\w{3,6})\b", block)) for block in re.findall(r":root {[^}]*}", STYLE)][
        scheme
    ]
    grounds = ("page", "card", "warning-soft", "critical-soft")
    pairs = [(front, ground) for front in ("text", "soft") for ground in grounds]
    pairs += [("critical", "card"), ("warning", "card"), ("sign", "ok"), ("sign", "warning"), ("sign", "critical")]
    for front, ground in pairs:
        light, dark = sorted((luminance(colours[front]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, ground)
