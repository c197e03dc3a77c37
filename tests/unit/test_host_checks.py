"""What depends on the host and on the controller's files."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_checks, model
from ansible_collections.groundwork.flask.tests.unit.flask_app import SUM, app


class TestHost:
    """What depends on the host and on the controller's files."""

    @staticmethod
    def found(
        tmp_path: Any, pyproject: str = "", distribution: tuple[str, str] = ("Debian", "12"), **options: Any
    ) -> list[str]:
        (tmp_path / "requirements.txt").write_text("flask\n")
        if pyproject:
            (tmp_path / "pyproject.toml").write_text(pyproject)
        records = model.load(app(source={"directory": str(tmp_path)}, **options))
        return host_checks.host_problems(records, *distribution, "3.11.2")

    @pytest.mark.parametrize(
        "distribution", [("Debian", "12.9"), ("Debian", "13"), ("Ubuntu", "24.04"), ("Ubuntu", "26.04")]
    )
    def test_supported(self, tmp_path: Any, distribution: tuple[str, str]) -> None:
        assert self.found(tmp_path, distribution=distribution) == []

    def test_unsupported_distribution(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, distribution=("Fedora", "44")) == [
            "the host runs Fedora 44, which is not supported: use Debian 12 or 13, or Ubuntu 24.04 or 26.04"
        ]

    def test_python_older_than_the_app_asks_for(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, '[project]\nname = "x"\nrequires-python = ">=3.12"\n') == [
            "flask_apps.shop.python: '3.11.2' does not fit the app's requires-python '>=3.12': name a Python "
            "that does, or change the app"
        ]

    def test_python_that_fits(self, tmp_path: Any) -> None:
        assert self.found(tmp_path, '[project]\nname = "x"\nrequires-python = ">=3.12"\n', python="3.13") == []

    def test_source_without_requirements(self, tmp_path: Any) -> None:
        records = model.load(app(source={"directory": str(tmp_path)}))
        assert (
            "neither requirements.txt nor pyproject.toml"
            in host_checks.host_problems(records, "Debian", "12", "3.11.2")[0]
        )

    def test_static_directory_that_is_not_there(self, tmp_path: Any) -> None:
        (problem,) = self.found(tmp_path, proxy={"static": {"/static/": "shop/static"}})
        assert problem.startswith("flask_apps.shop.proxy.static./static/: 'shop/static' is not a directory in")

    def test_static_directory_that_git_ignores(self, tmp_path: Any) -> None:
        """It is on the disk, and not sent."""
        (tmp_path / "web/dist").mkdir(parents=True)
        (tmp_path / "web/dist/app.js").touch()
        (tmp_path / ".gitignore").write_text("dist\n")
        proxy = {"static": {"/static/": "web/dist"}}
        assert self.found(tmp_path, proxy=proxy) == []
        subprocess.run(["/usr/bin/git", "init", "--quiet"], cwd=tmp_path, check=True)
        (problem,) = self.found(tmp_path, proxy=proxy)
        assert "'web/dist' is not sent, as git ignores it or it is empty: commit it, or let `build_command`" in problem
        assert self.found(tmp_path, proxy=proxy, build_command="npm run build") == []
        assert self.found(tmp_path, proxy={"static": {"/static/": "made"}}, build_command="npm run build") == []

    def test_static_directory_by_a_link(self, tmp_path: Any) -> None:
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets/app.js").touch()
        (tmp_path / "static").symlink_to("assets")
        assert self.found(tmp_path, proxy={"static": {"/static/": "static"}}) == []

    @pytest.mark.parametrize("name", ["setup.py", "pylock.toml", "Pipfile.lock"])
    def test_other_files_that_say_what_an_app_needs(self, tmp_path: Any, name: str) -> None:
        (tmp_path / name).touch()
        records = model.load(app(source={"directory": str(tmp_path)}))
        assert host_checks.host_problems(records, "Debian", "12", "3.11.2") == []

    EXTRAS = '[project]\nname = "x"\n[project.optional-dependencies]\nPost_gres = []\ns3 = []\n'

    @pytest.mark.parametrize(
        ("pyproject", "extras", "said"),
        [
            (EXTRAS, ["post-gres", "S3"], ""),
            (EXTRAS, ["postgress"], "did you mean Post_gres?"),
            (EXTRAS, ["mail"], "known are Post_gres, s3"),
            ('[project]\nname = "x"\n', ["mail"], "define it there"),
            ("", ["mail"], "define it there"),
            ('[tool.poetry.extras]\nmail = ["x"]\n', ["mail"], ""),
            ('[project]\nname = "x"\ndynamic = ["optional-dependencies"]\n', ["mail"], ""),
        ],
    )
    def test_extras_that_the_app_does_not_define(
        self, tmp_path: Any, pyproject: str, extras: list[str], said: str
    ) -> None:
        place = f"is not among the optional-dependencies of {tmp_path}/pyproject.toml"
        expected = [f"flask_apps.shop.extras: {extras[0]!r} {place}: {said}"] if said else []
        assert self.found(tmp_path, pyproject, extras=extras) == expected

    def test_wheels(self, tmp_path: Any) -> None:
        wheels = tmp_path / "wheels"
        said = f"flask_apps.shop.wheels: '{wheels}'"
        assert self.found(tmp_path, wheels=str(wheels)) == [
            f"{said} is not a directory on the controller: correct the path"
        ]
        wheels.mkdir()
        assert self.found(tmp_path, wheels=str(wheels)) == [
            f"{said} has no wheels (*.whl): make them with `pip wheel --wheel-dir {wheels} …`"
        ]
        (wheels / "shop-1.4-py3-none-any.whl").touch()
        assert self.found(tmp_path, wheels=str(wheels)) == []

    @staticmethod
    def of_archive(path: Any) -> list[str]:
        return host_checks.host_problems(model.load(app(source={"archive": str(path)})), "Debian", "12", "3.11.2")

    @pytest.mark.parametrize("kind", ["gztar", "xztar", "zip"])
    @pytest.mark.parametrize("below", [".", "shop-1.2"])
    def test_an_archive_says_what_it_needs(self, tmp_path: Any, kind: str, below: str) -> None:
        content = tmp_path / "content"
        (content / below / "shop").mkdir(parents=True)
        (content / below / "shop/pyproject.toml").touch()
        (content / below / "README.md").touch()
        path = shutil.make_archive(str(tmp_path / "shop"), kind, content)
        assert self.of_archive(path) == [
            f"flask_apps.shop.source.archive: '{path}' has neither requirements.txt nor pyproject.toml: add one that "
            "names Flask. Did you mean `source.subdirectory: shop`?"
        ]
        (content / below / "pyproject.toml").touch()
        assert self.of_archive(shutil.make_archive(str(tmp_path / "shop"), kind, content)) == []

    @pytest.mark.parametrize("kind", ["directory", "archive"])
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("backend", ""),
            ("backend/", ""),
            ("services/shop", ""),
            ("", "names Flask. Did you mean `source.subdirectory: backend` (or web)?"),
            ("services", "names Flask. Did you mean `source.subdirectory: services/shop`?"),
            ("bakend", "subdirectory: 'bakend' is not a directory in '{}'; did you mean backend?"),
            ("shop", "did you mean services/shop?"),
            ("backend/requirements.txt", "at its top are the directories backend, services, web"),
            ("zzz", "at its top are the directories backend, services, web"),
        ],
    )
    def test_the_directory_of_the_app(self, tmp_path: Any, kind: str, given: str, said: str) -> None:
        content = tmp_path / "content"
        for name in ("backend/requirements.txt", "web/pyproject.toml", "services/shop/pyproject.toml", "README"):
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).touch()
        path = str(content) if kind == "directory" else shutil.make_archive(str(tmp_path / "shop"), "zip", content)
        records = model.load(app(source={kind: path, "subdirectory": given}))
        problems = host_checks.host_problems(records, "Debian", "12", "3.11.2")
        assert len(problems) == bool(said)
        assert not said or problems[0].endswith(said.format(path))

    def test_what_is_compared_with_the_directory_of_the_app(self, tmp_path: Any) -> None:
        (tmp_path / "backend").mkdir()
        (tmp_path / "static").mkdir()
        (tmp_path / "backend/pyproject.toml").write_text('[project]\nname = "x"\nrequires-python = ">=3.12"\n')
        source = {"directory": str(tmp_path), "subdirectory": "backend"}
        records = model.load(app(source=source, proxy={"static": {"/static/": "static"}}))
        problems = host_checks.host_problems(records, "Debian", "12", "3.11.2")
        assert len(problems) == 2
        assert "'static' is not a directory" in problems[0]
        assert "does not fit the app's requires-python" in problems[1]

    def test_an_archive_that_is_none(self, tmp_path: Any) -> None:
        assert self.of_archive(tmp_path / "none.zip") == [
            f"flask_apps.shop.source.archive: '{tmp_path}/none.zip' is not a file on the controller: correct the path"
        ]
        (tmp_path / "text.zip").write_text("not a zip file")
        (problem,) = self.of_archive(tmp_path / "text.zip")
        assert problem.startswith(
            f"flask_apps.shop.source.archive: '{tmp_path}/text.zip' cannot be read as a tar archive or a zip file ("
        )

    def test_an_archive_from_a_url_is_left_to_the_host(self) -> None:
        records = model.load(app(source={"archive": "https://example.org/shop.zip", "checksum": SUM}))
        assert host_checks.host_problems(records, "Debian", "12", "3.11.2") == []


