"""Where the code comes from."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
from stranger import REPOSITORY, SHOP, App, project
from testinfra.host import Host

bookworm, trixie = pytest.mark.suite("bookworm"), pytest.mark.suite("trixie")
CLOSED = "http://127.0.0.1:9/"

# The tag `whole`, whose page says what a submodule says.
SUBMODULE = """
set -e
cd $(mktemp -d)
export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test
export GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@example.org
export GIT_CONFIG_KEY_2=protocol.file.allow GIT_CONFIG_VALUE_2=always
git init -q -b main part
echo 'PART = "from the submodule"' > part/part.py
git -C part add .
git -C part commit -qm part
git clone -q --bare part /usr/local/share/part.git
git config --system --add safe.directory /usr/local/share/part.git
git clone -q /usr/local/share/shop.git whole
cd whole
git checkout -q v1
git submodule --quiet add file:///usr/local/share/part.git part
sed -i 's/"v1"/__import__("part.part").part.PART/' shop.py
git add .
git commit -qm whole
git tag whole
git push -q origin whole
"""


@pytest.fixture(scope="module")
def depot(host: Host) -> App:
    return App(host, "depot")


@bookworm
def test_a_branch_is_followed(depot: App) -> None:
    depot.sh("git -C /usr/local/share/shop.git branch --force next v1")
    depot.options["source"] = {"git": REPOSITORY, "version": "next"}
    depot.deploy()
    assert depot.ask().json["version"] == "v1"
    depot.sh("git -C /usr/local/share/shop.git branch --force next v2")
    depot.deploy()
    assert depot.ask().json["version"] == "v2"
    assert depot.facts()["commit"] == depot.sh("git -C /usr/local/share/shop.git rev-parse v2")


@bookworm
def test_a_code_change_shares_the_environment_and_needs_no_index(depot: App) -> None:
    depot.options["source"] = {"git": REPOSITORY, "version": "v1"}
    depot.deploy()
    first, environment = depot.live, depot.environment()
    depot.options["source"] = {"git": REPOSITORY, "version": "v2"}
    depot.options["environment"] = {"TURN": "no index"}
    depot.deploy(release_build_environment={"PIP_INDEX_URL": CLOSED})
    assert depot.ask().json["version"] == "v2"
    assert depot.live != first
    assert depot.environment() == environment


@bookworm
def test_submodules_come_along(depot: App) -> None:
    depot.sh(SUBMODULE)
    depot.options["source"] = {"git": REPOSITORY, "version": "whole"}
    allow = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    depot.deploy(release_build_environment=allow)
    assert depot.ask().json["version"] == "from the submodule"
    assert depot.sh("find /srv/depot/current/code/ -name .git") == ""


@bookworm
def test_a_private_repository_is_read_by_a_key_that_stays_nowhere(depot: App, tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    depot.sh(
        "useradd --create-home --shell /bin/bash git && mkdir /home/git/.ssh && "
        f"echo '{(tmp_path / 'right.pub').read_text()}' > /home/git/.ssh/authorized_keys && "
        "git clone -q --bare /usr/local/share/shop.git /home/git/shop.git && chown -R git: /home/git && "
        "systemctl start ssh"
    )
    depot.options["source"] = {"git": "ssh://git@127.0.0.1/home/git/shop.git", "version": "v2"}
    depot.refused("step fetch", "put a deploy key into flask_deploy_keys")
    depot.refused("see that the key in flask_deploy_keys may read it", **keys(depot, tmp_path / "wrong"))
    depot.deploy(**keys(depot, tmp_path / "right"))
    assert depot.ask().json["version"] == "v2"
    line = (tmp_path / "right").read_text().splitlines()[4]
    found = depot.host.run("grep -rslF --devices=skip -e %s /srv /var /etc /tmp /run /root /home", line)
    assert found.stdout == ""
    assert depot.host.run("pgrep -u depot ssh-agent").rc != 0


def keys(app: App, path: Path) -> dict[str, dict[str, str]]:
    """The role's variable with a deploy key for the app."""
    return {"release_deploy_keys": {app.name: path.read_text()}}


@pytest.fixture
def downloads(depot: App) -> Iterator[str]:
    """A server for files, with an archive of v2."""
    depot.sh(
        "mkdir -p /root/files && "
        "git -C /usr/local/share/shop.git archive --prefix=shop-2/ --output=/root/files/shop-2.tar.gz v2 && "
        "systemd-run -q --unit=downloads python3 -m http.server --bind 127.0.0.1 --directory /root/files 8801"
    )
    url = "http://127.0.0.1:8801/shop-2.tar.gz"
    script = f"import urllib.request; urllib.request.urlopen('{url}')"
    assert testing.poll(lambda: depot.host.run("python3 -c %s", script).rc == 0)
    yield url
    depot.sh("systemctl stop downloads")


@trixie
def test_an_archive_is_downloaded_and_compared(depot: App, downloads: str) -> None:
    digest = depot.sh("sha256sum /root/files/shop-2.tar.gz").split()[0]
    wrong = "0" * 64
    depot.options["source"] = {"archive": downloads, "checksum": f"sha256:{wrong}"}
    said = depot.play()
    words = testing.said(said)
    assert said.returncode != 0
    assert digest in words
    assert wrong in words
    assert depot.live == ""
    depot.options["source"] = {"archive": downloads, "checksum": f"sha256:{digest}"}
    depot.deploy()
    assert depot.ask().json["version"] == "v2"
    assert depot.look()["leftovers"] == []


@trixie
def test_an_archive_is_sent(depot: App, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("shop-3/requirements.txt", "flask>=3.1.1\n")
        archive.writestr("shop-3/shop.py", SHOP % "zipped")
    digest = hashlib.sha256((tmp_path / "shop.zip").read_bytes()).hexdigest()
    depot.options["source"] = {"archive": str(tmp_path / "shop.zip"), "checksum": f"sha256:{digest}"}
    depot.deploy()
    assert depot.ask().json["version"] == "zipped"
    assert "changed=0" in depot.deploy()


@trixie
def test_a_package_of_the_index(depot: App) -> None:
    depot.options.update(source={"package": "httpbin==0.10.2"}, wsgi_app="httpbin:app", health_path="/get")
    depot.deploy()
    assert depot.ask("/get").json["url"].startswith("https://shop.example.org")
    assert "httpbin==0.10.2" in depot.command("releases").stdout
    depot.options.update(wsgi_app="shop:app", health_path="/")


@trixie
def test_uncommitted_work_is_named(depot: App, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], cwd=tmp_path, check=True
        )

    depot.options["source"] = project(tmp_path, {"requirements.txt": "flask>=3.1.1\n", "shop.py": SHOP % "committed"})
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    depot.deploy()
    assert "with uncommitted work" not in depot.command("releases").stdout
    project(tmp_path, {"shop.py": SHOP % "uncommitted"})
    depot.deploy()
    assert depot.ask().json["version"] == "uncommitted"
    rows = json.loads(depot.command("releases --json").stdout)
    assert [row["release"] for row in rows if "with uncommitted work" in row["version"]] == [depot.live]
