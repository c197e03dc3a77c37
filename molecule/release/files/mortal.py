"""Deploys an app with the host's own engine, and has an accident at a step of it.

The argument is a file with JSON: ``spec`` and ``secret`` of the app, ``settings``, ``step``, ``wait``, for how many
seconds another run may go on, and ``accident``: ``begin`` and ``end`` kill the engine before or after the step,
``full`` fills the disk before it, "" is none. Called with ``--engine`` too it is the engine, in its unit.
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, "/usr/local/lib/groundwork/python")

from groundwork_release.release import work
from groundwork_release.release.deploy import Deployment
from groundwork_release.release.errors import ReleaseError
from groundwork_release.release.system import System


def have_accident(step: str, accident: str) -> None:
    """Let the step of every deploy end so."""
    proper = getattr(Deployment, f"step_{step}")

    def take(deployment: Deployment) -> None:
        if accident == "full":
            home = deployment.context.at.home
            disk = os.statvfs(home)
            with open(home / "filler", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_bsize)
        if accident != "begin":
            proper(deployment)
        if accident in ("begin", "end"):
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Deployment, f"step_{step}", take)


path, *engine = sys.argv[1:]
given = json.loads(Path(path).read_text())
if engine:
    order = work.Order(**json.loads(sys.stdin.read()))
    if given["step"]:
        have_accident(given["step"], given["accident"])
    work.perform(order, System(engine=work.unit(order.app)))
else:
    program = ("/usr/bin/python3", __file__, path, "--engine")
    order = work.Order("deploy", given["spec"], {**given["settings"], "by": "mortal@test"}, {}, given["secret"])
    try:
        work.do(order, program=program, wait=given["wait"])
    except ReleaseError as error:
        sys.exit(f"step {error.step}: {error}")
