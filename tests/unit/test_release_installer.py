"""Environments: which installer makes them, and when one serves another release too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import build, python
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import INSTALL_SECONDS, pip_configuration
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import CA_BUNDLE
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.pins import UV, UV_VERSION
from ansible_collections.groundwork.flask.tests.unit.release_app import App
from ansible_collections.groundwork.flask.tests.unit.release_installing import WITH_UV, installer, with_uv


class TestEnvironment:
    """Environments are shared by what is in them."""

    @pytest.mark.parametrize(
        ("change", "files", "same"),
        [
            ({}, {}, True),
            ({"source": {"tree": "b" * 64}}, {}, True),
            ({"requirements": ["gunicorn==27"]}, {}, False),
            ({"extras": ["pg"]}, {}, False),
            ({"python": "3.9"}, {}, False),
            ({"wheels_tree": "b" * 64}, {}, False),
            ({}, {"requirements.txt": "flask<4\n"}, False),
            ({}, {"requirements.txt": "-r base.txt\n"}, False),
        ],
    )
    def test_what_names_it(
        self, app: App, code: Path, change: dict[str, Any], files: dict[str, str], same: bool
    ) -> None:
        (code / "requirements.txt").write_text("flask\n")
        one = installer(app)
        before = one.key(one.recipe(code), "commit-1")
        for path, text in files.items():
            (code / path).write_text(text)
        other = installer(app, **change)
        assert (other.key(other.recipe(code), "commit-2") == before) is same

    def test_of_the_source_itself_is_new_for_each_code(self, app: App, code: Path) -> None:
        (code / "pyproject.toml").touch()
        one = installer(app)
        recipe = one.recipe(code)
        assert one.key(recipe, "commit-1") != one.key(recipe, "commit-2")

    def test_of_the_source_itself_is_new_for_each_tag_of_which_its_version_may_be_made(
        self, app: App, code: Path
    ) -> None:
        (code / "pyproject.toml").touch()
        (code / ".git").mkdir()
        before = installer(app).install(code, "commit-1", "a")
        assert installer(app).install(code, "commit-1", "b") == before
        (code / ".git/packed-refs").write_text("0123 refs/tags/v1.3\n")
        assert installer(app).install(code, "commit-1", "c") != before

    def test_a_half_built_one_is_built_anew(self, app: App, code: Path) -> None:
        (code / "requirements.txt").touch()
        first = installer(app).install(code, "commit", "release")
        (first / "complete").unlink()
        (first / "rubbish").touch()
        assert installer(app).install(code, "commit", "release") == first
        assert (first / "complete").exists()
        assert not (first / "rubbish").exists()
        commands = len(app.system.commands)
        assert installer(app).install(code, "commit", "release") == first
        assert len(app.system.commands) == commands

    def test_from_wheels_that_were_sent(self, app: App, code: Path) -> None:
        (code / "requirements.txt").touch()
        app.system.code = {"flask-3.1.3-py3-none-any.whl": ""}
        installer(app, wheels_archive=app.spec["archive"], wheels_tree="b" * 64).install(code, "commit", "release")
        wheels = app.at.releases / ".wheels"
        assert [path.name for path in wheels.iterdir()] == ["flask-3.1.3-py3-none-any.whl"]
        assert app.has_run(f"install --quiet --no-compile --no-index --find-links {wheels} -r requirements.txt") == 1

    def test_the_failures_say_what_to_do(self, app: App, code: Path) -> None:
        (code / "requirements.txt").touch()
        app.system.fail = {"-m venv": "ensurepip is not available"}
        with pytest.raises(ReleaseError, match=r"no virtual environment could be made with .*\n  ensurepip"):
            installer(app).install(code, "commit", "release")
        app.system.fail = {"pip install": "Error: pg_config executable not found."}
        with pytest.raises(ReleaseError, match=rf"add libpq-dev, .* flask_apps.{app.name}.packages, .*\n  Error: pg"):
            installer(app).install(code, "commit", "release")

    def test_secrets_of_the_app_do_not_reach_the_build(self, app: App) -> None:
        app.engine({"TOKEN": "hunter22"}, release_command="flask db upgrade").deploy()
        environments = [step.environment for step in app.system.steps]
        with_secret = [each for each in environments if "TOKEN" in each]
        assert all(each["VIRTUAL_ENV"] for each in with_secret)
        assert 0 < len(with_secret) < len(environments)
        assert not [each for each in environments if "PIP_CERT" in each and "SECRET_KEY" in each]


class TestInstaller:
    """uv where it can be had, pip otherwise; Python by version."""

    @pytest.fixture
    def pip_wheel(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        (app.root / "wheels").mkdir()
        (app.root / "wheels/pip-23.0-py3-none-any.whl").touch()
        monkeypatch.setattr(python, "PIP_WHEELS", app.root / "wheels")

    def fetched(self, app: App) -> None:
        """What pip does when it fetches uv."""
        (fresh,) = app.at.tools.glob(".uv.*")
        assert (fresh / "requirements.txt").read_text() == UV
        (fresh / "bin").mkdir()
        (fresh / "bin/uv").touch()

    @pytest.mark.usefixtures("pip_wheel")
    def test_uv_is_fetched_once(self, app: App) -> None:
        uv = app.at.tools / f"uv-{UV_VERSION}"
        app.system.on["--require-hashes"] = lambda: self.fetched(app)
        assert installer(app, **WITH_UV).python.uv() == str(uv / "bin/uv")
        assert installer(app, **WITH_UV).python.uv() == str(uv / "bin/uv")
        assert app.has_run("--require-hashes") == 1
        assert installer(app).python.uv() == "", "pip is asked for"
        assert [path.name for path in app.at.tools.iterdir()] == [uv.name]

    @pytest.mark.usefixtures("pip_wheel")
    def test_uv_of_an_earlier_version_goes_once_nobody_can_be_at_work_with_it(self, app: App) -> None:
        for name in ("uv", "uv-0.1", "uv-0.2"):
            (app.at.tools / name / "bin").mkdir(parents=True)
        for name in ("uv", "uv-0.1"):
            os.utime(app.at.tools / name, (1, 1))
        app.system.on["--require-hashes"] = lambda: self.fetched(app)
        installer(app, **WITH_UV).python.uv()
        assert {path.name for path in app.at.tools.iterdir()} == {"uv-0.2", f"uv-{UV_VERSION}"}

    @pytest.mark.usefixtures("pip_wheel")
    def test_pip_where_uv_cannot_be_had(self, app: App) -> None:
        app.system.fail = {"--require-hashes": "no matching distribution"}
        done = app.engine(**WITH_UV).deploy()
        assert done.action == "deployed"
        assert done.warnings == [
            "uv could not be fetched, so pip installs (slower, same result): no matching distribution"
        ]

    @pytest.mark.usefixtures("pip_wheel")
    def test_uv_that_cannot_be_had_is_asked_for_once_in_a_run(self, app: App) -> None:
        app.system.fail = {"--require-hashes": "no matching distribution"}
        app.system.code.update({"uv.lock": "", "pyproject.toml": ""})
        done = app.engine(**WITH_UV).deploy()
        assert (app.has_run("--require-hashes"), len(done.warnings)) == (1, 1)

    def test_what_each_installs_with(self, app: App, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wheel = app.root / "pip-23.0-py3-none-any.whl"
        venv = code / "venv"
        pip = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile"]
        venv.mkdir()
        made = app.system.commands
        app.system.ends = {"venv": (0, ""), "zipfile": (0, "")}
        assert installer(app).make(venv) == pip
        assert made[-1].endswith(f"-m venv {venv}")
        wheel.touch()
        monkeypatch.setattr(python, "PIP_WHEELS", app.root)
        assert installer(app).make(venv) == pip
        assert made[-2].endswith(f"-m venv --without-pip {venv}")
        assert f" -m zipfile -e {wheel} {venv}/lib/python" in made[-1]
        uv = with_uv(app)
        assert installer(app, **WITH_UV).make(venv) == [
            uv, "pip", "install", "--quiet", "--python", f"{venv}/bin/python",
        ]  # fmt: skip
        assert made[-1].startswith(f"{uv} venv --quiet --allow-existing --no-project --python ")

    def test_a_python_that_the_host_has_not(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.which", lambda _name, **_options: None)
        where = f"flask_apps.{app.name}.python: '3.13' is not on this host"
        with pytest.raises(ReleaseError, match=f"{where}: install python3.13 and python3.13-venv, or let uv bring it"):
            installer(app, python="3.13").python.path()
        with_uv(app)
        app.system.fail = {"python install": "no route to host"}
        with pytest.raises(ReleaseError, match=f"{where}, and uv could not bring it; a mirror .*\n  no route to host"):
            installer(app, **WITH_UV, python="3.13").python.path()
        found = f"{app.at.tools}/python/cpython-3.13/bin/python3.13"
        asked: list[tuple[str, ...]] = []

        def run(*argv: str, environment: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
            assert seconds == INSTALL_SECONDS
            asked.append((*argv[1:3], environment["UV_PYTHON_INSTALL_DIR"], environment["PATH"], environment["HOME"]))
            return subprocess.CompletedProcess(argv, 0, f"{found}\n", "")

        monkeypatch.setattr(app.system, "run", run)
        assert installer(app, **WITH_UV, python="3.13").python.path() == found
        rest = (str(app.at.tools / "python"), "/usr/sbin:/usr/bin:/sbin:/bin", "/root")
        assert asked == [("python", verb, *rest) for verb in ("install", "find")], "as root, for all apps"


class TestIndex:
    """Private indexes and proxies, said once for both installers."""

    @pytest.mark.parametrize(
        ("configuration", "given", "found"),
        [
            (
                "[global]\nindex-url = https://pypi.example.org/simple\ntimeout=60\n",
                {},
                {
                    "PIP_INDEX_URL": "https://pypi.example.org/simple",
                    "UV_DEFAULT_INDEX": "https://pypi.example.org/simple",
                    "PIP_TIMEOUT": "60",
                    "UV_HTTP_TIMEOUT": "60",
                },
            ),
            (
                "[global]\nextra-index-url =\n    https://a.example.org\n    https://b.example.org\n",
                {},
                {"UV_INDEX": "https://a.example.org https://b.example.org"},
            ),
            (
                "[install]\nfind-links = /srv/wheels\ntrusted-host = pypi.example.org\n[list]\nformat = json\n",
                {},
                {"UV_FIND_LINKS": "/srv/wheels", "UV_INSECURE_HOST": "pypi.example.org", "PIP_FORMAT": None},
            ),
            ("[global]\ncert = /etc/company.pem\n", {}, {"SSL_CERT_FILE": "/etc/company.pem"}),
            (
                "[global]\nindex-url = https://pypi.example.org/50%/simple\n",
                {"PIP_INDEX_URL": "https://other.example.org", "HTTPS_PROXY": "http://proxy.example.org:3128"},
                {
                    "PIP_INDEX_URL": "https://other.example.org",
                    "UV_DEFAULT_INDEX": "https://other.example.org",
                    "HTTPS_PROXY": "http://proxy.example.org:3128",
                },
            ),
            (
                "",
                {"PIP_INDEX_URL": "https://other.example.org", "UV_DEFAULT_INDEX": "https://uv.example.org"},
                {"UV_DEFAULT_INDEX": "https://uv.example.org"},
            ),
            ("no section at all", {}, {"UV_DEFAULT_INDEX": None, "SSL_CERT_FILE": CA_BUNDLE}),
        ],
    )
    def test_of_the_hosts_configuration_and_the_users(
        self, app: App, configuration: str, given: dict[str, str], found: dict[str, str | None]
    ) -> None:
        build.PIP_CONFIGURATION.write_text(configuration)
        environment = installer(app, settings={"build": given}).builder.environment()
        assert {name: environment.get(name) for name in found} == found

    def test_no_configuration(self, tmp_path: Path) -> None:
        assert pip_configuration(tmp_path / "pip.conf") == {}
