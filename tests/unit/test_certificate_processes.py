"""How the certificate program runs others."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import processes
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, has_ended, wait_until, written_by


def test_what_is_started_gets_a_fixed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the one who calls has in his."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "BASH_ENV", "HOME"):
        monkeypatch.setenv(name, on_host("home", "shop"))
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/root/aws")
    lines = processes.run("/usr/bin/env", environment={"PIP_CERT": "/a"}).stdout.splitlines()
    assert dict(line.split("=", 1) for line in lines) == {
        **processes.ENVIRONMENT,
        processes.WITHIN_A_RUN: "1",
        "https_proxy": "http://proxy.test:3128",
        "AWS_CONFIG_FILE": "/root/aws",
        "PIP_CERT": "/a",
    }
    assert processes.run("/usr/bin/pwd").stdout == "/\n"


def test_of_what_a_program_prints_the_end_is_kept() -> None:
    done = processes.run("/bin/sh", "-c", "head -c 3000000 /dev/zero; printf end; printf told >&2")
    assert (len(done.stdout), done.stdout[-3:], done.stderr) == (processes.OUTPUT_LIMIT, "end", "told")


def test_what_a_program_leaves_behind_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that starts something that goes on, with the hook's output open."""
    monkeypatch.setattr(programs, "OUTPUT_GRACE", 0.2)
    pid = tmp_path / "pid"
    began = time.monotonic()
    done = processes.run("/bin/sh", "-c", f"sleep 600 & echo $! > {pid}; echo done")
    assert (done.returncode, done.stdout) == (0, "done\n")
    subprocess.run(["/bin/kill", pid.read_text().strip()], check=True)
    assert time.monotonic() - began < PATIENCE

    def run(seconds: float) -> None:
        with pytest.raises(CertificateError, match=f"/bin/sh did not finish within {seconds:.0f} s"):
            processes.run("/bin/sh", "-c", f"sleep 600 & echo $! > {pid}; wait", timeout=seconds)

    started = int(written_by(pid, run))
    wait_until(lambda: has_ended(started))
