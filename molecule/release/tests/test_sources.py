"""Where the code comes from. What the action plugin sends by itself is a play here; see test_requirements.py too."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
from stranger import CLOSED, REPOSITORY, SHOP, App, project
from testinfra.host import Host
from testing import on_host

# A wheel of an app, on the host.
PACKAGE = """
import sys, zipfile
info = "groundwork_depot-1.dist-info"
files = {
    "groundwork_depot.py": sys.argv[2],
    f"{info}/METADATA": "Metadata-Version: 2.1\\nName: groundwork-depot\\nVersion: 1\\nRequires-Dist: flask>=3.1.1\\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}
files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
"""


@pytest.fixture(scope="module")
def depot(host: Host) -> App:
    return App(host, "depot")


def test_a_branch_is_followed_and_its_code_needs_no_index(depot: App) -> None:
    """Where the code alone has changed, the environment is shared, and nothing is asked of the index."""
    depot.sh("git -C /usr/local/share/shop.git branch --force next v1")
    depot.options["source"] = {"git": REPOSITORY, "version": "next"}
    depot.deploy()
    assert depot.ask().json["version"] == "v1"
    first, environment = depot.live, depot.environment()
    depot.sh("git -C /usr/local/share/shop.git branch --force next v2")
    depot.options["environment"] = {"TURN": "no index"}
    depot.deploy(build_environment={"PIP_INDEX_URL": CLOSED})
    assert depot.ask().json["version"] == "v2"
    assert depot.facts()["commit"] == depot.sh("git -C /usr/local/share/shop.git rev-parse v2")
    assert depot.live != first
    assert depot.environment() == environment


def test_a_private_repository_is_read_by_a_key_that_stays_nowhere(depot: App, tmp_path: Path) -> None:
    """Its submodule, which git fetches from files only if it is told so, comes along."""
    for name in ("right", "wrong"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    depot.sh(
        "useradd --create-home --shell /bin/bash git && mkdir /home/git/.ssh && "
        f"echo '{(tmp_path / 'right.pub').read_text()}' > /home/git/.ssh/authorized_keys && "
        "git clone -q --bare /usr/local/share/shop.git /home/git/shop.git && chown -R git: /home/git && "
        "systemctl start ssh"
    )
    depot.options["source"] = {"git": "ssh://git@127.0.0.1/home/git/shop.git", "version": "submodule"}
    depot.refused("step fetch", "put a deploy key into flask_deploy_keys")
    depot.refused("see that the key in flask_deploy_keys may read it", **keys(depot, tmp_path / "wrong"))
    allow = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    depot.by_play(build_environment=allow, **keys(depot, tmp_path / "right"))
    assert depot.ask().json["version"] == "from the submodule"
    assert depot.sh(f"find {on_host('current', 'depot')}/code/ -name .git") == ""
    line = (tmp_path / "right").read_text().splitlines()[4]
    found = depot.host.run("grep -rslF --devices=skip -e %s /srv /var /etc /tmp /run /root /home", line)
    assert found.stdout == ""
    assert depot.host.run("pgrep -u depot ssh-agent").rc != 0

    depot.options["source"]["version"] = "v2"
    key = " ".join((tmp_path / "wrong.pub").read_text().split()[:2])
    another = {"known_hosts": f"127.0.0.1 {key}", **keys(depot, tmp_path / "right")}
    depot.refused("Host key verification failed", **another)
    its_own = {"known_hosts": depot.sh("ssh-keyscan -T 60 -t ed25519 127.0.0.1 2>/dev/null")}
    depot.deploy(**{**another, **its_own})
    assert depot.ask().json["version"] == "v2"


# Two packages of a repository: the app takes its version from a tag of the whole, and needs its neighbour.
MONOREPO = """
set -e
rm -rf /root/mono /usr/local/share/mono.git
cd /root && mkdir -p mono/backend mono/lib && cd mono && git init -q -b main
cat > backend/pyproject.toml <<'END'
[build-system]
requires = ["setuptools>=64", "setuptools-scm>=8"]
build-backend = "setuptools.build_meta"
[project]
name = "groundwork-mono"
dynamic = ["version"]
dependencies = ["flask>=3.1.1"]
[tool.setuptools_scm]
root = ".."
[tool.setuptools]
py-modules = ["shop"]
END
cat > lib/pyproject.toml <<'END'
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"
[project]
name = "groundwork-lib"
version = "2"
[tool.setuptools]
py-modules = ["depot_lib"]
END
echo 'SAYS = "lib"' > lib/depot_lib.py
cat > backend/shop.py <<'END'
import os
from importlib.metadata import version
import depot_lib
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return {"version": version("groundwork-mono"), "lib": depot_lib.SAYS, "in": os.getcwd()}
END
printf '../lib\n.\n' > backend/requirements.txt
echo '*.py export-ignore' > .gitattributes
git add . && git -c user.name=a -c user.email=a@b commit -qm 1 && git tag v1.4
echo >> backend/shop.py && git -c user.name=a -c user.email=a@b commit -qam 2
git clone -q --bare . /usr/local/share/mono.git
git config --system --add safe.directory /usr/local/share/mono.git
"""


@pytest.fixture(scope="module")
def monorepo(depot: App) -> str:
    """The address of the repository; it is checked out in /root/mono."""
    depot.sh(MONOREPO)
    return "file:///usr/local/share/mono.git"


def test_a_directory_of_a_repository_that_takes_its_version_from_tags(depot: App, monorepo: str) -> None:
    source = {"git": monorepo, "version": "main", "subdirectory": "backend"}
    depot.options["source"] = {**source, "subdirectory": "back"}
    depot.refused("step fetch", "source.subdirectory: 'back' is not in the source; did you mean backend?")
    depot.options["source"] = source
    depot.deploy()
    said = depot.ask().json
    assert said["version"].startswith("1.5.dev1+g")
    assert said["lib"] == "lib"
    assert said["in"] == f"{on_host('releases', depot.name)}/{depot.live}/code/backend"
    assert depot.sh(f"find {on_host('current', 'depot')}/code/ -name .git") == ""
    assert depot.command("run pwd").stdout.strip() == said["in"]


@pytest.mark.usefixtures("monorepo")
def test_a_private_package_is_installed_without_the_key(depot: App, tmp_path: Path) -> None:
    """It is read from a copy by what installs; the key has been used by the step that made the copy."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    depot.sh(
        "mkdir -p /home/git/.ssh; id -u git >/dev/null || useradd --create-home --shell /bin/bash git; "
        f"echo '{(tmp_path / 'key.pub').read_text()}' > /home/git/.ssh/authorized_keys && rm -rf /home/git/lib.git && "
        "git clone -q --bare /root/mono /home/git/lib.git && chown -R git: /home/git && systemctl start ssh"
    )
    (tmp_path / "code").mkdir()
    (tmp_path / "code/shop.py").write_text(f"import depot_lib\n{SHOP % 'private'}")
    (tmp_path / "code/requirements.txt").write_text(
        f"# {secrets.token_hex(8)}: a host that is kept has no environment of this name\n"
        "flask>=3.1.1\ngroundwork-lib @ git+ssh://git@127.0.0.1/home/git/lib.git@main#subdirectory=lib\n"
    )
    depot.options["source"] = {"directory": str(tmp_path / "code")}
    depot.refused("step install", "ssh://git@127.0.0.1/home/git/lib.git, which the source names for a package, cannot")
    depot.deploy(**keys(depot, tmp_path / "key"))
    assert depot.ask().json["version"] == "private"
    assert "groundwork_lib==2" in str(depot.facts()["packages"])


