# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables: those of the app's processes, and the file that systemd reads them from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .context import Context
    from .secret_key import SecretKey

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def app_environment(context: Context, secret_key: SecretKey, release: str) -> dict[str, str]:
    """The environment of the app's processes in a release."""
    at, directory = context.at, str(context.at.release(release))
    former = secret_key.former(release)
    return {
        "PATH": f"{directory}/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": at.data,
        "DATA_DIR": at.data,
        "XDG_CACHE_HOME": at.cache,
        "MPLCONFIGDIR": f"{at.cache}/matplotlib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Wheels bring an OpenSSL that looks for certificates on the machine it was built on.
        "SSL_CERT_FILE": CA_BUNDLE,
        "REQUESTS_CA_BUNDLE": CA_BUNDLE,
        "RELEASE": release,
        "VIRTUAL_ENV": f"{directory}/venv",
        **context.spec.environment,
        **context.secrets,
        "SECRET_KEY": secret_key.read(),
        **({"SECRET_KEY_FALLBACKS": json.dumps(former)} if former else {}),
    }


def env_file(environment: Mapping[str, str]) -> str:
    """Environment variables in the syntax of systemd's EnvironmentFile=."""

    def quoted(value: str) -> str:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'

    return "".join(f"{name}={quoted(value)}\n" for name, value in sorted(environment.items()))


def read_env_file(path: Path) -> dict[str, str]:
    """Read what :func:`env_file` wrote; empty when there is no such file."""
    try:
        text = path.read_bytes().decode()  # a carriage return is part of a value
    except FileNotFoundError:
        return {}
    found = re.findall(r'^(\w+)="((?:[^"\\]|\\.)*)"$', text, re.MULTILINE | re.DOTALL)
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in found}
