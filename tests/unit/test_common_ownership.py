"""Whose the things are that have an app's name on a host."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import ownership
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership
from ansible_collections.groundwork.flask.tests.unit.release_app import own_account

ROLES = Path(__file__).parents[2] / "roles"
NO_ACCOUNT = 3999999  # no account has this number


def account(**changes: Any) -> pwd.struct_passwd:
    """The app's account, or one that differs."""
    names = ("pw_name", "pw_passwd", "pw_uid", "pw_gid", "pw_gecos", "pw_dir", "pw_shell")
    own = dict(zip(names, own_account("git"), strict=True))
    return pwd.struct_passwd(tuple({**own, **changes}.values()))


def group(*members: str) -> grp.struct_group:
    return grp.struct_group(("git", "x", 998, list(members)))


class Host:
    """A host's file system, on which something has the name ``git``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def directory(self, name: str, *inside: str, mode: int = 0o755) -> Path:
        made = self.root / on_host(name, "git")[1:]
        for one in ("", *inside):
            (made / one).mkdir(parents=True, exist_ok=True)
        made.chmod(mode)
        return made

    def file(self, path: str, text: str = "") -> Path:
        made = self.root / path.lstrip("/")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        return made

    def live(self) -> None:
        home = self.directory("home", "releases/3f9c")
        (home / "releases/3f9c/release.json").write_text("{}")
        (home / "current").symlink_to("releases/3f9c")

    def look(self, account: pwd.struct_passwd | None = None, group: grp.struct_group | None = None) -> Ownership:
        return Ownership("git", account, group, self.root)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("lines", "is_ours"),
    [
        (("User=git", f"ExecStart={on_host('releases', 'git')}/%i/start"), True),
        (("User=root", f"ExecStart={on_host('releases', 'git')}/%i/start"), False),
        (("User=git", "ExecStart=/usr/lib/git-core/git-daemon"), False),
        (("User=git", f"ExecStart={on_host('releases', 'shop')}/%i/start"), False),
    ],
)
def test_a_unit_that_runs_the_app_s_releases_has_the_account_beside_it(
    host: Host, lines: tuple[str, ...], is_ours: bool
) -> None:
    """As where the role release is used alone, with an account of the operator's."""
    host.file("/etc/systemd/system/git@.service", "\n".join(("[Service]", *lines, "")))
    host.directory("data")
    look = host.look(account(pw_gecos="", pw_dir="/home/git"))
    assert (look.conflicts() == []) is is_ours
    assert not look.has_own_account, "its account is never removed"


def test_a_name_that_nothing_has_is_free(host: Host) -> None:
    assert host.look().conflicts() == []
    assert not host.look().is_known


def test_the_account_is_known_by_what_the_role_gives_it(host: Host) -> None:
    assert host.look(account(), group()).conflicts() == []
    assert host.look(account()).is_known
    comment = ownership.COMMENT.format(app="{{ item.name }}")
    assert f'"{comment}"' in (ROLES / "service_user/templates/sysusers.conf.j2").read_text()
    assert f"{ownership.HOME_MODE:04o} root root" in (ROLES / "service_user/templates/tmpfiles.conf.j2").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"pw_uid": 1000, "pw_gecos": "Ann,,,", "pw_dir": "/home/git", "pw_shell": "/bin/bash"},
        {"pw_gecos": ""},  # a system account of another program
        {"pw_dir": "/home/git"},
        {"pw_shell": "/usr/bin/git-shell"},
        {"pw_gecos": "Flask app shop"},
    ],
)
def test_another_account_is_named_with_number_home_and_shell(host: Host, changes: dict[str, Any]) -> None:
    other = account(**changes)
    said = f"the account git (uid {other.pw_uid}, home {other.pw_dir}, shell {other.pw_shell})"
    assert host.look(other, group()).conflicts() == [said]
    host.file("etc/sysusers.d/groundwork-git.conf", 'u git - "Flask app git"')  # it does not change such an account
    assert host.look(other).conflicts() == [said]


def test_a_group_alone(host: Host) -> None:
    assert host.look(None, group("ann")).conflicts() == ["the group git (gid 998, members ann)"]
    assert host.look(None, group()).conflicts() == ["the group git (gid 998, no members)"]
    host.file("etc/sysusers.d/groundwork-git.conf")
    assert host.look(None, group()).conflicts() == [], "a killed run has left it"
    assert host.look(None, group("ann")).conflicts() == ["the group git (gid 998, members ann)"]


@pytest.mark.parametrize("name", ["home", "data", "cache"])
@pytest.mark.parametrize("inside", [(), ("repositories",)])
def test_a_directory_alone(host: Host, name: str, inside: tuple[str, ...]) -> None:
    host.directory(name, *inside)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert host.look().conflicts() == [f"{on_host(name, 'git')} (directory of {owner})"]


def test_a_link_and_a_file_are_no_directories_of_the_app(host: Host) -> None:
    host.file("var/cache/git")
    (host.root / "var/lib").mkdir()
    (host.root / "var/lib/git").symlink_to(host.root)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert host.look(account()).conflicts() == [
        f"/var/lib/git (symbolic link of {owner})",
        f"/var/cache/git (file of {owner})",
    ]


def test_directories_of_the_apps_account_are_the_apps(host: Host) -> None:
    for name in ("data", "cache"):
        host.directory(name)
    host.directory("home", mode=0o711)
    assert host.look(account()).conflicts() == []
    other = account(pw_uid=NO_ACCOUNT)
    assert [one.partition(" ")[0] for one in host.look(other).conflicts()] == ["/var/lib/git", "/var/cache/git"]


