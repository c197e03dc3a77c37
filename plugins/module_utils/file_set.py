# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a named set of files as one transaction: all of it tested and kept, or put back as it was.

What a set has done is kept beside it on the host, so that a run killed at any point is healed by the next one:

* ``<state>/<name>.json``, the manifest: which files each part owns, how often the set has changed (its generation),
  and the last generation whose ``apply`` command succeeded;
* ``<state>/<name>.journal``, there only while files are being replaced: what they were before. A run that finds one
  puts the files back first.
"""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import shlex
import stat
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common.files import write
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import printable

STATE_DIRECTORY = Path("/var/lib/groundwork/file_sets")
# Where the commands of a set are looked up, whoever logged in and however.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_SHOWN = 10_000  # characters of what a program printed


class FileSetError(Exception):
    """A set that cannot be written; the message names the file or the command and what it said."""


@dataclass(frozen=True)
class Entry:
    """A file (or, with ``content=None``, a directory) as it should be."""

    path: str
    content: bytes | None
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secret: bool = False
    part: str = ""


@dataclass(frozen=True)
class Found:
    """A path as it is on the host; ``content`` is None for a directory."""

    content: bytes | None
    uid: int
    gid: int
    mode: int

    @classmethod
    def at(cls, path: str) -> Found | None:
        """What is at ``path``, or None. Anything but a file or a directory raises FileSetError."""
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(status.st_mode):
            content = None
        elif stat.S_ISREG(status.st_mode):
            content = Path(path).read_bytes()
        else:
            raise FileSetError(f"{path} is neither a file nor a directory; move it away and run again")
        return cls(content, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


@dataclass(frozen=True)
class Change:
    """One path that differs: ``after`` is None where the file goes."""

    path: str
    part: str
    before: Found | None
    after: Entry | None

    def diff(self) -> dict[str, str]:
        """Before and after in the form Ansible prints; the content of a secret is never shown."""

        def shown(content: bytes | None, hidden: bool) -> str:
            if content is None:
                return ""
            return f"({len(content)} bytes, secret: not shown)\n" if hidden else content.decode(errors="replace")

        secret = self.after.secret if self.after else bool(self.before and not self.before.mode & 0o004)
        before = shown(self.before.content if self.before else None, secret)
        after = shown(self.after.content if self.after else None, secret)
        if secret and self.before and self.after and self.before.content != self.after.content:
            after = after.replace("secret", "changed, secret")
        if before == after and self.after:  # only owner or mode differ, or it is a directory
            before = f"{describe(self.before)}\n"
            after = f"{self.after.owner}:{self.after.group} {self.after.mode:04o}\n"
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}

    def put(self) -> None:
        """Make the host as ``after`` says; a file by a rename, so that no reader sees half of it."""
        if self.after is None:
            Path(self.path).unlink(missing_ok=True)
            return
        uid, gid = user_id(self.after.owner, self.path), group_id(self.after.group, self.path)
        place(self.path, self.after.content, uid, gid, self.after.mode)

    def put_back(self) -> None:
        """Make the host as ``before`` says."""
        if self.before is not None:
            place(self.path, self.before.content, self.before.uid, self.before.gid, self.before.mode)
        elif self.after is not None and self.after.content is not None:
            Path(self.path).unlink(missing_ok=True)


def describe(found: Found | None) -> str:
    """``owner:group mode`` of what was found, for a diff."""
    if found is None:
        return "absent"
    try:
        owner = pwd.getpwuid(found.uid).pw_name
    except KeyError:
        owner = str(found.uid)
    try:
        group = grp.getgrgid(found.gid).gr_name
    except KeyError:
        group = str(found.gid)
    return f"{owner}:{group} {found.mode:04o}"


def user_id(name: str, path: str) -> int:
    """The number of a user; an unknown one raises FileSetError."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise FileSetError(f"{path}: there is no user {name!r} on this host") from None


