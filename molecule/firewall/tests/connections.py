"""How a test's play reaches the host by its address, in place of Molecule's way by podman."""

from __future__ import annotations

BASE = "-F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
SHARED = f"{BASE} -o ControlMaster=auto -o ControlPersist=60s"
ALONE = f"{BASE} -o ControlMaster=no"
