"""Changes, mistakes and faults on a finished host.

What the Debian release cannot change is tested on one host (the mark `once`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import testing
import visitor
import yaml
from load import Load
from testinfra.host import Host
from testing import on_host
from visitor import Site

DATA = on_host("data", "tally")

MakeSite = visitor.MakeSite
EXAMPLES = testing.ROOT / "examples"


def apps() -> dict[str, Any]:
    """flask_apps of the inventory, for a test to change."""
    inventory = yaml.safe_load((testing.scenario_directory() / "inventory/hosts.yml").read_text())
    apps: dict[str, Any] = inventory["flask_hosts"]["vars"]["flask_apps"]
    for name, app in apps.items():
        app["source"]["directory"] = str(EXAMPLES / name)
    return apps


@pytest.fixture
def tally(tmp_path: Path) -> Path:
    """A copy of the second app's source, to change."""
    return Path(shutil.copytree(EXAMPLES / "tally", tmp_path / "tally"))


def changed(source: Path) -> dict[str, Any]:
    """flask_apps with another source and another setting for the second app."""
    wanted = apps()
    wanted["tally"]["source"]["directory"] = str(source)
    wanted["tally"]["environment"] = {"COLOUR": "red"}
    return wanted


def deploy_tally(host: Host, source: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    return testing.play(host, "converge.yml", "--tags", "release", flask_apps=changed(source), **variables)


@pytest.mark.once
class TestBadInput:
    """Refused before the host is touched. tests/unit/test_model.py has the sentences."""

    def test_the_model_s_refusals_stop_the_run(self, host: Host) -> None:
        wrong = apps()
        wrong["tally"].update({"sorce": {}, "domains": ["guestbook.test"]})
        result = testing.play(host, flask_apps=wrong)
        assert result.returncode != 0
        said = testing.said(result)
        assert "flask_apps.tally.sorce is not an option: did you mean source?" in said
        assert "'guestbook.test' stands in flask_apps.guestbook.domains too" in said
        assert "changed=0" in said
        assert "Gather facts about the host" not in said

    def test_an_inventory_without_hosts(self, host: Host) -> None:
        result = testing.play(host, flask_hosts_group="nobody")
        assert result.returncode != 0
        assert "has no host in the group nobody" in testing.said(result)


class TestChanges:
    """What is done on an ordinary day, and what goes wrong on one."""

    @pytest.mark.full
    def test_a_dry_run_on_the_finished_host_changes_nothing(self, host: Host) -> None:
        result = testing.play(host, "converge.yml", "--check", "--diff")
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert "changed=0" in testing.said(result), testing.said(result)[-3000:]

    @pytest.mark.once
    @pytest.mark.parametrize("seconds", [4, pytest.param(7, marks=pytest.mark.full)])
    def test_a_play_that_is_killed_is_healed_and_a_setting_is_a_release(
        self, host: Host, tally: Path, site: MakeSite, authority_root: str, seconds: int
    ) -> None:
        """Meanwhile no visitor loses a request."""
        visitor, before = site("tally.test", root=authority_root), testing.live(host, "tally")
        with (tally / "tally.py").open("a") as source:
            source.write(f"# killed after {seconds} s\n")
        with Load(visitor, rate=20, visitors=2, get="/whoami", post="/hit") as load:
            with testing.playing(host, "converge.yml", "--tags", "release", flask_apps=changed(tally)) as play:
                time.sleep(seconds)
                os.killpg(play.pid, signal.SIGKILL)
            # What was started on the host may go on for a moment: the rerun waits for it.
            result = deploy_tally(host, tally)
            testing.poll(lambda: len(load.requests) > 100)
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert testing.live(host, "tally") != before
        assert testing.leftovers(host, "tally") == []
        main = host.check_output(f"systemctl show -P MainPID {testing.server_unit(host, 'tally')}")
        assert "COLOUR=red" in host.check_output(f"tr '\\0' '\\n' < /proc/{main}/environ").splitlines()
        assert list(map(str, load.failures)) == []
        assert load.summary().requests > 100

    @pytest.mark.full
    @pytest.mark.once
    def test_the_package_index_is_down(self, host: Host, tally: Path, site: MakeSite, authority_root: str) -> None:
        before = testing.live(host, "tally")
        (tally / "requirements.txt").write_text("flask>=3.1.1 # another environment\n")
        closed = {"PIP_INDEX_URL": "https://127.0.0.1:9/", "PIP_RETRIES": "0"}
        result = deploy_tally(host, tally, release_build_environment=closed)
        assert result.returncode != 0
        assert "the app's packages could not be installed" in testing.said(result)
        assert testing.live(host, "tally") == before
        assert site("tally.test", root=authority_root).get("/").status == 200
        assert deploy_tally(host, tally).returncode == 0
        assert testing.live(host, "tally") != before
        assert testing.leftovers(host, "tally") == []

    @pytest.mark.once
    def test_lost_data_comes_back(self, host: Host, site: MakeSite, authority_root: str) -> None:
        tally = site("tally.test", root=authority_root)
        for _turn in range(3):
            tally.post("/hit")
        before = tally.get("/").text
        # To join one that its timer has begun is not enough: that one may not have these hits.
        is_at_work = "systemctl is-active groundwork-backup.service | grep activating"
        assert testing.poll(lambda: host.run(is_at_work).rc == 1, 300)
        host.check_output("systemctl start groundwork-backup.service")
        host.check_output(f"rm -rf {DATA}/*")
        result = testing.play(host, "restore.yml", app="tally")
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert f"- the SQLite database {DATA}/" in testing.said(result)
        assert "Data kept elsewhere, such as in PostgreSQL, MySQL or Redis, was not touched." in testing.said(result)
        assert tally.get("/").text == before
        # SQLite's own files come and go beside it, as when the watch asks.
        assert set(host.run(f"stat -c %U {DATA} {DATA}/*").stdout.split()) == {"tally"}
        assert host.check_output(f"stat -c %U {DATA}/tally.sqlite3") == "tally"


def test_everything_answers_after_a_reboot(host: Host, authority_root: str) -> None:
    """The certificates are those from before, though the authority has a new root since."""
    testing.restart_host(host)
    again = str(testing.host_ip(host))
    for name in ("guestbook.test", "tally.test"):
        visitor = Site(name, again, authority_root)
        assert testing.poll(lambda visitor=visitor: visitor.get("/").status == 200, 120)  # type: ignore[misc]
    assert testing.tcp_refused(again, 8000)
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


@pytest.mark.once
def test_a_program_with_an_app_s_name_that_is_installed_later_comes_first(host: Host) -> None:
    assert "release" in host.check_output("tally status")
    host.check_output("printf '#!/bin/sh\necho theirs $1\n' >/usr/sbin/tally && chmod 0755 /usr/sbin/tally")
    try:
        assert host.check_output("tally status") == "theirs status"
        assert "release" in host.check_output(f"{on_host('programs')}/app tally status")
    finally:
        host.check_output("rm /usr/sbin/tally")
    missing = host.run("runuser -u guestbook -- tally init")  # as a build that lacks a program of this name
    assert (missing.rc, missing.stderr.strip()) == (127, "sh: 1: tally: not found")


@pytest.mark.once
def test_an_app_that_left_the_inventory_runs_on_until_it_is_removed(host: Host, site: MakeSite, tmp_path: Path) -> None:
    """The last test: the app is gone afterwards. In the same run a new app that serves at import fails alone."""
    broken = Path(shutil.copytree(EXAMPLES / "tally", tmp_path / "broken"))
    with (broken / "tally.py").open("a") as source:
        source.write("\napp.run(host='0.0.0.0', port=8000)\n")
    fewer = {name: app for name, app in apps().items() if name != "tally"}
    fewer["guestbook"]["environment"] = {"GREETING": "after the others"}
    more = {
        "broken": {
            "source": {"directory": str(broken)},
            "wsgi_app": "tally:app",
            "domains": ["broken.test"],
            "certificate": {"provider": "self_signed"},
        }
    }
    before = testing.live(host, "guestbook")
    result = testing.play(host, flask_apps=fewer | more, flask_app_secrets={})
    said = testing.said(result)
    assert result.returncode != 0
    found = re.search(
        r"broken, number (\w{12}), step import: .{,99}: line \d+ of tally.py starts a server and does not", said
    )
    assert found, said[-3000:]
    assert "No release of broken is live: its site answers with status 503 and the number above." in said
    assert f"not deployed: see the message below for number {found[1]}; none is live" in said
    assert "groundwork.flask.remove -e app=tally" in said
    assert testing.live(host, "guestbook") != before
    # A worker of nginx from before its reload may still take a connection.
    answer = testing.poll(lambda: site("broken.test", verify=False).get("/"))
    assert (answer.status, found[1] in answer.text, "Traceback" in answer.text) == (503, True, False)
    assert found[1] in host.check_output(f"{on_host('programs')}/app broken releases")
    assert found[1] in host.check_output(f"{on_host('programs')}/app broken status")
    assert host.check_output(f"{on_host('programs')}/backup status | grep ^broken")
    assert site("tally.test", verify=False).get("/").status == 200

    home = on_host("home", "tally")
    host.check_output(f"touch {home}/notes")
    result = testing.play(host, "remove.yml", app="tally", flask_apps=fewer, flask_app_secrets={})
    assert result.returncode == 0, testing.said(result)[-3000:]
    assert f"tally: {home} stays: it holds notes" in testing.said(result)

    def asked() -> str:
        try:
            return str(site("tally.test", verify=False).get("/").status)
        except OSError as error:
            return str(error)

    assert testing.poll(lambda: re.search(r"(?i)unrecognized.name|handshake", asked())), asked()
    assert host.check_output(f"ls -A {home}") == "notes", "what the collection did not make is not removed"
    assert host.run("systemctl cat tally@x.service").rc != 0
    assert host.run("ls /etc/letsencrypt/renewal/tally.conf").rc != 0
    assert host.check_output(f"ls {DATA}")
    assert host.check_output(f"ls {on_host('configuration')}/secrets/tally")
    assert site("guestbook.test", verify=False).get("/").status == 200
