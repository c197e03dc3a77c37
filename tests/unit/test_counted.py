"""The entry of a release counts its requests where systemd has made a directory for the unit."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers

# An app that answers with the status of the path, or breaks; and one request of each kind.
APP = """
import os, sys
def app(environ, start_response):
    if environ["PATH_INFO"] == "/break":
        raise RuntimeError("broken")
    if environ["PATH_INFO"] == "/exit":
        os._exit(1)
    start_response(environ["PATH_INFO"][1:] + " Words", [], *([None] if environ["PATH_INFO"] == "/500" else []))
    return [b""]
"""
ASK = """
import os, sys
import groundwork_wsgi
def ask(path):
    try:
        groundwork_wsgi.application({"PATH_INFO": path}, lambda status, headers, exc_info=None: None)
    except RuntimeError:
        pass
for path in sys.argv[1].split():
    if path == "fork":
        if os.fork():
            os.wait(); os._exit(0)
    else:
        ask(path)
"""


def run(tmp_path: Path, paths: str, **environment: str) -> dict[str, tuple[int, int, int]]:
    """What the files say after these requests."""
    (tmp_path / "groundwork_wsgi.py").write_text((servers.FILES / servers.ENTRY).read_text())
    (tmp_path / "shop.py").write_text(APP)
    given = {"WSGI_APP": "shop:app", "GROUNDWORK_PROXY_FIX": "0", "RUNTIME_DIRECTORY": str(tmp_path), **environment}
    subprocess.run((sys.executable, "-c", ASK, paths), cwd=tmp_path, env=given, check=False)
    return {path.name: struct.unpack("<QQQ", path.read_bytes()) for path in tmp_path.glob("answers-*")}


@pytest.mark.parametrize(
    ("paths", "numbers"),
    [
        ("/200 /301 /404", (3, 3, 0)),
        ("/200 /500 /503 /200", (4, 4, 2)),
        ("/200 /break", (2, 2, 1)),
        ("/200 /exit", (2, 1, 0)),
    ],
)
def test_requests_and_what_failed(tmp_path: Path, paths: str, numbers: tuple[int, int, int]) -> None:
    assert list(run(tmp_path, paths).values()) == [numbers]


def test_each_process_counts_its_own(tmp_path: Path) -> None:
    assert sorted(run(tmp_path, "/200 /200 fork /500").values()) == [(1, 1, 1), (2, 2, 0)]


def test_only_the_app_can_read_the_file(tmp_path: Path) -> None:
    run(tmp_path, "/200")
    (path,) = tmp_path.glob("answers-*")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("directory", ["", "/nowhere"])
def test_without_the_directory_nothing_is_counted(tmp_path: Path, directory: str) -> None:
    """As in a check of the import; the app answers all the same."""
    assert run(tmp_path, "/200", RUNTIME_DIRECTORY=directory) == {}


def test_many_threads_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSGI_APP", "builtins:print")
    monkeypatch.setenv("GROUNDWORK_PROXY_FIX", "0")
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    entry: dict[str, Any] = {"__name__": "entry"}
    exec((servers.FILES / servers.ENTRY).read_text(), entry)  # noqa: S102 - the file under test

    def app(_environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
        start_response("500 Broken", [])
        return []

    counted = entry["Counted"](app, str(tmp_path))

    def ask() -> None:
        for _turn in range(500):
            counted({}, lambda *_words: None)

    threads = [threading.Thread(target=ask) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert struct.unpack("<QQQ", (tmp_path / f"answers-{os.getpid()}").read_bytes()) == (4000, 4000, 4000)
