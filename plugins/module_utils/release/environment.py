# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables: those of the app's processes, and the file that systemd reads them from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.on_host import on_host
from . import error_tracking
from .services import Services

if TYPE_CHECKING:
    from .context import Context
    from .secret_key import SecretKey

CA_BUNDLE = on_host("ca_bundle")


# A reference to a directory in a variable of `environment`, or what looks like one.
REFERENCE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<bare>[A-Za-z_]\w*))", re.ASCII)
DIRECTORIES = ("DATA_DIR", "RELEASE_DIR")
VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]+")


def app_environment(context: Context, secret_key: SecretKey, release: str, direct: bool = False) -> dict[str, str]:
    """The environment of the app's processes in a release.

    :param direct: that of a step, which goes past the pooler.
    """
    at, directory, code = context.at, str(context.at.release(release)), context.at.code(release, context.subdirectory)
    former = secret_key.former(release)
    directories = dict(zip(DIRECTORIES, (str(at.data), str(code)), strict=True))
    return {
        "PATH": f"{directory}/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": at.data,
        **directories,
        "XDG_CACHE_HOME": at.cache,
        "MPLCONFIGDIR": f"{at.cache}/matplotlib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Wheels bring an OpenSSL that looks for certificates on the machine it was built on.
        "SSL_CERT_FILE": CA_BUNDLE,
        "REQUESTS_CA_BUNDLE": CA_BUNDLE,
        "RELEASE": release,
        "VIRTUAL_ENV": f"{directory}/venv",
        **error_tracking.variables(context, release),
        **{name: expanded(value, directories) for name, value in context.spec.environment.items()},
        **context.secrets,
        **Services(context).variables(Path(directory, "venv"), direct),
        **code_environment(code, context.spec.working_directory, context.spec.python_path),
        "PYTHONPATH": ":".join(filter(None, (f"{directory}/entry", own_python_path(context, directories)))),
        "SECRET_KEY": secret_key.read(),
        **({"SECRET_KEY_FALLBACKS": json.dumps(former)} if former else {}),
    }


def code_environment(code: Path, working_directory: str, python_path: Sequence[str]) -> dict[str, str]:
    """Where the app's processes run, and the directories of its code that they import from, in order.

    The server's entry puts them on Python's path, and ``sitecustomize.py`` beside it does so for every other program.
    Where the app says nothing, the directory that it runs in comes first, as servers have it.

    :param code: the code directory of the release.
    """
    named = [*python_path, working_directory or ".", "."]
    found = [os.path.normpath(code / directory) for directory in named]
    return {
        "GROUNDWORK_DIRECTORY": os.path.normpath(code / working_directory),
        "GROUNDWORK_PATH": ":".join(dict.fromkeys(found)),
    }


def own_python_path(context: Context, directories: Mapping[str, str]) -> str:
    """The app's own PYTHONPATH; what the release needs comes before it."""
    return context.secrets.get("PYTHONPATH") or expanded(context.spec.environment.get("PYTHONPATH", ""), directories)


def expanded(value: str, directories: Mapping[str, str]) -> str:
    """A value with the directories that it names, as ``$DATA_DIR`` or ``${DATA_DIR}``, in their place."""
    return REFERENCE.sub(lambda found: directories.get(found["braced"] or found["bare"], found[0]), value)


def literal_references(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """By variable, what reads like the name of another one and stays as it is: ``$HOME``, ``${MAIL_HOST}``.

    Names in capitals alone: a ``$`` in a password or a hash is no reference.
    """
    found = {
        name: [
            match[0]
            for match in REFERENCE.finditer(value)
            if (called := match["braced"] or match["bare"]) not in DIRECTORIES and VARIABLE_NAME.fullmatch(called)
        ]
        for name, value in environment.items()
    }
    return {name: references for name, references in found.items() if references}


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
