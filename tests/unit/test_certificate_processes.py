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
    done = processes.run("/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; echo done")
    assert (done.returncode, done.stdout) == (0, "done\n")
    subprocess.run(["/bin/kill", pid.read_text().strip()], check=True)
    with pytest.raises(CertificateError, match=r"/bin/sh did not finish within 0 s"):
        processes.run("/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; wait", timeout=0.3)
    assert time.monotonic() - began < 20
    for _turn in range(50):
        if not Path(f"/proc/{pid.read_text().strip()}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("what it had started is still there")
