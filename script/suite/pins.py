"""What is pinned by hashes: resolve it anew and write the files that hold it. `script/pins` runs this."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[2]
UV = ROOT / "plugins/module_utils/release/pins.py"
CERTBOT = ROOT / "roles/certificate/files/certbot"
ANSIBLE = ROOT / "roles/cloud_init/files/ansible.txt"
# The newest series for the Python of every supported distribution. What it needs comes from apt.
ANSIBLE_CORE = "ansible-core>=2.19,<2.20"
# The plugins that certbot's own project releases with it; vars/main.yml of the role names them too.
PLUGINS = tuple(
    f"certbot-dns-{name}"
    for name in (
        *("cloudflare", "digitalocean", "dnsimple", "dnsmadeeasy", "gehirn", "google", "linode", "luadns", "nsone"),
        *("ovh", "rfc2136", "route53", "sakuracloud"),
    )
)
OLDEST_PYTHON = "3.11"  # Debian 12's
CPYTHONS = [str(minor) for minor in range(11, 20)]
COOLING = "7 days"
NOTE = "Written by `script/pins`: do not edit."

MODULE = '''# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine fetches by itself, pinned by hashes. {note}"""

from __future__ import annotations

UV_VERSION = "{version}"
# A requirements file for `pip install --require-hashes`: every wheel of this version for Linux.
UV = """\\
{text}"""
'''


@dataclass(frozen=True)
class Pin:
    """One package at one version, with the hashes of its wheels for Linux.

    :param marker: for which Pythons, as in a requirements file; empty for all.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @classmethod
    def load(cls, package: Mapping[str, Any]) -> Pin:
        """Read a package of a pylock.toml (PEP 751)."""
        wheels = [wheel for wheel in package.get("wheels", []) if is_for_linux(file_name(wheel))]
        return cls(
            package["name"],
            package["version"],
            # What holds for every supported Python goes without saying.
            re.sub(rf"python_full_version >= '{OLDEST_PYTHON}'( and )?", "", package.get("marker", "")),
            tuple(sorted({f"sha256:{wheel['hashes']['sha256']}" for wheel in wheels})),
        )

    @property
    def requirement(self) -> str:
        """The line of a requirements file, without the hashes."""
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")

    def __str__(self) -> str:
        """The lines of a requirements file."""
        return " \\\n".join([self.requirement, *(f"    --hash={one}" for one in self.hashes)])


def file_name(wheel: Mapping[str, Any]) -> str:
    """The name of a wheel, which an index need not give beside its address."""
    return str(wheel.get("name") or wheel["url"].rpartition("/")[2])


def is_for_linux(name: str) -> bool:
    """Whether some CPython of a supported host can install this wheel."""
    tags = parse_wheel_filename(name)[3]
    return any(
        (tag.platform == "any" or "linux" in tag.platform)
        and (tag.interpreter == "py3" or tag.interpreter.startswith("cp3"))
        and (tag.abi in ("none", "abi3") or (tag.abi.startswith("cp3") and tag.abi[3:] in CPYTHONS))
        for tag in tags
    )


def pins(lock: Mapping[str, Any]) -> list[Pin]:
    """The packages of a pylock.toml that have wheels for Linux, by name."""
    found = [Pin.load(package) for package in lock["packages"]]
    for pin in found:
        if not pin.hashes and "win32" not in pin.marker:
            raise SystemExit(f"{pin.name} {pin.version} has no wheel for Linux")
    return sorted((pin for pin in found if pin.hashes), key=lambda pin: (pin.name, pin.marker))


def resolve(names: Sequence[str], constraints: Iterable[Pin] = ()) -> list[Pin]:
    """The newest versions of these packages and of all that they need, for every Python and architecture at once."""
    with tempfile.TemporaryDirectory() as directory:
        wanted, bounds, lock = (Path(directory) / name for name in ("wanted.txt", "bounds.txt", "pylock.toml"))
        wanted.write_text("\n".join(names) + "\n")
        bounds.write_text("".join(f"{pin.requirement}\n" for pin in constraints))
        subprocess.run(
            [
                *("uv", "pip", "compile", "--quiet", "--universal", "--no-build", "--no-sources"),
                *("--python-version", OLDEST_PYTHON, "--exclude-newer", COOLING, "--constraint", bounds),
                *("--format", "pylock.toml", "--output-file", lock, wanted),
            ],
            check=True,
            env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        )
        return pins(tomllib.loads(lock.read_text()))


def requirements(found: Iterable[Pin], title: str) -> str:
    """A requirements file."""
    return "\n".join([f"# {title} {NOTE}", *map(str, found)]) + "\n"


def uv_module(found: Sequence[Pin]) -> str:
    """The module that holds uv."""
    (uv,) = found
    return MODULE.format(note=NOTE, version=uv.version, text=f"{uv}\n".replace("\\", "\\\\"))


def wanted_files() -> dict[Path, str]:
    """Every file, as it is to be.

    All plugins are resolved together, so that each of them can be installed beside what certbot alone needs; its file
    has only what it adds.
    """
    together = resolve(["certbot", *PLUGINS])
    base = resolve(["certbot"], together)
    files = {
        UV: uv_module(resolve(["uv"])),
        CERTBOT / "certbot.txt": requirements(base, "certbot, and what it needs."),
        ANSIBLE: requirements(
            [pin for pin in resolve([ANSIBLE_CORE]) if pin.name == "ansible-core"],
            "ansible-core, with which a new server provisions itself.",
        ),
    }
    for plugin in PLUGINS:
        added = [pin for pin in resolve(["certbot", plugin], together) if pin not in base]
        files[CERTBOT / f"{plugin}.txt"] = requirements(added, f"{plugin}, and what it needs beside certbot.txt.")
    return files


def main() -> int:
    """Write the files, or say which are old."""
    arguments = argparse.ArgumentParser(prog="script/pins", description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; the status is 1 if anything is old")
    check = arguments.parse_args().check
    old = {path: text for path, text in wanted_files().items() if not path.exists() or path.read_text() != text}
    for path, text in old.items():
        print(f"{'old' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
