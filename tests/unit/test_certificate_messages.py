"""What the certificate program says: on one bounded line, and fit for a terminal."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import ca, commands, messages
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.store import CertificateFacts
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import UNFIT
from ansible_collections.groundwork.flask.tests.unit.certificate_host import WEBROOT, FakeHost

HOSTILE = "\x1b[2J\x1b]0;x\x07one\ntwo\x9b\u202e.\r\x00"
SHOWN = r"\x1b[2J\x1b]0;x\x07one two\x9b\u202e. \x00"


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("plain. Text, äöü, 证书.", 100, "plain. Text, äöü, 证书."),
        (HOSTILE, 100, SHOWN),
        ("one\r\n\ttwo\u2028three\x85four", 100, "one two three four"),
        ("\ud800\ufeff\u200b", 100, r"\ud800\ufeff\u200b"),
        ("12345", 5, "12345"),
        ("123456", 5, "1234…"),
        ("\x1b" * 5, 10, r"\x1b\x1b\…"),
        (" " * 10**7 + "x", 5, "…"),
    ],
)
def test_what_a_stranger_says_is_shown_on_one_bounded_line(text: str, limit: int, shown: str) -> None:
    assert messages.plain(text, limit) == shown


def test_no_terminal_obeys_what_a_ca_a_hook_or_a_certificate_says(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in the journal nor in the report, for a program or for a person."""
    facts = CertificateFacts.parse(
        "notBefore=Jan  1 00:00:00 2026 GMT\nnotAfter=Jan  1 00:00:00 2126 GMT\nissuer=\n    O=\x1b[31mEvil\n    CN=x\n"
        "X509v3 Subject Alternative Name: \n    DNS:\x1b[2Jshop.test\n"
    )
    fake.ask()
    fake.run()
    reconciler = fake.reconciler()
    replace(reconciler.context.served("shop"), facts=facts).save()
    fake.options(deploy_command="sh -c 'printf \"\\033[2J%010000d\" 7; exit 1'")
    state = reconciler.context.state("shop")
    state.error, state.deployed = HOSTILE, ""
    state.save(fake.paths.state_of("shop"))
    reconciler = fake.reconciler()
    reconciler.deploy()
    commands.show(reconciler.report(), as_json=False)
    messages.say(HOSTILE)
    messages.say(str(ca.explain(f"  Domain: shop.test\n  Type: dns\n  Detail: {HOSTILE}\n\n", "", WEBROOT)))
    shown = capsys.readouterr()
    for text in (shown.out + shown.err, json.dumps(reconciler.report(), ensure_ascii=False)):
        assert not UNFIT.search(text.replace("\n", "")), repr(text)
        assert "[2J" in text
    assert len(json.dumps(reconciler.report())) < 2 * messages.MESSAGE_LIMIT
