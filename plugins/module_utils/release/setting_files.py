# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of settings that an app gets beside its code: how they come to the host, and into a release.

Any of them may hold a password, so none is ever shown: on its way each is one text that Ansible can recognize and mask.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..common import trees
from ..common.paths import descend, make_at, status_at
from .errors import ReleaseError

DIRECTORY_MODE = 0o750
QUOTED = re.compile(r"""(["'])(.+?)\1""")
MASKED_LENGTH = 8  # a shorter line tells little, and stands in many texts
# What a traceback has to quote for a person to see what is wrong, and what no password can be.
IMPORT = re.compile(r"(from +[\w.]+ +)?import +[\w.]+( +as +\w+)?( *, *[\w.]+( +as +\w+)?)*|from +[\w.]+ +import +\*")
VARIABLE_OF = re.compile(r"\b(environ\[|(environ\.get|environ\.setdefault|getenv)\() *$")


@dataclass(frozen=True)
class SettingFile:
    """A file of settings.

    :ivar replace: whether it takes the place of a file that the source has.
    """

    content: bytes
    mode: int = 0o640
    replace: bool = False

    def packed(self) -> str:
        """The file as one text."""
        facts = {"content": base64.b64encode(self.content).decode(), "mode": self.mode, "replace": self.replace}
        return base64.b64encode(json.dumps(facts).encode()).decode()

    @classmethod
    def unpacked(cls, text: str) -> SettingFile:
        """Read what :meth:`packed` returned."""
        facts = json.loads(base64.b64decode(text))
        return cls(base64.b64decode(facts["content"]), facts["mode"], facts["replace"])


def masked(settings: Mapping[str, str]) -> set[str]:
    """What is masked of all files wherever it stands: their lines, as a traceback quotes them, and values in quotes.

    Of these not what is short, no path, no import, and no name of a variable of the environment, without which many a
    message would say nothing.
    """
    texts = (SettingFile.unpacked(text).content.decode(errors="replace") for text in settings.values())
    lines = {line.strip() for text in texts for line in text.splitlines()}
    lines = {line for line in lines if not IMPORT.fullmatch(line)}
    values = {value for line in lines for value in quoted(line) if not value.startswith("/")}
    return {text for text in lines | values if len(text) >= MASKED_LENGTH}


def quoted(line: str) -> set[str]:
    """The values in quotes in a line, but for the names of variables that it takes from the environment."""
    return {found[2] for found in QUOTED.finditer(line) if not VARIABLE_OF.search(line[: found.start()])}


def check(tree: Path, subdirectory: str, settings: Mapping[str, str]) -> None:
    """Refuse a file that the source has already, before anything is built.

    :param tree: the source, which a build may be able to write.
    :raises ReleaseError: naming the file, and what is in its place.
    """
    if not settings:
        return
    code = trees.open_beneath(tree, subdirectory)
    try:
        for path, text in settings.items():
            check_place(code, path, SettingFile.unpacked(text).replace)
    finally:
        os.close(code)


def check_place(code: int, path: str, replace: bool) -> None:
    """Refuse a file that cannot be put where it belongs.

    :param code: a descriptor of the code directory.
    :param path: the file's, relative to it.
    :param replace: whether it may take the place of a file of the source; never of a directory.
    :raises ReleaseError: naming the file, and what is in its place.
    """
    above, name = os.path.split(path)
    try:
        parent = descend(code, above)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise refusal(path, f"{above} is, in the source, a file or leads through a link: name another place") from error
    try:
        found = status_at(parent, name)
    finally:
        os.close(parent)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        raise refusal(path, "this is a directory of the source: name another place")
    if not replace:
        raise refusal(
            path, "the source has such a file: leave one of them out, or write `replace: true` to use this one"
        )


def write(tree: Path, subdirectory: str, settings: Mapping[str, str], gid: int) -> None:
    """Write the files into a source that is root's by now; no link in it is followed.

    :param gid: the group that may read them, the app's.
    :raises ReleaseError: see :func:`check`.
    """
    check(tree, subdirectory, settings)
    if not settings:
        return
    code = trees.open_beneath(tree, subdirectory)
    try:
        for path, text in settings.items():
            write_one(code, path, SettingFile.unpacked(text), gid)
    finally:
        os.close(code)


def write_one(code: int, path: str, file: SettingFile, gid: int) -> None:
    """Write a file that :func:`check_place` has let pass.

    :param code: a descriptor of the code directory.
    :param path: the file's, relative to it.
    """
    above, name = os.path.split(path)
    parent = made(code, above, gid)
    try:
        if status_at(parent, name):
            os.unlink(name, dir_fd=parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb") as stream:
            stream.write(file.content)
            os.fchown(stream.fileno(), os.geteuid(), gid)
            os.fchmod(stream.fileno(), file.mode)
    finally:
        os.close(parent)


def made(code: int, above: str, gid: int) -> int:
    """Open the directory of a file, made where it is missing; the caller closes it."""
    here = os.dup(code)
    for part in filter(None, above.split("/")):
        try:
            inner = descend(here, part)
        except FileNotFoundError:
            inner = make_at(here, part, DIRECTORY_MODE)
            os.fchown(inner, os.geteuid(), gid)
        os.close(here)
        here = inner
    return here


def refusal(path: str, sentence: str) -> ReleaseError:
    """The error about a file."""
    return ReleaseError("fetch", f"settings.{path}: {sentence}")


def is_below(settings: Mapping[str, str], directory: str) -> bool:
    """Whether one of the files lies in a directory, which is there then."""
    return any(path.startswith(f"{directory.rstrip('/')}/") for path in settings)
