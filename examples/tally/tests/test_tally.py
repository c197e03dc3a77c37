"""What the app answers."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A visitor of an app that was just imported and has never counted."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "made by the app"))
    return importlib.reload(importlib.import_module("tally")).app.test_client()


@pytest.fixture(autouse=True, scope="session")
def first_import(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the very first import, which makes a table, out of the source tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(tmp_path_factory.mktemp("first")))
        importlib.import_module("tally")


def test_counts(client: FlaskClient) -> None:
    assert '<p class="count">0</p>' in client.get("/").text
    assert client.post("/hit").get_json() == {"count": 1}
    answer = client.post("/hit", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.location) == (303, "/")
    assert '<p class="count">2</p>' in client.get("/").text


def test_another_import_keeps_the_count(client: FlaskClient) -> None:
    client.post("/hit")
    again = importlib.reload(importlib.import_module("tally")).app.test_client()
    assert again.post("/hit").get_json() == {"count": 2}


@pytest.mark.parametrize("seconds", ["-1", "10.1", "nan", "inf", "soon"])
def test_slow_refuses(client: FlaskClient, seconds: str) -> None:
    assert client.get("/slow", query_string={"seconds": seconds}).status_code == 400


def test_slow_sleeps(client: FlaskClient) -> None:
    start = time.monotonic()
    assert client.get("/slow?seconds=0.2").get_json() == {"slept": 0.2}
    assert time.monotonic() - start >= 0.2


def test_stream(client: FlaskClient) -> None:
    answer = client.get("/stream?lines=3")
    assert answer.is_streamed
    assert answer.text == "line 1 of 3\nline 2 of 3\nline 3 of 3\n"


def test_fail_is_a_500(client: FlaskClient) -> None:
    assert client.get("/fail").status_code == 500


def test_whoami(client: FlaskClient) -> None:
    seen = client.get("/whoami", base_url="https://tally.example.org").get_json()
    assert set(seen) == {"about", "remote_addr", "scheme", "url", "host", "pid", "user"}
    assert seen["url"] == "https://tally.example.org/whoami"


def test_static(client: FlaskClient) -> None:
    assert client.get("/static/style.css").mimetype == "text/css"
