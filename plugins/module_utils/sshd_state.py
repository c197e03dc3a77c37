# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sshd of a host is set, who has logged in to it for this play and how, and who could not by a key."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import sshd_config
from ansible_collections.groundwork.flask.plugins.module_utils.common import files, programs, public_keys, trees
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line as printable

SSHD = "/usr/sbin/sshd"
SECONDS = 10.0  # that one program may take
LOGIN_LINES = 2000  # of sshd in the journal among which the login of this play is looked for
FIRST_HUMAN, NOBODY = 1000, 65534  # uids, as /etc/login.defs and base-passwd of Debian have them
NO_SHELL = ("nologin", "false", "sync")
MOST_ACCOUNTS = 100
LONGEST = 1000  # characters of a setting; the lists of algorithms have 300
MOST_ANCESTORS = 32
ACCEPTED = re.compile(
    r"^Accepted (?P<method>\S+) for (?P<user>\S+) from (?P<address>\S+) port (?P<port>\d+)(?P<rest>.*)"
)
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program; exit status 127 where there is none, or it takes too long."""
    try:
        return programs.run(argv, seconds=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(argv), 127, "", str(error))


def state(connection: str, user: str = "", root: Path = Path("/"), run: Run = run) -> dict[str, Any]:
    """All that the part ``sshd`` of the role host needs to know; empty where no sshd runs on the host.

    :param connection: the play's SSH connection, as sshd describes it in SSH_CONNECTION; empty for another kind.
    :param user: who has logged in for this play.
    """
    if not (root / SSHD.lstrip("/")).exists():
        return {}
    words = connection.split()
    address = words[0] if len(words) > 1 and words[0] != "UNKNOWN" else "127.0.0.1"
    asked = run([SSHD, "-T", "-C", f"user={user or 'root'},host={address},addr={address}"])
    if "privilege separation directory" in asked.stderr:
        return {}
    effective = sshd_config.values(asked.stdout)
    reading = sshd_config.read(root)
    return {
        "user": user,
        "login": login(words, run) if user else {},
        "version": version(run([SSHD, "-V"]).stderr),
        "kex": run(["/usr/bin/ssh", "-Q", "kex"]).stdout.split(),
        "error": "" if asked.returncode == 0 else programs.explanation(asked),
        "effective": {name: printable(value, LONGEST) for name, value in effective.items()},
        "settings": reading.settings,
        "included": reading.included,
        "ours": files.read_text(root / sshd_config.OURS.lstrip("/")),
        "host_keys": host_keys(root),
        "accounts": accounts(effective, user, root),
    }


def version(text: str) -> list[int]:
    """The version of OpenSSH in what ``sshd -V`` prints; empty where there is none."""
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    return [int(found[1]), int(found[2])] if found else []


def login(connection: Sequence[str], run: Run = run) -> dict[str, str]:
    """The ``method`` and, of a key, the ``fingerprint`` by which this connection has logged in, from the journal."""
    if not connection:
        return {}
    names = ("--identifier=sshd", "--identifier=sshd-session")
    options = ("--quiet", "--no-pager", "--output=cat", "--reverse", f"--lines={LOGIN_LINES}")
    for line in run(["/usr/bin/journalctl", *options, *names]).stdout.splitlines():
        found = ACCEPTED.match(line)
        if found and (found["address"], found["port"]) == (connection[0], connection[1]):
            fingerprint = re.search(r"SHA256:\S+", found["rest"])
            return {"method": found["method"], "fingerprint": fingerprint[0] if fingerprint else ""}
    return {}


def login_user(process: int | None = None, proc: Path = Path("/proc")) -> str:
    """Who has logged in by SSH for a process: the account of the outermost process that knows the connection.

    :param process: by default this one, which root may run under sudo.
    """
    number, found = os.getpid() if process is None else process, -1
    for _ancestor in range(MOST_ANCESTORS):
        try:
            environment = (proc / str(number) / "environ").read_bytes()
            status = (proc / str(number) / "status").read_text()
        except OSError:
            break
        fields = dict(re.findall(r"^(PPid|Uid):\s*(\d+)", status, re.MULTILINE))
        if any(variable.startswith(b"SSH_CONNECTION=") for variable in environment.split(b"\0")):
            found = int(fields.get("Uid", found))
        number = int(fields.get("PPid", 0))
        if number <= 1:
            break
    return name_of(found) if found >= 0 else ""


def name_of(uid: int) -> str:
    """The account's name; empty where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def host_keys(root: Path = Path("/")) -> dict[str, int]:
    """The host keys in Debian's places: the bits of an RSA key, 256 for Ed25519."""
    found = {}
    for name in ("ed25519", "rsa", "rsa_4096"):
        key = public_keys.read_line(files.read_text(root / f"etc/ssh/ssh_host_{name}_key.pub"))
        if key and (root / f"etc/ssh/ssh_host_{name}_key").exists():
            found[name] = key.bits or 256
    return found


