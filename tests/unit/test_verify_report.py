"""The report of `verify`: order, lines, JSON, and a page on which nothing that a host or an app says is markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import verify_page, verify_picture, verify_report

EVIL = "<script>alert(1)</script>\n\"'&{{ 7 * 7 }}\x1b[31m\u202e"


def finding(check: str, subject: str, state: str, message: str = "Said.", remedy: str = "") -> dict[str, str]:
    return {"check": check, "subject": subject, "state": state, "message": message, "remedy": remedy}


LOOK: dict[str, Any] = {
    "findings": [
        finding("sshd", "host", "ok"),
        finding("updates", "host", "warning", "A reboot is pending.", "Run `reboot`."),
        finding("clock", "host", "unchecked", "Not looked at: in a container."),
        finding("release", "shop", "ok"),
        finding("backup", "shop", "problem", "The last backup is 3 days old.", "Run it."),
        finding("release", "blog", "ok"),
    ],
    "facts": {
        "host": {
            "distribution": "Debian GNU/Linux 13",
            "uptime": 864000,
            "cores": 2,
            "load": [0.1, 0.2, 0.5],
            "memory": {"total": 4 * 2**30, "available": 2**30},
            "disks": [{"path": "/", "total": 100 * 2**30, "free": 10 * 2**30}],
        },
        "apps": {
            "shop": {"release": "4f1c2a", "since": "2026-11-28T09:14:02Z", "workers": 5, "memory": 412 * 2**20,
                     "processes": {"worker": {"running": 2, "wanted": 2}}, "jobs": {"nightly": {"result": "success"}},
                     "backup": {"last": "2026-11-27T02:31:10Z"}},
            "blog": {"release": "b71e03"},
        },
    },
}  # fmt: skip
VISIT: dict[str, Any] = {
    "findings": [finding("public_health", "shop", "ok")],
    "answers": {"shop": {"status": 200, "seconds": 0.02, "certificate": {"days": 61}}},
    "declared": {
        "proxy": "nginx",
        "firewall": True,
        "ports": ["22", "80", "443"],
        "apps": {"shop": {"database": "postgresql", "redis": ["queue"]}, "blog": {"database": ""}},
    },
}
DOWN: dict[str, Any] = {"unreachable": True, "msg": f"Task failed: no route {EVIL * 50}"}


def test_what_is_wrong_comes_first_and_green_subjects_are_one_line() -> None:
    hosts = [verify_report.read("one", LOOK, VISIT)]
    assert verify_report.lines(hosts) == [
        "one: 1 problem, 1 warning, 4 all right, 1 not checked",
        "  PROBLEM shop: backup",
        "    The last backup is 3 days old.",
        "    -> Run it.",
        "  WARNING host: updates",
        "    A reboot is pending.",
        "    -> Run `reboot`.",
        "  not checked host: clock: Not looked at: in a container.",
        "  ok host: sshd",
        "  ok shop: release, public_health",
        "  ok blog: release",
    ]
    assert hosts[0].fails() == ["one has 1 problem. The report above says what to do."]
    assert hosts[0].fails(strict=True)[0].startswith("one has 1 problem and 1 warning.")


def test_the_host_comes_before_its_apps() -> None:
    found = {"findings": [finding("release", "blog", "problem"), finding("units", "host", "problem")]}
    assert [one.subject for one in verify_report.read("one", found, {}).findings] == ["host", "blog"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Run `a b`, then `c`.", "Run <code>a b</code>, then <code>c</code>."),
        ("A ` alone, `<b>`", "A <code> alone, </code>&lt;b&gt;`"),
        ("<i> & `", "&lt;i&gt; &amp; `"),
    ],
)
def test_what_stands_between_backticks_is_code(text: str, shown: str) -> None:
    assert verify_page.code(text) == shown


def test_the_box_of_the_proxy_says_which_certificates_need_attention() -> None:
    bad = {**VISIT, "findings": [finding("certificate", "shop", "warning")]}
    box = verify_picture.of_proxy(verify_report.read("one", LOOK, bad))
    assert box.lines == ("certificates:", "look at 1 of 1")
    silent = {**VISIT, "answers": {"shop": {"status": 0}}}
    assert verify_picture.of_proxy(verify_report.read("one", LOOK, silent)).lines == ("does not answer",)


def test_a_database_is_judged_by_its_apps_services_too() -> None:
    stopped = finding("services", "shop", "problem", "postgresql.service is stopped.")
    for one, state in ((finding("services", "shop", "ok"), "ok"), (stopped, "problem")):
        host = verify_report.read("one", {"findings": [one]}, VISIT)
        assert verify_picture.data_state(host, "postgresql") == state


def test_one_app_and_the_host() -> None:
    report = verify_report.read("one", LOOK, VISIT, ["blog"])
    assert {one.subject for one in report.findings} == {"host", "blog"}
    assert list(report.facts["apps"]) == ["blog"]
    assert report.state == "warning"


def test_a_host_that_is_not_reached_is_a_problem_of_its_own() -> None:
    hosts = [verify_report.read("down", DOWN, {}), verify_report.read("one", LOOK, VISIT)]
    data = verify_report.as_data(hosts, "2026-11-30T06:31:00Z")
    assert [(name, host["state"], host["reached"]) for name, host in data["hosts"].items()] == [
        ("down", "problem", False), ("one", "problem", True),
    ]  # fmt: skip
    assert verify_report.lines(hosts)[2].startswith("    Ansible does not reach down: no route <script>")


@pytest.mark.parametrize("looked", [{}, {"failed": True, "msg": "flask_apps.shop.sorce is not an option"}])
def test_a_host_that_could_not_be_looked_at(looked: dict[str, Any]) -> None:
    report = verify_report.read("one", looked, {"failed": True, "msg": "no"})
    assert [(one.check, one.state) for one in report.findings] == [("look", "problem"), ("visit", "problem")]
    assert str(looked.get("msg", "")) in report.findings[0].message


def test_the_json_has_these_keys() -> None:
    data = verify_report.as_data([verify_report.read("one", LOOK, VISIT)], "2026-11-30T06:31:00Z")
    assert list(data) == ["format", "time", "state", "counts", "hosts"]
    assert data["counts"] == {"problem": 1, "warning": 1, "unchecked": 1, "ok": 4}
    assert list(data["hosts"]["one"]) == ["state", "reached", "findings", "facts", "public"]
    assert list(data["hosts"]["one"]["findings"][0]) == ["check", "subject", "state", "message", "remedy"]


TAGS = (
    "html head meta title style body main header div h1 p time section h2 span svg g circle path rect text h3 b br "
    "details summary table tr td u i"
)


class Reading(HTMLParser):
    """What of a page is markup, and what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.seen = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.seen += data