@pytest.mark.parametrize(
    ("installed", "refused"),
    [
        (["mariadb-server", "mysql-common", "mysql-client-8.0"], ""),
        (["mysql-server-8.0", "mysql-server"], "mysql-server, mysql-server-8.0"),
        (["percona-server-server"], "percona-server-server"),
        (["mysql-community-server"], "mysql-community-server"),
    ],
)
def test_mariadb_does_not_take_the_place_of_another_server(installed: list[str], refused: str) -> None:
    records = model.load(app(database={"provider": "mariadb"}))
    found = host_checks.package_problems(records, installed)
    assert [text.split(", which apt")[0] for text in found] == (
        [f"flask_apps.shop.database.provider: mariadb cannot be installed beside {refused}"] if refused else []
    )
    assert host_checks.package_problems(model.load(app()), installed) == []


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, []),
        ({"redis": {"purpose": "cache"}}, []),
        ({"redis": {"purpose": "both"}}, ["redis"]),
        ({"database": {"provider": "postgresql"}}, ["database.pool"]),
        ({"database": {"provider": "postgresql", "pool": False}}, []),
        ({"database": {"provider": "mariadb"}}, []),
    ],
)
def test_a_service_does_not_take_the_place_of_another(options: dict[str, Any], fields: list[str]) -> None:
    foreign = {"shop": {"redis": ["/etc/x (file of root)"], "pooler": ["/etc/y (file of root)"]}}
    found = host_checks.service_problems(model.load(app(**options)), foreign)
    assert [one.partition(":")[0] for one in found] == [f"flask_apps.shop.{field}" for field in fields]
    assert all("choose another name for the app" in one for one in found)