def test_what_a_lost_account_owned_is_still_the_apps(host: Host) -> None:
    data = host.directory("data")
    os.chown(data, NO_ACCOUNT, NO_ACCOUNT)
    assert host.look().conflicts() == [f"/var/lib/git (directory of uid {NO_ACCOUNT})"]
    host.file("var/lib/groundwork/releases/git.jsonl")
    assert host.look().conflicts() == []


def test_the_home_of_an_app_whose_first_deploy_failed(host: Host) -> None:
    home = host.directory("home", "releases", "environments")
    assert host.look(account()).conflicts() == []
    home.chmod(0o711)
    (home / "notes").touch()
    assert host.look(account()).conflicts() == []


@pytest.mark.parametrize("inside", [("releases", "current"), ("releases", "shared"), ("hello.git",)])
def test_a_home_that_another_tool_filled_after_the_app_was_removed(host: Host, inside: tuple[str, ...]) -> None:
    host.directory("home", *inside)
    assert len(host.look(account()).conflicts()) == 1
    assert host.look(account()).in_home() == []


def test_an_empty_disk_that_was_mounted_for_the_app(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    data = host.directory("data", "lost+found")
    monkeypatch.setattr("os.path.ismount", lambda path: path == data)
    assert host.look().conflicts() == []
    (data / "theirs").touch()
    assert len(host.look().conflicts()) == 1


@pytest.mark.parametrize(
    "place",
    [
        "usr/lib/systemd/system/git@.service",
        "etc/systemd/system/git@.socket",
        "run/systemd/system/git@.service",
        "etc/systemd/journald@git.conf",
    ],
)
def test_units_are_ours_if_a_file_set_wrote_them(host: Host, place: str) -> None:
    host.file(place)
    (said,) = host.look(account()).conflicts()
    assert said.startswith(f"/{place} (file of ")
    state = "var/lib/groundwork/file_sets/wsgi_server"
    journal = host.file(f"{state}.journal", json.dumps({"generation": 1, "files": [{"path": f"/{place}"}]}))
    assert host.look(account()).conflicts() == [], "a run was killed while it wrote them"
    journal.unlink()
    host.file(f"{state}.json", json.dumps({"parts": {"git": [f"/{place}"]}}))
    assert host.look(account()).conflicts() == []


def test_an_app_that_is_live_goes_on_whoever_owns_its_name(host: Host) -> None:
    """A host of an earlier version, which asked nobody."""
    host.live()
    host.directory("data", "repositories")
    human = account(pw_uid=1000, pw_dir="/home/git", pw_shell="/bin/bash")
    assert host.look(human).conflicts() == []
    assert len(list(host.look(human).foreign_account())) == 1
    assert not host.look(human).owns(host.root / "var/lib/git")
    assert [path.name for path in host.look(human).in_home()] == ["releases", "current"]


def test_a_record_of_a_release_that_another_account_has_written_proves_nothing(host: Host) -> None:
    host.live()
    human = account(pw_uid=1000, pw_dir="/srv/git", pw_shell="/bin/bash")
    assert host.look(human).is_live
    record = host.root / on_host("current", "git")[1:] / "release.json"
    os.chown(record, NO_ACCOUNT, NO_ACCOUNT)
    look = host.look(human)
    assert not look.is_live
    assert look.in_home() == []
    assert [one.split()[0] for one in look.conflicts()] == ["the", on_host("home", "git")]


def test_real_accounts_are_looked_up(tmp_path: Path) -> None:
    found = Ownership.of("root", tmp_path)
    assert found.conflicts() == ["the account root (uid 0, home /root, shell /bin/bash)"]
    assert Ownership.of("nobody-of-this-name", tmp_path).conflicts() == []


def test_a_refusal_names_all_of_it_on_one_line() -> None:
    said = ownership.refusal("flask_apps.git", ["the account git (uid 7, home /x\x1b[2J, shell /bin/sh)", "/srv/git"])
    assert said.startswith("flask_apps.git: this name is taken on the host by the account git (uid 7, home /x\\x1b[2J")
    assert "/srv/git, which was not made for this app: choose another name" in said


def test_what_has_the_place_of_an_app_s_services_is_somebody_elses(host: Host) -> None:
    """A unit that a file set has written, and data of the app's account, are the app's."""
    assert host.look().foreign_services() == {}
    host.file("/etc/systemd/system/git.redis.service")
    host.file("/usr/lib/systemd/system/git.pooler.socket")
    host.directory("redis_data")
    own = account(pw_uid=os.geteuid())
    owner = pwd.getpwuid(os.geteuid()).pw_name
    unit = f"/etc/systemd/system/git.redis.service (file of {owner})"
    pooler = {"pooler": [f"/usr/lib/systemd/system/git.pooler.socket (file of {owner})"]}
    data = f"{on_host('redis_data', 'git')} (directory of {owner})"
    assert host.look(account(pw_uid=NO_ACCOUNT)).foreign_services() == {"redis": [unit, data], **pooler}
    assert host.look(own).foreign_services() == {"redis": [unit], **pooler}
    manifest = {"parts": {"git": ["/etc/systemd/system/git.redis.service"]}}
    host.file(f"{on_host('state')}/file_sets/redis.json", json.dumps(manifest))
    assert host.look(own).foreign_services() == pooler


@pytest.mark.parametrize(
    ("gid", "found"), [(999, []), (1002, ["the group groundwork-logs-git (gid 1002, members ada)"])]
)
def test_a_group_of_readers_that_was_made_by_hand(
    host: Host, monkeypatch: pytest.MonkeyPatch, gid: int, found: list[str]
) -> None:
    name = on_host("log_group", "git")
    there = grp.struct_group((name, "x", gid, ["ada"]))
    monkeypatch.setattr(ownership, "group_of", {name: there}.get)
    assert list(host.look(account()).foreign_readers()) == found
