# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build command of an app, which makes what its source has not, such as the files of a front end."""

from __future__ import annotations

from pathlib import Path

from ..common.systemd import TIMED_OUT
from .build import INSTALL_SECONDS, Builder
from .environment import CA_BUNDLE
from .errors import ReleaseError, tail
from .hints import build_hint


def run(builder: Builder, code: Path, venv: Path) -> None:
    """Run it in the code directory, as a step of the build: without the app's secrets and data, with the network.

    :param venv: the app's environment, whose programs it finds first.
    :raises ReleaseError: it failed, or took too long.
    """
    command = builder.spec.build_command
    status, output = builder.execute(
        "build", "/bin/sh", "-c", command, cwd=code, environment=environment(venv, builder.at.package_cache)
    )
    if not status:
        return
    ended = f"was ended after {INSTALL_SECONDS} s" if status == TIMED_OUT else f"failed with exit status {status}"
    raise ReleaseError(
        "install", f"the build command `{command}` {ended}{build_hint(builder.spec.name, output)}", tail(output)
    )


def environment(venv: Path, cache: Path) -> dict[str, str]:
    """What it finds beside the environment of every step of the build: the app's programs, and caches that are kept."""
    return {
        "PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(venv),
        "CI": "true",  # no program asks, or draws
        "XDG_CACHE_HOME": str(cache / "xdg"),
        "npm_config_cache": str(cache / "npm"),
        "npm_config_update_notifier": "false",
        "YARN_CACHE_FOLDER": str(cache / "yarn"),
        "COREPACK_HOME": str(cache / "corepack"),
        "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
        "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
    }
