# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a named set of files as one transaction: all of it tested and kept, or put back as it was.

What a set has done is kept beside it on the host, so that a run killed at any point is healed by the next one:

* ``<state>/<name>.json``, the manifest: which files each part owns, how each was written and which state each unit was
  to have (so that a later change by hand can be told), how often the set has changed (its generation), and the last
  generation whose ``apply`` command succeeded;
* ``<state>/<name>.journal``, there only while files are being replaced: what they were before. A run that finds one
  puts the files back first;
* ``<state>/../replaced/``, below which a file that was there before the set, a package's or somebody else's, is kept
  under its path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.commands import run
from ansible_collections.groundwork.flask.plugins.module_utils.common.files import make_directory, read_json
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path
from ansible_collections.groundwork.flask.plugins.module_utils.handover import Handover
from ansible_collections.groundwork.flask.plugins.module_utils.placement import (
    Change,
    Entry,
    FileSetError,
    Found,
    keep_copy,
    place,
    same,
)
from ansible_collections.groundwork.flask.plugins.module_utils.spoilt import spoilt_directories

STATE_DIRECTORY = path("state") / "file_sets"


@dataclass
class Manifest:
    """What the set has done on this host so far.

    :ivar files: each file as it was written: mode, owner, group and the SHA-256 of its content. A version before this
        one wrote down none.
    :ivar units: the state that each unit was to have, such as ``enabled started``.
    """

    parts: dict[str, list[str]] = field(default_factory=dict)
    generation: int = 0
    changed_at: float = 0.0
    applied: int = 0
    files: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a set's manifest; an empty one for a set that is not on this host."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in read_json(path).items() if name in known})

    def save(self, path: Path) -> None:
        """Write the manifest, readable for its owner alone."""
        make_directory(path.parent, 0o700)
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
        """Whether anything was done."""
        return bool(self.changes) or self.applied

    @property
    def diff(self) -> list[dict[str, str]]:
        """The changes in the form Ansible prints."""
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
        self.replaced = state.parent / "replaced"

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
        handovers: Iterable[Handover] = (),
        units: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Make the host's files be ``entries``; raise FileSetError with the host as it was if that fails.

        :param absent_parts: parts all of whose files go.
        :param validate: a command that tests the files when all are in place. When it fails all are put back, and the
            parts are tried one by one; those that fail alone are returned in ``refused``.
        :param apply: a command to run after a change, and again in the next call if it did not succeed.
        :param handovers: what parts take over from others. A part that cannot do so now is refused; a dry run does not
            ask whether it can.
        :param units: the state that each unit of the set is to have, for the manifest.
        """
        reject_duplicates(entries)
        if not check_mode:
            self.recover()
        manifest = Manifest.load(self.manifest_path)
        handovers = list(handovers)
        obstacles = {} if check_mode else {one.part: text for one in handovers if (text := one.obstacle())}
        entries = [entry for entry in entries if entry.part not in obstacles]
        wanted = owned_paths(entries, absent_parts)
        changes, keep = plan(entries, wanted, manifest.parts), {entry.path for entry in entries}
        taken = [one for one in handovers if one.part not in obstacles and one.former in manifest.parts]
        for one in taken:
            changes += one.changes(manifest.parts[one.former], keep)
        outcome = Outcome(changes, obstacles)
        if check_mode:
            return outcome
        if changes:
            keep_others(changes, manifest, self.replaced)
            outcome = self.replace(changes, validate, manifest.generation + 1)
            outcome.refused |= obstacles
        described = {entry.path: description(entry) for entry in entries if entry.part not in outcome.refused}
        self.record(manifest, outcome, wanted, taken, described, units or {})
        self.journal_path.unlink(missing_ok=True)
        if apply and manifest.applied < manifest.generation:
            if (output := run(apply)) is not None:
                raise FileSetError(f"the files are in place, but `{apply}` failed: {output}")
            manifest.applied = manifest.generation
            manifest.save(self.manifest_path)
            outcome.applied = True
        return outcome

    def record(
        self,
        manifest: Manifest,
        outcome: Outcome,
        wanted: Mapping[str, list[str]],
        taken: Iterable[Handover],
        described: Mapping[str, str],
        units: Mapping[str, str],
    ) -> None:
        """Write down which files each part has now; a change of files begins a new generation.

        :param wanted: the files of each part that was asked for; none of one that goes.
        :param taken: what parts were about to take over from others.
        :param described: the files that were asked for, as the manifest has them.
        :param units: the states that the units are to have.
        """
        gone: dict[str, list[str]] = {
            one.former: [] for one in taken if one.is_whole and one.part not in outcome.refused
        }
        kept = {part: paths for part, paths in wanted.items() if part not in outcome.refused}
        parts = {part: paths for part, paths in {**manifest.parts, **gone, **kept}.items() if paths}
        # A part that takes over edits files of another one.
        edited = {one.path: description(one.after) for one in outcome.changes if one.after}
        owned = {path for paths in parts.values() for path in paths}
        files = {path: text for path, text in {**manifest.files, **edited, **described}.items() if path in owned}
        units = dict(units or manifest.units) if parts else {}
        if not outcome.changes and (parts, files, units) == (manifest.parts, manifest.files, manifest.units):
            return
        manifest.parts, manifest.files, manifest.units = parts, files, units
        if outcome.changes:
            manifest.generation += 1
            manifest.changed_at = time.time()
        manifest.save(self.manifest_path)

    def replace(self, changes: list[Change], validate: str | None, generation: int) -> Outcome:
        """Put the changes in place, test them, and keep what passes."""
        self.write_journal(changes, generation)
        try:
            put_all(changes)
            if validate is None or (output := run(validate)) is None:
                return Outcome(changes)
            put_back_all(changes)
            return self.replace_by_part(changes, validate, output)
        except BaseException:
            put_back_all(changes)
            self.journal_path.unlink(missing_ok=True)
            raise

    @staticmethod
    def replace_by_part(changes: list[Change], validate: str, output: str) -> Outcome:
        """Find the parts that fail the test: the default part first, then each other on top of what has passed."""
        parts = sorted({change.part for change in changes} | {""})
        if parts == [""]:
            raise FileSetError(f"put back as it was, because `{validate}` failed: {output}")
        outcome = Outcome()
        for part in parts:
            of_part = [change for change in changes if change.part == part]
            put_all(of_part)
            if (output_of_part := run(validate)) is None:
                outcome.changes += of_part
                continue
            put_back_all(of_part)
            if part == "":
                put_back_all(outcome.changes)
                raise FileSetError(f"put back as it was, because `{validate}` failed: {output_of_part}")
            outcome.refused[part] = output_of_part
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
        make_directory(self.journal_path.parent, 0o700)
        journal = json.dumps({"generation": generation, "files": found})
        place(str(self.journal_path), journal.encode(), os.getuid(), os.getgid(), 0o600)

    def recover(self) -> None:
        """Put back what a killed run had replaced and not yet tested."""
        for where, found in self.unfinished().items():
            if found is None:
                Path(where).unlink(missing_ok=True)
            else:
                place(where, found.content, found.uid, found.gid, found.mode)
        self.journal_path.unlink(missing_ok=True)

    def unfinished(self) -> dict[str, Found | None]:
        """What a killed run had replaced and not yet tested, by path; None where there was nothing."""
        journal = read_json(self.journal_path)
        if not journal or Manifest.load(self.manifest_path).generation >= journal["generation"]:
            return {}
        return {item["path"]: item["found"] and found_of(item["found"]) for item in journal["files"]}


def keep_others(changes: Iterable[Change], manifest: Manifest, directory: Path) -> None:
    """Keep what is about to be replaced and is none of the set's own files."""
    owned = {path for paths in manifest.parts.values() for path in paths}
    for change in changes:
        if change.path not in owned:
            keep_copy(change, directory)


