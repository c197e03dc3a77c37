"""Where the code of a release is to its server, to its checks and to the commands that act for the app."""

from __future__ import annotations

import json
import profile
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import probe
from ansible_collections.groundwork.flask.plugins.module_utils.release.app_steps import PROBE
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import (
    code_environment,
    read_env_file,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers
from ansible_collections.groundwork.flask.tests.unit.release_app import App

CODE = Path("/code")
# An app that says which of its modules it has found.
SHOP = """
import profile, settings
def app(environ, start_response): pass
print("profile:", profile.__file__, "settings:", settings.__file__)
"""
# A program of an installed package, as pip writes it, which tells from where it has what it is asked for.
TOOL = """#!{python}
import sys
from tool import main
main()
"""
MAIN = """
import importlib, sys
def main():
    for name in sys.argv[1:]:
        print(importlib.import_module(name).__file__)
"""
# What the standard library calls its own: no program may get the app's instead.
OF_PYTHON = ("types", "email", "logging", "json", "enum", "re", "contextlib", "site", "traceback", "code")


@pytest.mark.parametrize(
    ("working_directory", "python_path", "where", "path"),
    [
        ("", [], "/code", "/code"),
        ("app", [], "/code/app", "/code/app:/code"),
        ("", ["src"], "/code", "/code/src:/code"),
        ("app/", ["src/", "lib/shop"], "/code/app", "/code/src:/code/lib/shop:/code/app:/code"),
        ("app", [".", "src"], "/code/app", "/code:/code/src:/code/app"),
        ("app", ["src", "app"], "/code/app", "/code/src:/code/app:/code"),
    ],
)
def test_where_the_app_runs_and_imports_from(
    working_directory: str, python_path: list[str], where: str, path: str
) -> None:
    assert code_environment(CODE, working_directory, python_path) == {
        "GROUNDWORK_DIRECTORY": where,
        "GROUNDWORK_PATH": path,
    }


class Release:
    """A release on the disk: its environment with an installed package, its entry, and its code."""

    def __init__(self, top: Path) -> None:
        self.code, self.entry, self.venv = top / "code", top / "entry", top / "venv"
        venv.create(self.venv, symlinks=True)
        (self.packages,) = self.venv.glob("lib/python3*/site-packages")
        for name in (servers.ENTRY, servers.AT_START):
            self.write(self.entry / name, (servers.FILES / name).read_text())
        self.write(self.code / "shop.py", SHOP)
        for name in ("tool/__init__.py", "settings.py"):
            self.write(self.packages / name, MAIN)
        self.tool = self.venv / "bin/tool"
        self.write(self.tool, TOOL.format(python=self.venv / "bin/python"))
        self.tool.chmod(0o755)

    def write(self, path: Path, text: str = "") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *argv: str | Path, path: str = "", **environment: str) -> list[str]:
        """What a program prints in the environment that the app's commands have."""
        done = subprocess.run(
            tuple(map(str, argv)), cwd=self.code, text=True, capture_output=True, check=False, timeout=60,
            env={
                "PATH": f"{self.venv}/bin:/usr/bin:/bin",
                "VIRTUAL_ENV": str(self.venv),
                "PYTHONPATH": str(self.entry),
                "GROUNDWORK_PATH": path or str(self.code),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Error" not in done.stderr, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


class TestPrograms:
    """A program that is installed, such as alembic."""

    def test_it_sees_the_code_before_what_is_installed(self, release: Release) -> None:
        release.write(release.code / "settings.py")
        release.write(release.code / "src/models.py")
        path = f"{release.code}/src:{release.code}"
        assert release.run(release.tool, "settings", "models", "tool", path=path) == [
            f"{release.code}/settings.py", f"{release.code}/src/models.py", f"{release.packages}/tool/__init__.py"
        ]  # fmt: skip

    @pytest.mark.parametrize("program", ["tool", "python"])
    def test_no_module_of_the_app_is_in_the_way_of_pythons_own(self, release: Release, program: str) -> None:
        for name in OF_PYTHON:
            release.write(release.code / f"{name}.py", "raise SystemExit('the wrong one')")
        start = [release.tool] if program == "tool" else [release.venv / "bin/python", release.packages / "run.py"]
        release.write(release.packages / "run.py", "from tool import main\nmain()\n")
        found = release.run(*start, *OF_PYTHON, "tool")
        assert not [path for path in found if path.startswith(str(release.code))]

    @pytest.mark.parametrize("name", ["tool.py", "tool/__init__.py"])
    def test_a_module_of_its_own_name_is_not_in_its_way(self, release: Release, name: str) -> None:
        release.write(release.code / name, "raise SystemExit('the wrong one')")
        assert release.run(release.tool, "tool", "shop") == [
            f"{release.packages}/tool/__init__.py",
            f"profile: {profile.__file__} settings: {release.packages}/settings.py",
            f"{release.code}/shop.py",
        ]

    def test_a_directory_of_its_own_name_is_no_module(self, release: Release) -> None:
        release.write(release.code / "tool/env.py")
        release.write(release.code / "settings.py")
        assert release.run(release.tool, "tool", "settings") == [
            f"{release.packages}/tool/__init__.py", f"{release.code}/settings.py"
        ]  # fmt: skip

    def test_an_isolated_program_sees_what_it_asks_for(self, release: Release) -> None:
        python = release.venv / "bin/python"
        seen = "import sys; print(any(entry.endswith('code') for entry in sys.path))"
        assert release.run(python, "-I", "-c", seen) == ["False"]
        assert release.run(python, "-c", seen, PYTHONSAFEPATH="1") == ["True"]

    def test_another_file_of_the_same_purpose_still_runs(self, release: Release) -> None:
        release.write(release.packages / "sitecustomize.py", f"print({'installed'!r}, __file__)")
        release.write(release.code / "sitecustomize.py", "print('of the code')")
        assert release.run(release.tool) == [f"installed {release.packages}/sitecustomize.py"]

    def test_a_program_of_the_host_does_not_see_the_code(self, release: Release) -> None:
        """It has packages of its own, and the app's modules may be called as they are."""
        release.write(
            release.code.parent / "main.py", "import sys; print([x for x in sys.path if x.endswith('/code')])"
        )
        assert release.run("/usr/bin/python3", release.code.parent / "main.py") == ["[]"]
        python = release.venv / "bin/python"
        assert release.run(python, release.code.parent / "main.py") == [f"['{release.code}']"]


class TestServer:
    """What the server and the check of the import see."""

    def test_the_server_starts_without_the_code_and_then_sees_it_first(self, release: Release) -> None:
        for name in ("profile", "settings"):
            release.write(release.code / f"{name}.py")
        release.write(release.packages / "serve.py", (
            "import os, sys\nbefore = list(sys.path)\nimport groundwork_wsgi\n"
            f"print({str(release.code)!r} in before, sys.path[0], os.environ.get('GROUNDWORK_STARTS_SERVER'))\n"
        ))  # fmt: skip
        serve = release.packages / "serve.py"
        printed = release.run(
            release.venv / "bin/python", serve, GROUNDWORK_STARTS_SERVER="1", WSGI_APP="shop:app",
            GROUNDWORK_PROXY_FIX="0",
        )  # fmt: skip
        assert printed == [
            f"profile: {release.code}/profile.py settings: {release.code}/settings.py", f"False {release.code} None"
        ]  # fmt: skip

    def test_the_import_is_checked_as_the_server_does_it(self, release: Release) -> None:
        for name in (*OF_PYTHON, "hmac"):
            release.write(release.code / f"{name}.py", "raise SystemExit('the wrong one')")
        for name in ("profile", "settings"):
            release.write(release.code / f"{name}.py")
        source = Path(probe.__file__).read_text()
        printed = release.run(
            release.venv / "bin/python", "-c", PROBE, source, WSGI_APP="shop:app", GROUNDWORK_PROXY_FIX="0"
        )
        assert printed[0] == f"profile: {release.code}/profile.py settings: {release.code}/settings.py"
        assert json.loads(printed[-1].removeprefix(probe.MARK)) == {}


DIRECTORIES: dict[str, Any] = {"working_directory": "app", "python_path": ["src"]}


class TestEngine:
    """A deploy of an app that says where it runs."""

    def test_each_step_runs_there(self, app: App) -> None:
        app.system.code |= {"app/x.py": "", "src/y.py": ""}
        app.deploy(**DIRECTORIES, release_command="flask db upgrade", save_commands=["true"])
        code = app.at.code(app.at.live() or "")
        environment = read_env_file(code.parent / "env")
        assert environment["PYTHONPATH"] == f"{code.parent}/entry"
        assert environment["GROUNDWORK_PATH"] == f"{code}/src:{code}/app:{code}"
        steps = {step.name: step for step in app.system.steps}
        for name in ("import", "before", "command"):
            assert steps[name].cwd == environment["GROUNDWORK_DIRECTORY"] == f"{code}/app"
            assert steps[name].environment == environment

    def test_the_apps_own_path_stays(self, app: App) -> None:
        app.engine({"PYTHONPATH": "/of/secrets"}).deploy()
        assert read_env_file(app.at.current / "env")["PYTHONPATH"].endswith("/entry:/of/secrets")
        app.engine(environment={"WSGI_APP": "shop:app", "PYTHONPATH": "$RELEASE_DIR/lib"}).deploy()
        release = app.at.release(app.at.live() or "")
        assert read_env_file(release / "env")["PYTHONPATH"] == f"{release}/entry:{release}/code/lib"

    def test_a_build_command_may_make_the_directory(self, app: App) -> None:
        wanted = {"working_directory": "dist", "build_command": "make dist"}
        with pytest.raises(ReleaseError, match="working_directory: 'dist' is not in the source"):
            app.deploy(**wanted)
        app.system.on["make dist"] = lambda: Path(app.system.steps[-1].cwd, "dist").mkdir()
        app.deploy(**wanted)
        assert read_env_file(app.at.current / "env")["GROUNDWORK_DIRECTORY"].endswith("/code/dist")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"working_directory": "ap"}, "working_directory: 'ap' is not in the source; did you mean app?"),
            ({"python_path": ["app", "scr"]}, "python_path: 'scr' is not in the source; did you mean src?"),
            ({"python_path": ["requirements.txt"]}, "python_path: 'requirements.txt' is not a directory"),
        ],
    )
    def test_a_directory_that_is_not_there(self, app: App, options: dict[str, Any], said: str) -> None:
        app.system.code |= {"app/x.py": "", "src/y.py": ""}
        with pytest.raises(ReleaseError) as refusal:
            app.deploy(**options)
        assert refusal.value.step == "fetch"
        assert refusal.value.message.startswith(said)
