"""What is served over the wire, and what needs a person."""

from __future__ import annotations

import http.server
import shutil
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import commands, reconcile, report
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.served import served_problem
from ansible_collections.groundwork.flask.tests.unit.certificate_host import (
    DAY,
    NO_ARGUMENTS,
    NOW,
    FakeHost,
    make_certificate,
)


@pytest.mark.parametrize(
    ("days", "words"), [(60, ""), (68, "less than a quarter of its lifetime left"), (91, "expired on")]
)
def test_a_certificate_near_its_end_raises_a_warning(fake: FakeHost, days: int, words: str) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    reconciler = fake.run(reconcile.never)
    fake.now = NOW + days * DAY
    late = report.late(reconciler.context, reconciler.context.requests["shop"])
    assert words in late
    assert bool(late) is bool(words)
    assert commands.reconcile(reconciler, NO_ARGUMENTS) == int(bool(words))


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with one certificate, for whatever name: its address, and the certificate."""
    files = make_certificate(tmp_path / "served", "shop.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.fullchain, files.privkey)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", files.fullchain
        server.shutdown()


def test_the_served_certificate_is_compared_with_the_file(tls_server: tuple[str, Path], tmp_path: Path) -> None:
    address, served = tls_server
    assert served_problem("shop.test", address, served) == ""
    assert served_problem("*.shop.test", address, served) == ""
    other = make_certificate(tmp_path / "other", "shop.test").fullchain
    assert served_problem("shop.test", address, other) == f"{address} serves another certificate"


def test_where_nobody_serves_there_is_no_problem(tmp_path: Path) -> None:
    assert served_problem("shop.test", "127.0.0.1:1", make_certificate(tmp_path, "shop.test").fullchain) == ""


def test_the_check_fails_for_what_is_served_and_names_the_file(
    fake: FakeHost, tls_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "RELOAD_WAIT", 0)
    fake.options(check_address=tls_server[0])
    fake.ask()
    reconciler = fake.run()
    assert commands.verify(reconciler, NO_ARGUMENTS) == 1
    path = reconciler.context.served("shop").files.fullchain
    assert (
        f"shop: {tls_server[0]} serves another certificate for shop.test than {path}. Reload" in capsys.readouterr().err
    )
    fake.options(check_address="")
    assert commands.verify(fake.reconciler(), NO_ARGUMENTS) == 0


def test_a_domain_that_another_name_has_taken_over_is_no_problem_of_the_former(
    fake: FakeHost, tls_server: tuple[str, Path]
) -> None:
    fake.options(check_address=tls_server[0])
    fake.ask("fact", "shop.test")
    reconciler = fake.run()
    fact = reconciler.context.requests["fact"]
    assert "serves another certificate for shop.test" in report.not_served(reconciler.context, fact)
    fake.ask("fakt", "shop.test", provider="acme")
    fake.lineage("fakt")
    shutil.copytree(tls_server[1].parent, fake.paths.letsencrypt / "live/fakt", dirs_exist_ok=True)
    context = fake.run(reconcile.never).context
    assert [report.not_served(context, context.requests[name]) for name in ("fact", "fakt")] == ["", ""]


def test_the_check_looks_again_when_something_has_changed_meanwhile(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.ask()
    looks = []

    def not_served(_context: Any, request: Any) -> str:
        looks.append(request.name)
        if len(looks) > 1:
            return "served is another one"
        fake.paths.unchecked.parent.mkdir(parents=True, exist_ok=True)
        fake.paths.unchecked.touch()
        return ""

    monkeypatch.setattr(commands, "not_served", not_served)
    monkeypatch.setattr(commands, "RELOAD_WAIT", 0)
    assert commands.verify(fake.run(), NO_ARGUMENTS) == 1
    assert looks == ["shop", "shop"]
