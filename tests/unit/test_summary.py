"""What a person reads at the end of a run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.plugins.plugin_utils.summary import summarize

APPS: dict[str, Any] = {"shop": {"source": {"git": "x"}, "wsgi_app": "shop:app", "domains": ["shop.example.org"]}}
RELEASE: dict[str, Any] = {
    "apps": {
        "shop": {
            "action": "deployed",
            "release": "aaaabbbbcccc",
            "previous": "111122223333",
            "source": "x v1 (0123456789)",
            "seconds": 7.2,
            "workers": "5 workers: (2 x 2 cores) + 1; half of 4096 MB would hold 20 of 100 MB",
        }
    },
    "others": ["blog"],
}
CERTIFICATE: dict[str, Any] = {
    "names": {"shop": {"issuer": "R11", "until": "2027-02-01", "temporary": False, "error": "", "domains": []}}
}
BACKUP: dict[str, Any] = {
    "sets": {"shop": {"last": "2026-11-23T02:30:00Z", "repositories": ["local"]}},
    "warnings": ["All backups are on this host."],
}


def lines(release: Any = None, certificate: Any = None, backup: Any = None, **options: Any) -> list[str]:
    apps = model.load({"shop": {**APPS["shop"], **options}})
    return summarize(apps, release or {}, certificate or {}, backup or {})


def test_everything_about_an_app_and_then_the_warnings() -> None:
    assert lines(RELEASE, CERTIFICATE, BACKUP) == [
        "shop: https://shop.example.org/",
        "  release     aaaabbbbcccc, deployed in 7 s, after 111122223333, from x v1 (0123456789)",
        "  workers     5 workers: (2 x 2 cores) + 1; half of 4096 MB would hold 20 of 100 MB",
        "  certificate issued by R11, until 2027-02-01",
        "  backup      2026-11-23T02:30:00Z in local",
        "WARNING blog: is on this host but not in flask_apps. It was left alone. To take it off: "
        "ansible-playbook groundwork.flask.remove -e app=blog",
        "WARNING All backups are on this host.",
    ]


@pytest.mark.parametrize(
    ("reached", "line"),
    [
        ("postgresql, direct", "postgresql, direct"),
        (
            "postgresql, through the pooler (as configured), by SQLAlchemy",
            "postgresql, through the pooler (as configured); what fits in SQLALCHEMY_ENGINE_OPTIONS: pool_size 8, "
            "max_overflow 0, pool_pre_ping True",
        ),
    ],
)
def test_the_database_and_the_pool_that_fits(reached: str, line: str) -> None:
    release = {"apps": {"shop": {**RELEASE["apps"]["shop"], "database": reached}}}
    found = lines(release, server={"threads": 8}, redis={"purpose": "queue"})
    assert found[3:] == [f"  database    {line}", "  redis       queue, 128mb"]


def test_an_app_whose_domains_were_taken_over_is_reported_with_its_data() -> None:
    assert lines(RELEASE, replaces="old, blog")[-1] == (
        "WARNING blog: shop has taken over domains of it (replaces). It runs on, and its data in /var/lib/blog was not "
        "moved. To take it off: ansible-playbook groundwork.flask.remove -e app=blog"
    )


def test_an_app_whose_successor_is_not_live_is_said_to_serve_on() -> None:
    assert lines({**RELEASE, "failed_apps": ["shop"], "not_live": ["shop"]}, replaces="blog")[-1] == (
        "WARNING blog: serves on, because shop, which is to take over domains of it (replaces), is not live."
    )


def test_who_is_told_when_something_breaks() -> None:
    apps = model.load(APPS)
    assert summarize(apps, {}, {}, {}, receivers=["ops", "pager"])[-1] == "alerts: told to ops, pager"
    assert summarize(apps, {}, {}, {}, receivers=[])[-1].startswith("WARNING nobody is told when something breaks")
    assert "told" not in str(summarize(apps, {}, {}, {}))


def test_the_warnings_of_a_release_are_among_the_others() -> None:
    released = {**RELEASE["apps"]["shop"], "action": "unchanged", "warnings": ["its key is short"]}
    assert lines({"apps": {"shop": released}})[-1] == "WARNING shop: its key is short"


def test_an_unchanged_release_is_not_called_new() -> None:
    same = {**RELEASE["apps"]["shop"], "action": "unchanged", "previous": "aaaabbbbcccc", "seconds": 0.0}
    assert "  release     aaaabbbbcccc, unchanged, from x v1 (0123456789)" in lines({"apps": {"shop": same}})


def test_an_app_that_was_not_deployed_says_where_the_reason_is() -> None:
    failed = {"failed_apps": ["shop"], "references": {"shop": "b1"}, "not_live": []}
    found = lines(RELEASE | failed, CERTIFICATE)
    assert found[1:3] == [
        "  release     not deployed: see the message below for number b1",
        "  certificate issued by R11, until 2027-02-01",
    ]
    assert lines(failed | {"not_live": ["shop"], "references": {}})[1] == (
        "  release     not deployed: see the message below; none is live"
    )


def test_a_temporary_certificate_is_named_with_its_reason() -> None:
    entry = {
        **CERTIFICATE["names"]["shop"],
        "temporary": True,
        "error": "the authority does not answer. It is retried.",
    }
    said = lines(certificate={"names": {"shop": entry}})
    assert "  certificate temporary, no browser trusts it; issued by R11, until 2027-02-01" in said
    assert "WARNING shop: the authority does not answer. It is retried." in said


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({}, "at most 40 at once (5 workers x 8 threads)"),
        ({"worker_class": "gevent"}, "at most 5000 at once (5 workers x 1000 worker_connections)"),
        ({"worker_class": "sync"}, "at most 5 at once (5 workers x 1 request)"),
        ({"provider": "uwsgi", "gevent": 100}, "at most 500 at once (5 workers x 100 gevent)"),
        ({"provider": "uwsgi", "threads": 2}, "at most 10 at once (5 workers x 2 threads)"),
        ({"provider": "waitress"}, "at most 40 at once (5 workers x 8 threads)"),
        ({"provider": "mod_wsgi", "threads": 4}, "at most 20 at once (5 workers x 4 threads)"),
    ],
)
@pytest.mark.parametrize("proxy", [{"buffering": False}, {"paths": {"/events": {"buffering": False}}}])
def test_how_many_connections_can_be_held_open(server: Any, said: str, proxy: Any) -> None:
    (line,) = [line for line in lines(RELEASE, server=server, proxy=proxy) if "connections " in line]
    assert line.startswith(f"  connections {said}. Each WebSocket, event stream or long poll takes one")
    assert "s of silence (proxy.read_timeout)" in line
    assert not [line for line in lines(RELEASE, server=server) if "connections " in line]
    assert not [line for line in lines({}, server=server, proxy=proxy) if "connections " in line]


def test_debug_mode_is_a_warning() -> None:
    assert any(line.startswith("WARNING shop: debug mode is on") for line in lines(debug=True))


def test_a_run_with_tags_says_what_it_knows() -> None:
    assert lines() == ["shop: https://shop.example.org/"]
