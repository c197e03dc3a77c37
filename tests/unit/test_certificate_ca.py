"""What a CA answers, and what its errors mean."""

from __future__ import annotations

import time

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import ca, certbot
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock, text
from ansible_collections.groundwork.flask.tests.unit.certificate_host import WEBROOT, FakeHost, Hostile
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE

CHALLENGES = """
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate FakeCA reported these problems:
  Domain: www.shop.test
  Type:   dns
  Detail: DNS problem: NXDOMAIN looking up A for www.shop.test
  - check that a DNS record exists

  Domain: shop.test
  Type:   unauthorized
  Detail: 192.0.2.1: Invalid response: 404

Hint: The Certificate FakeCA failed to download the temporary challenge files.
Some challenges have failed.
"""


BOOKWORM = (
    "An unexpected error occurred:\nAttributeError: can't set attribute\nAsk for help or search for solutions at x.\n"
)


LIMIT = (
    "acme.messages.Error: urn:ietf:params:acme:error:rateLimited :: There were too many requests of a given type :: "
    'too many failed authorizations (5) for "shop.test" in the last 1h, retry after 2027-02-10 16:20:00 UTC: see x\n'
)


def test_problems_are_listed_by_domain_with_the_remedy() -> None:
    text = str(ca.explain(CHALLENGES, "", WEBROOT))
    assert text.startswith("www.shop.test: DNS problem: NXDOMAIN looking up A for www.shop.test - check")
    assert "shop.test: 192.0.2.1: Invalid response: 404 (unauthorized)" in text
    assert text.endswith(ca.REMEDIES["dns"])
    assert "Hint" not in text


def test_the_truth_behind_an_attribute_error_is_taken_from_the_log() -> None:
    refusal = ca.explain(BOOKWORM, f"2026 DEBUG: Traceback\n{LIMIT}", WEBROOT)
    assert "too many failed authorizations (5)" in str(refusal)
    assert "AttributeError" not in str(refusal)
    assert clock.timestamp(refusal.not_before) == "2027-02-10T16:20:00Z"


def test_an_unknown_failure_is_quoted() -> None:
    text = str(ca.explain("Saving debug log to x\nsome plugin failed\nAsk for help at x\n", "", WEBROOT))
    assert text == "certbot failed: some plugin failed. See /var/log/letsencrypt/letsencrypt.log."


def test_a_ca_that_does_not_answer_is_asked_once_in_a_run(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask_directory = [], ca.ask_directory

    def counted(*arguments: str) -> None:
        asked.append(arguments)
        ask_directory(*arguments)

    monkeypatch.setattr(certbot, "ask_directory", counted)
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask("shop", provider="acme")
    fake.ask("wiki", "wiki.test", provider="acme")
    names = fake.run().report()["names"]
    assert len(asked) == 1
    assert set(names) == {"shop", "wiki"}
    for entry in names.values():
        assert entry["temporary"]
        assert "https://127.0.0.1:1/directory cannot be reached" in entry["error"]
        assert "refused" in entry["error"]


@pytest.mark.parametrize(
    ("answer", "more", "pause", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{", b" " * 2**16, 0, "is not the ACME directory of a CA"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", b"", 0, "is not the ACME directory of a CA"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05, "cannot be reached: it takes more than 1 s"),
        (b"HTTP/1.1 200 OK\r\n\r\n{", b" ", 0.05, "cannot be reached: it takes more than 1 s"),
        (b"HTTP/1.1 503 \x1b[2J\x9b\r\n\r\n", b"", 0, r"answers 503 \x1b[2J\x9b. "),
        (b"\x1b[2J\r\n\r\n", b"", 0, "cannot be reached"),
    ],
)
def test_a_hostile_ca_holds_up_a_run_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, more: bytes, pause: float, words: str
) -> None:
    monkeypatch.setattr(ca, "CA_TIMEOUT", 0.5 if pause else PATIENCE)
    began = time.monotonic()
    with Hostile(answer, more, pause) as server, pytest.raises(CertificateError) as refused:
        ca.ask_directory(f"http://127.0.0.1:{server.port}/directory", "")
    assert words in str(refused.value)
    assert not text.UNFIT.search(str(refused.value))
    assert time.monotonic() - began < PATIENCE
    assert server.sent < 10 * 2**20
