"""Certificates and keys, and the copies that are served."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import reconcile
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.store import CertificateFacts
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.tests.unit.certificate_host import DAY, NOW, FakeHost, make_certificate


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_a_certificate_with_its_key_is_usable(tmp_path: Path, key: str) -> None:
    make_certificate(tmp_path, "a.test", key=key).check()


def encrypt(directory: Path) -> None:
    key = directory / "privkey.pem"
    words = ["openssl", "pkey", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(directory / "new")]
    subprocess.run(words, check=True, capture_output=True)
    (directory / "new").rename(key)


def take_another_key(directory: Path) -> None:
    make_certificate(directory / "other", "a.test").privkey.rename(directory / "privkey.pem")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (take_another_key, "the key does not belong to the certificate"),
        (encrypt, "unencrypted key"),
        (lambda directory: (directory / "fullchain.pem").write_text("hello"), "cannot be read as PEM"),
        (lambda directory: (directory / "privkey.pem").unlink(), "does not exist"),
        (lambda directory: make_certificate(directory, "a.test", key="short"), "too short"),
    ],
)
def test_a_certificate_and_key_that_no_web_server_could_use_are_refused(
    tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    files = make_certificate(tmp_path, "a.test")
    harm(tmp_path)
    with pytest.raises(CertificateError, match=message):
        files.check()


def test_facts_are_read_from_the_certificate(tmp_path: Path) -> None:
    facts = CertificateFacts.read(make_certificate(tmp_path, "a.test", "B.test", days=90).fullchain)
    assert facts.issuer == "Test (Issuer 1)"
    assert facts.domains == ("a.test", "b.test")
    assert round(facts.lifetime / DAY) == 90
    assert not facts.has_less_than(1 / 4, NOW + 67 * DAY)
    assert facts.has_less_than(1 / 4, NOW + 68 * DAY)


def test_facts_of_a_certificate_without_a_subject() -> None:
    shown = (
        "notBefore=Nov 23 16:06:18 2026 GMT\nnotAfter=Feb 21 16:06:17 2027 GMT\n"
        "issuer=\n    C=US\n    O=Let's Encrypt\n    CN=E7\n"
        "X509v3 Subject Alternative Name: critical\n    DNS:a.test, DNS:*.b.test\n"
    )
    facts = CertificateFacts.parse(shown)
    assert (facts.issuer, facts.domains) == ("Let's Encrypt (E7)", ("a.test", "*.b.test"))
    assert clock.timestamp(facts.not_after) == "2027-02-21T16:06:17Z"


def test_two_certificates_are_kept(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    seen = []
    for _turn in range(4):
        fake.lineage()
        seen.append(fake.run(reconcile.never).context.served("shop").fingerprint)
    assert {path.name for path in (fake.paths.served / "shop").iterdir()} == {"current", *seen[-2:]}


def test_the_key_is_readable_by_nobody_else(fake: FakeHost) -> None:
    fake.ask()
    served = fake.run().context.served("shop")
    assert served.files.privkey.stat().st_mode & 0o777 == 0o640
    served.files.privkey.chmod(0o644)
    assert fake.run().changed == ["shop"]
    assert served.files.privkey.stat().st_mode & 0o777 == 0o640


def test_directories_that_another_umask_has_closed_are_opened(fake: FakeHost) -> None:
    fake.ask()
    directory = fake.run().context.served("shop").files.privkey.parent.resolve()
    for path in (directory, directory.parent):
        path.chmod(0o700)
    assert fake.run().changed == ["shop"]
    assert [path.stat().st_mode & 0o777 for path in (directory, directory.parent)] == [0o755, 0o755]
    assert fake.run().changed == []


def test_a_damaged_key_is_replaced(fake: FakeHost) -> None:
    fake.ask()
    served = fake.run().context.served("shop")
    served.files.privkey.write_text("")
    reconciler = fake.run()
    assert reconciler.changed == ["shop"]
    reconciler.context.served("shop").files.check()
