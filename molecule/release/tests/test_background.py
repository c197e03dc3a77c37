"""A first release that starts and is watched on the host while the play goes on."""

from __future__ import annotations

from typing import Any

import pytest
from stranger import SHOP, App, project
from testinfra.host import Host
from testing import on_host

# It does not answer well before a file is there.
GATED = """
import os
from flask import abort

@app.before_request
def gate():
    if "RUNTIME_DIRECTORY" in os.environ and not os.path.exists(os.environ["DATA_DIR"] + "/gate"):
        abort(503)
"""
# Its processes end soon after they have answered, which only a watch can see; not those that import it in a step.
DYING = """
import os, threading

if "RUNTIME_DIRECTORY" in os.environ:
    timer = threading.Timer(1.5, os._exit, (1,))
    timer.daemon = True
    timer.start()
"""


def first(host: Host, name: str, directory: Any, more: str = "") -> App:
    """An app that is not on the host yet, with the watch of a first release."""
    app = App(host, name, wsgi_app="shop:app", skip_checks=["secret_key"])
    app.options["source"] = project(directory, {"requirements.txt": "flask\n", "shop.py": SHOP % "first" + more})
    return app


def begin(app: App) -> dict[str, Any]:
    """Deploy in the background; the release is built then, and not live."""
    result = app.module(background=True)
    assert not result.get("failed"), result
    assert (result["apps"], result["failed_apps"], list(result["begun"])) == ({}, {}, [app.name])
    assert result["changed"]
    assert app.live == ""
    return result


def test_it_is_built_at_once_and_live_when_it_has_been_waited_for(host: Host, tmp_path: Any) -> None:
    app = first(host, "pavilion", tmp_path, GATED)
    begun = begin(app)
    app.sh(f"touch {on_host('data', 'pavilion')}/gate")
    done = app.deploy(continues=begun)
    assert (done["action"], done["release"]) == ("deployed", app.live)
    assert done["warnings"] == []
    assert done["steps"]["start"] > 2, "it was not watched"
    assert app.ask().json == {"version": "first"}
    # Who has been live is waited for.
    result = app.module(background=True)
    assert (result["begun"], result["apps"]["pavilion"]["action"], result["changed"]) == ({}, "unchanged", False)


def test_one_that_does_not_stay_up_fails_as_if_it_had_been_waited_for(host: Host, tmp_path: Any) -> None:
    app = first(host, "stand", tmp_path, DYING)
    begun = begin(app)
    app.refused("step start", "it answered well, and then 1 of its", "processes ended within 3 s", continues=begun)
    assert app.look()["instances"] == []


@pytest.mark.parametrize("broken", [{"release_command": "echo no room; exit 3"}, {"wsgi_app": "shop:nothing"}])
def test_one_that_cannot_be_built_fails_at_once(host: Host, tmp_path: Any, broken: dict[str, str]) -> None:
    app = first(host, "booth2", tmp_path)
    app.options.update(broken)
    result = app.module(background=True)
    assert (result["begun"], list(result["failed_apps"])) == ({}, ["booth2"])
