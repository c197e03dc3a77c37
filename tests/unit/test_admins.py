"""Accounts of people that administer a host: what is refused, what is done, and the first connection as root."""

from __future__ import annotations

import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.groundwork.flask.plugins.module_utils import admins
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership
from ansible_collections.groundwork.flask.plugins.plugin_utils import admins as rules
from ansible_collections.groundwork.flask.plugins.plugin_utils import first_login
from ansible_collections.groundwork.flask.tests.unit.ssh_keys import DSA, ED25519, RSA_1024, RSA_2048

SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----"
ADA: dict[str, Any] = {"name": "ada", "keys": [f"{ED25519} ada@laptop"]}


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ([ADA], []),
        ([{"name": "ada", "keys": [f"# two\n{ED25519}\n{RSA_2048}\n"]}], []),
        ([{**ADA, "name": "Ada L"}], ["the name 'Ada L' is none of an account"]),
        ([{**ADA, "name": "root"}], ["root is there already"]),
        ([{**ADA, "name": "shop"}], ["shop is the name of an app in flask_apps"]),
        ([ADA, ADA], ["ada stands twice"]),
        ([{"name": "ada"}], ["ada has no keys: give the public ones as a list"]),
        ([{"name": "ada", "keys": ED25519}], ["ada has no keys"]),
        ([{"name": "ada", "keys": [SECRET]}], ["key 1 of ada is a private key"]),
        ([{"name": "ada", "keys": [ED25519, "~/.ssh/id.pub", ""]}], ["key 2 of ada is no", "key 3 of ada is no"]),
        ([{"name": "ada", "keys": [RSA_1024, DSA]}], ["(RSA of 1024 bits", "(DSA,"]),
    ],
)
def test_what_is_refused_and_no_key_is_shown(given: list[dict[str, Any]], texts: list[str]) -> None:
    problems = rules.problems(given, ["shop"])
    assert len(problems) == len(texts), problems
    assert all(text in problem for text, problem in zip(texts, problems, strict=True))
    assert not any(secret in "".join(problems) for secret in ("b3BlbnNzaC1r", "AAAA"))


class Host:
    """A host with accounts; its programs are noted, and do nothing but make accounts."""

    def __init__(self, home: Path, **accounts: tuple[int, str]) -> None:
        self.home, self.accounts, self.calls, self.payload = home, accounts, [], ""
        self.status: dict[str, int] = {}

    calls: list[list[str]]

    def account_of(self, name: str) -> pwd.struct_passwd | None:
        """As NSS would have it."""
        if name not in self.accounts:
            return None
        uid, shell = self.accounts[name]
        return pwd.struct_passwd((name, "x", uid, uid, "", str(self.home), shell))

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """As the programs of the host would."""
        self.calls.append(list(argv))
        self.payload += bytes(options.get("payload", b"")).decode()
        if argv[0].endswith("useradd"):
            self.accounts[argv[-1]] = (1000, "/bin/bash")
        status = self.status.get(Path(argv[0]).name, 0)
        return subprocess.CompletedProcess(list(argv), status, "", "sudo: a password is required" if status else "")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """A host that knows root alone."""
    host = Host(tmp_path)
    monkeypatch.setattr(admins, "account_of", host.account_of)
    monkeypatch.setattr(Ownership, "of", lambda name: SimpleNamespace(is_known=name == "shop"))
    monkeypatch.setattr(programs, "run", host.run)
    monkeypatch.setattr(admins, "SUDOERS", tmp_path / "sudoers")
    return host


def test_an_account_is_made_once_with_its_key_and_sudo(host: Host) -> None:
    assert admins.pending([ADA]) == ["ada"]
    assert admins.reconcile([ADA]) == ["ada"]
    said = [" ".join(call[:4]) for call in host.calls]
    assert "/usr/sbin/useradd --create-home --user-group --shell" in said
    assert "/usr/sbin/runuser -u ada --" in said
    assert host.payload == f"{ED25519} ada@laptop\n"
    assert admins.SUDOERS.read_text() == "ada ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert admins.SUDOERS.stat().st_mode & 0o777 == 0o440
    (host.home / ".ssh").mkdir()
    (host.home / ".ssh/authorized_keys").write_text(f"ssh-rsa AAAA of another\n{ED25519} other comment\n")
    host.calls.clear()
    assert admins.reconcile([ADA]) == []
    assert [call for call in host.calls if not call[0].endswith("sshd")] == []


def test_a_key_that_is_bound_to_a_command_is_not_taken_for_the_admins(host: Host) -> None:
    host.accounts["ada"] = (1000, "/bin/bash")
    (host.home / ".ssh").mkdir()
    (host.home / ".ssh/authorized_keys").write_text(f'command="backup" {ED25519}\n')
    assert admins.missing_keys(ADA) == ADA["keys"]


