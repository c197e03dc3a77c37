"""The running app puts code where Python, shells and installers look for it, in every place that it can write."""

from __future__ import annotations

import testing
from attacker import Attacker
from testing import on_host

DATA = on_host("data", "mallory")


def test_nothing_in_its_home_runs_outside_its_sandbox(mallory: Attacker) -> None:
    """The measured way to root: the save before a release command ran usercustomize.py."""
    mallory.code({})
    mallory.deploy()
    lines = mallory.canary("home")
    for place in (DATA, on_host("cache", "mallory")):
        for version in ("3.11", "3.13"):
            packages = f"{place}/.local/lib/python{version}/site-packages"
            mallory.run(f"mkdir -p {packages} && cat > {packages}/usercustomize.py <<'END'\n{lines}\nEND")
        mallory.run(
            f"cd {place} && for name in .profile .bashrc sqlite3.py; do cp {packages}/usercustomize.py $name; done"
        )
    mallory.run(f"""python3 -c "import sqlite3; sqlite3.connect('{DATA}/data.db').execute('create table t (a)')" """)
    mallory.code({"static/new.css": "x"}, release_command="true")
    mallory.deploy()
    mallory.command("run true")
    assert testing.find(mallory.host, f"-name 'canary-home*' -not -path '{DATA}/*'") == []
    assert mallory.sh(f"ls {on_host('state')}/saved/mallory/*/") != "", "nothing was saved"


def test_the_host_s_bus_is_out_of_reach(mallory: Attacker) -> None:
    """With polkit an account may ask logind to let its processes run for ever, outside any sandbox."""
    reach = "import socket; socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')"
    said = mallory.run(f'python3 -c "{reach}"')
    assert "PermissionError" in said or "FileNotFoundError" in said, said


def test_what_a_release_command_starts_ends_with_it(mallory: Attacker) -> None:
    command = (
        "setsid nohup sleep 4711 >/dev/null 2>&1 & (crontab -l; echo '* * * * * touch /tmp/canary') | crontab - ; true"
    )
    mallory.code({"static/cron.css": "x"}, release_command=command)
    mallory.deploy()
    assert mallory.host.run("pgrep -fx 'sleep 4711'").stdout == ""
    assert mallory.host.run("ls /var/spool/cron/crontabs/mallory").rc != 0
    rights = "grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/self/status | tr -d '\\t' | tr '\\n' ' '"
    mallory.code({"static/rights.css": "x"}, release_command=f"({rights}) > {DATA}/rights")
    mallory.deploy()
    assert mallory.sh(f"cat {DATA}/rights").split() == ["CapBnd:0000000000000000", "NoNewPrivs:1", "Seccomp:2"]
    mallory.options["release_command"] = ""
