"""The provider `acme`: what is due, how certbot is asked, and its records."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import (
    certbot,
    config,
    lineage,
    reconcile,
)
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.certificate_host import (
    DAY,
    DIRECTORY,
    NOW,
    FakeCA,
    FakeHost,
    make_certificate,
)


@pytest.mark.parametrize("rotated", [False, True])
def test_only_the_log_of_this_run_is_read(fake: FakeHost, rotated: bool) -> None:
    log = fake.paths.certbot_log
    log.parent.mkdir(parents=True)
    log.write_text("a long line of an earlier run\n")
    program = fake.reconciler().context.providers["acme"].certbot
    start = program.log_size()
    log.write_text("of this run\n" if rotated else log.read_text() + "of this run\n")
    assert program.log_since(start) == "of this run\n"


def test_refused_nonces_are_tried_again(fake: FakeHost, ca_server: FakeCA) -> None:
    fake.ask(provider="acme")
    ca_server.nonces = certbot.NONCE_ATTEMPTS - 1
    assert fake.run().report()["names"]["shop"]["error"] == ""
    assert ca_server.orders == [["shop.test"]]


def test_what_a_killed_certbot_left_is_put_aside(fake: FakeHost, ca_server: FakeCA) -> None:
    for part in ("live", "archive"):
        (fake.paths.letsencrypt / part / "shop").mkdir(parents=True)
    record = fake.paths.letsencrypt / "renewal" / "shop.conf"
    record.parent.mkdir(parents=True)
    record.write_text("")
    fake.ask(provider="acme")
    assert not fake.run().report()["names"]["shop"]["temporary"]
    assert ca_server.orders == [["shop.test"]]
    aside = {path.name for path in (fake.paths.state / "shop" / "unfinished").iterdir()}
    assert aside == {"live-shop", "archive-shop", "renewal-shop.conf"}


def test_the_credentials_of_an_account_are_in_a_file_and_the_profile_is_an_argument(
    fake: FakeHost, ca_server: FakeCA
) -> None:
    fake.paths.account_options.write_text("eab-kid = 1\neab-hmac-key = secret\n")
    fake.ask("shop", "shop.test", "2001:DB8::0:1", provider="acme", profile="shortlived")
    fake.run()
    words = " ".join(ca_server.words)
    assert f"--config {fake.paths.account_options}" in words
    assert "secret" not in words
    assert "--preferred-profile shortlived" in words
    assert words.endswith("--domain shop.test --ip-address 2001:db8::1")


@pytest.mark.parametrize(
    ("options", "request_options", "words"),
    [
        ({}, {}, ["--webroot"]),
        (
            {"dns_auth_hook": "add", "dns_cleanup_hook": "del"},
            {"challenge": "dns-01"},
            ["--manual-cleanup-hook", "del"],
        ),
        (
            {"dns_plugin": "ovh", "dns_propagation_seconds": 30},
            {"challenge": "dns-01"},
            ["--authenticator", "dns-ovh", "--dns-ovh-propagation-seconds", "30"],
        ),
    ],
)
def test_certbot_s_arguments_name_the_challenge(
    fake: FakeHost, options: dict[str, Any], request_options: dict[str, str], words: list[str]
) -> None:
    fake.options(**options)
    fake.ask("shop", "shop.test", "*.shop.test", provider="acme", **request_options)
    reconciler = fake.reconciler()
    told = " ".join(reconciler.context.providers["acme"].challenge(reconciler.context.requests["shop"])[0])
    assert " ".join(words) in told


@pytest.mark.parametrize(
    ("settings", "due"),
    [
        ({}, ""),
        (
            {"server": "https://staging.test/directory"},
            f"server is https://staging.test/directory instead of {DIRECTORY}",
        ),
        ({"key_type": "rsa"}, "key_type is rsa instead of ecdsa"),
        ({"webroot_path": "/srv/old,"}, f"webroot_path is /srv/old instead of {on_host('acme_webroot')}"),
        ({"renew_hook": "/bin/false"}, ""),
    ],
)
def test_certbot_s_record_is_compared_with_the_options(fake: FakeHost, settings: dict[str, str], due: str) -> None:
    fake.ask(provider="acme")
    fake.lineage(**settings)
    reconciler = fake.reconciler()
    assert reconciler.context.providers["acme"].due(reconciler.context.requests["shop"], NOW) == due


@pytest.mark.parametrize(
    ("domains", "due"),
    [
        (["www.shop.test", "SHOP.test"], ""),
        (["shop.test"], "the names have changed (-www.shop.test)"),
        (["shop.test", "www.shop.test", "new.test"], "the names have changed (+new.test)"),
    ],
)
def test_names_are_compared_as_a_set(fake: FakeHost, domains: list[str], due: str) -> None:
    fake.ask("shop", *domains, provider="acme")
    fake.lineage("shop", "shop.test", "www.shop.test")
    reconciler = fake.reconciler()
    assert reconciler.context.providers["acme"].due(reconciler.context.requests["shop"], NOW) == due


@pytest.mark.parametrize(("days", "is_due"), [(60, False), (67, False), (68, True), (100, True)])
def test_a_certificate_that_certbot_neglects_is_due(fake: FakeHost, days: int, is_due: bool) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    reconciler = fake.reconciler()
    assert (
        bool(reconciler.context.providers["acme"].due(reconciler.context.requests["shop"], NOW + days * DAY)) is is_due
    )


def test_a_live_directory_without_a_record_is_refused_before_an_order_is_spent(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    make_certificate(fake.paths.letsencrypt / "live" / "shop", "shop.test")
    reconciler = fake.reconciler()
    reconciler.context.providers["acme"].reached = True
    with pytest.raises(CertificateError, match=r"live/shop exists, but .*renewal/shop.conf does not.*Move"):
        reconciler.context.providers["acme"].obtain(reconciler.context.requests["shop"])


def test_certbot_is_told_to_renew_by_a_fraction_of_the_lifetime(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    fake.lineage(renew_hook="/bin/false")
    fake.run(reconcile.never)
    record = (fake.paths.letsencrypt / "renewal/shop.conf").read_text().splitlines()
    assert record[0] == "renew_before_expiry = 720 hours"
    assert record[record.index("[renewalparams]") + 1] == f"renew_hook = {config.PROGRAM} deploy shop"
    assert not [line for line in record if "/bin/false" in line]
    assert fake.run(reconcile.never).changed == []


def test_amending_a_record_twice_changes_nothing_more() -> None:
    record = "# renew_before_expiry = 30 days\nversion = 2.1.0\n[renewalparams]\naccount = x\n[[webroot_map]]\na = b\n"
    once = lineage.amended(record, "720 hours", "hook")
    assert lineage.amended(once, "720 hours", "hook") == once
    assert "# renew_before_expiry = 30 days\n" in once


def test_a_certificate_that_certbot_has_for_another_program_stays(fake: FakeHost) -> None:
    fake.lineage(renew_hook="systemctl reload postfix")
    assert fake.reconciler().context.providers["acme"].forget("shop") is False