def test_the_page_loads_nothing_and_draws_both_pictures() -> None:
    text = verify_page.page([verify_report.read("one", LOOK, VISIT)], "2026-11-30 06:31 UTC")
    page = Reading(text)
    assert not [tag for tag, attributes in page.tags if {"src", "href", "srcset"} & attributes.keys()]
    assert "url(" not in text
    assert "@import" not in text
    pictures = [
        attributes for tag, attributes in page.tags if tag == "svg" and "picture" in str(attributes.get("class"))
    ]
    assert [attributes["class"] for attributes in pictures] == ["picture wide", "picture narrow"]
    for shown in ("Visitors", "Firewall", "Nginx", "shop", "blog", "PostgreSQL", "Redis", "Backup", "release 4f1c2a",
                  "5 workers, 412 MB", "worker 2/2, nightly ok", "Disk /", "90 %", "1 problem on one"):  # fmt: skip
        assert shown in page.seen


def test_whatever_a_host_says_is_text() -> None:
    evil_app = {
        "release": EVIL,
        "since": EVIL,
        "workers": EVIL,
        "processes": {EVIL: EVIL},
        "jobs": {EVIL: {"result": EVIL}},
    }
    looked = {
        "findings": [finding(EVIL, EVIL, "problem", EVIL, EVIL), finding(EVIL, "shop", EVIL, EVIL), "none", 7],
        "facts": {
            "host": {
                "distribution": EVIL,
                "disks": [{"path": EVIL, "total": 5, "free": EVIL}, 7],
                "load": EVIL,
                "memory": EVIL,
            },
            "apps": {EVIL: evil_app, "shop": EVIL},
        },
    }
    visited = {
        "answers": {EVIL: EVIL, "shop": {"status": EVIL}},
        "declared": {"proxy": EVIL, "ports": [EVIL], "apps": {EVIL: 3}},
    }
    hosts = [verify_report.read(EVIL, looked, visited), verify_report.read("down", DOWN, {})]
    text = verify_page.page(hosts, "now")
    page = Reading(text)
    assert {tag for tag, _attributes in page.tags} <= {*TAGS.split()}
    assert not [name for _tag, attributes in page.tags for name in attributes if name.startswith("on")]
    for shown in (text, "".join(verify_report.lines(hosts))):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "49" not in re.sub(r"\d{3,}", "", page.seen)  # no template in it was rendered
    assert all("\n" not in line and len(line) < 180 for line in verify_report.lines(hosts))


def test_boxes_do_not_overlap_and_stay_on_the_page() -> None:
    apps = {f"app{number}": {"database": "postgresql" if number % 2 else ""} for number in range(40)}
    visited = {**VISIT, "declared": {**VISIT["declared"], "apps": apps}}
    found = verify_picture.boxes(verify_report.read("one", LOOK, visited))
    assert sum(box.kind == "app" for box in found) == verify_picture.MOST_APPS + 1
    for drawing in (verify_picture.wide(found), verify_picture.narrow(found)):
        assert drawing.links
        for number, box in enumerate(drawing.boxes):
            assert 0 <= box.x <= box.x + box.width <= drawing.width
            assert 0 <= box.y <= box.y + box.height <= drawing.height
            for other in drawing.boxes[:number]:
                beside = box.x >= other.x + other.width or other.x >= box.x + box.width
                assert beside or box.y >= other.y + other.height or other.y >= box.y + box.height
