"""The provider `files`: a certificate and key of the user's own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import commands
from ansible_collections.groundwork.flask.tests.unit.certificate_host import (
    DAY,
    NO_ARGUMENTS,
    NOW,
    FakeHost,
    make_certificate,
)


def test_a_certificate_and_key_that_do_not_match_replace_nothing(fake: FakeHost) -> None:
    fake.ask(provider="files")
    files = fake.reconciler().context.providers["files"].files("shop")
    for suffix, other in (("good", None), ("bad", "privkey")):
        new = make_certificate(fake.paths.root / suffix, "shop.test")
        new.fullchain.rename(files.fullchain)
        if other is None:
            new.privkey.rename(files.privkey)
            before = fake.run().context.served("shop")
    reconciler = fake.run()
    assert reconciler.context.served("shop") == before
    assert reconciler.changed == []
    assert "the key does not belong to the certificate" in reconciler.report()["names"]["shop"]["error"]
    assert commands.check(reconciler, NO_ARGUMENTS) == 1


def issue(directory: Path, name: str, issuer: Path | None = None, *extensions: str, days: int = 90) -> Path:
    """A certificate with its key beside it, issued by another or by itself."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.pem"
    by = ["-CA", str(issuer), "-CAkey", str(issuer.with_suffix(".key"))] if issuer else []
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *by),
            *("-days", str(days), "-subj", f"/CN={name}", "-keyout", str(path.with_suffix(".key")), "-out", str(path)),
            *(word for extension in extensions for word in ("-addext", extension)),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.mark.parametrize(
    ("chain", "domains", "message"),
    [
        ("leaf intermediate", ["a.test"], ""),
        ("leaf intermediate root", ["a.test", "www.a.test"], ""),
        ("leaf", ["a.test"], "the intermediate certificate is missing. Append the certificate of its issuer"),
        ("leaf root", ["a.test"], "certificate 1 of 2 is not issued by the one after it. Write the site's own"),
        ("leaf root intermediate", ["a.test"], "certificate 1 of 3 is not issued by the one after it"),
        ("intermediate leaf", ["a.test"], "the key does not belong to the certificate"),
        (
            "leaf intermediate",
            ["a.test", "b.test"],
            "is for a.test, *.a.test and not for b.test: replace it by one that is",
        ),
        ("leaf intermediate", ["x.y.a.test"], "and not for x.y.a.test"),
    ],
)
def test_the_chain_and_the_domains_of_a_user_s_certificate_are_checked(
    fake: FakeHost, chain: str, domains: list[str], message: str
) -> None:
    work = fake.paths.root / "ca"
    root = issue(work, "root")
    intermediate = issue(work, "intermediate", root)
    leaf = issue(work, "leaf", intermediate, "subjectAltName=DNS:a.test,DNS:*.a.test", "basicConstraints=CA:FALSE")
    fake.ask("shop", *domains, provider="files", fullchain="files/shop.pem", privkey="files/shop.key")
    files = fake.reconciler().context.providers["files"].files("shop")
    files.fullchain.write_text("".join((work / f"{name}.pem").read_text() for name in chain.split()))
    leaf.with_suffix(".key").rename(files.privkey)
    reconciler = fake.reconciler()
    objection = reconciler.context.providers["files"].objection(reconciler.context.requests["shop"])
    assert message in objection
    assert bool(objection) is bool(message)
    if message:
        assert "fullchain (files/shop.pem)" in objection


@pytest.mark.parametrize(("shift", "words"), [(91 * DAY, "expired on"), (-DAY, "begins")])
def test_a_user_s_certificate_that_is_not_valid_now_is_refused(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, shift: int, words: str
) -> None:
    fake.ask(provider="files")
    files = fake.reconciler().context.providers["files"].files("shop")
    new = make_certificate(fake.paths.root / "own", "shop.test")
    new.fullchain.rename(files.fullchain)
    new.privkey.rename(files.privkey)
    reconciler = fake.reconciler()
    files = reconciler.context.providers["files"]
    assert files.objection(reconciler.context.requests["shop"]) == ""
    monkeypatch.setattr(time, "time", lambda: NOW + shift)
    assert words in files.objection(reconciler.context.requests["shop"])
