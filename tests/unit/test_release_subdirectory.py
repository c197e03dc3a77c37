"""An app that lives in a directory of its source: what is refused, and all that follows from it in a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import subdirectory
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App

BELOW: dict[str, Any] = {"source": {"tree": "a" * 64, "directory": "shop", "subdirectory": "apps/shop"}}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    for name in ("backend/pyproject.toml", "web/app/requirements.txt", "notes"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    (top / "outside").symlink_to("/etc")
    (top / "above").symlink_to("../..")
    (top / "same").symlink_to("backend")
    return top


@pytest.mark.parametrize("named", ["", "backend", "web/app", "same"])
def test_a_directory_of_the_source(tree: Path, named: str) -> None:
    subdirectory.check(tree, named)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("backed", "'backed' is not in the source; did you mean backend?"),
        ("app", "'app' is not in the source; did you mean web/app?"),
        ("zzz", "'zzz' is not in the source; at its top are the directories backend, web"),
        ("notes", "'notes' is not a directory; at its top are the directories backend, web"),
        ("outside", "'outside' leads out of the source; "),
        ("above", "'above' leads out of the source; "),
        ("above/tree", "'above/tree' leads out of the source; "),
    ],
)
def test_a_directory_that_cannot_be_used(tree: Path, named: str, said: str) -> None:
    with pytest.raises(ReleaseError) as refusal:
        subdirectory.check(tree, named)
    assert refusal.value.message.startswith(f"source.subdirectory: {said}")


def test_the_directory_that_was_meant(tree: Path) -> None:
    assert subdirectory.hint(tree, "") == ". Did you mean `source.subdirectory: backend` (or same)?"
    assert subdirectory.hint(tree, "web") == ". Did you mean `source.subdirectory: web/app`?"
    assert subdirectory.hint(tree, "backend") == ""


def test_all_of_a_release_follows(app: App) -> None:
    """The whole source is in it; the code directory is what the app and all that acts for it see."""
    app.system.code = {
        "apps/shop/requirements.txt": "-r ../base.txt\n", "apps/base.txt": "flask\n", "apps/shop/static/a.css": "x",
    }  # fmt: skip
    app.deploy(**BELOW, release_command="flask db upgrade")
    release = app.at.release(app.at.live() or "")
    code = release / "code/apps/shop"
    assert (release / "code/apps/base.txt").is_file()
    assert (release / "public/static/a.css").is_file()
    assert read_env_file(release / "env")["RELEASE_DIR"] == str(code)
    assert app.at.code(release.name) == code
    steps = {step.name: step.cwd for step in app.system.steps}
    assert {steps[name] for name in ("install", "import", "command")} == {str(code)}


def test_it_defines_the_release(app: App) -> None:
    app.system.code = {f"{name}requirements.txt": "flask\n" for name in ("", "apps/shop/")}
    app.system.code |= {f"{name}static/a.css": "x" for name in ("", "apps/shop/")}
    app.deploy()
    first = app.at.live() or ""
    assert app.at.code(first) == app.at.release(first) / "code"
    app.deploy(**BELOW)
    second = app.at.live() or ""
    assert second != first
    assert app.at.code(second) == app.at.release(second) / "code/apps/shop"
    shown = json.loads((app.at.release(second) / "definition.json").read_text())
    assert shown["source"].endswith(", apps/shop")
    app.on_host().roll_back()
    assert app.at.live() == first


def test_two_apps_of_a_commit_share_no_environment(app: App, code: Path) -> None:
    (code / "apps/shop").mkdir(parents=True)
    for name in ("", "apps/shop/"):
        (code / f"{name}pyproject.toml").write_text("[project]\n")
    one, other = app.engine().installer, app.engine(**BELOW).installer
    assert one.key(one.recipe(code), "commit") != other.key(other.recipe(code), "commit")


def test_a_source_without_it_says_what_was_meant(app: App) -> None:
    app.system.code = {"backend/requirements.txt": "flask\n"}
    with pytest.raises(ReleaseError, match=r"Did you mean `source\.subdirectory: backend`"):
        app.deploy()
    with pytest.raises(ReleaseError, match=r"source.subdirectory: 'apps/shop' is not in the source; at its top"):
        app.deploy(**BELOW)
