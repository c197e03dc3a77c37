# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles need to know of a host: distribution, Python, addresses, installed packages, this SSH connection."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import host_settings_found
from ansible_collections.groundwork.flask.plugins.module_utils.common import kernel, programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

SECONDS = 30.0  # that one program may take
# "visitor's address, its port, own address, own port", as sshd tells each session.
SSH_CONNECTION = re.compile(r"\S+ \d+ \S+ \d+")
MOST_ANCESTORS = 32


def facts(root: Path = Path("/")) -> dict[str, Any]:
    """The facts that do not change from one play to the next, by the names that Ansible gives them."""
    return {**distribution(root), **python(), **addresses(), **size(root)}


def distribution(root: Path = Path("/")) -> dict[str, str]:
    """The distribution; empty texts where /etc/os-release does not say."""
    fields = os_release(root / "etc/os-release")
    name = (fields.get("NAME", "").split() or [""])[0]
    version = fields.get("VERSION_ID", "")
    if fields.get("ID") == "debian" and (point := first_line(root / "etc/debian_version")) and point[0].isdigit():
        version = point
    return {
        "distribution": name,
        "distribution_version": version,
        "distribution_major_version": version.partition(".")[0],
        "distribution_release": fields.get("VERSION_CODENAME", ""),
        "os_family": "Debian" if "debian" in (fields.get("ID"), *fields.get("ID_LIKE", "").split()) else name,
    }


def os_release(path: Path) -> dict[str, str]:
    """Read the assignments of an os-release file; none where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key: "".join(shlex.split(value)) for key, _equals, value in pairs}


def first_line(path: Path) -> str:
    """The first line of a file; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except FileNotFoundError:
        return ""


def python() -> dict[str, Any]:
    """The Python that runs this."""
    major, minor, micro = sys.version_info[:3]
    return {
        "python": {"version": {"major": major, "minor": minor, "micro": micro}, "executable": sys.executable},
        "python_version": platform.python_version(),
    }


def size(root: Path = Path("/")) -> dict[str, int]:
    """The processors that can be used, and the memory in MB."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    total = next((int(line.split()[1]) for line in lines if line.startswith("MemTotal:")), 0)
    return {"processor_nproc": len(os.sched_getaffinity(0)), "memtotal_mb": total // 1024}


def machine(root: Path = Path("/")) -> dict[str, Any]:
    """What the role host asks of the machine, what others have set, and what is logged.

    Modules that are loaded below a container are not its own.
    """
    container = kernel.container(root)
    return {
        "container": container,
        "virtual": bool(container) or kernel.is_virtual(root),
        "modules": [] if container else kernel.loaded_modules(root),
        "settings": host_settings_found.settings(root),
        "journal_bytes": host_settings_found.journal_bytes(root),
    }


def addresses() -> dict[str, list[str]]:
    """All IP addresses of the host but those of the loopback interface's own networks."""
    found: dict[str, list[str]] = {"inet": [], "inet6": []}
    for interface in json.loads(output("/usr/sbin/ip", "-json", "address", "show") or "[]"):
        for address in interface.get("addr_info", []):
            local = address.get("local", "")
            if address.get("family") in found and local != "::1" and not local.startswith("127."):
                found[address["family"]].append(local)
    return {"all_ipv4_addresses": found["inet"], "all_ipv6_addresses": found["inet6"]}


def packages() -> list[str]:
    """The names of the installed packages; none where there is no dpkg."""
    listed = output("/usr/bin/dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n")
    return sorted({name for status, _space, name in (line.partition(" ") for line in listed.splitlines())
                   if status == "installed"})  # fmt: skip


def services(root: Path = Path("/")) -> dict[str, list[str]]:
    """The files that say what each app has of database and Redis, by the app's name; root alone writes there."""
    found = sorted((root / on_host("services", "*")[1:]).parent.glob("*/*"))
    apps = sorted({file.parent.name for file in found})
    return {app: [file.name for file in found if file.parent.name == app] for app in apps}


def output(*argv: str) -> str:
    """What a program prints; empty where there is no such program.

    :raises RuntimeError: it fails, or takes longer than :data:`SECONDS`.
    """
    try:
        result = programs.run(argv, seconds=SECONDS, limit=2**24)
    except FileNotFoundError:
        return ""
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"`{shlex.join(argv)}` took more than {SECONDS:.0f} s") from None
    if result.returncode:
        raise RuntimeError(f"`{shlex.join(argv)}` failed: {programs.explanation(result)}")
    return result.stdout


def ssh_connection(process: int | None = None, proc: Path = Path("/proc")) -> str:
    """The SSH connection that a process was started over, as sshd describes it; empty where there is none.

    sudo and its like clear the environment, so the processes above this one are asked too.

    :param process: the process; by default this one.
    """
    number = os.getpid() if process is None else process
    for _ancestor in range(MOST_ANCESTORS):
        try:
            environment = (proc / str(number) / "environ").read_bytes()
            parent = re.search(r"^PPid:\s*(\d+)", (proc / str(number) / "status").read_text(), re.MULTILINE)
        except OSError:
            return ""
        for variable in environment.split(b"\0"):
            name, _equals, value = variable.decode(errors="replace").partition("=")
            if name == "SSH_CONNECTION" and SSH_CONNECTION.fullmatch(value):
                return value
        number = int(parent[1]) if parent else 0
        if number <= 1:
            return ""
    return ""
