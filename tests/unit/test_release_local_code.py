"""Code of the source that is installed: each release has its own, by the real installers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import trees
from ansible_collections.groundwork.flask.plugins.module_utils.release import python
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import Builder
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.installer import Installer
from ansible_collections.groundwork.flask.plugins.module_utils.release.pins import UV_VERSION
from ansible_collections.groundwork.flask.tests.unit.release_app import App, PlainSystem
from ansible_collections.groundwork.flask.tests.unit.release_installing import installer

UV = shutil.which("uv") or ""
# A build backend in the source itself, so that nothing is fetched: a package is the directory of its name.
BACKEND = """
import pathlib, tomllib, zipfile
PROJECT = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]

def wheel(directory, files):
    name = PROJECT["name"]
    metadata = [f"Metadata-Version: 2.1", f"Name: {name}", f"Version: {PROJECT['version']}"]
    metadata += [f"Requires-Dist: {one}" for one in PROJECT.get("dependencies", ())]
    info = f"{name}-{PROJECT['version']}.dist-info"
    tag = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files = {**files, f"{info}/METADATA": "\\n".join(metadata) + "\\n", f"{info}/WHEEL": tag}
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(directory, f"{name}-1-py3-none-any.whl"), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-1-py3-none-any.whl"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    return wheel(directory, {str(path): path.read_text() for path in pathlib.Path(PROJECT["name"]).glob("*.py")})

def build_editable(directory, config_settings=None, metadata_directory=None):
    return wheel(directory, {f"{PROJECT['name']}.pth": str(pathlib.Path.cwd())})
"""
PROJECT = """
[project]
name = "{name}"
version = "1"
requires-python = ">=3.10"
dependencies = [{dependencies}]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
SHOW = "import lib; print(lib.V, end='')"


def package(directory: Path, name: str, value: str, *dependencies: str, more: str = "") -> None:
    """A package with a value, below a directory."""
    (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / name / "__init__.py").write_text(value)
    (directory / "backend.py").write_text(BACKEND)
    wanted = ", ".join(f'"{one}"' for one in dependencies)
    (directory / "pyproject.toml").write_text(PROJECT.format(name=name, dependencies=wanted) + more)


class Releases:
    """The releases of an app whose source has a library, which has another."""

    def __init__(self, app: App, installs: str, files: Mapping[str, str], sources: str, **options: Any) -> None:
        self.app, self.installs, self.files, self.sources, self.options = app, installs, files, sources, options
        self.below = options.get("source", {}).get("subdirectory", "")
        app.system = PlainSystem()  # type: ignore[assignment]

    def build(self, release: str, commit: str, lib: str = "1", deep: str = "1") -> Path:
        """Install a release; its environment."""
        code = self.app.at.release(release) / "code"
        package(code / "lib", "lib", f"import deep; V = '{lib}', deep.V", "deep", more=self.sources)
        package(code / "lib/deep", "deep", f"V = '{deep}'")
        for path, text in self.files.items():
            (code / path).parent.mkdir(exist_ok=True)
            if text:
                (code / path).write_text(text)
        found: Installer = installer(self.app, settings={"installer": self.installs}, requirements=[], **self.options)
        found.builder.prepare()
        found.builder.own.append(code)
        if any(path.endswith("uv.lock") for path in self.files):
            subprocess.run([UV, "lock", "--quiet", "--offline"], cwd=code / self.below, check=True)
        return found.install(code, commit, release)

    def shown(self, venv: Path) -> str:
        """What the library of an environment says, seen from elsewhere."""
        done = subprocess.run([venv / "bin/python", "-c", SHOW], cwd="/", capture_output=True, text=True, check=False)
        return done.stdout or done.stderr


SOURCES = '[tool.uv.sources]\ndeep = { path = "deep" }\n'
LOCKED = (
    '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["lib"]\n[tool.uv.sources]\n'
)
CASES: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "uv, a path": ("uv", {"uv.lock": "", "pyproject.toml": LOCKED + 'lib = { path = "lib" }\n'}, {}),
    "uv, an editable path": (
        "uv", {"uv.lock": "", "pyproject.toml": LOCKED + 'lib = { path = "lib", editable = true }\n'}, {},
    ),
    "uv, a member of a workspace": (
        "uv",
        {
            "uv.lock": "",
            "pyproject.toml": LOCKED + 'lib = { workspace = true }\n[tool.uv.workspace]\nmembers = ["lib"]\n',
        },
        {},
    ),
    "uv, beside the app": (
        "uv",
        {"api/uv.lock": "", "api/pyproject.toml": LOCKED + 'lib = { path = "../lib" }\n'},
        {"source": {"tree": "a" * 64, "subdirectory": "api"}},
    ),
    "uv, editable requirements": ("uv", {"requirements.txt": "-e ./lib\n-e lib/deep\n"}, {}),
    "uv, requirements elsewhere": (
        "uv", {"requirements.txt": "-r req/base.txt\n", "req/base.txt": "-e ./lib\nlib/deep\n"}, {},
    ),
    "uv, PROJECT_ROOT": (
        "uv",
        {"requirements.txt": "lib @ file:///${PROJECT_ROOT}/lib\ndeep @ file:///${PROJECT_ROOT}/lib/deep\n"},
        {},
    ),
    "pip, requirements": ("pip", {"requirements.txt": "-e ./lib\n./lib/deep\n"}, {}),
}  # fmt: skip
ALONE = {name for name, (_installs, files, _options) in CASES.items() if "-e" in "".join(files.values())}


