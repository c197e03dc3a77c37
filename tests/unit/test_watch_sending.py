"""A message reaches a receiver of each type; nothing that an app or a server says breaks it or shows a secret."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.programs import time_limit
from ansible_collections.groundwork.flask.plugins.module_utils.watch import send_http, send_mail, sending
from ansible_collections.groundwork.flask.plugins.module_utils.watch.receivers import Receiver
from ansible_collections.groundwork.flask.plugins.module_utils.watch.sending import SendError, send
from ansible_collections.groundwork.flask.tests.unit.alert_servers import (
    CANARY,
    HOSTILE,
    Answering,
    Mailing,
    a_message,
    http_server,
    mail_server,
    self_signed,
)

MAIL = {"to": ["ops@example.org", "boss@example.org"], "from": "Groundwork <web1@example.org>"}


@pytest.fixture(name="server")
def _server() -> Iterator[Answering]:
    with http_server() as server:
        yield server


@pytest.fixture(name="mails")
def _mails() -> Iterator[Mailing]:
    with mail_server() as server:
        yield server


def to(kind: str, **options: Any) -> Receiver:
    return Receiver("ops", kind, options=options)


def error_of(receiver: Receiver) -> SendError:
    with pytest.raises(SendError) as caught:
        send(receiver, a_message())
    assert CANARY not in str(caught.value)
    return caught.value


# --- what arrives --------------------------------------------------------


def test_a_webhook_gets_json_with_a_version_and_the_headers(server: Answering) -> None:
    send(to("webhook", url=server.url, headers={"X-Key": CANARY}), a_message())
    method, path, headers, _body = server.asked[0]
    assert (method, path, headers["X-Key"], headers["Content-Type"]) == (
        "POST",
        f"/services/{CANARY}",
        CANARY,
        "application/json",
    )
    assert server.last == a_message().plain()
    assert server.last["version"] == 1


def test_slack_gets_a_line_and_a_block(server: Answering) -> None:
    send(to("slack", url=server.url), a_message())
    assert server.last["text"] == ":rotating_light: `CRITICAL: shop on web1: It answers 500.`"
    (attachment,) = server.last["attachments"]
    assert attachment["color"] == "danger"
    assert attachment["text"].endswith("It answers 500.\nlog: It answers 500.\ntry: shop logs\n```")


@pytest.mark.parametrize("priority", [None, 4])
def test_ntfy_gets_topic_title_priority_and_token(server: Answering, priority: int | None) -> None:
    send(to("ntfy", url=server.url, token=CANARY, **({"priority": priority} if priority else {})), a_message())
    _method, path, headers, _body = server.asked[0]
    assert (path, headers["Authorization"]) == ("/services", f"Bearer {CANARY}")
    assert (server.last["topic"], server.last["priority"]) == (CANARY, priority or 5)
    assert server.last["title"] == "CRITICAL: shop on web1: It answers 500."


def test_mail_has_subject_text_and_says_that_a_program_wrote_it(mails: Mailing) -> None:
    assert send(to("mail", smtp=mails.smtp, **MAIL), a_message("Ümläute")) == ""
    recipients, _raw = mails.mails[0]
    assert recipients == MAIL["to"]
    assert mails.last["Subject"] == "CRITICAL: shop on web1: Ümläute"
    assert mails.last["Auto-Submitted"] == "auto-generated"
    assert "try: shop logs" in mails.last.get_content()


# --- what an app writes --------------------------------------------------


def test_hostile_text_breaks_no_mail(mails: Mailing) -> None:
    send(to("mail", smtp=mails.smtp, **MAIL), a_message(HOSTILE))
    assert len(mails.mails) == 1
    assert mails.mails[0][0] == MAIL["to"]
    assert mails.last["Bcc"] is None
    assert "\n" not in mails.last["Subject"]
    assert mails.last.get_content().count("\n") == 4


def test_hostile_text_stays_between_the_backticks_of_slack(server: Answering) -> None:
    send(to("slack", url=server.url), a_message(HOSTILE))
    assert server.last["text"].count("`") == 2
    assert server.last["text"].endswith("`")
    text = server.last["attachments"][0]["text"]
    assert text.count("`") == 6
    assert text.startswith("```\n")
    assert text.endswith("\n```")
    assert "<" not in json.dumps(server.last)
    assert "@everyone" not in json.dumps(server.last, ensure_ascii=False)


def test_hostile_text_is_a_value_of_json(server: Answering) -> None:
    for kind in ("webhook", "ntfy"):
        send(to(kind, url=server.url), a_message(HOSTILE))
        text = server.last["text" if kind == "webhook" else "message"]
        assert all(line.isprintable() for line in text.splitlines())
        assert len(text.splitlines()) == 4


def test_a_long_message_is_cut_for_ntfy(server: Answering) -> None:
    found = a_message("\U0001f600" * 300)
    send(to("ntfy", url=server.url), type(found)(found.host, found.entries * 20))
    assert len(server.last["message"].encode()) <= send_http.NTFY_BYTES


# --- what a server answers -----------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "refused", "pause", "text"),
    [
        (500, {}, False, 0, "It answers HTTP 500 (no)."),
        (429, {"Retry-After": "120"}, False, 120, "It answers HTTP 429 (no)."),
        (429, {"Retry-After": "99999999"}, False, 900, "It answers HTTP 429 (no)."),
        (503, {"Retry-After": "Mon, 30 Nov 2026 03:00:00 GMT"}, False, 0, "It answers HTTP 503 (no)."),
        (404, {}, True, 0, "It answers HTTP 404 (no). Check its url: it may have been withdrawn."),
        (401, {}, True, 0, "It answers HTTP 401 (no). Check its password, token or headers."),
        (408, {}, False, 0, "It answers HTTP 408 (no)."),
    ],
)
def test_statuses(
    server: Answering, status: int, headers: dict[str, str], pause: float, text: str, *, refused: bool
) -> None:
    server.status, server.headers, server.body = status, headers, b"no"
    error = error_of(to("webhook", url=server.url))
    assert (str(error), error.refused, error.pause) == (text, refused, pause)


def test_what_a_server_answers_shows_no_secret_and_moves_no_terminal(server: Answering) -> None:
    server.status, server.body = 400, f"unknown /services/{CANARY}\x1b[2J\n{CANARY}".encode()
    error = error_of(to("slack", url=server.url))
    assert "[hidden]" in str(error)
    assert str(error).isprintable()


def test_a_redirect_is_not_followed(server: Answering) -> None:
    with http_server() as elsewhere:
        server.status, server.headers = 307, {"Location": f"{elsewhere.url}?{CANARY}"}
        error = error_of(to("webhook", url=server.url))
        assert elsewhere.asked == []
    assert str(error) == "It answers HTTP 307 (ok). It redirects to 127.0.0.1: name the final url."
    assert error.refused


def test_one_that_hangs_costs_the_time_limit_and_one_that_drips_has_answered(server: Answering) -> None:
    server.drip = True
    with time_limit(60):
        send(to("webhook", url=server.url), a_message())
    server.drip, server.hang = False, 600.0
    with time_limit(2):
        assert str(error_of(to("webhook", url=server.url))) == "It did not answer in time."
    server.hang, server.drip, server.status = 0.0, True, 500
    with time_limit(0.5), pytest.raises((SendError, TimeoutError)):
        send(to("webhook", url=server.url), a_message())


def test_a_proxy_on_the_way_out_is_named_by_the_environment(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    send(to("webhook", url="http://receiver.invalid/x"), a_message())
    assert server.asked[0][1] == "http://receiver.invalid/x"


def test_an_untrusted_certificate_is_refused_and_a_trusted_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with http_server(certificate) as server:
        error = error_of(to("slack", url=server.url))
        assert "Its certificate is not trusted" in str(error)
        assert "update-ca-certificates" in str(error)
        assert server.asked == []
        trusted = ssl.create_default_context(cafile=tmp_path / "only.pem")
        monkeypatch.setattr(send_http, "context", lambda: trusted)
        send(to("slack", url=server.url), a_message())
        assert len(server.asked) == 1


def test_no_connection_and_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = error_of(to("webhook", url=f"http://127.0.0.1:{port}/{CANARY}"))
    assert str(error) == "No connection (Connection refused). Check that it runs, and that this host may reach it."
    assert "has no address" in str(error_of(to("webhook", url=f"http://{CANARY}.invalid/")))
    assert error_of(to("webhook", url=f"file:///etc/{CANARY}")).refused


def test_a_mail_server_that_takes_some_recipients_or_none(mails: Mailing) -> None:
    mails.refused = ("boss@example.org",)
    assert send(to("mail", smtp=mails.smtp, **MAIL), a_message()) == (
        "It does not take mail for boss@example.org. Check `to`."
    )
    mails.refused = tuple(MAIL["to"])
    error = error_of(to("mail", smtp=mails.smtp, **MAIL))
    assert error.refused
    assert "550 no such user" in str(error)


def test_a_wrong_password_is_said_and_not_shown(mails: Mailing) -> None:
    mails.password = CANARY
    error = error_of(to("mail", smtp={**mails.smtp, "user": "web1", "password": CANARY}, **MAIL))
    assert str(error) == "It answers 535 [hidden] is not the password. Check its user and password."
    assert error.refused


def test_mail_is_not_sent_without_the_encryption_that_is_asked_for(mails: Mailing, tmp_path: Path) -> None:
    assert "STARTTLS" in str(error_of(to("mail", smtp={**mails.smtp, "tls": "starttls"}, **MAIL)))
    with mail_server(self_signed(tmp_path)) as server:
        error = error_of(to("mail", smtp={**server.smtp, "tls": "starttls"}, **MAIL))
    assert "Its certificate is not trusted" in str(error)
    assert mails.mails == []
    assert server.mails == []


def test_what_goes_wrong_in_a_library_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_options: object, _message: object) -> str:
        raise RuntimeError(f"cannot use https://x.example.org/{CANARY}")

    monkeypatch.setattr(send_http, "slack", broken)
    text = str(error_of(to("slack", url=f"https://x.example.org/{CANARY}")))
    assert text == "RuntimeError: cannot use [hidden]"


def test_secrets_of_every_kind_are_hidden() -> None:
    options = {
        "url": f"https://u:pass-word@h/{CANARY}?q=1234",
        "headers": {"A": "abcdefg"},
        "smtp": {"password": "pw-pw"},
    }
    text = sending.without_secrets(f"pass-word {CANARY} q=1234 abcdefg pw-pw h", options)
    assert text == "[hidden] [hidden] [hidden] [hidden] [hidden] h"


def test_a_command_is_run_by_its_unit_alone() -> None:
    assert "groundwork-alerts-commands.service" in str(error_of(to("command", command=f"true {CANARY}")))
    assert send_mail.SENDMAIL == "/usr/sbin/sendmail"
