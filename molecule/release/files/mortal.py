"""Deploys an app with the host's own engine, and has an accident at a step of it.

It finds the engine by PYTHONPATH. The argument is JSON: ``spec`` and ``secret`` of the app, ``settings``, ``step``,
and ``accident``: ``begin`` and ``end`` kill the engine before or after the step, ``full`` fills the disk before it, ""
is none.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from release import locking
from release.engine import Engine
from release.layout import ReleaseError, Settings, Spec


def with_accident(step: str, accident: str) -> type[Engine]:
    """The engine whose step ends so."""
    proper = getattr(Engine, f"step_{step}")

    def take(engine: Engine, live: Any) -> None:
        if accident == "full":
            disk = os.statvfs(engine.at.home)
            with open(engine.at.home / "filler", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_bsize)
        if accident != "begin":
            proper(engine, live)
        if accident in ("begin", "end"):
            os.kill(os.getpid(), signal.SIGKILL)

    return type("Mortal", (Engine,), {f"step_{step}": take})


locking.LOCK_SECONDS = 1.0  # the module waits for half a minute
given = json.loads(Path(sys.argv[1]).read_text())
kind = with_accident(given["step"], given["accident"]) if given["step"] else Engine
try:
    kind(Spec(**given["spec"]), given["secret"], Settings(**given["settings"], by="mortal@test")).deploy()
except ReleaseError as error:
    sys.exit(f"step {error.step}: {error}")