def keys(app: App, path: Path) -> dict[str, dict[str, str]]:
    """The setting with a deploy key for the app."""
    return {"deploy_keys": {app.name: path.read_text()}}


@pytest.fixture(scope="module")
def downloads(depot: App) -> Iterator[str]:
    """The address of a server for the files in /root/files."""
    depot.sh(
        "mkdir -p /root/files && "
        "systemd-run -q --unit=downloads python3 -m http.server --bind 127.0.0.1 --directory /root/files 8801"
    )
    url = "http://127.0.0.1:8801"
    script = f"import urllib.request; urllib.request.urlopen('{url}')"
    assert testing.poll(lambda: depot.host.run("python3 -c %s", script).rc == 0)
    yield url
    depot.sh("systemctl stop downloads")


def test_an_archive_is_downloaded_and_compared(depot: App, downloads: str) -> None:
    depot.sh("git -C /usr/local/share/shop.git archive --prefix=shop-2/ --output=/root/files/shop-2.tar.gz v2")
    digest = depot.sh("sha256sum /root/files/shop-2.tar.gz").split()[0]
    wrong = "0" * 64
    depot.options["source"] = {"archive": f"{downloads}/shop-2.tar.gz", "checksum": f"sha256:{wrong}"}
    depot.refused("step fetch", digest, wrong)
    depot.options["source"] = {"archive": f"{downloads}/shop-2.tar.gz", "checksum": f"sha256:{digest}"}
    depot.deploy()
    assert depot.ask().json["version"] == "v2"
    assert depot.look()["leftovers"] == []


def test_a_package_of_the_index(depot: App, downloads: str) -> None:
    """It stands in an index beside the one that has the packages that it needs."""
    wheel = "/root/files/simple/groundwork-depot/groundwork_depot-1-py3-none-any.whl"
    depot.sh(f"mkdir -p $(dirname {wheel})")
    depot.host.check_output("python3 -c %s %s %s", PACKAGE, wheel, SHOP % "packaged")
    app = App(depot.host, "depot", source={"package": "groundwork-depot==1"}, wsgi_app="groundwork_depot:app")
    app.deploy(build_environment={"PIP_EXTRA_INDEX_URL": f"{downloads}/simple"})
    assert app.ask().json["version"] == "packaged"
    assert "groundwork-depot==1" in app.command("releases").stdout


@pytest.mark.full
def test_a_strangers_package(depot: App) -> None:
    app = App(
        depot.host, "depot", source={"package": "httpbin==0.10.2"}, wsgi_app="httpbin:app", health_path="/get"
    )  # fmt: skip
    app.deploy()
    assert app.ask("/get").json["url"].startswith("https://shop.example.org")
    assert "httpbin==0.10.2" in app.command("releases").stdout


def test_an_archive_is_sent(depot: App, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("shop-3/requirements.txt", "flask>=3.1.1\n")
        archive.writestr("shop-3/shop.py", SHOP % "zipped")
    digest = hashlib.sha256((tmp_path / "shop.zip").read_bytes()).hexdigest()
    depot.options["source"] = {"archive": str(tmp_path / "shop.zip"), "checksum": f"sha256:{digest}"}
    depot.by_play()
    assert depot.ask().json["version"] == "zipped"
    assert depot.deploy()["action"] == "unchanged"


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
