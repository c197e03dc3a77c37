"""Nobody but root keeps a deploy from running, and a connection that is lost keeps none from ending."""

from __future__ import annotations

import json

import testing
from attacker import Attacker
from testing import on_host

HOLD = """
import fcntl, glob, sys, time
held = []
for path in glob.glob(f"{sys.argv[1]}/**", recursive=True):
    try:
        held.append(open(path))
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
print(len(held), flush=True)
time.sleep(600)
"""


def test_no_other_account_holds_up_a_deploy(mallory: Attacker) -> None:
    host = mallory.host
    host.check_output("runuser -u nobody -- python3 -c %s %s >/root/held 2>&1 &", HOLD, on_host("runtime"))
    assert testing.poll(lambda: host.check_output("cat /root/held").isdigit()), "it has taken what it could"
    started = host.run("runuser -u nobody -- systemd-run --unit=groundwork-release@mallory.service sleep 60")
    mallory.code({"static/lock.css": "x"})
    try:
        assert mallory.deploy()["action"] == "deployed"
    finally:
        host.run("pkill -u nobody")
    assert started.rc != 0


def test_a_deploy_outlives_whoever_asked_for_it(mallory: Attacker) -> None:
    """The one who asked is killed; the next one waits for the deploy, and says how it ended."""
    mallory.code({"static/alone.css": "x"}, release_command="sleep 12")
    before = mallory.live
    asked = json.dumps({"ANSIBLE_MODULE_ARGS": mallory.arguments()})
    mallory.host.check_output("printf %%s %s > /root/asked", asked)
    module = "/usr/bin/python3 -m ansible_collections.groundwork.flask.plugins.modules.release"
    mallory.sh(f"cd {testing.MODULES}; {module} < /root/asked > /dev/null 2>&1 & echo $! > /root/asker")
    at_work = "systemctl is-active groundwork-release@mallory.service"
    assert testing.poll(lambda: mallory.host.run(at_work).stdout.strip() == "active", 60)
    mallory.sh("kill -KILL $(cat /root/asker)")
    result = mallory.module()
    assert result["failed_apps"] == {}
    assert mallory.live != before
    assert result["apps"]["mallory"]["action"] == "unchanged", "it deployed again what the first had not finished"
    warning = json.dumps(result["warnings"])
    assert "s for a deploy of mallory by" in warning
    assert f"it ended well, with release {mallory.live}" in warning
    mallory.options["release_command"] = ""
