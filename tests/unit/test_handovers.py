"""Domains that another app of the host serves: what is on the host, what is refused, what is handed over and how."""

from __future__ import annotations

import getpass
import grp
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import host_sites
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet
from ansible_collections.groundwork.flask.plugins.module_utils.handover import Handover
from ansible_collections.groundwork.flask.plugins.module_utils.placement import Entry
from ansible_collections.groundwork.flask.plugins.plugin_utils import handovers, sites
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import render, resolved

Given = dict[str, Any]
FACT: Given = {"name": "fact", "domains": ["fact.example.org", "www.fact.example.org"]}
PLACES = {
    "nginx": ("/etc/nginx/groundwork/sites/{name}.conf", "/etc/nginx/groundwork/locations/{owner}/{name}.conf"),
    "apache": (
        "/etc/apache2/groundwork/sites/{name}.conf",
        "/etc/apache2/groundwork/locations/{owner}/{depth}_{name}.conf",
    ),
}


class Host:
    """A host with the files that an earlier run has written, and their record as every version has kept it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "var/lib/groundwork/file_sets"
        self.state.mkdir(parents=True)

    def serve(self, *given: Given, provider: str = "nginx") -> None:
        parts: dict[str, list[str]] = {"": [f"/etc/{provider}.conf"]}
        all_sites = resolved(*given)
        for site in all_sites:
            template, place = ("site", 0) if site["owned"] else ("shared-locations", 1)
            path = PLACES[provider][place].format(**site)
            text = render(f"{provider}/{template}.conf.j2", site, __proxy_sites=all_sites)
            (self.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path.lstrip("/")).write_text(text)
            parts[site["name"]] = [path, "/etc/gone"]
        (self.state / f"proxy_{provider}.json").write_text(json.dumps({"parts": parts, "generation": 1}))

    def sites(self) -> list[Any]:
        # As they come over the wire.
        return handovers.read_served(json.loads(json.dumps(host_sites.sites(self.root))))

    def refuses(self, *given: Given, absent: tuple[str, ...] = (), provider: str = "nginx") -> list[str]:
        return list(handovers.problems(wanted(*given), self.sites(), absent, provider))

    def hands_over(self, *given: Given) -> list[Given]:
        return handovers.plan(wanted(*given), self.sites())


def wanted(*given: Given) -> list[sites.Named]:
    found, problems = sites.load(list(given))
    assert problems == []
    return found


def app(name: str, *domains: str, **options: Any) -> Given:
    return {"name": name, "domains": list(domains), **options}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("provider", PLACES)
def test_what_the_host_serves_is_read_from_the_files_of_any_version(host: Host, provider: str) -> None:
    host.serve(
        app("main", "a.org", "b.org", "*.a.org"), app("api", "a.org", "b.org", "*.a.org", prefix="/api/v1"),
        app("alone", "c.org"), provider=provider,
    )  # fmt: skip
    found = {one.name: (one.owner, one.prefix, set(one.domains), one.provider) for one in host.sites()}
    domains = {"a.org", "b.org", "*.a.org"}
    assert found == {
        "main": ("main", "", domains, provider),
        "api": ("main", "/api/v1", domains, provider),
        "alone": ("alone", "", {"c.org"}, provider),
    }
    certificates = {one.name: one.certificate for one in host.sites()}
    assert certificates["main"] == on_host("certificate", "main")


@pytest.mark.parametrize(
    ("active", "expected"), [({"nginx.service"}, ["old"]), ({"apache2.service"}, ["new"]), (set(), ["new", "old"])]
)
def test_of_two_proxies_the_one_that_runs_serves(
    host: Host, monkeypatch: pytest.MonkeyPatch, active: set[str], expected: list[str]
) -> None:
    monkeypatch.setattr(host_sites, "is_active", lambda unit: unit in active)
    host.serve(app("old", "a.org"))
    host.serve(app("new", "a.org"), provider="apache")
    assert sorted(one.name for one in host.sites()) == expected


def test_a_host_without_sites_serves_none(host: Host) -> None:
    assert host.sites() == []


def test_addresses_are_known_as_such(host: Host) -> None:
    host.serve(app("fact", "fact.example.org", "192.0.2.7"))
    assert host.sites()[0].addresses == ("192.0.2.7",)


def test_what_a_killed_run_had_replaced_counts_as_before(host: Host) -> None:
    host.serve(FACT)
    path = "/etc/nginx/groundwork/sites/fact.conf"
    file_set = FileSet("proxy_nginx", host.state)
    file_set.journal_path.write_text("{}")
    found = {"content": "c2VydmVyX25hbWUgb2xkLm9yZzsK", "uid": 0, "gid": 0, "mode": 420}  # server_name old.org;
    file_set.journal_path.write_text(json.dumps({"generation": 2, "files": [{"path": path, "found": found}]}))
    (host.root / path.lstrip("/")).unlink()
    assert host.sites()[0].domains == ("old.org",)
    file_set.journal_path.write_text(json.dumps({"generation": 1, "files": [{"path": path, "found": found}]}))
    assert host.sites() == []


# On the host: fact, of another inventory or an app's former name. What this inventory has, and the domains in question.
TAKEN = [
    (FACT, app("fakt", "fact.example.org"), "'fact.example.org'"),
    (FACT, app("fakt", "fakt.example.org", "www.fact.example.org"), "'www.fact.example.org'"),
    (FACT, app("zfact", *FACT["domains"]), "'fact.example.org', 'www.fact.example.org'"),
    (FACT, app("afact", *FACT["domains"]), "'fact.example.org', 'www.fact.example.org'"),
    (app("fact", "x.org", "*.x.org"), app("fakt", "shop.x.org"), "'shop.x.org'"),
    (app("fact", "shop.x.org"), app("fakt", "x.org", "*.x.org"), "'*.x.org'"),
    (app("fact", "a.x.org", "*.x.org"), app("fakt", "y.org", "*.x.org"), "'*.x.org'"),
    (app("fact", "f.org", "192.0.2.7"), app("fakt", "g.org", "192.0.2.7"), "'192.0.2.7'"),
    (app("fact", "f.org", "2001:db8::7"), app("fakt", "g.org", "2001:db8::7"), "'2001:db8::7'"),
    (app("fact", "x.org"), app("fakt", "x.org", prefix="/fakt"), "'x.org'"),
    (app("fact", "x.org", prefix="/fact"), app("fakt", "x.org", prefix="/fakt"), "'x.org'"),
]


@pytest.mark.parametrize("provider", PLACES)
@pytest.mark.parametrize(("there", "here", "domains"), TAKEN)
def test_a_domain_of_an_app_that_the_inventory_does_not_know_is_refused(
    host: Host, there: Given, here: Given, domains: str, provider: str
) -> None:
    host.serve(there, provider=provider)
    name = here["name"]
    assert host.refuses(here, provider=provider) == [
        f"{name}: domains: {domains}: served by the app fact on this host, which is not among the apps of this "
        f"inventory. Two remedies: have {name} take over without a lost request, by `replaces: fact` below {name}; or "
        "take fact off the host first, by `ansible-playbook groundwork.flask.remove -e app=fact`. If both are to stay, "
        "give one of them another domain"
    ]
    assert host.hands_over(here) == []
    assert host.refuses({**here, "replaces": ["fact"]}, provider=provider) == []


@pytest.mark.parametrize(
    "here",
    [
        [app("fact", "fact.example.org"), app("fakt", "www.fact.example.org")],  # moved within one inventory
        [app("fact", "x.org"), app("fakt", *FACT["domains"])],
        [app("fakt", "www.example.org", "notfact.example.org")],
        [app("fakt", "example.org")],
        [],
    ],
)
def test_other_domains_and_those_of_one_inventory_are_taken_freely(host: Host, here: list[Given]) -> None:
    host.serve(FACT)
    assert host.refuses(*here) == []
    assert host.hands_over(*here) == []


def test_an_app_that_leaves_in_this_play_or_has_no_site_any_more_is_no_hindrance(host: Host) -> None:
    host.serve(FACT)
    assert host.refuses(app("fakt", "fact.example.org"), absent=("fact",)) == []
    host.serve(app("other", "other.org"))
    assert host.refuses(app("fakt", "fact.example.org", replaces=["fact"])) == []
    assert host.hands_over(app("fakt", "fact.example.org", replaces=["fact"])) == []


def test_a_host_that_works_is_not_refused_at_its_next_run(host: Host) -> None:
    wide, narrow = app("wide", "x.org", "*.x.org"), app("narrow", "shop.x.org")
    host.serve(wide, narrow)
    assert host.refuses(wide) == host.refuses(narrow) == []


def test_of_two_with_one_domain_the_one_that_answers_goes_on(host: Host) -> None:
    """A host on which two inventories were run, one after the other, by a version that did not look."""
    first, second = app("fact", "fact.org"), app("fakt", "fact.org")
    host.serve(app("fact", "fact.org"))
    parts = json.loads((host.state / "proxy_nginx.json").read_text())["parts"]
    host.serve(app("fakt", "fact.org"))
    record = {"parts": {**parts, "fakt": ["/etc/nginx/groundwork/sites/fakt.conf"]}, "generation": 2}
    (host.state / "proxy_nginx.json").write_text(json.dumps(record))
    assert host.refuses(first) == []
    assert len(host.refuses(second)) == 1
    (handover,) = host.hands_over({**second, "replaces": ["fact"]})
    assert handover["former"] == "fact"


def test_an_app_below_a_prefix_that_left_flask_apps_goes_on(host: Host) -> None:
    main, api = app("main", "x.org"), app("api", "x.org", prefix="/api")
    host.serve(main, api)
    assert host.refuses(main) == []
    assert host.refuses(main, app("v2", "x.org", prefix="/api/v2")) == []
    assert "served by the app api" in host.refuses(main, app("api2", "x.org", prefix="/api"))[0]
    (handover,) = host.hands_over(main, app("api2", "x.org", prefix="/api", replaces=["api"]))
    assert (handover["part"], handover["former"], handover["lines"]) == ("api2", "api", {})


def test_an_owner_of_shared_domains_is_replaced_for_all_that_share_them(host: Host) -> None:
    host.serve(app("main", "x.org"), app("api", "x.org", prefix="/api"))
    new = app("new", "x.org", replaces=["main"])
    assert [text.split(": ")[:2] for text in host.refuses(new)] == [
        ["new", "domains"]
    ]  # api would have no site any more
    assert host.refuses(new, app("api", "x.org", prefix="/api")) == []
    handed = host.hands_over({**new, "replaces": ["main", "api"]})
    assert [(one["former"], one["lines"]) for one in handed] == [("api", {}), ("main", {})]


def test_the_role_s_names_are_checked_as_names() -> None:
    _found, problems = sites.load([app("fakt", "fact.org", replaces=["../fact"])])
    assert problems == ["proxy_sites.fakt.replaces: '../fact' cannot be used: write the names of sites"]


def test_from_one_app_one_app_takes_over_in_a_run(host: Host) -> None:
    host.serve(FACT)
    a, b = (app(name, domain, replaces=["fact"]) for name, domain in zip("ab", FACT["domains"], strict=True))
    assert host.refuses(a, b) == [
        "b: replaces: 'fact' is replaced by a too: in one run one app takes over from it; add the domains of b in the "
        "next"
    ]


def test_a_second_app_with_an_address_would_change_whose_certificate_visitors_get(host: Host) -> None:
    host.serve(app("fact", "fact.org", "192.0.2.7"))
    (problem,) = host.refuses(app("fakt", "fakt.org", "192.0.2.8"))
    assert problem.startswith("fakt: domains: '192.0.2.8': the app fact on this host, which is not among the apps")
    assert host.refuses(app("fakt", "fakt.org", "192.0.2.8", "192.0.2.7", replaces=["fact"])) == []
    host.serve(app("fact", "fact.org", "192.0.2.7"), app("fakt", "fakt.org", "192.0.2.8"))
    assert host.refuses(app("fakt", "fakt.org", "192.0.2.8")) == []  # it was so before


def test_the_whole_site_goes_when_all_of_its_domains_are_taken(host: Host) -> None:
    host.serve(FACT)
    assert host.hands_over(app("fakt", *FACT["domains"], "new.org", replaces=["fact"])) == [
        {"part": "fakt", "former": "fact", "lines": {}, "socket": "/srv/fakt/current/app.sock"}
    ]


@pytest.mark.parametrize(
    ("provider", "there", "taken", "lines"),
    [
        (
            "nginx",
            app("fact", "a.org", "b.org", "c.org"),
            "b.org",
            {"server_name b.org c.org;": "server_name c.org;"},
        ),
        ("nginx", app("fact", "a.org", "b.org"), "a.org", {"server_name a.org;": "server_name fact.invalid;"}),
        ("nginx", app("fact", "a.org", "*.a.org"), "a.org", {"server_name a.org *.a.org;": "server_name *.a.org;"}),
        (
            "apache",
            app("fact", "a.org", "b.org", "c.org", "d.org"),
            "c.org",
            {"ServerAlias c.org d.org": "ServerAlias d.org"},
        ),
        ("apache", app("fact", "a.org", "b.org"), "a.org", {"ServerName a.org": "ServerName fact.invalid"}),
    ],
)
def test_of_some_domains_the_others_stay(host: Host, provider: str, there: Given, taken: str, lines: Given) -> None:
    host.serve(there, provider=provider)
    new = app("fakt", taken, replaces=["fact"])
    (handover,) = host.hands_over(new)
    assert handover["lines"] == lines
    path = host.root / PLACES[provider][0].format(name="fact").lstrip("/")
    path.write_bytes(Handover("fakt", "fact", handover["lines"]).edited(path.read_bytes()))
    (left,) = host.sites()
    assert set(left.domains) == set(there["domains"]) - {taken}
    assert host.hands_over(new) == []


def test_some_domains_of_a_site_of_the_other_proxy_cannot_be_taken(host: Host) -> None:
    host.serve(FACT, provider="apache")
    new = app("fakt", "fact.example.org", replaces=["fact"])
    assert "is served by apache and keeps www.fact.example.org: nginx cannot run beside it" in host.refuses(new)[0]
    assert host.refuses(app("fakt", *FACT["domains"], replaces=["fact"])) == []


# --- the change on the host ----------------------------------------


class Web:
    """A file set with the sites of fact and fakt."""

    def __init__(self, top: Path) -> None:
        self.files, self.set = top / "files", FileSet("web", top / "state")
        self.set.update([self.entry("fact", "  a b\n")])

    def entry(self, name: str, text: str) -> Entry:
        group = grp.getgrgid(os.getgid()).gr_name
        return Entry(str(self.files / name), text.encode(), getpass.getuser(), group, 0o640, part=name)

    def hand_over(self, validate: str | None = None, **options: Any) -> Any:
        handover = Handover("fakt", "fact", **options)
        return self.set.update([self.entry("fakt", "  a\n")], validate=validate, handovers=[handover])

    def read(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.files.iterdir()}


@pytest.fixture
def web(tmp_path: Path) -> Web:
    return Web(tmp_path)


def test_one_change_gives_and_takes(web: Web) -> None:
    outcome = web.hand_over()
    assert [Path(change.path).name for change in outcome.changes] == ["fakt", "fact"]
    assert web.read() == {"fakt": "  a\n"}
    assert web.set.parts() == ["fakt"]
    assert not web.hand_over().changed


def test_lines_are_replaced_and_the_part_stays_the_former_s(web: Web) -> None:
    assert web.hand_over(lines={"a b": "b"}).changed
    assert web.read() == {"fact": "  b\n", "fakt": "  a\n"}
    assert (web.files / "fact").stat().st_mode & 0o777 == 0o640
    assert web.set.parts() == ["fact", "fakt"]
    assert not web.hand_over(lines={"a b": "b"}).changed
    web.set.update([], absent_parts=["fakt"])
    assert web.read() == {"fact": "  b\n"}


@pytest.mark.parametrize("lines", [{}, {"a b": "b"}])
def test_a_new_site_that_the_proxy_refuses_takes_nothing_away(web: Web, lines: dict[str, str]) -> None:
    outcome = web.hand_over(f"test ! -e {web.files}/fakt", lines=lines)
    assert list(outcome.refused) == ["fakt"]
    assert web.read() == {"fact": "  a b\n"}
    assert web.set.parts() == ["fact"]


def test_an_app_that_does_not_answer_takes_nothing_away(web: Web, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    outcome = web.hand_over(socket=path)
    assert outcome.refused["fakt"].startswith(f"it takes over from fact, but nothing answers at {path} (")
    assert outcome.refused["fakt"].endswith("fact serves on. Deploy fakt first")
    assert web.read() == {"fact": "  a b\n"}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert not web.hand_over(socket=path).refused
    assert web.read() == {"fakt": "  a\n"}
