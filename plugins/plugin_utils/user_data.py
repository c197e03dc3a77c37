# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User data for a new server, as cloud-init reads it: accounts, files and the commands of its first boot.

Whatever runs on the server can read its user data, at the provider's metadata address or in ``/var/lib/cloud``.
Nothing secret may stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems

# Bytes. Amazon takes the least: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
MOST_BYTES = 16_384
# The lines of sshd(8), "AUTHORIZED_KEYS FILE FORMAT": perhaps options, a type, the key.
KEY = re.compile(r"(\S+ +)?(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-\S+@openssh\.com) +[A-Za-z0-9+/]+={0,2}( .*)?")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
# ansible-pull puts it into a line that is split like a shell's.
REPOSITORY = re.compile(r"((https|ssh|git|file)://|[\w.-]+@[\w.-]+:|/)[^\s\"'`$\\{}]+")
ARCHIVE = re.compile(r"(https?://[^#\s]+)(#sha256=[0-9a-f]{64})?")
COLLECTION = re.compile(r"[a-z_0-9]+\.[a-z_0-9]+(:[\w.=<>!,*+-]+)?")
INSIDE = re.compile(r"(?!/)(?!.*(^|/)\.\.(/|$))[\w./ -]+")


@dataclass(frozen=True)
class Pull:
    """What the server provisions itself from, on its first boot.

    :param repository: the URL of a Git repository; empty if the operator runs the playbook from the controller.
    :param version: a branch, a tag or a commit; empty for the repository's default branch.
    :param inventory: a file or directory in the repository.
    :param playbook: one of a collection, by its full name, or a file in the repository.
    :param collections: what ``ansible-galaxy collection install`` takes; an archive's URL has its checksum at its end.
    :param known_hosts: lines of SSH's known_hosts, for a repository that is reached by SSH.
    """

    repository: str = ""
    version: str = ""
    inventory: str = "hosts.yml"
    playbook: str = "groundwork.flask.site"
    collections: Sequence[str] = ()
    known_hosts: str = ""

    @property
    def by_ssh(self) -> bool:
        """Whether the repository is reached by SSH, with a key that the server makes for itself."""
        return bool(re.match(r"ssh://|[\w.-]+@", self.repository))