def group_id(name: str, path: str) -> int:
    """The number of a group; an unknown one raises FileSetError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise FileSetError(f"{path}: there is no group {name!r} on this host") from None


def place(path: str, content: bytes | None, uid: int, gid: int, mode: int) -> None:
    """Put a file there by a rename, or make a directory, with owner and mode."""
    try:
        if content is None:
            os.makedirs(path, mode=0o755, exist_ok=True)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
            return
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        write(path, content, mode, uid, gid)
    except OSError as error:
        raise FileSetError(f"{path}: {error.strerror}") from error


def run(command: str) -> str | None:
    """Run a command (words as in a shell, but no shell); None when it succeeds, else what it printed."""
    try:
        result = subprocess.run(
            shlex.split(command),
            env={**os.environ, "PATH": PATH},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return f"{command}: {error.strerror}"
    return (
        None if result.returncode == 0 else shown(result.stderr + result.stdout) or f"exit status {result.returncode}"
    )


def shown(text: str) -> str:
    """The end of what a program printed, which may hold strangers' words; no terminal obeys it."""
    return printable(text[-MOST_SHOWN:].strip())


@dataclass
class Manifest:
    """What the set has done on this host so far."""

    parts: dict[str, list[str]] = field(default_factory=dict)
    generation: int = 0
    changed_at: float = 0.0
    applied: int = 0

    @classmethod
    def load(cls, path: Path) -> Manifest:
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return cls()

    def save(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place(
            str(path),
            (json.dumps(vars(self), indent=1, sort_keys=True) + "\n").encode(),
            os.getuid(),
            os.getgid(),
            0o600,
        )


@dataclass
class Outcome:
    """What a call has done, or in a dry run would have done."""

    changes: list[Change] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    applied: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.changes) or self.applied

    @property
    def diff(self) -> list[dict[str, str]]:
        return [change.diff() for change in self.changes]


class FileSet:
    """A named set of files on this host.

    :param name: the set's name, unique on the host; it names the manifest.
    :param state: the directory of the manifests.
    """

    def __init__(self, name: str, state: Path = STATE_DIRECTORY) -> None:
        self.name = name
        self.manifest_path = state / f"{name}.json"
        self.journal_path = state / f"{name}.journal"

    def parts(self) -> list[str]:
        """The parts that have files on this host."""
        return sorted(Manifest.load(self.manifest_path).parts)

    def update(
        self,
        entries: Sequence[Entry],
        absent_parts: Iterable[str] = (),
        validate: str | None = None,
        apply: str | None = None,
        check_mode: bool = False,
    ) -> Outcome:
        """Make the host's files be ``entries``; raise FileSetError with the host as it was if that fails.

        :param absent_parts: parts all of whose files go.
        :param validate: a command that tests the files when all are in place. When it fails all are put back, and the
            parts are tried one by one; those that fail alone are returned in ``refused``.
        :param apply: a command to run after a change, and again in the next call if it did not succeed.
        """
        reject_duplicates(entries)
        if not check_mode:
            self.recover()
        manifest = Manifest.load(self.manifest_path)
        wanted = owned_paths(entries, absent_parts)
        outcome = Outcome(plan(entries, wanted, manifest.parts))
        if check_mode:
            return outcome
        if outcome.changes:
            outcome = self.replace(outcome.changes, validate, manifest.generation + 1)
        kept = {part: paths for part, paths in wanted.items() if part not in outcome.refused}
        parts = {part: paths for part, paths in {**manifest.parts, **kept}.items() if paths}
        if outcome.changes or parts != manifest.parts:
            manifest.parts = parts
            if outcome.changes:
                manifest.generation += 1
                manifest.changed_at = time.time()
            manifest.save(self.manifest_path)
        self.journal_path.unlink(missing_ok=True)
        if apply and manifest.applied < manifest.generation:
            if (said := run(apply)) is not None:
                raise FileSetError(f"the files are in place, but `{apply}` failed: {said}")
            manifest.applied = manifest.generation
            manifest.save(self.manifest_path)
            outcome.applied = True
        return outcome

    def replace(self, changes: list[Change], validate: str | None, generation: int) -> Outcome:
        """Put the changes in place, test them, and keep what passes."""
        self.write_journal(changes, generation)
        try:
            put_all(changes)
            if validate is None or (said := run(validate)) is None:
                return Outcome(changes)
            put_back_all(changes)
            return self.replace_by_part(changes, validate, said)
        except BaseException:
            put_back_all(changes)
            self.journal_path.unlink(missing_ok=True)
            raise

    @staticmethod
    def replace_by_part(changes: list[Change], validate: str, said: str) -> Outcome:
        """Find the parts that fail the test: the default part first, then each other on top of what has passed."""
        parts = sorted({change.part for change in changes} | {""})
        if parts == [""]:
            raise FileSetError(f"put back as it was, because `{validate}` failed: {said}")
        outcome = Outcome()
        for part in parts:
            of_part = [change for change in changes if change.part == part]
            put_all(of_part)
            if (said_of_part := run(validate)) is None:
                outcome.changes += of_part
                continue
            put_back_all(of_part)
            if part == "":
                put_back_all(outcome.changes)
                raise FileSetError(f"put back as it was, because `{validate}` failed: {said_of_part}")
            outcome.refused[part] = said_of_part
        return outcome

    def write_journal(self, changes: list[Change], generation: int) -> None:
        """Keep what the changes are about to replace."""
        found = [
            {
                "path": change.path,
                "found": None
                if change.before is None
                else {
                    "content": None
                    if change.before.content is None
                    else base64.b64encode(change.before.content).decode(),
                    "uid": change.before.uid,
                    "gid": change.before.gid,
                    "mode": change.before.mode,
                },
            }
            for change in changes
            if change.after is None or change.after.content is not None
        ]
        self.journal_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        journal = json.dumps({"generation": generation, "files": found})
        place(str(self.journal_path), journal.encode(), os.getuid(), os.getgid(), 0o600)

    def recover(self) -> None:
        """Put back what a killed run had replaced and not yet tested."""
        try:
            journal = json.loads(self.journal_path.read_text())
        except FileNotFoundError:
            return
        if Manifest.load(self.manifest_path).generation < journal["generation"]:
            for item in journal["files"]:
                found = item["found"]
                if found is None:
                    Path(item["path"]).unlink(missing_ok=True)
                else:
                    content = None if found["content"] is None else base64.b64decode(found["content"])
                    place(item["path"], content, found["uid"], found["gid"], found["mode"])
        self.journal_path.unlink()


