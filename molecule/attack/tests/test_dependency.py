"""A dependency brings scripts that are named like every program that root calls."""

from __future__ import annotations

from attacker import Attacker
from testing import on_host

PROGRAMS = """
apt-get bash cat chgrp chmod chown cp dpkg env find git grep id install journalctl kill ln ls mkdir mv nginx nsenter pip
readlink restic rm runuser sed setpriv sh sqlite3 ssh ssh-add ssh-agent stat su sudo systemctl systemd-run tar
test timeout true unshare useradd userdel uv xargs
"""


def test_root_runs_none_of_its_scripts(mallory: Attacker) -> None:
    scripts = "".join(f'{name} = "canary:leave"\n' for name in PROGRAMS.split())
    mallory.code(
        {
            "canary.py": f"def leave():{mallory.canary('script').replace(chr(10), chr(10) + '    ')}\n",
            "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
            '[project]\nname = "owned"\nversion = "1"\n\n[tool.setuptools]\npy-modules = ["owned", "canary"]\n\n'
            f"[project.scripts]\n{scripts}",
            "requirements.txt": "flask\n.\n",
        },
        release_command="setpriv; true",
    )
    mallory.deploy()
    canary = f"{on_host('data', 'mallory')}/canary-script"
    assert mallory.sh(f"cat {canary}") == mallory.sh("id -u mallory"), "the scripts are no use"
    for arguments in ("run setpriv", "run true", "status", "releases", "rollback", "unlock"):
        mallory.command(arguments)
    mallory.options.update(release_command="")
    mallory.deploy()
    assert mallory.deploy()["action"] == "unchanged"
