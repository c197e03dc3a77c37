"""What the source of an app asks to have installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.requirements import Listed, requirement_files
from ansible_collections.groundwork.flask.tests.unit.release_app import App
from ansible_collections.groundwork.flask.tests.unit.release_installing import HASHED, WITH_UV, installer, with_uv
from pip._internal.models.index import PyPI

RECIPES: list[tuple[str, dict[str, str], dict[str, Any], list[list[str]], bool]] = [
    (
        "requirements",
        {"requirements.txt": "flask\n", "pyproject.toml": ""},
        {},
        [["-r", "requirements.txt", "gunicorn"]],
        False,
    ),
    (
        "requirements and extras",
        {"requirements.txt": "flask\n", "pyproject.toml": ""},
        {"extras": ["pg", "s3"]},
        [["-r", "requirements.txt", ".[pg,s3]", "gunicorn"]],
        True,
    ),
    (
        "the source among the requirements",
        {"requirements.txt": "-e .\n"},
        {},
        [["-r", "requirements.txt", "gunicorn"]],
        True,
    ),
    (
        "hashes",
        {"requirements.txt": HASHED},
        {},
        [["--require-hashes", "-r", "requirements.txt"], ["gunicorn"]],
        False,
    ),
    (
        "hashes in an included file",
        {"requirements.txt": "-r base.txt\n", "base.txt": HASHED},
        {},
        [["--require-hashes", "-r", "requirements.txt"], ["gunicorn"]],
        False,
    ),
    (
        "hashes and extras",
        {"requirements.txt": HASHED},
        {"extras": ["pg"]},
        [["--require-hashes", "-r", "requirements.txt"], [".[pg]", "gunicorn"]],
        True,
    ),
    ("a project of setuptools", {"setup.py": ""}, {}, [[".", "gunicorn"]], True),
    (
        "requirements before a lock of another program",
        {"requirements.txt": "", "poetry.lock": "", "pylock.toml": ""},
        {},
        [["-r", "requirements.txt", "gunicorn"]],
        False,
    ),
    ("a project", {"pyproject.toml": "[project]\n"}, {}, [[".", "gunicorn"]], True),
    ("a project's extras", {"pyproject.toml": ""}, {"extras": ["pg"]}, [[".[pg]", "gunicorn"]], True),
    ("a package", {}, {"source": {"package": "shop==1.4"}}, [["shop==1.4", "gunicorn"]], False),
    (
        "a lock that pip cannot read",
        {"uv.lock": "", "pyproject.toml": "", "requirements.txt": ""},
        {},
        [["-r", "requirements.txt", "gunicorn"]],
        False,
    ),
]


class TestRecipe:
    """What the source asks for."""

    @pytest.mark.parametrize(
        ("files", "options", "calls", "own"), [pytest.param(*row, id=name) for name, *row in RECIPES]
    )
    def test_of_each_kind(
        self,
        app: App,
        code: Path,
        files: dict[str, str],
        options: dict[str, Any],
        calls: list[list[str]],
        own: bool,
    ) -> None:
        for path, text in files.items():
            (code / path).write_text(text)
        recipe = installer(app, **options).recipe(code)
        assert (recipe.calls, recipe.own) == (calls, own)

    def exports(self, app: App, text: str) -> None:
        """Let a lock be exported as this."""
        app.system.on["locked.txt"] = lambda: (app.at.releases / ".lock/locked.txt").write_text(text)

    @pytest.mark.parametrize(
        ("exported", "locked", "local", "own"),
        [
            ("flask==3.1.3 \\\n  --hash=sha256:0a\n", "flask==3.1.3 --hash=sha256:0a\n", "", False),
            (
                f".\n./packages/lib ; python_version < '3.13'\n{HASHED}",
                "flask==3.1.3 --hash=sha256:00\n",
                "{code}/.\n{code}/./packages/lib ; python_version < '3.13'\n",
                True,
            ),
            (
                f"-i {PyPI.simple_url}\n-i https://a.example.org\n-e file://{{code}}/lib#egg=lib\n{HASHED}",
                "-i https://a.example.org\nflask==3.1.3 --hash=sha256:00\n",
                "-i https://a.example.org\nfile://{code}/lib\n",
                True,
            ),
            (
                f"shop @ git+https://example.org/shop@0a1b2c\n{HASHED}",
                "flask==3.1.3 --hash=sha256:00\n",
                "shop @ git+https://example.org/shop@0a1b2c\n",
                False,
            ),
        ],
    )
    def test_of_a_lock(self, app: App, code: Path, exported: str, locked: str, local: str, own: bool) -> None:
        uv = with_uv(app)
        (code / "uv.lock").write_text("locked")
        (code / "pyproject.toml").write_text("[project]\n")
        self.exports(app, exported.replace("{code}", str(code)))
        recipe = installer(app, **WITH_UV, extras=["pg"], python="3.13").recipe(code)
        files = app.at.releases / ".locked"
        calls = [["--no-deps", "-r", f"{files}/locked.txt"], ["gunicorn"]]
        assert recipe.calls == calls + ([["--no-deps", "-r", f"{files}/local.txt"]] if local else [])
        assert (files / "locked.txt").read_text() == locked
        assert not local or (files / "local.txt").read_text() == local.replace("{code}", str(code))
        assert recipe.own is own
        asked = app.system.commands[-1]
        assert f"{uv} export --quiet --frozen --no-dev --no-editable --python " in asked
        assert asked.endswith(" --extra pg")
        app.system.fail = {"export": "the lock is older than the project"}
        with pytest.raises(
            ReleaseError, match=r"uv\.lock could not be read: lock again, and commit it\n  the lock is older"
        ):
            installer(app, **WITH_UV).recipe(code)

    @pytest.mark.parametrize(
        ("name", "wanted", "command"),
        [
            ("poetry.lock", "poetry-plugin-export", "poetry export --format=requirements.txt --only=main"),
            ("pdm.lock", "pdm>=2.20,<3", "pdm export --prod --format=requirements --group=pg"),
            ("Pipfile.lock", "pipenv>=2023.12", "pipenv requirements --hash"),
        ],
    )
    @pytest.mark.parametrize("installs", ["uv", "pip"])
    def test_of_another_lock(self, app: App, code: Path, name: str, wanted: str, command: str, installs: str) -> None:
        if installs == "uv":
            with_uv(app)
        for path in (name, "pyproject.toml"):
            (code / path).write_text("[build-system]\n")
        self.exports(app, HASHED)
        recipe = installer(app, settings={"installer": installs}, extras=["pg"]).recipe(code)
        assert recipe.calls == [["--no-deps", "-r", f"{app.at.releases}/.locked/locked.txt"], ["gunicorn"]]
        assert (recipe.project, recipe.own) == (["--no-deps", "."], True)
        assert app.has_run(f"install --quiet {'--python' if installs == 'uv' else '--no-compile'}") == 1
        assert app.has_run(wanted) == 1
        assert app.has_run(f"{app.at.releases}/.tool/bin/{command}") == 1
        assert not (app.at.releases / ".tool").exists()
        app.system.fail = {wanted: "no matching distribution"}
        with pytest.raises(ReleaseError, match=rf"{name} is installed by way of .*requirements.txt.*\n  no matching"):
            installer(app, settings={"installer": installs}).recipe(code)

    def test_from_wheels_alone_comes_what_exports_too(self, app: App, code: Path) -> None:
        (code / "poetry.lock").write_text("")
        self.exports(app, HASHED)
        sent = {"wheels_archive": app.spec["archive"], "wheels_tree": "b" * 64}
        found = installer(app, **sent)
        found.install(code, "commit", "release")
        index = f"--no-index --find-links {app.at.releases}/.wheels"
        assert app.has_run(f"{index} poetry>=2,<3 poetry-plugin-export") == 1
        assert app.has_run(f"{index} --no-deps -r") == 1

    def test_what_pdm_has_no_hashes_of(self, app: App, code: Path) -> None:
        (code / "pdm.lock").write_text("")
        app.system.fail = {"requirements --group": "Hash is not available for '-e file:///x/lib#egg=lib'"}
        installer(app, extras=["pg"]).recipe(code)
        assert app.has_run("pdm export --prod --format=requirements --no-hashes --group=pg") == 1

    def test_of_pylock(self, app: App, code: Path) -> None:
        (code / "pylock.toml").write_text('directory = { path = "lib", editable = true }\n')
        with pytest.raises(ReleaseError, match=r"pylock.toml is read by uv alone, and pip installs here: set"):
            installer(app).recipe(code)
        with_uv(app)
        recipe = installer(app, **WITH_UV, extras=["pg"]).recipe(code)
        assert (recipe.calls, recipe.own) == ([["-r", "pylock.toml", "--extra", "pg"], ["gunicorn"]], True)

    def test_a_member_of_a_workspace_is_locked_above_it(self, app: App, code: Path) -> None:
        with_uv(app)
        (code / "api").mkdir()
        (code / "api/pyproject.toml").write_text("[project]\n")
        (code / "uv.lock").touch()
        self.exports(app, "./api\n./lib\n")
        of_api = {**WITH_UV, "source": {"tree": "a" * 64, "subdirectory": "api"}}
        assert installer(app, **of_api).recipe(code).calls == [[".", "gunicorn"]], "another project's lock"
        (code / "pyproject.toml").write_text("[tool.uv.workspace]\n")
        recipe = installer(app, **of_api).recipe(code)
        assert recipe.calls[-1] == ["--no-deps", "-r", f"{app.at.releases}/.locked/local.txt"]
        assert (app.at.releases / ".locked/local.txt").read_text() == f"{code}/./api\n{code}/./lib\n"
        assert app.system.steps[-1].cwd == str(code / "api")

    @pytest.mark.parametrize(
        "sources", ['[tool.uv.sources]\nlib = { path = "lib" }\n', "[tool.uv.sources.lib]\nworkspace = true\n"]
    )
    def test_pip_takes_no_code_of_the_source_from_the_index(self, app: App, code: Path, sources: str) -> None:
        (code / "pyproject.toml").write_text(f'[project]\ndependencies = ["lib"]\n{sources}')
        with pytest.raises(ReleaseError, match=r"\[tool.uv.sources\].*set release_installer to uv, or commit"):
            installer(app).recipe(code)
        with_uv(app)
        assert installer(app, **WITH_UV).recipe(code).calls == [[".", "gunicorn"]]

    def test_a_lock_that_pip_cannot_read_is_a_warning(self, app: App, code: Path) -> None:
        for name in ("uv.lock", "pyproject.toml"):
            (code / name).touch()
        found = installer(app)
        assert found.recipe(code).calls == [[".", "gunicorn"]]
        (warning,) = found.context.warnings
        assert warning.startswith(
            "uv.lock is not read, so its packages are the newest that pyproject.toml allows, and "
        )
        assert "set release_installer to uv, or commit a requirements.txt" in warning

    @pytest.mark.parametrize(
        ("files", "installed"),
        [
            ({"pyproject.toml": "[project]\n"}, True),
            ({"pyproject.toml": "[build-system]\n"}, True),
            ({"pyproject.toml": "[tool.black]\n"}, False),
            ({"pyproject.toml": "[project]\n[tool.uv]\npackage = false\n"}, False),
            ({"pyproject.toml": "[build-system]\n[tool.poetry]\npackage-mode = false\n"}, False),
            ({"pyproject.toml": "[project]\n[tool.pdm]\ndistribution = false\n"}, False),
            ({"setup.py": ""}, True),
            ({"setup.cfg": "[metadata]\n"}, False),
            ({"setup.cfg": "[metadata]\n", "pyproject.toml": "[tool.black]\n"}, True),
            ({"setup.cfg": "[flake8]\n", "pyproject.toml": "[tool.black]\n"}, False),
            ({"requirements.txt": "-e .\n", "pyproject.toml": "[project]\n"}, False),
            ({"requirements.txt": "./\n", "setup.py": ""}, False),
        ],
    )
    def test_the_project_beside_requirements(
        self, app: App, code: Path, files: dict[str, str], installed: bool
    ) -> None:
        for path, text in {"requirements.txt": "flask\n", **files}.items():
            (code / path).write_text(text)
        recipe = installer(app).recipe(code)
        assert recipe.calls == [["-r", "requirements.txt", "gunicorn"]]
        assert recipe.project == (["--no-deps", "."] if installed else [])
        assert recipe.own >= installed

    @pytest.mark.parametrize(
        ("line", "refused"),
        [
            ("-e ../lib", "../lib"),
            ("./lib/../../lib", "./lib/../../lib"),
            ("lib @ file:../lib", "../lib"),
            ("-e {releases}/other/code/lib", "{releases}/other/code/lib"),
            ("/usr/share/python-wheels/x.whl", ""),
            ("./lib", ""),
            ("{code}/lib", ""),
            ("--find-links ../wheels", ""),
        ],
    )
    def test_a_release_has_all_its_code(self, app: App, line: str, refused: str) -> None:
        code = app.at.releases / "one/code"
        code.mkdir(parents=True)
        line, refused = (text.format(releases=app.at.releases, code=code) for text in (line, refused))
        (code / "requirements.txt").write_text(f"flask\n{line}\n")
        if not refused:
            installer(app).recipe(code)
            return
        with pytest.raises(ReleaseError) as error:
            installer(app).recipe(code)
        assert error.value.message.startswith(f"requirements.txt asks for {refused}, which is not in the source")
        assert "source.subdirectory" in error.value.message

    def test_what_lies_beside_the_app_is_in_the_source(self, app: App, code: Path) -> None:
        (code / "api").mkdir()
        (code / "api/requirements.txt").write_text("-e ../lib\n")
        assert installer(app, source={"tree": "a" * 64, "subdirectory": "api"}).recipe(code).own

    def test_a_poetry_project_that_no_other_installer_can_read(self, app: App, code: Path) -> None:
        text = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nflask = "*"\n'
        (code / "pyproject.toml").write_text(text)
        with pytest.raises(ReleaseError, match=r"names its packages for Poetry .*: commit poetry\.lock"):
            installer(app).recipe(code)
        (code / "pyproject.toml").write_text(text + '[build-system]\nrequires = ["poetry-core"]\n')
        assert installer(app).recipe(code).own

    def test_of_nothing(self, app: App, code: Path) -> None:
        with pytest.raises(ReleaseError, match=r"neither requirements.txt, pyproject.toml nor a lock .*: add one"):
            installer(app).recipe(code)


REQUIREMENTS: list[tuple[str, dict[str, str], list[str], bool]] = [
    ("an included file", {"requirements.txt": "-r a.txt\n", "a.txt": "a"}, ["requirements.txt", "a.txt"], False),
    ("the same, shorter", {"requirements.txt": "-ra.txt\n", "a.txt": "a"}, ["requirements.txt", "a.txt"], False),
    ("a constraint", {"requirements.txt": "-c c.txt # why\n", "c.txt": "c"}, ["requirements.txt", "c.txt"], False),
    (
        "long options",
        {"requirements.txt": "--requirement=a.txt\n--constraint c.txt\n", "a.txt": "a", "c.txt": "c"},
        ["requirements.txt", "a.txt", "c.txt"],
        False,
    ),
    (
        "paths are the file's own",
        {"requirements.txt": "-r req/a.txt\n", "req/a.txt": "-r b.txt", "req/b.txt": "-r ../c.txt", "c.txt": "c"},
        ["requirements.txt", "req/a.txt", "req/b.txt", "c.txt"],
        False,
    ),
    (
        "a circle",
        {"requirements.txt": "-r a.txt\n", "a.txt": "-r requirements.txt\n"},
        ["requirements.txt", "a.txt"],
        False,
    ),
    ("a missing file", {"requirements.txt": "-r gone.txt\n"}, ["requirements.txt", "gone.txt"], False),
    ("a directory", {"requirements.txt": "-r req\n", "req/a.txt": "a"}, ["requirements.txt", "req"], False),
    ("out of the source", {"requirements.txt": "-r ../out.txt\n"}, ["requirements.txt", "../out.txt"], False),
    ("of the host", {"requirements.txt": "-r /etc/hostname\n"}, ["requirements.txt", "/etc/hostname"], False),
    ("the source below", {"requirements.txt": "-r a.txt\n", "a.txt": "-e ."}, ["requirements.txt", "a.txt"], True),
    *(
        (line, {"requirements.txt": f"flask\n{line}\n"}, ["requirements.txt"], local)
        for line, local in [
            ("-e .", True),
            ("-e.", True),
            ("--editable ./lib", True),
            ("--editable=./lib", True),
            (".", True),
            (".[pg]", True),
            ("./lib", True),
            ("lib/shop", True),
            ("/srv/lib", True),
            ("file:lib/shop", True),
            ("shop @ file:lib/shop", True),
            ("shop@file:///srv/shop", True),
            ("lib-1.0-py3-none-any.whl", True),
            ("-e file:///${PROJECT_ROOT}/lib", True),
            ("--find-links vendor", True),
            ("-f ./vendor", True),
            ("--find-links https://wheels.example.org/", False),
            ("-e git+https://example.org/shop.git#egg=shop", True),
            ("shop @ git+ssh://git@example.org/shop.git@v1", False),
            ("flask \\\n  ==3.1.3", False),
            ("./lib ; python_version < '3.13'", True),
            ("flask==3.1.3", False),
            ("flask[async]>=3 ; python_version < '3.13'", False),
            ("flask # see ./docs", False),
            ("# -e .", False),
            ("shop @ https://example.org/shop.whl", False),
            ("--index-url https://pypi.example.org/simple", False),
            ("--extra-index-url https://pypi.example.org/simple", False),
            ("    --hash=sha256:0a/b", False),
        ]
    ),
]


@pytest.mark.parametrize(("files", "read", "local"), [pytest.param(*row, id=name) for name, *row in REQUIREMENTS])
def test_requirement_files(code: Path, files: dict[str, str], read: list[str], local: bool) -> None:
    for path, text in files.items():
        (code / path).parent.mkdir(exist_ok=True)
        (code / path).write_text(text)
    (code.parent / "out.txt").write_text("flask")
    found = requirement_files(code, "requirements.txt")
    assert (found.texts, found.own) == ([files.get(path, "") for path in read], local)


def test_requirements_files_that_name_one_another_many_times_are_read_once(code: Path) -> None:
    """By each way to each of them there would be 2 ** 50 to read."""
    names = ["requirements.txt", *(f"r{number}.txt" for number in range(50))]
    for name, following in zip(names, [*names[1:], "requirements.txt"], strict=True):
        (code / name).write_text(f"-r {following}\n-c {following}\n")
    assert len(requirement_files(code, "requirements.txt").texts) == len(names)


def test_requirements_files_without_an_end_are_refused(code: Path) -> None:
    (code / "requirements.txt").write_text("-r r0.txt")
    for number in range(2000):
        (code / f"r{number}.txt").write_text(f"-r r{number + 1}.txt")
    with pytest.raises(ReleaseError, match="more than 200 others"):
        requirement_files(code, "requirements.txt")


@pytest.mark.parametrize("link", ["/etc/hostname", "../out.txt", "requirements.txt"])
def test_a_link_among_the_requirements_stays_in_the_source(code: Path, link: str) -> None:
    (code.parent / "out.txt").write_text("secret")
    (code / "requirements.txt").symlink_to(link)
    assert requirement_files(code, "requirements.txt") == Listed([""])
    (code / "base.txt").write_text("flask")
    (code / "requirements.txt").unlink()
    (code / "requirements.txt").symlink_to("base.txt")
    assert requirement_files(code, "requirements.txt") == Listed(["flask"])
