"""A visit to a site, against real servers on loopback: what it says of TLS, and that no answer is too much for it."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import wire
from ansible_collections.groundwork.flask.plugins.plugin_utils.in_time import in_time
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE
from ansible_collections.groundwork.flask.tests.unit.tls_servers import Authority, Handler, answering, serving

HERE = "127.0.0.1"
FINE = answering("HTTP/1.1 200 OK\nContent-Length: 2\nStrict-Transport-Security: max-age=1\n\nok")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONNECT_SECONDS", PATIENCE)
    monkeypatch.setattr(wire, "ANSWER_SECONDS", PATIENCE)


def visit(ca: Authority, port: int, name: str = "shop.test", bundle: bool = True) -> wire.Visit:
    return wire.visit(name, HERE, "/healthz", wire.trust(str(ca.bundle) if bundle else ""), port)


def test_a_site_with_a_trusted_certificate(ca: Authority) -> None:
    with serving(FINE, ca.context("shop.test")) as port:
        seen = visit(ca, port)
    assert (seen.status, seen.body, seen.failure) == (200, "ok", "")
    assert seen.headers["strict-transport-security"] == "max-age=1"
    assert seen.certificate
    assert (seen.certificate.code, seen.certificate.issuer) == (0, "Tests & <Sons> CA of the test")
    assert 60 < seen.certificate.days_left() < 61
    assert not seen.certificate.is_temporary
    assert 0 < seen.seconds < PATIENCE


@pytest.mark.parametrize(
    ("names", "options", "codes", "temporary"),
    [
        (["shop.test"], {"left": -3.0}, (wire.EXPIRED,), False),
        (["other.test"], {}, wire.WRONG_NAME, False),
        (["shop.test"], {"self_signed": True}, wire.SELF_SIGNED, False),
        (["shop.test"], {"self_signed": True, "organisation": "Self-signed"}, wire.SELF_SIGNED, True),
    ],
    ids=["expired", "of another name", "self-signed", "temporary"],
)
def test_a_certificate_that_is_not_good_is_read_all_the_same(
    ca: Authority, names: list[str], options: dict[str, object], codes: tuple[int, ...], temporary: bool
) -> None:
    with serving(FINE, ca.context(*names, **options)) as port:  # type: ignore[arg-type]
        seen = visit(ca, port)
    assert seen.status == 200
    assert seen.certificate
    assert seen.certificate.code in codes
    assert seen.certificate.reason
    assert seen.certificate.is_temporary is temporary


def test_a_certificate_that_is_no_certificate_is_none(ca: Authority) -> None:
    """Version 9, and a bit string for a name: neither is a ValueError to the library."""
    with serving(FINE, ca.context("shop.test", self_signed=True)) as port:
        fine = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((HERE, port)))
    version, name = b"\xa0\x03\x02\x01\x02", b"\x06\x03\x55\x04\x03\x0c"
    assert version in fine
    assert name in fine
    assert wire.read_certificate(fine)
    assert wire.read_certificate(fine.replace(version, version[:-1] + b"\x09")) is None
    assert wire.read_certificate(fine.replace(name, name[:-1] + b"\x03")) is None


def test_a_ca_that_this_machine_does_not_know(ca: Authority) -> None:
    with serving(FINE, ca.context("shop.test")) as port:
        seen = visit(ca, port, bundle=False)
    assert seen.certificate
    assert seen.certificate.code in wire.NO_ISSUER


def test_an_address_as_the_name(ca: Authority) -> None:
    with serving(FINE, ca.context(HERE)) as port:
        seen = visit(ca, port, HERE)
    assert seen.certificate
    assert (seen.status, seen.certificate.code) == (200, 0)


def test_a_redirect_is_not_followed(ca: Authority) -> None:
    del ca
    with serving(answering("HTTP/1.1 301 Moved\nLocation: http://127.0.0.1:9/\nContent-Length: 0\n\n")) as port:
        seen = wire.visit("shop.test", HERE, "/", None, port)
    assert (seen.status, seen.location) == (301, "http://127.0.0.1:9/")


def test_what_does_not_answer_has_a_reason(ca: Authority) -> None:
    with socket.create_server((HERE, 0)) as listener:
        port = int(listener.getsockname()[1])
    assert visit(ca, port).failure == "refused"
    with serving(answering("SSH-2.0-OpenSSH_9.2\n")) as port:
        assert wire.visit("shop.test", HERE, "/", None, port).failure == "garbled"
        assert visit(ca, port).failure == "rejected"  # no TLS is spoken there


def test_a_proxy_of_the_environment_is_not_used(ca: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(FINE, ca.context("shop.test")) as port:
        assert visit(ca, port).status == 200


def endless(begin: str, again: str, pause: float = 0.0) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(begin.encode())
        for _number in itertools.count():
            connection.sendall(again.encode())
            time.sleep(pause)

    return handle


def silence(connection: socket.socket) -> None:
    """Say nothing until the visitor hangs up."""
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        (endless("HTTP/1.1 200 OK\r\n\r\n", "x" * 65536), lambda seen: seen.status == 200 and len(seen.body) == 4096),
        (endless("HTTP/1.1 200 OK\r\n", "A: b\r\n"), lambda seen: seen.failure == "garbled"),
        (endless("", "HTTP/1.1 100 Continue\r\n\r\n"), lambda seen: seen.failure == "garbled"),
        (endless("HTTP/1.1 200 OK\r\nX: ", "y" * 65536), lambda seen: seen.failure == "garbled"),
    ],
    ids=["body", "headers", "continue", "one header"],
)
def test_no_answer_is_too_much(handle: Handler, expected: Callable[[wire.Visit], bool]) -> None:
    with serving(handle) as port:
        seen = wire.visit("shop.test", HERE, "/", None, port)
    assert expected(seen), seen


@pytest.mark.parametrize(
    "handle",
    [endless("HTTP/1.1 200 OK\r\nX: ", "y", 0.05), silence],
    ids=["a byte at a time", "silence"],
)
def test_no_answer_is_waited_for_too_long(handle: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit, neither would ever end."""
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 1.0)
    with serving(handle) as port:
        assert wire.visit("shop.test", HERE, "/", None, port).failure == "silent"


def test_a_bundle_that_holds_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(OSError, match=r".*"):
        wire.trust(str(tmp_path / "ca.pem"))


def test_names_are_resolved() -> None:
    assert wire.resolve(HERE).addresses == (HERE,)
    nowhere = wire.resolve("nowhere.invalid")
    assert nowhere.addresses == ()
    assert nowhere.error


def test_nothing_is_waited_for_beyond_the_deadline() -> None:
    """The late call ends only once all others have been answered for."""
    over = threading.Event()

    def broken() -> str:
        raise ValueError

    def late() -> str:
        over.wait()
        return "late"

    for seconds in (1.0, PATIENCE):  # the second on a machine that is too busy for the first
        found = in_time({"quick": lambda: "done", "late": late, "broken": broken}, seconds)
        if found:
            break
    assert found == {"quick": "done"}
    over.set()
