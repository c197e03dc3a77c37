"""What visitors see and what the app refuses."""

from __future__ import annotations

import io
import logging
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import check, downgrade, upgrade
from werkzeug.test import TestResponse

from guestbook import create_app
from guestbook.forms import one_line, paragraphs
from guestbook.photos import kind_by_content

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def post(client: FlaskClient, photo: tuple[bytes, str] | None = None, **fields: Any) -> TestResponse:
    """Sign the book."""
    data = {"name": "Ada", "message": "Hello", **fields}
    if photo:
        data["photo"] = (io.BytesIO(photo[0]), photo[1])
    return client.post("/", data=data)


def entries(client: FlaskClient) -> list[dict[str, Any]]:
    """Return all entries as the API shows them."""
    return client.get("/api/entries").get_json()["entries"]


def test_empty_book(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "No entries yet" in page.text


def test_entry_is_stored_shown_and_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = post(client, name="  Grace\n Hopper ", message="One\r\n\r\nTwo <b>")
    assert (answer.status_code, answer.location) == (303, "/")
    page = client.get("/").text
    assert "Thank you, Grace Hopper!" in page
    assert "One\n\nTwo &lt;b&gt;" in page
    (entry,) = entries(client)
    assert (entry["name"], entry["photo"]) == ("Grace Hopper", None)
    assert entry["posted_at"].endswith("+00:00")
    assert [r.getMessage() for r in caplog.records if r.name == "guestbook"] == [
        "entry 1 by 'Grace Hopper' from 127.0.0.1, photo: none"
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "Please tell us your name."),
        ({"name": " \t"}, "Please tell us your name."),
        ({"name": "x" * 61}, "A name has 1 to 60 characters."),
        ({"message": ""}, "Please write something."),
        ({"message": "x" * 1001}, "A message has 1 to 1000 characters."),
    ],
)
def test_bad_fields_are_refused(client: FlaskClient, fields: dict[str, str], words: str) -> None:
    answer = post(client, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert entries(client) == []


@pytest.mark.parametrize(("given", "one", "many"), [(None, "", ""), (" a \x00\r\n b ", "a \x00 b", "a \n b")])
def test_text_is_cleaned(given: str | None, one: str, many: str) -> None:
    assert (one_line(given), paragraphs(given)) == (one, many)


def test_photo_comes_back(app: Flask, client: FlaskClient) -> None:
    assert post(client, photo=(PNG, "../../me.PNG")).status_code == 303
    (entry,) = entries(client)
    assert re.fullmatch(r"/photos/[0-9a-f]{32}\.png", entry["photo"])
    answer = client.get(entry["photo"])
    assert (answer.data, answer.mimetype) == (PNG, "image/png")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [p.name for p in app.config["UPLOAD_DIR"].iterdir()] == [entry["photo"].rpartition("/")[2]]


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        ((PNG, "me.svg"), "Please choose a JPEG, PNG, GIF or WebP picture."),
        ((PNG, "png"), "Please choose a JPEG, PNG, GIF or WebP picture."),
        ((PNG, "me.jpg"), "content is not the kind of picture"),
        ((b"<script>", "me.png"), "content is not the kind of picture"),
        ((b"", "me.png"), "content is not the kind of picture"),
        ((PNG + bytes(5 * 1024 * 1024), "me.png"), "larger than 5 MiB"),
    ],
)
def test_bad_photos_are_refused(app: Flask, client: FlaskClient, photo: tuple[bytes, str], words: str) -> None:
    answer = post(client, photo=photo)
    assert answer.status_code == 422
    assert words in answer.text
    assert entries(client) == []
    assert list(app.config["UPLOAD_DIR"].iterdir()) == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG[:16], "png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01", "jpg"),
        (b"GIF89a" + bytes(10), "gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "webp"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", None),
        (b"", None),
    ],
)
def test_kind_of_photo(head: bytes, kind: str | None) -> None:
    assert kind_by_content(head) == kind