def reject_duplicates(entries: Sequence[Entry]) -> None:
    """Two entries for one path would undo each other at every run."""
    seen: set[str] = set()
    for entry in entries:
        if not os.path.isabs(entry.path):
            raise FileSetError(f"{entry.path!r} is not an absolute path")
        if entry.path in seen:
            raise FileSetError(f"{entry.path} stands twice in this set")
        seen.add(entry.path)


def owned_paths(entries: Sequence[Entry], absent_parts: Iterable[str]) -> dict[str, list[str]]:
    """The files (not the directories) of each part of this call; none for a part that goes."""
    wanted: dict[str, list[str]] = {part: [] for part in absent_parts}
    for entry in entries:
        files = wanted.setdefault(entry.part, [])
        if entry.content is not None:
            files.append(entry.path)
    return {part: sorted(paths) for part, paths in wanted.items()}


def plan(entries: Sequence[Entry], wanted: Mapping[str, list[str]], owned: Mapping[str, list[str]]) -> list[Change]:
    """What has to change on the host, in the order of the entries, removals last."""
    changes = []
    for entry in entries:
        found = Found.at(entry.path)
        if found is not None and (found.content is None) != (entry.content is None):
            kind = "a directory" if found.content is None else "a file"
            raise FileSetError(f"{entry.path} is {kind} on this host; move it away and run again")
        if not same(found, entry):
            changes.append(Change(entry.path, entry.part, found, entry))
    keep = {entry.path for entry in entries}
    for part in wanted:
        for path in owned.get(part, []):
            if path not in keep and (found := Found.at(path)) is not None:
                changes.append(Change(path, part, found, None))
    return changes


def same(found: Found | None, entry: Entry) -> bool:
    """True when the host has the entry as it should be; an owner who does not exist yet is a difference."""
    if found is None or found.content != entry.content or found.mode != entry.mode:
        return False
    try:
        return (found.uid, found.gid) == (pwd.getpwnam(entry.owner).pw_uid, grp.getgrnam(entry.group).gr_gid)
    except KeyError:
        return False


def put_all(changes: Iterable[Change]) -> None:
    for change in changes:
        change.put()


def put_back_all(changes: Sequence[Change]) -> None:
    for change in reversed(changes):
        change.put_back()
