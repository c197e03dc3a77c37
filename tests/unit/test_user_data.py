"""User data for a new server: what is refused, what cloud-init is told, and what the first boot does with it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import testing
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.groundwork.flask.plugins.action import user_data as action
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import user_data
from ansible_collections.groundwork.flask.plugins.plugin_utils.user_data import Pull, UserData

ROOT = testing.ROOT
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVwYXRhdGFwb3RhdG9lcw ann@example.org"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOthers laptop"
HTTPS = "https://example.org/infra.git"
SSH = "git@example.org:acme/infra.git"
ARCHIVE = "https://example.org/groundwork-flask-0.1.0.tar.gz"
SECRET = "canary-of-a-token"


def refusal(user: str = "root", keys: tuple[str, ...] = (KEY,), **pull: Any) -> str:
    """The one thing that is wrong."""
    (problem,) = user_data.problems(user, keys, Pull(**pull))
    return problem


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "ssh-rsa AAAAB3NzaC1yc2E=",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNh ann's laptop",
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t ann",
        'from="192.0.2.0/24" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ann',
    ],
)
def test_public_keys_are_taken(key: str) -> None:
    assert user_data.problems("admin", [key], Pull()) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"keys": ()}, "cloud_init_authorized_keys: no public key is given, and there is no ~/.ssh/id_*.pub"),
        ({"keys": ("-----BEGIN OPENSSH PRIVATE KEY-----\nx",)}, "cloud_init_authorized_keys: key 1 is a private key"),
        (
            {"keys": ("~/.ssh/id_ed25519.pub",)},
            "cloud_init_authorized_keys: '~/.ssh/id_ed25519.pub' is not a public key",
        ),
        ({"keys": (f"{KEY}\n{KEY}",)}, "cloud_init_authorized_keys: 'ssh-ed25519"),
        ({"user": "Ann"}, "cloud_init_user: 'Ann' is not the name of an account"),
        ({"repository": "infra"}, "cloud_init_repository: 'infra' is not the URL of a Git repository"),
        (
            {"repository": "https://example.org/$(id)"},
            "cloud_init_repository: 'https://example.org/$(id)' is not the URL",
        ),
        ({"repository": SSH}, f"cloud_init_known_hosts: {SSH} is reached by SSH, and what comes from it runs as root"),
        (
            {"repository": HTTPS, "known_hosts": "a b c"},
            "cloud_init_known_hosts is for a repository that is reached by SSH",
        ),
        ({"repository": HTTPS, "version": "--upload-pack=x"}, "cloud_init_version: '--upload-pack=x' is not a branch"),
        (
            {"repository": HTTPS, "inventory": "../hosts.yml"},
            "cloud_init_inventory: '../hosts.yml' is not a path in the",
        ),
        ({"repository": HTTPS, "inventory": "/etc/hosts"}, "cloud_init_inventory: '/etc/hosts' is not a path in the"),
        (
            {"repository": HTTPS, "playbook": "$(id).yml"},
            "cloud_init_playbook: '$(id).yml' is not a path in the repository",
        ),
        ({"repository": HTTPS, "collections": [ARCHIVE]}, f"cloud_init_collections: {ARCHIVE} has no checksum"),
        ({"repository": HTTPS, "collections": ["flask"]}, "cloud_init_collections: 'flask' is neither a collection"),
        ({"repository": HTTPS, "collections": ["--server=x"]}, "cloud_init_collections: '--server=x' is neither"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], sentence: str) -> None:
    assert refusal(**given).startswith(sentence)


@pytest.mark.parametrize("user", [f"ann:{SECRET}", SECRET])
def test_a_password_in_the_address_is_refused_and_not_shown(user: str) -> None:
    said = refusal(repository=f"https://{user}@example.org/infra.git")
    assert said.startswith("cloud_init_repository: the URL has a password or a token in it")
    assert SECRET not in said


@pytest.mark.parametrize(
    "pull",
    [
        {"repository": HTTPS, "version": "v1.2", "collections": ["groundwork.flask:==0.1.0"]},
        {"repository": SSH, "known_hosts": "example.org ssh-ed25519 AAAA", "inventory": "inventories/production"},
        {"repository": "ssh://git@example.org:2222/infra.git", "known_hosts": "[example.org]:2222 ssh-ed25519 AAAA"},
        {"repository": HTTPS, "playbook": "site.yml", "collections": [f"{ARCHIVE}#sha256={'0' * 64}"]},
    ],
)
def test_a_server_can_provision_itself_from_these(pull: dict[str, Any]) -> None:
    assert user_data.problems("root", [KEY], Pull(**pull)) == []


def test_the_account_is_root_or_has_sudo() -> None:
    root = yaml.safe_load(UserData("root", [KEY]).text())
    assert (root["disable_root"], root["ssh_authorized_keys"], root["ssh_pwauth"]) == (False, [KEY], False)
    admin = yaml.safe_load(UserData("admin", [KEY]).text())
    assert "disable_root" not in admin
    default, account = admin["users"]
    assert default == "default"  # Azure makes the account that it was asked for of the image's
    assert (account["name"], account["lock_passwd"], account["ssh_authorized_keys"]) == ("admin", True, [KEY])
    assert account["sudo"] == "ALL=(ALL) NOPASSWD:ALL"


@pytest.mark.parametrize("content", ["a\n\tb\n", " first\n", "\n\nlast", "ü $x `y` {{ z }}: #\n", "a \nb\n", "\t\n"])
def test_a_file_comes_out_as_it_was(content: str) -> None:
    found = yaml.safe_load(UserData("root", [KEY], [{"path": "/a", "content": content}]).text())
    assert found["write_files"] == [{"path": "/a", "content": content}]


def test_a_file_with_tabs_can_be_read_by_a_person() -> None:
    assert (
        "content: |\n    chain {\n    \tdrop;\n"
        in UserData("root", [KEY], [{"content": "chain {\n\tdrop;\n}\n"}]).text()
    )


def test_the_operator_is_warned_of_size_and_port() -> None:
    assert user_data.warnings(16_384, 22) == []
    (size,) = user_data.warnings(16_385, 22)
    assert size.startswith("The user data has 16385 bytes, and Amazon takes 16384: compress it with `gzip`")
    (port,) = user_data.warnings(1, 2222)
    assert port.startswith(
        "ansible_port is 2222, and sshd of a new server listens on 22 unless the image says otherwise"
    )


# --- the playbook ----------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the playbook writes for two servers: one of each way to provision itself, and one that does not."""
    directory = tmp_path_factory.mktemp("cloud_init")
    hosts = {
        "www.example.org": {"ansible_user": "admin", "cloud_init_repository": HTTPS, "cloud_init_version": "v1.2"},
        "own.example.org": {"cloud_init_repository": SSH, "cloud_init_known_hosts": "example.org ssh-ed25519 AAAA\n"},
        "db.example.org": {
            "ansible_user": "ann",
            "host_admins": [{"name": "ann", "keys": [KEY, OTHER_KEY]}],
            "firewall_services": [{"port": 5432, "from": "192.0.2.7"}],
        },
    }
    variables = {
        "host_admins": [{"name": "admin", "keys": [KEY]}, {"name": "root", "keys": [KEY]}],
        "certificate_email": "ann@example.org",
        "flask_apps": {"shop": {"source": {"git": HTTPS}, "wsgi_app": "shop:app", "domains": ["shop.example.org"]}},
        "flask_app_secrets": {"shop": {"TOKEN": SECRET}},
        "backup_password": SECRET,
    }
    inventory = {"flask_hosts": {"hosts": hosts, "vars": variables}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory))
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.yml", "groundwork.flask.cloud_init"],
        cwd=directory,
        env={**os.environ, "PWD": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (directory / "output").write_text(done.stdout)
    return directory


def config(directory: Path, host: str) -> dict[str, Any]:
    """What cloud-init is told on a host."""
    found = yaml.safe_load((directory / f"user-data-{host}.yml").read_text())
    assert isinstance(found, dict)
    return found


def files(directory: Path, host: str) -> dict[str, str]:
    """The files of a host."""
    return {file["path"]: file["content"] for file in config(directory, host)["write_files"]}


HOSTS = ("www.example.org", "own.example.org", "db.example.org")
PROGRAM = f"{on_host('programs')}/first_boot"
CONFIGURATION = f"{on_host('configuration')}/first_boot"
STATE = f"{on_host('state')}/first_boot"


@pytest.mark.parametrize("host", HOSTS)
def test_cloud_init_s_own_schema_takes_it(written: Path, host: str) -> None:
    schema = ROOT / ".cache/cloud-init/schema-cloud-config-v1.json"
    assert schema.exists(), "`. script/env` fetches it"
    text = (written / f"user-data-{host}.yml").read_text()
    assert text.startswith("#cloud-config\n")
    found = jsonschema.Draft7Validator(json.loads(schema.read_text())).iter_errors(yaml.safe_load(text))
    assert [error.message for error in found] == []
    assert len(text.encode()) < 14_500, "Amazon takes 16,384, and keys are to come"


@pytest.mark.parametrize("host", HOSTS)
def test_no_secret_is_in_it(written: Path, host: str) -> None:
    assert SECRET not in (written / f"user-data-{host}.yml").read_text()


def test_the_firewall_s_files_are_those_of_its_role(written: Path) -> None:
    found = files(written, "db.example.org")
    rules = found[f"{on_host('configuration')}/firewall.nft"]
    assert "tcp dport 22 " in rules
    assert "192.0.2.7" in rules
    commands = config(written, "db.example.org")["runcmd"]
    assert ["systemctl", "enable", "--now", "groundwork-firewall.service"] in commands
    program = f"{on_host('programs')}/firewall"
    assert commands[:3] == [[program, "apply"], [program, "confirm"], ["systemctl", "daemon-reload"]]
    assert config(written, "db.example.org")["packages"] == ["nftables"]
    assert PROGRAM not in found, "without a repository the server does not provision itself"


def test_the_keys_are_those_of_the_administrator(written: Path) -> None:
    _default, account = config(written, "db.example.org")["users"]
    assert account["ssh_authorized_keys"] == [KEY, OTHER_KEY]


def test_the_output_says_what_is_next(written: Path) -> None:
    said = (written / "output").read_text()
    assert "ansible-playbook groundwork.flask.site --limit db.example.org" in said
    assert "ssh admin@www.example.org sudo journalctl --follow --unit groundwork-first-boot.service" in said
    assert f"ssh root@own.example.org cat {CONFIGURATION}/key.pub" in said


@pytest.mark.parametrize("host", HOSTS[:2])
def test_the_program_of_the_first_boot_has_no_fault(written: Path, tmp_path: Path, host: str) -> None:
    program = tmp_path / "first_boot"
    program.write_text(files(written, host)[PROGRAM])
    done = subprocess.run(["shellcheck", "--exclude=SC2329", program], capture_output=True, text=True, check=False)
    assert done.stdout == ""


# --- the first boot ----------------------------------------


class Server:
    """A server on which the program runs, with stand-ins for every program that it starts.

    :ivar commands: a line for each of them.
    """

    def __init__(self, directory: Path, text: str) -> None:
        self.state, self.configuration = directory / "state", directory / "etc"
        self.bin, self.log = directory / "bin", directory / "log"
        for made in (self.configuration, self.bin, directory / "unit"):
            made.mkdir()
        text = text.replace(STATE, str(self.state))
        text = text.replace(CONFIGURATION, str(self.configuration))
        text = text.replace("/etc/systemd/system", str(directory / "unit")).replace(PROGRAM, str(directory / "program"))
        self.program = directory / "program"
        self.program.write_text(text.replace("/usr/bin/python3", "python3"))
        (self.configuration / "collections.txt").write_text("groundwork.flask:==0.1.0\n")
        for name in ("apt-get", "systemctl", "python3", "pip", "ansible-galaxy", "ansible-pull", "ssh-keygen"):
            self.stand_in(name)

    def stand_in(self, name: str, then: str = "") -> None:
        """Put a program in its place that notes how it was called."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{then}\n')
        path.chmod(0o755)
        inside = self.state / "venv" / "bin"
        inside.mkdir(parents=True, exist_ok=True)
        if not (inside / name).exists():
            (inside / name).symlink_to(path)

    def boot(self) -> SimpleNamespace:
        """Run the program; what it prints, its status, and what it has called."""
        self.log.write_text("")
        done = subprocess.run(
            ["sh", self.program],
            env={"PATH": f"{self.bin}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return SimpleNamespace(status=done.returncode, output=done.stdout + done.stderr, calls=self.log.read_text())


@pytest.fixture
def server(written: Path, tmp_path: Path) -> Server:
    return Server(tmp_path, files(written, "www.example.org")[PROGRAM])


def test_a_first_boot_provisions_and_leaves_nothing_of_itself(server: Server) -> None:
    (server.configuration / "vault_password").write_text("secret")
    done = server.boot()
    assert done.status == 0, done.output
    names = [line.split()[0] for line in done.calls.splitlines()]
    assert names == ["apt-get", "apt-get", "python3", "pip", "ansible-galaxy", "ansible-pull", "systemctl", "systemctl"]
    assert "pip install --quiet --disable-pip-version-check --no-deps --require-hashes" in done.calls
    pull = next(line for line in done.calls.splitlines() if line.startswith("ansible-pull"))
    assert f"--url {HTTPS} " in pull
    assert f"--vault-password-file {server.configuration}/vault_password" in pull
    assert pull.endswith(f"--limit www.example.org --extra-vars @{server.configuration}/vars.yml --checkout v1.2 "
                         f"{server.configuration}/site.yml")  # fmt: skip
    for gone in (server.state, server.configuration, server.program):
        assert not gone.exists(), "the password above all"


@pytest.mark.parametrize("fails", ["apt-get", "pip", "ansible-galaxy", "ansible-pull"])
def test_one_that_fails_says_so_and_goes_on_where_it_was(server: Server, fails: str) -> None:
    server.stand_in(fails, "exit 7")
    first = server.boot()
    assert first.status == 7
    assert first.output.endswith("This attempt has failed, with exit status 7. The next one begins in a minute.\n")
    assert "systemctl disable" not in first.calls
    server.stand_in(fails)
    second = server.boot()
    assert second.status == 0, second.output
    assert second.calls.splitlines()[0].startswith(fails if fails != "pip" else "python3")


def test_passwords_that_the_playbook_has_made_stay(server: Server) -> None:
    passwords = server.state / "passwords"
    server.stand_in("ansible-pull", f"mkdir {passwords}; echo x >{passwords}/www.example.org.txt")
    done = server.boot()
    assert (passwords / "www.example.org.txt").exists()
    assert f"move the files below {passwords} to where your inventory is." in done.output


def test_a_repository_by_ssh_is_read_with_a_key_that_the_server_makes(written: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, files(written, "own.example.org")[PROGRAM])
    key = server.configuration / "key"
    server.stand_in("ssh-keygen", f"echo private >{key}; echo ssh-ed25519 AAAA >{key}.pub")
    server.stand_in("ansible-pull", 'echo "$GIT_SSH_COMMAND"; exit 1')
    for _attempt in range(2):
        done = server.boot()
        assert f"Allow this key to read {SSH}: ssh-ed25519 AAAA" in done.output
        assert f"ssh -i {key} -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes" in done.output
    assert "ssh-keygen" not in done.calls, "the same key as before"


def test_an_archive_is_compared_with_its_checksum(written: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, files(written, "www.example.org")[PROGRAM])
    (server.configuration / "collections.txt").write_text(f"{ARCHIVE}#sha256={'0' * 64}\n")
    server.stand_in("curl", 'for last in "$@"; do :; done; echo forged >"$6"')
    done = server.boot()
    assert done.status != 0
    assert "ansible-galaxy" not in done.calls


# --- the action plugin ----------------------------------------


def run(directory: Path, **arguments: Any) -> dict[str, Any]:
    """The result of the action plugin."""
    task = SimpleNamespace(args={"dest": str(directory / "www.yml"), "user": "root", **arguments}, check_mode=False)
    task.async_val = 0
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    loader = DataLoader()
    return action.ActionModule(task, connection, None, loader, Templar(loader=loader), None).run(task_vars={})


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    first, second = (run(tmp_path, authorized_keys=[KEY]) for _run in range(2))
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["size"] == (tmp_path / "www.yml").stat().st_size


def test_a_refusal_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = run(tmp_path, pull={"repository": "infra"})
    assert done["failed"]
    assert done["msg"].splitlines()[-1] == "Nothing was written."
    assert len(done["msg"].splitlines()) == 3  # no key, no repository
    assert not (tmp_path / "www.yml").exists()


def test_the_operator_s_keys_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(f"{KEY}\n")
    run(tmp_path)
    assert yaml.safe_load((tmp_path / "www.yml").read_text())["ssh_authorized_keys"] == [KEY]