def test_too_large_a_request_has_its_own_page(client: FlaskClient) -> None:
    answer = post(client, photo=(bytes(7 * 1024 * 1024), "me.png"))
    assert answer.status_code == 413
    assert "That is too large" in answer.text


@pytest.mark.parametrize("name", ["..%2Fguestbook.sqlite3", "x.png", "0" * 32 + ".png", "0" * 32 + ".svg"])
def test_no_other_file_is_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/photos/{name}").status_code == 404


def test_pages(app: Flask, client: FlaskClient) -> None:
    app.config["ENTRIES_PER_PAGE"] = 2
    for number in range(5):
        post(client, message=f"message {number}")
    first, last = client.get("/").text, client.get("/?page=3").text
    assert all(words in first for words in ("message 4", "Page 1 of 3", "Older"))
    assert "message 0" in last
    assert "Older" not in last
    assert client.get("/?page=4").status_code == 404


def test_api_pages(client: FlaskClient) -> None:
    for number in range(3):
        post(client, message=f"message {number}")
    first = client.get("/api/entries?limit=2").get_json()
    assert [entry["message"] for entry in first["entries"]] == ["message 2", "message 1"]
    second = client.get(first["older"]).get_json()
    assert ([entry["message"] for entry in second["entries"]], second["older"]) == (["message 0"], None)


def test_health(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok", "database": "answers"}
    with app.app_context():
        downgrade(revision="base")
    answer = client.get("/healthz")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "error")


def test_whoami(client: FlaskClient) -> None:
    answer = client.get("/whoami", base_url="https://book.example.org", environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    seen = answer.get_json()
    assert set(seen) == {"about", "remote_addr", "scheme", "url", "host", "pid", "user"}
    assert (seen["remote_addr"], seen["scheme"], seen["host"]) == ("192.0.2.7", "https", "book.example.org")
    assert seen["url"] == "https://book.example.org/whoami"


def test_own_404(client: FlaskClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert client.get("/api/nowhere").get_json() == {"error": "There is no such page"}


def test_own_500(tmp_path: Path) -> None:
    # No migration has run here, so there is no table to read.
    app = create_app({"SECRET_KEY": "x", "DATA_DIR": str(tmp_path)})
    answer = app.test_client().get("/")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.text
    assert "no such table" not in answer.text


def test_form_without_token_is_refused(tmp_path: Path) -> None:
    app = create_app({"TESTING": True, "DATA_DIR": str(tmp_path)})
    with app.app_context():
        upgrade()
    client = app.test_client()
    answer = post(client)
    assert answer.status_code == 400
    assert "cookies are off" in answer.text
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get("/").text)
    assert token
    assert post(client, csrf_token=token[1]).status_code == 303


def test_cookie_and_headers(tmp_path: Path) -> None:
    app = create_app({"SECRET_KEY": "x", "DATA_DIR": str(tmp_path)})
    with app.app_context():
        upgrade()
    headers = app.test_client().get("/", base_url="https://localhost").headers
    assert all(word in headers["Set-Cookie"] for word in ("Secure", "HttpOnly", "SameSite=Lax"))
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_secret_key_is_demanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="SECRET_KEY is not set"):
        create_app({"DATA_DIR": str(tmp_path)})
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    assert create_app({"DATA_DIR": str(tmp_path)}).config["SECRET_KEY"] == "from the environment"


def test_places_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    config = create_app({"TESTING": True}).config
    assert config["SQLALCHEMY_DATABASE_URI"] == f"sqlite:///{tmp_path}/guestbook.sqlite3"
    assert config["UPLOAD_DIR"] == tmp_path / "uploads"
    monkeypatch.setenv("DATABASE_URL", "sqlite:///:memory:")
    assert create_app({"TESTING": True}).config["SQLALCHEMY_DATABASE_URI"] == "sqlite:///:memory:"


def test_database_is_ready_for_several_processes(app: Flask, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "guestbook.sqlite3") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_migrations_make_what_the_models_say(app: Flask) -> None:
    with app.app_context():
        check()
        downgrade(revision="base")
        upgrade()
        check()
