"""What is asked for, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import commands, config
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.config import CertificateRequest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.tests.unit.certificate_host import NO_ARGUMENTS, FakeHost


@pytest.mark.parametrize(
    ("domain", "by", "covered"),
    [
        ("a.test", ["a.test"], True),
        ("a.test", ["*.test"], True),
        ("a.b.test", ["*.test"], False),
        ("b.test", ["*.b.test"], False),
        ("*.b.test", ["*.b.test"], True),
    ],
)
def test_wildcards_are_valid_for_one_label(domain: str, by: list[str], covered: bool) -> None:
    assert config.is_covered(domain, by) is covered


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provider": "acem"}, "there is no provider 'acem'; there are acme, self_signed, files"),
        ({"domains": []}, "there is no domain"),
        ({"domains": ["a.test", "192.0.2.256"]}, "192.0.2.256: no domain name"),
        ({"domains": ["bücher.test"]}, "Write letters beyond ASCII in the xn-- form"),
        ({"domains": ["https://a.test"]}, "no domain name"),
        ({"name": "../shop"}, "not usable"),
        ({"name": "other"}, "not the file's"),
        ({"domains": None}, "TypeError"),
    ],
)
def test_a_request_that_cannot_work_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps({"name": "shop", "domains": ["shop.test"], "provider": "acme", **changes}))
    with pytest.raises(CertificateError, match=message):
        CertificateRequest.load(path)


def test_a_broken_request_stops_no_other(fake: FakeHost) -> None:
    fake.ask("shop")
    (fake.paths.requests / "wiki.json").write_text("{")
    reconciler = fake.run()
    assert list(reconciler.context.requests) == ["shop"]
    assert "wiki.json" in reconciler.context.problems[0]
    assert commands.check(reconciler, NO_ARGUMENTS) == 1