def description(entry: Entry) -> str:
    """A file as the manifest has it: mode, owner, group, and the SHA-256 of its content."""
    return f"{entry.mode:04o} {entry.owner} {entry.group} {hashlib.sha256(entry.content or b'').hexdigest()}"


def found_of(item: Mapping[str, Any]) -> Found:
    """What was at a path, from a journal."""
    content = None if item["content"] is None else base64.b64decode(item["content"])
    return Found(content, item["uid"], item["gid"], item["mode"])


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
    for entry in (*spoilt_directories(entries), *entries):
        found = Found.at(entry.path)
        if found is not None and (found.content is None) != (entry.content is None):
            kind = "a directory" if found.content is None else "a file"
            raise FileSetError(f"{entry.path} is {kind} on this host; move it away and run again")
        if not same(found, entry):
            changes.append(Change(entry.path, entry.part, found, entry))
    keep = {entry.path for entry in entries}
    for part in wanted:
        for left_over in owned.get(part, []):
            if left_over not in keep and (found := Found.at(left_over)) is not None:
                changes.append(Change(left_over, part, found, None))
    return changes


def put_all(changes: Iterable[Change]) -> None:
    """Make the host as the changes say, in their order."""
    for change in changes:
        change.put()


def put_back_all(changes: Sequence[Change]) -> None:
    """Make the host as it was before the changes."""
    for change in reversed(changes):
        change.put_back()
