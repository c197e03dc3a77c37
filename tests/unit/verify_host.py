"""A host for the checks of `verify`: a directory as its root, and programs that say what a test has them say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host, path
from ansible_collections.groundwork.flask.plugins.module_utils.verify.checks import Check, findings, shown
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import Look


class FakeHost:
    """A host in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs: dict[str, str | Exception] = {}
        self.calls: list[tuple[str, ...]] = []
        self.units: dict[str, Mapping[str, str]] = {}
        self.look = Look(root, self.run)

    def run(self, argv: Iterable[str], **_options: float) -> subprocess.CompletedProcess[str]:
        """Answer by the longest known beginning of the command line; an exit status stands before a tab."""
        argv = tuple(argv)
        self.calls.append(argv)
        if argv[0].endswith("/systemctl") and argv[1] == "show" and "--" in argv and self.units:
            return subprocess.CompletedProcess(argv, 0, self.show(argv[argv.index("--") + 1 :]), "")
        known = [begin for begin in self.programs if " ".join(argv).startswith(begin)]
        if not known:
            raise FileNotFoundError(argv[0])
        answer = self.programs[max(known, key=len)]
        if isinstance(answer, Exception):
            raise answer
        status, tab, text = answer.partition("\t")
        if tab and status.isdigit():
            return subprocess.CompletedProcess(argv, int(status), "", text)
        return subprocess.CompletedProcess(argv, 0, answer, "")

    def show(self, names: Iterable[str]) -> str:
        """What `systemctl show` says of units."""
        absent = {"LoadState": "not-found", "ActiveState": "inactive"}
        return "\n\n".join(
            "\n".join(f"{key}={value}" for key, value in {"Id": name, **self.units.get(name, absent)}.items())
            for name in names
        )

    def write(self, name: str, content: str, mode: int = 0o644) -> Path:
        """A file of the host."""
        file = self.root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
        return file

    def file_set(self, name: str, **content: Any) -> None:
        """The manifest of a file set."""
        self.write(f"{on_host('state')}/file_sets/{name}.json", json.dumps(content))

    def release(self, app: str, release: str = "0123456789ab", **facts: Any) -> None:
        """A live release of an app."""
        self.write(f"{on_host('releases', app)}/{release}/release.json", json.dumps(facts))
        path("current", app, self.root).symlink_to(f"releases/{release}")

    def found(self, check: Check, expected: Expected | None = None) -> list[Finding]:
        """What a check finds, as it leaves the host."""
        expected = expected or Expected.of({}, self.look)
        return [shown(one) for one in findings("check", check, expected, self.look)]


def bad(found: Iterable[Finding]) -> list[str]:
    """The messages of what is not as it should be."""
    return [f"{one.state}: {one.message}" for one in found if one.state != "ok"]