def accounts(effective: dict[str, str], user: str, root: Path = Path("/")) -> dict[str, dict[str, Any]]:
    """Who can log in: root, people and the play's user; whether by ``password``, their ``keys`` and ``groups``.

    ``refused`` says why further keys would not be taken; ``unknown`` is true where keys come from elsewhere too.
    """
    passwords = {fields[0]: fields[1] for fields in records(root / "etc/shadow") if len(fields) > 1}
    groups = [fields for fields in records(root / "etc/group") if len(fields) == 4]
    elsewhere = any(effective.get(name, "none") != "none" for name in ("authorizedkeyscommand", "trustedusercakeys"))
    found: dict[str, dict[str, Any]] = {}
    for name, _password, uid, gid, _comment, home, shell in (
        fields for fields in records(root / "etc/passwd") if len(fields) == 7
    ):
        human = uid == "0" or (uid.isdigit() and FIRST_HUMAN <= int(uid) != NOBODY)
        if (human and os.path.basename(shell) not in NO_SHELL and len(found) < MOST_ACCOUNTS) or name == user:
            keys = keys_of(name, home, effective, root)
            found[name] = {
                "password": passwords.get(name, "")[:1] not in ("", "!", "*"),
                "groups": [one[0] for one in groups if one[2] == gid or name in one[3].split(",")],
                "keys": [key.fingerprint for key in keys if not key.objection],
                "refused": {key.fingerprint: key.objection for key in keys if key.objection},
                "unknown": elsewhere or any("cert-authority" in key.options for key in keys),
            }
    return found


def keys_of(name: str, home: str, effective: dict[str, str], root: Path = Path("/")) -> list[public_keys.PublicKey]:
    """The keys that an account has in the files which sshd reads; a file that is a link is not followed."""
    found = []
    for path in key_files(name, home, effective):
        directory, relative = (home, path[len(home) :]) if path.startswith(home.rstrip("/") + "/") else ("/", path)
        try:
            text = trees.read_text(root / directory.lstrip("/"), relative.lstrip("/"))
        except (OSError, ValueError):
            continue
        found += public_keys.read_all(text)
    return found


def key_files(name: str, home: str, effective: dict[str, str]) -> list[str]:
    """The paths of AuthorizedKeysFile for an account, as sshd resolves them."""
    found = []
    for word in effective.get("authorizedkeysfile", ".ssh/authorized_keys").split():
        if word != "none":
            path = re.sub("%[%hu]", lambda sign: {"%%": "%", "%h": home, "%u": name}[sign[0]], word)
            found.append(path if path.startswith("/") else f"{home.rstrip('/')}/{path}")
    return found


def records(path: Path) -> list[list[str]]:
    """The fields of each line of passwd or shadow."""
    return [line.split(":") for line in files.read_text(path).splitlines()]