@dataclass(frozen=True)
class UserData:
    """What a new server is to be told.

    :param user: the account by which the operator, and Ansible, will come in.
    :param authorized_keys: public keys, a line each.
    :param files: as cloud-init's ``write_files`` takes them.
    :param packages: of the distribution.
    :param commands: argument vectors, run in this order at the end of the first boot.
    :param message: what the console shows at the end.
    """

    user: str
    authorized_keys: Sequence[str]
    files: Sequence[Mapping[str, str]] = field(default_factory=list)
    packages: Sequence[str] = ()
    commands: Sequence[Sequence[str]] = ()
    message: str = ""

    @property
    def accounts(self) -> dict[str, Any]:
        """Who may log in, by key alone.

        The image's own account stays, for some providers create the account that was asked of them through it.
        """
        keys = list(self.authorized_keys)
        if self.user == "root":
            return {"disable_root": False, "ssh_authorized_keys": keys}
        account = {
            "name": self.user,
            "groups": "sudo",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "shell": "/bin/bash",
            "lock_passwd": True,
            "ssh_authorized_keys": keys,
        }
        return {"users": ["default", account]}

    def text(self) -> str:
        """The file, as cloud-init takes it."""
        config: dict[str, Any] = {**self.accounts, "ssh_pwauth": False}
        if self.packages:
            config |= {"package_update": True, "packages": list(self.packages)}
        config["write_files"] = [dict(file) for file in self.files]
        config["runcmd"] = [list(command) for command in self.commands]
        if self.message:
            config["final_message"] = self.message
        body = yaml.dump(config, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
        return f"#cloud-config\n{body}"


class Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one reads it, with the tabs in it, for which PyYAML would quote it."""

    def analyze_scalar(self, scalar: str) -> Any:
        """Judge a text as if its tabs were spaces."""
        analysis = super().analyze_scalar(scalar.replace("\t", " ") if "\n" in scalar else scalar)
        analysis.scalar = scalar
        return analysis


def literal(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text, in a literal block if it has lines."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, literal)


def problems(user: str, keys: Sequence[str], pull: Pull) -> Problems:
    """What keeps a server from being told so, by variable."""
    return [*account_problems(user, keys), *(pull_problems(pull) if pull.repository else [])]


def account_problems(user: str, keys: Sequence[str]) -> Problems:
    """What is wrong with the account and its keys."""
    found = []
    if not ACCOUNT.fullmatch(user):
        found.append(f"cloud_init_user: {user!r} is not the name of an account: use small letters, digits, - and _")
    if not keys:
        found.append(
            "cloud_init_authorized_keys: no public key is given, and there is no ~/.ssh/id_*.pub on this machine: "
            "nobody could log in. Make a key with `ssh-keygen -t ed25519`, or give the lines of the public keys"
        )
    for number, key in enumerate(keys, 1):
        if "PRIVATE KEY" in key:
            found.append(
                f"cloud_init_authorized_keys: key {number} is a private key, which must not leave this machine: give "
                "the public one, from the file that ends in .pub"
            )
        elif not KEY.fullmatch(key):
            found.append(
                f"cloud_init_authorized_keys: {key[:40]!r} is not a public key: give a line of the file that ends in "
                ".pub, as in `ssh-ed25519 AAAA… you@example.org`"
            )
    return found


def pull_problems(pull: Pull) -> Problems:
    """What keeps the server from provisioning itself."""
    found = []
    if not REPOSITORY.fullmatch(pull.repository):
        found.append(
            f"cloud_init_repository: {pull.repository!r} is not the URL of a Git repository: write it as "
            "https://example.org/infra.git or git@example.org:acme/infra.git"
        )
    elif urlsplit(pull.repository).password or (
        pull.repository.startswith("http") and urlsplit(pull.repository).username
    ):
        found.append(
            "cloud_init_repository: the URL has a password or a token in it, and whatever runs on the server can read "
            "its user data: give the repository's address by SSH, as in git@example.org:acme/infra.git; the server "
            "makes a key, which you allow to read the repository"
        )
    if pull.by_ssh and not pull.known_hosts.strip():
        found.append(
            f"cloud_init_known_hosts: {pull.repository} is reached by SSH, and what comes from it runs as root: give "
            "the lines that `ssh-keyscan` prints of its host, if they are right"
        )
    if pull.known_hosts and not pull.by_ssh:
        found.append(f"cloud_init_known_hosts is for a repository that is reached by SSH, and {pull.repository} is not")
    if re.match(r"-|.*\s", pull.version):
        found.append(f"cloud_init_version: {pull.version!r} is not a branch, a tag or a commit")
    for name, path in (("inventory", pull.inventory), ("playbook", pull.playbook)):
        if not INSIDE.fullmatch(path):
            found.append(f"cloud_init_{name}: {path!r} is not a path in the repository: write it as seen from its top")
    return found + [problem for name in pull.collections for problem in collection_problems(name)]


def collection_problems(name: str) -> Problems:
    """What is wrong with one of the collections."""
    archive = ARCHIVE.fullmatch(name)
    if archive and not archive[2]:
        return [
            f"cloud_init_collections: {name} has no checksum, and it runs as root: write #sha256=… behind it, with "
            "what `sha256sum` prints of the archive"
        ]
    if not archive and not COLLECTION.fullmatch(name):
        return [
            f"cloud_init_collections: {name!r} is neither a collection, as in groundwork.flask:==0.1.0, nor the URL of "
            "an archive, as in https://example.org/groundwork-flask-0.1.0.tar.gz#sha256=…"
        ]
    return []


def warnings(size: int, port: int) -> Problems:
    """What the operator should know.

    :param size: of the text, in bytes.
    :param port: at which the inventory says that sshd listens.
    """
    found = []
    if size > MOST_BYTES:
        found.append(
            f"The user data has {size} bytes, and Amazon takes {MOST_BYTES}: compress it with `gzip`, which cloud-init "
            "reads as well, or leave keys out."
        )
    if port != 22:
        found.append(
            f"ansible_port is {port}, and sshd of a new server listens on 22 unless the image says otherwise: the "
            f"firewall would shut you out. Leave ansible_port out until sshd listens on {port}, or put 22 into "
            "firewall_ssh_ports."
        )
    return found
