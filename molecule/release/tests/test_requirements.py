"""What is installed: by which files, with which installer, from where."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import testing
from stranger import CLOSED, SHOP, App, project
from testinfra.host import Host
from testing import on_host

# Held back, so that only the lock can be the reason for the version on the host.
PROJECT = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["flask>=3.1.1"]
[project.optional-dependencies]
more = ["tomli-w"]
[tool.uv]
constraint-dependencies = ["click<8.2"]
"""
BUILD = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
py-modules = ["shop"]
"""


@pytest.fixture(scope="module")
def stock(host: Host) -> App:
    return App(host, "stock")


def uv(directory: Path, *arguments: str) -> None:
    subprocess.run(["uv", *arguments], cwd=directory, check=True, capture_output=True)


def test_a_lock_is_kept_to(stock: App, tmp_path: Path) -> None:
    stock.options.update(
        source=project(tmp_path, {"pyproject.toml": PROJECT, "shop.py": SHOP % "locked"}), extras=["more"]
    )
    uv(tmp_path, "lock", "--quiet")
    stock.deploy()
    packages = stock.facts()["packages"]
    assert stock.ask().json["version"] == "locked"
    assert [name for name in packages if name.startswith("click==8.1.")]
    assert [name for name in packages if name.startswith("tomli_w==")]
    assert [name for name in packages if name.startswith("gunicorn==")]
    assert stock.look()["leftovers"] == []


def test_a_project_with_an_optional_group(stock: App, tmp_path: Path) -> None:
    files = {"pyproject.toml": PROJECT + BUILD, "shop.py": SHOP % "project"}
    stock.options.update(source=project(tmp_path, files), extras=["more"])
    stock.deploy()
    packages = stock.facts()["packages"]
    assert stock.ask().json["version"] == "project"
    assert [name for name in packages if name.startswith("tomli_w==")]
    assert "shop==1" in packages


def test_code_beside_the_app_is_part_of_the_release(stock: App, tmp_path: Path) -> None:
    """A member of a workspace has changed, and the lock has not; what the build command makes is published."""
    member = '[tool.uv.sources]\nlib = { workspace = true }\n[tool.uv.workspace]\nmembers = ["lib"]\n'
    files = {
        "pyproject.toml": PROJECT.replace('"flask>=3.1.1"', '"flask>=3.1.1", "lib"') + BUILD + member,
        "lib/pyproject.toml": PROJECT.replace("shop", "lib").replace("[tool.uv]\n", "") + BUILD.replace("shop", "lib"),
        "lib/lib.py": "VERSION = 'one'",
        "shop.py": "import lib\n" + SHOP.replace('"%s"', "lib.VERSION"),
    }
    stock.options.update(
        source=project(tmp_path, files), extras=[], build_command="mkdir dist && flask --version >dist/made.txt",
        proxy={"static": {"/static/": "dist"}},
    )  # fmt: skip
    uv(tmp_path, "lock", "--quiet")
    stock.deploy()
    assert stock.ask().json["version"] == "one"
    (tmp_path / "lib/lib.py").write_text("VERSION = 'two'")
    stock.deploy()
    assert stock.ask().json["version"] == "two"
    assert "Flask 3" in stock.sh(f"cat {on_host('current', 'stock')}/public/static/made.txt")
    assert stock.look()["leftovers"] == []
    del stock.options["build_command"], stock.options["proxy"]


def test_right_hashes_are_taken_and_wrong_ones_refused(stock: App, tmp_path: Path) -> None:
    stock.options.update(
        source=project(tmp_path, {"wanted.txt": "flask>=3.1.1\n", "shop.py": SHOP % "hashed"}), extras=[]
    )
    uv(tmp_path, "pip", "compile", "--quiet", "--generate-hashes", "--universal", "--python-version=3.11", "wanted.txt",
       "--output-file=requirements.txt")  # fmt: skip
    stock.deploy()
    assert stock.ask().json["version"] == "hashed"
    requirements = (tmp_path / "requirements.txt").read_text()
    (tmp_path / "requirements.txt").write_text(re.sub("sha256:.{10}", "sha256:0123456789", requirements, count=2))
    stock.refused("step install", "the app's packages could not be installed", "Hash mismatch for", "sha256:0123456789")


def test_both_installers_install_the_same(stock: App, host: Host, tmp_path: Path) -> None:
    """By a play, which is told the installer by the role's variable; uv has installed for the test above."""
    other = App(host, "stockpip")
    other.options["source"] = project(tmp_path, {"requirements.txt": "flask>=3.1.1\n", "shop.py": SHOP % "by pip"})
    other.by_play(installer="pip")
    assert other.ask().json["version"] == "by pip"
    assert other.facts()["packages"] == stock.facts()["packages"]
    installers = "cat %s/venv/lib/python3*/site-packages/flask-*.dist-info/INSTALLER"
    assert [app.sh(installers % on_host("current", app.name)) for app in (stock, other)] == ["uv", "pip"]


def test_wheels_of_the_controller_need_no_index(stock: App, tmp_path: Path) -> None:
    """A directory and its wheels are what the action plugin packs and sends, so this is a play."""
    stock.sh(
        "python3 $(ls /usr/share/python-wheels/pip-*.whl | head -n 1)/pip download --quiet --dest /root/wheels "
        "'flask>=3.1.1' 'gunicorn>=23'"
    )
    enter = ("nsenter", "--all", "--root", "--wd", "--target", testing.container_pid(stock.host))
    packed = subprocess.run([*enter, "tar", "-C", "/root/wheels", "-c", "."], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tmp_path / "wheels", filter="data")
    code = tmp_path / "code"
    stock.options.update(
        source=project(code, {"requirements.txt": "flask>=3.1.1\n", "shop.py": SHOP % "wheels"}),
        extras=[],
        wheels=str(tmp_path / "wheels"),
    )
    stock.sh(f"rm -rf {on_host('build_caches')}/stock")
    stock.by_play(build_environment={"PIP_INDEX_URL": CLOSED})
    assert stock.ask().json["version"] == "wheels"
    assert stock.look()["leftovers"] == []
    del stock.options["wheels"]


def test_a_python_that_cannot_be_had_is_refused(stock: App) -> None:
    stock.options["python"] = "3.10"
    mirror = {"UV_PYTHON_INSTALL_MIRROR": CLOSED, "UV_HTTP_RETRIES": "0"}
    stock.refused(
        "flask_apps.stock.python: '3.10' is not on this host", "UV_PYTHON_INSTALL_MIRROR", build_environment=mirror
    )
    stock.refused("install python3.10 and python3.10-venv", installer="pip")
    stock.options["python"] = ""
