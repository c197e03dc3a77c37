"""The provider `files`: a certificate and key of the user's own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import commands
from ansible_collections.groundwork.flask.tests.unit.certificate_host import DAY, NO_ARGUMENTS, NOW, FakeHost, make_pair


def test_a_pair_that_does_not_match_replaces_nothing(fake: FakeHost) -> None:
    fake.ask(provider="files")
    pair = fake.keeper().context.providers["files"].pair("shop")
    for suffix, other in (("good", None), ("bad", "privkey")):
        new = make_pair(fake.host.root / suffix, "shop.test")
        new.fullchain.rename(pair.fullchain)
        if other is None:
            new.privkey.rename(pair.privkey)
            before = fake.run().context.served("shop")
    keeper = fake.run()
    assert keeper.context.served("shop") == before
    assert keeper.changed == []
    assert "the key does not belong to the certificate" in keeper.report()["names"]["shop"]["error"]
    assert commands.check(keeper, NO_ARGUMENTS) == 1


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
        ("leaf intermediate", ["a.test", "b.test"], "is for a.test, *.a.test and not for b.test: bring one that is"),
        ("leaf intermediate", ["x.y.a.test"], "and not for x.y.a.test"),
    ],
)
def test_the_chain_and_the_names_of_a_pair_of_one_s_own_are_looked_at(
    fake: FakeHost, chain: str, domains: list[str], message: str
) -> None:
    work = fake.host.root / "authority"
    root = issue(work, "root")
    intermediate = issue(work, "intermediate", root)
    leaf = issue(work, "leaf", intermediate, "subjectAltName=DNS:a.test,DNS:*.a.test", "basicConstraints=CA:FALSE")
    fake.ask("shop", *domains, provider="files", fullchain="files/shop.pem", privkey="files/shop.key")
    pair = fake.keeper().context.providers["files"].pair("shop")
    pair.fullchain.write_text("".join((work / f"{name}.pem").read_text() for name in chain.split()))
    leaf.with_suffix(".key").rename(pair.privkey)
    keeper = fake.keeper()
    objection = keeper.context.providers["files"].objection(keeper.context.requests["shop"])
    assert message in objection
    assert bool(objection) is bool(message)
    if message:
        assert "fullchain (files/shop.pem)" in objection


@pytest.mark.parametrize(("shift", "words"), [(91 * DAY, "expired on"), (-DAY, "begins")])
def test_a_pair_that_is_not_valid_now_is_refused(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, shift: int, words: str
) -> None:
    fake.ask(provider="files")
    pair = fake.keeper().context.providers["files"].pair("shop")
    new = make_pair(fake.host.root / "own", "shop.test")
    new.fullchain.rename(pair.fullchain)
    new.privkey.rename(pair.privkey)
    keeper = fake.keeper()
    files = keeper.context.providers["files"]
    assert files.objection(keeper.context.requests["shop"]) == ""
    monkeypatch.setattr(time, "time", lambda: NOW + shift)
    assert words in files.objection(keeper.context.requests["shop"])
