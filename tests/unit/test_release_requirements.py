"""What the source of an app asks to have installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.requirements import requirement_files
from ansible_collections.groundwork.flask.tests.unit.release_app import App
from ansible_collections.groundwork.flask.tests.unit.release_installing import HASHED, WITH_UV, installer, with_uv

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

    @pytest.mark.parametrize(("project", "packaged"), [("[project]\n", False), ("[build-system]\n", True)])
    def test_of_a_lock(self, app: App, code: Path, project: str, packaged: bool) -> None:
        uv = with_uv(app)
        (code / "uv.lock").write_text("locked")
        (code / "pyproject.toml").write_text(project)
        recipe = installer(app, **WITH_UV, extras=["pg"], python="3.13").recipe(code)
        locked = app.at.releases / ".lock/locked.txt"
        own = [["--no-deps", "."]] if packaged else []
        assert recipe.calls == [["--no-deps", "-r", str(locked)], ["gunicorn"], *own]
        assert recipe.own is packaged
        asked = app.system.commands[-1]
        assert asked.startswith(f"{uv} export --quiet --frozen --no-dev --no-emit-project --python ")
        assert asked.endswith(f" --extra pg --output-file={locked}")
        app.system.fail = {"export": "the lock is older than the project"}
        with pytest.raises(ReleaseError, match=r"uv\.lock could not be read\nthe lock is older"):
            installer(app, **WITH_UV).recipe(code)

    def test_of_nothing(self, app: App, code: Path) -> None:
        with pytest.raises(ReleaseError, match=r"neither requirements.txt, pyproject.toml nor uv.lock: add one"):
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
    assert requirement_files(code, "requirements.txt") == ([files.get(path, "") for path in read], local)


@pytest.mark.parametrize("link", ["/etc/hostname", "../out.txt", "requirements.txt"])
def test_a_link_among_the_requirements_stays_in_the_source(code: Path, link: str) -> None:
    (code.parent / "out.txt").write_text("secret")
    (code / "requirements.txt").symlink_to(link)
    assert requirement_files(code, "requirements.txt") == ([""], False)
    (code / "base.txt").write_text("flask")
    (code / "requirements.txt").unlink()
    (code / "requirements.txt").symlink_to("base.txt")
    assert requirement_files(code, "requirements.txt") == (["flask"], False)
