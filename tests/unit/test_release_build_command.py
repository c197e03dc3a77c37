"""The build command: what it has, and what it makes."""

from __future__ import annotations

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TIMED_OUT
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App

BUILD = "npm ci && npm run build"


def make(app: App, path: str, below: str = "") -> None:
    """What the command does: it makes a file."""
    (release,) = (one for one in app.at.releases.iterdir() if not app.at.is_complete(one.name))
    (release / "code" / below / path).parent.mkdir(parents=True, exist_ok=True)
    (release / "code" / below / path).write_text("made")


@pytest.mark.parametrize("below", ["", "backend"])
def test_what_it_makes_is_published(app: App, below: str) -> None:
    app.system.code = {f"{below}/requirements.txt".strip("/"): "flask\n"}
    app.system.on[f"sh -c {BUILD}"] = lambda: make(app, "web/dist/app.js", below)
    source = {**app.spec["source"], **({"subdirectory": below} if below else {})}
    app.deploy(build_command=BUILD, static={"/static/": "web/dist"}, source=source)
    assert (app.at.current / "public/static/app.js").read_text() == "made"
    (step,) = (step for step in app.system.steps if step.name == "build")
    assert step.cwd == str((app.at.releases / app.at.live() / "code" / below).resolve())  # type: ignore[operator]


def test_it_is_a_step_of_the_build(app: App) -> None:
    """After the packages, before the import; without what belongs to the running app."""
    app.engine({"TOKEN": "hunter22"}, build_command=BUILD).deploy()
    order = [step.name for step in app.system.steps if step.name in ("install", "build", "publish", "import")]
    assert order == ["install", "build", "publish", "import"]
    (step,) = (step for step in app.system.steps if step.name == "build")
    environment = step.environment
    assert not {"TOKEN", "SECRET_KEY", "DATA_DIR", "WSGI_APP"} & environment.keys()
    assert environment["PATH"].startswith(f"{app.at.environments}/")
    assert environment["npm_config_cache"] == f"{app.at.package_cache}/npm"
    assert (f"-{app.at.package_cache}", app.at.data) == next(
        (value, app.at.data) for name, value in step.sandbox if name == "BindPaths" and "packages" in value
    )
    assert not [value for name, value in step.sandbox if name.startswith("Bind") and app.at.data in value]


def test_it_defines_the_release(app: App) -> None:
    first = app.deploy().release
    assert app.deploy(build_command=BUILD).release != first
    assert app.deploy().release == first


@pytest.mark.parametrize(
    ("status", "output", "said"),
    [
        (
            127,
            "/bin/sh: 1: npm: not found",
            "failed with exit status 127; it needs more of the host: add npm to flask_",
        ),
        (1, "vite: error during build", f"the build command `{BUILD}` failed with exit status 1\n  vite: error during"),
        (TIMED_OUT, "installing", "was ended after 1800 s\n  installing"),
    ],
)
def test_one_that_fails_is_refused(app: App, status: int, output: str, said: str) -> None:
    old = app.deploy("blue").release
    app.system.ends = {BUILD: (status, output)}
    with pytest.raises(ReleaseError) as error:
        app.deploy(build_command=BUILD)
    assert said in str(error.value)
    assert app.at.live() == old


def test_what_it_does_not_make_is_said(app: App) -> None:
    with pytest.raises(
        ReleaseError, match="'web/dist' cannot be published; is it in the source, or made by build_command"
    ):
        app.deploy(build_command=BUILD, static={"/static/": "web/dist"})
