"""Changes, mistakes and faults on a finished host. Each test leaves the host as it found it.

The tests run site.yml again, so one host is enough for each (the mark `suite`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testing
import yaml
from testinfra.host import Host
from testing import Site

MakeSite = Callable[..., Site]
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
    """A copy of the second app's source, to break."""
    return Path(shutil.copytree(EXAMPLES / "tally", tmp_path / "tally"))


@pytest.fixture
def healed(host: Host) -> Iterator[None]:
    """Afterwards the host is as the inventory says."""
    yield
    result = testing.play(host)
    assert result.returncode == 0, testing.said(result)[-3000:]


@pytest.fixture
def released(host: Host) -> Iterator[None]:
    """Afterwards the second app's release is as the inventory says; nothing else was changed."""
    yield
    result = deploy_tally(host, EXAMPLES / "tally")
    assert result.returncode == 0, testing.said(result)[-3000:]


def live(host: Host, app: str) -> str:
    return str(host.check_output(f"readlink /srv/{app}/current"))


def leftovers(host: Host, app: str) -> list[str]:
    """Instances that run, or would run after a boot, beside the live one."""
    current = live(host, app).rpartition("/")[2]
    units = host.check_output(f"systemctl list-units --plain --no-legend --state=active '{app}@*'").splitlines()
    links = host.check_output(f"ls /etc/systemd/system/*.wants/ | grep '^{app}@' || true").splitlines()
    return [line for line in units + links if current not in line]