@pytest.mark.skipif(not UV, reason="uv is not installed")
@pytest.mark.parametrize("case", CASES)
def test_each_release_has_its_own_code(app: App, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    installs, files, options = CASES[case]
    path = app.at.tools / f"uv-{UV_VERSION}/bin/uv"
    path.parent.mkdir(parents=True)
    path.symlink_to(UV)
    monkeypatch.setenv("UV_CACHE_DIR", str(app.root / "cache"))
    monkeypatch.setattr(Builder, "compile", lambda *_trees: None)
    monkeypatch.setattr(python, "PIP_WHEELS", Path("/usr/share/python-wheels"))
    releases = Releases(app, installs, files, SOURCES if any("uv" in name for name in files) else "", **options)
    first = releases.build("one", "commit-1")
    assert releases.shown(first) == "('1', '1')"
    second = releases.build("two", "commit-2", lib="2")
    trees.remove(app.at.release("one"))
    assert releases.shown(second) == "('2', '1')", "it needs no release but its own"
    if installs == "pip":  # it is slow, and the rest is the same
        return
    assert releases.shown(releases.build("three", "commit-3", lib="2", deep="3")) == "('2', '3')"
    again = releases.build("settings", "commit-2", lib="2")
    assert (again != second) is (case in ALONE), "only what leads into a release is not shared"
    trees.remove(app.at.release("two"))
    assert releases.shown(again) == "('2', '1')"
    assert releases.build("settings", "commit-2", lib="2") == again


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shop.pth", "{other}/code"),
        ("__editable__.shop-1.pth", "{other}/code/src\n"),
        ("__editable___shop_1_finder.py", "MAPPING = {{'shop': '{other}/code/src/shop'}}"),
        ("_shop_editable_loader.py", "install('{other}/code')"),
        ("shop.egg-link", "{other}/code\n."),
        ("shop-1.dist-info/direct_url.json", '{{"url": "file://{other}/code", "dir_info": {{"editable": true}}}}'),
        ("locked.pth", "{releases}/.lock/x"),
    ],
)
def test_an_environment_that_leads_into_another_release_is_refused(app: App, code: Path, name: str, text: str) -> None:
    (code / "requirements.txt").touch()
    text = text.format(other=app.at.release("other"), releases=app.at.releases)

    def install() -> None:
        (packages,) = app.at.environments.glob("*/lib/python3/site-packages")
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / name).write_text(text)

    app.system.on["pip install"] = install
    with pytest.raises(ReleaseError) as error:
        installer(app).install(code, "commit", "mine")
    assert f"the environment's lib/python3/site-packages/{name} leads to {app.at.releases}/" in error.value.message
    assert "which is not of this release" in error.value.message


def test_the_recorded_origin_of_a_copied_package_does_not_count(app: App, code: Path) -> None:
    (code / "requirements.txt").touch()

    def install() -> None:
        (info,) = app.at.environments.glob("*/lib/python3/site-packages/flask-3.1.3.dist-info")
        (info / "direct_url.json").write_text(f'{{"url": "file://{app.at.release("other")}/code", "dir_info": {{}}}}')

    app.system.on["pip install"] = install
    first = installer(app).install(code, "commit", "mine")
    assert installer(app).install(code, "commit", "next") == first


def test_a_project_that_cannot_be_built_is_a_warning_for_as_long(app: App, code: Path) -> None:
    (code / "requirements.txt").write_text("flask\n")
    (code / "pyproject.toml").write_text("[project]\n")
    app.system.fail = {
        "--no-deps .": "  \u00d7 Failed to build\n  error: Multiple top-level packages discovered\nhint: x"
    }
    found = installer(app)
    venv = found.install(code, "commit", "one")
    (warning,) = found.context.warnings
    assert "its own project is not" in warning
    assert "missing: error: Multiple top-level packages discovered." in warning
    found = installer(app)
    assert found.install(code, "commit", "two") == venv
    assert found.context.warnings == [warning]
    app.system.fail = {}
    found = installer(app)
    assert found.install(code, "commit-2", "three") != venv
    assert found.context.warnings == []


def test_what_an_app_has_in_its_environment_says_nothing_to_root(app: App, code: Path) -> None:
    """A link in place of a file that leads elsewhere is not followed."""
    (code / "requirements.txt").touch()

    def install() -> None:
        (packages,) = app.at.environments.glob("*/lib/python3/site-packages")
        os.symlink("/etc/hostname", packages / "x.pth")
        os.mkfifo(packages / "y.pth")

    app.system.on["pip install"] = install
    assert installer(app).install(code, "commit", "mine")