def test_rules_of_others_are_kept_and_those_that_visudo_refuses_are_not_written(host: Host) -> None:
    admins.SUDOERS.write_text("bob ALL=(ALL:ALL) NOPASSWD: ALL\n")
    admins.write_sudoers(["ada"])
    kept = admins.SUDOERS.read_text()
    assert kept.splitlines() == ["bob ALL=(ALL:ALL) NOPASSWD: ALL", "ada ALL=(ALL:ALL) NOPASSWD: ALL"]
    host.status["visudo"] = 1
    with pytest.raises(admins.AdminError, match="visudo failed"):
        admins.write_sudoers(["eve"])
    assert admins.SUDOERS.read_text() == kept


@pytest.mark.parametrize(
    ("name", "account", "text"),
    [
        ("daemon", (2, "/usr/sbin/nologin"), "an account of the system"),
        ("git", (1001, "/usr/sbin/nologin"), "an account of the system"),
        ("nobody", (65534, "/bin/sh"), "an account of the system"),
        ("shop", (1002, "/bin/bash"), "is an app on this host"),
    ],
)
def test_an_account_of_no_person_is_refused_before_anything_is_done(
    host: Host, name: str, account: tuple[int, str], text: str
) -> None:
    host.accounts[name] = account
    with pytest.raises(admins.AdminError, match=text):
        admins.reconcile([ADA, {**ADA, "name": name}])
    assert [call for call in host.calls if not call[0].endswith("sshd")] == []


def test_an_account_whose_sudo_asks_for_a_password_is_a_failure(host: Host) -> None:
    host.accounts["ada"] = (1000, "/bin/bash")
    admins.write_sudoers(["ada"])
    host.status["runuser"] = 1
    with pytest.raises(admins.AdminError, match=r"cannot use sudo without a password.*the last rule that fits"):
        admins.check_sudo("ada")


# --- the first connection -----------------------------------------


class Connection:
    """As Ansible's ssh has it."""

    transport = "ssh"

    def __init__(self) -> None:
        self.user, self.become = "ada", "sudo"
        self._shell = SimpleNamespace(tmpdir="/home/ada/.ansible")

    def get_option(self, _name: str) -> str:
        """The user."""
        return self.user

    def set_option(self, _name: str, value: str) -> None:
        """Log in as another user."""
        self.user = value

    def set_become_plugin(self, plugin: Any) -> None:
        """Become, or not."""
        self.become = plugin


DENIED = AnsibleConnectionFailure(
    "Failed to connect to the host via ssh: ada@192.0.2.1: Permission denied (publickey)."
)


@pytest.mark.parametrize(
    ("error", "user", "expected"),
    [
        (DENIED, "ada", True),
        (DENIED, "bob", False),
        (AnsibleConnectionFailure("Connection timed out"), "ada", False),
        (AnsibleConnectionFailure("Host key verification failed."), "ada", False),
    ],
)
def test_root_is_tried_only_where_an_admin_is_refused(
    error: AnsibleConnectionFailure, user: str, expected: bool
) -> None:
    connection = Connection()
    connection.user = user
    assert first_login.applies(error, connection, [ADA]) is expected


def test_accounts_are_made_as_root_and_the_play_goes_on_as_the_admin() -> None:
    connection, context = Connection(), SimpleNamespace(remote_user="ada")
    seen: list[tuple[Any, ...]] = []

    def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append((name, arguments, connection.user, connection.become, context.remote_user))
        return {"changed": True}

    first_login.make_accounts(connection, context, call, [ADA], check=False)
    assert seen == [("groundwork.flask.admin_accounts", {"admins": [ADA]}, "root", None, "root")]
    assert (connection.user, connection.become, context.remote_user) == ("ada", "sudo", "ada")


@pytest.mark.parametrize(
    ("outcome", "check", "given", "text"),
    [
        (DENIED, False, ADA, "Neither ada nor root can log in"),
        ({"failed": True, "msg": "host_admins: no room"}, False, ADA, "because ada was refused. host_admins: no room"),
        ({}, True, ADA, "-e ansible_user=root"),
        ({}, False, {"name": "ada", "keys": [SECRET]}, "is a private key"),
    ],
)
def test_why_no_account_was_made(outcome: Any, check: bool, given: dict[str, Any], text: str) -> None:
    connection = Connection()

    def call(_name: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return dict(outcome)

    with pytest.raises(first_login.FirstLoginError) as error:
        first_login.make_accounts(connection, SimpleNamespace(remote_user="ada"), call, [given], check)
    assert text in str(error.value)
    assert "b3BlbnNzaC1r" not in str(error.value)
    assert connection.user == "ada"