def deploy_tally(host: Host, source: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    changed = apps()
    changed["tally"]["source"]["directory"] = str(source)
    return testing.play(host, "converge.yml", "--tags", "release", flask_apps=changed, **variables)


REFUSED = [
    ({"sorce": {}}, "flask_apps.tally.sorce is not an option: did you mean source?"),
    ({"domains": []}, "flask_apps.tally.domains is missing"),
    ({"domains": ["guestbook.test"]}, "'guestbook.test' stands in flask_apps.guestbook.domains too"),
    ({"wsgi_app": "tally app"}, "flask_apps.tally.wsgi_app: 'tally app' is not a WSGI callable"),
    ({"server": {"worker_class": "eventlet"}}, "flask_apps.tally.server.worker_class: 'eventlet' is not offered"),
    ({"environment": {"SECRET_KEY": "x"}}, "flask_apps.tally.environment.SECRET_KEY cannot be set here"),
]


class TestBadInput:
    """Refused before the host is touched."""

    @pytest.mark.suite("bookworm")
    def test_all_of_it_at_once_and_nothing_is_touched(self, host: Host) -> None:
        for changes, sentence in REFUSED:
            wrong = apps()
            wrong["tally"].update(changes)
            result = testing.play(host, flask_apps=wrong)
            assert result.returncode != 0
            assert sentence in testing.said(result), testing.said(result)[-3000:]
            assert "changed=0" in testing.said(result)
            assert "Look at the host" not in testing.said(result)

    @pytest.mark.suite("bookworm")
    def test_a_python_that_the_app_does_not_take(self, host: Host, tally: Path) -> None:
        project = (tally / "pyproject.toml").read_text()
        (tally / "pyproject.toml").write_text(
            project.replace('requires-python = ">=3.10"', 'requires-python = ">=3.14"')
        )
        result = deploy_tally(host, tally)
        assert result.returncode != 0
        assert "does not fit the app's requires-python '>=3.14'" in testing.said(result)
        assert "changed=0" in testing.said(result)

    @pytest.mark.suite("trixie")
    def test_an_inventory_without_hosts(self, host: Host) -> None:
        result = testing.play(host, flask_hosts_group="nobody")
        assert result.returncode != 0
        assert "has no host in the group nobody" in testing.said(result)


class TestBrokenRelease:
    """The old release serves on, and the reason is in Ansible's error."""

    @pytest.mark.suite("bookworm")
    def test_an_app_that_fails_to_import(self, host: Host, tally: Path, site: MakeSite, authority_root: str) -> None:
        before = live(host, "tally")
        (tally / "tally.py").write_text("import flask\nimport no_such_module\n")
        result = deploy_tally(host, tally)
        assert result.returncode != 0
        assert "ModuleNotFoundError: No module named 'no_such_module'" in testing.said(result)
        assert live(host, "tally") == before
        assert leftovers(host, "tally") == []
        assert site("tally.test", root=authority_root).get("/").status == 200

    @pytest.mark.suite("trixie")
    def test_the_package_index_is_down(
        self, host: Host, tally: Path, site: MakeSite, authority_root: str, released: None
    ) -> None:
        before = live(host, "tally")
        with (tally / "tally.py").open("a") as source:
            source.write("# a change\n")
        result = deploy_tally(
            host, tally, release_build_environment={"PIP_INDEX_URL": "https://127.0.0.1:9/", "PIP_RETRIES": "0"}
        )
        assert result.returncode != 0
        assert "the app's packages could not be installed" in testing.said(result)
        assert live(host, "tally") == before
        assert site("tally.test", root=authority_root).get("/").status == 200
        assert deploy_tally(host, tally).returncode == 0
        assert live(host, "tally") != before
        assert leftovers(host, "tally") == []


class TestChanges:
    """What is done on an ordinary day."""

    @pytest.mark.suite("bookworm")
    def test_a_setting_is_a_release_and_loses_no_request(
        self, host: Host, site: MakeSite, authority_root: str, released: None
    ) -> None:
        changed = apps()
        changed["tally"]["environment"] = {"COLOUR": "red"}
        before, visitor = live(host, "tally"), site("tally.test", root=authority_root)
        visits: list[int] = []
        play = subprocess.Popen(("sleep", "0"))
        try:
            environment = testing.play_command(host, "converge.yml", "--tags", "release", flask_apps=changed)
            play = subprocess.Popen(
                environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
            while play.poll() is None and len(visits) < 20_000:
                visits.append(visitor.get("/").status)
        finally:
            play.wait(timeout=300)
        assert play.returncode == 0
        assert live(host, "tally") != before
        assert len(visits) > 50
        assert set(visits) == {200}
        assert leftovers(host, "tally") == []

    @pytest.mark.suite("trixie")
    def test_an_app_that_left_the_inventory_runs_on_until_it_is_removed(
        self, host: Host, site: MakeSite, authority_root: str, healed: None
    ) -> None:
        fewer = {name: app for name, app in apps().items() if name != "tally"}
        result = testing.play(host, flask_apps=fewer, flask_app_secrets={})
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert "groundwork.flask.remove -e app=tally" in testing.said(result)
        assert site("tally.test", root=authority_root).get("/").status == 200

        result = testing.play(host, "remove.yml", app="tally", flask_apps=fewer, flask_app_secrets={})
        assert result.returncode == 0, testing.said(result)[-3000:]
        with pytest.raises(OSError, match=r"(?i)unrecognized.name|handshake"):
            site("tally.test", verify=False).get("/")
        assert host.run("ls /srv/tally").rc != 0
        assert host.run("systemctl cat tally@x.service").rc != 0
        assert host.run("ls /etc/letsencrypt/renewal/tally.conf").rc != 0
        assert host.check_output("ls /var/lib/tally")
        assert host.check_output("ls /etc/groundwork/secrets/tally")
        assert site("guestbook.test", root=authority_root).get("/").status == 200

    @pytest.mark.suite("bookworm")
    def test_lost_data_comes_back(self, host: Host, site: MakeSite, authority_root: str) -> None:
        tally = site("tally.test", root=authority_root)
        for _turn in range(3):
            tally.post("/hit")
        before = tally.get("/").text
        host.check_output("systemctl start groundwork-backup.service")
        host.check_output("rm -rf /var/lib/tally/*")
        result = testing.play(host, "restore.yml", app="tally")
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert tally.get("/").text == before
        assert set(host.check_output("stat -c %U /var/lib/tally /var/lib/tally/*").split()) == {"tally"}


class TestKilled:
    """A play that dies at any moment is healed by the next one."""

    @pytest.mark.parametrize(
        "seconds",
        [pytest.param(4, marks=pytest.mark.suite("bookworm")), pytest.param(7, marks=pytest.mark.suite("trixie"))],
    )
    def test_kill_9_of_the_play(
        self, host: Host, tally: Path, site: MakeSite, authority_root: str, seconds: int
    ) -> None:
        with (tally / "tally.py").open("a") as source:
            source.write(f"# killed after {seconds} s\n")
        changed = apps()
        changed["tally"]["source"]["directory"] = str(tally)
        command = testing.play_command(host, "converge.yml", "--tags", "release", flask_apps=changed)
        play = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        os.killpg(play.pid, signal.SIGKILL)
        play.wait(timeout=30)
        assert site("tally.test", root=authority_root).get("/").status == 200
        # What was started on the host may go on for a moment: the rerun waits for it.
        result = deploy_tally(host, tally)
        assert result.returncode == 0, testing.said(result)[-3000:]
        assert leftovers(host, "tally") == []
        assert site("tally.test", root=authority_root).get("/").status == 200


class TestReboot:
    """Everything comes back by itself. The last test: the authority has a new root afterwards."""

    def test_everything_answers_again(self, host: Host, site: MakeSite, authority_root: str) -> None:
        testing.restart_host(host)
        again = str(testing.host_ip(host))
        for name in ("guestbook.test", "tally.test"):
            visitor = Site(name, again, authority_root)
            assert testing.poll(lambda visitor=visitor: visitor.get("/").status == 200, 20)  # type: ignore[misc]
        assert testing.tcp_refused(again, 8000)
        assert host.check_output("systemctl --failed --no-legend --plain") == ""
