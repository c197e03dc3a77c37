"""An app that an attacker owns: its code, what it depends on, and the shell of the app that runs."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stranger import App, project
from testinfra.host import Host
from testing import on_host

OWNED = Path(__file__).resolve().parents[1] / "files" / "owned"
# Writes down as whom it ran, where root alone or the app alone can: a module of Python, or an app's setup.py.
CANARY = """
import os, pathlib, sys
for place in ("/root", "{data}", "{build_caches}/{app}", "/tmp"):
    try:
        pathlib.Path(place, "canary-{name}").write_text(str(os.geteuid()))
    except OSError:
        pass
"""


class Attacker(App):
    """An app as in flask_apps, whose code is the attacker's.

    :ivar directories: where its code lies on this machine.
    """

    def __init__(self, host: Host, name: str) -> None:
        super().__init__(host, name)
        self.directories: list[Path] = []
        self.options.update(
            wsgi_app="owned:app", domains=[f"{name}.test"], certificate={"provider": "self_signed"},
            source={"directory": str(OWNED)},
        )  # fmt: skip

    def canary(self, name: str) -> str:
        """Python that leaves a canary."""
        data, build_caches = on_host("data", self.name), on_host("build_caches")
        return CANARY.format(app=self.name, name=name, data=data, build_caches=build_caches)

    def code(self, files: Mapping[str, str], **options: Any) -> None:
        """Let the next deploy have these files beside the app's own."""
        directory = Path(tempfile.mkdtemp(prefix="attack-"))
        self.directories.append(directory)
        shutil.copytree(OWNED, directory, dirs_exist_ok=True)
        self.options["source"] = project(directory, files)
        self.options.update(options)

    def run(self, command: str) -> str:
        """Run a shell command in the app, as whoever has found a hole in it; what it prints."""
        return self.ask("/run", **{"X-Command": base64.b64encode(command.encode()).decode()}).text
