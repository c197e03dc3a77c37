"""From what is asked for to what is served, over many runs."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.module_utils.certificate import order, reconcile
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.state import IssueState
from ansible_collections.groundwork.flask.tests.unit.certificate_host import (
    DAY,
    MINUTE,
    NOW,
    FakeCA,
    FakeHost,
    make_certificate,
)


def test_names_that_lead_here_are_certified_without_the_others_and_no_order_is_repeated(
    fake: FakeHost, ca_server: FakeCA
) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    ca_server.unreached = {"www.shop.test": "it has no address"}
    for _turn in range(3):
        reconciler = fake.run()
    entry = reconciler.report()["names"]["shop"]
    assert ca_server.orders == [["shop.test"]]
    assert not entry["temporary"]
    assert entry["error"].startswith("www.shop.test: it has no address. Next attempt at ")
    ca_server.unreached = {}
    assert fake.run().report()["names"]["shop"]["error"] == ""
    assert ca_server.orders == [["shop.test"], ["shop.test", "www.shop.test"]]


def test_pauses_go_on_growing_while_a_name_is_left_out(fake: FakeHost, ca_server: FakeCA) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    ca_server.unreached = {"www.shop.test": "it has no address"}
    for failures in range(1, 6):
        reconciler = fake.run()
        assert reconciler.context.state("shop").failures == failures


def test_a_certified_name_is_given_up_only_when_its_certificate_ends(fake: FakeHost, ca_server: FakeCA) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    fake.run()
    fake.ask("shop", "shop.test", "www.shop.test", "new.test", provider="acme")
    ca_server.unreached = {"www.shop.test": "gone", "new.test": "gone"}
    fake.run()
    assert ca_server.orders == [["shop.test", "www.shop.test"]]
    ca_server.unreached = {"www.shop.test": "gone"}
    fake.run()
    assert ca_server.orders[1:] == [["shop.test", "www.shop.test", "new.test"]]
    fake.now = NOW + 70 * DAY
    fake.run()
    assert ca_server.orders[2:] == [["shop.test", "new.test"]]


def test_the_controller_s_check_counts_where_a_host_cannot_reach_itself(fake: FakeHost, ca_server: FakeCA) -> None:
    fake.ask(provider="acme")
    ca_server.unreached = {"shop.test": "port 80 does not answer"}
    fake.run()
    assert ca_server.orders == []
    reconciler = fake.reconciler()
    reconciler.from_controller = {"shop.test": ""}
    ca_server.refused = "shop.test"
    reconciler.reconcile(reconciler.context.requests["shop"], reconcile.always)
    ca_server.refused = ""
    fake.run()  # the timer, which has no controller
    assert ca_server.orders == [["shop.test"], ["shop.test"]]


def test_after_a_day_the_ca_is_asked_whatever_the_host_reaches(fake: FakeHost, ca_server: FakeCA) -> None:
    fake.ask(provider="acme")
    ca_server.unreached = {"shop.test": "port 80 does not answer"}
    for _turn in range(order.DAY_OF_FAILURES):
        fake.run()
    assert ca_server.orders == []
    fake.run()
    assert ca_server.orders == [["shop.test"]]


def test_domains_that_the_ca_refuses_do_not_keep_the_others_from_their_first_certificate(
    fake: FakeHost, ca_server: FakeCA
) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", "late.test", provider="acme")
    ca_server.refused = "www.shop.test"
    ca_server.unreached = {"late.test": "it has no address"}
    entry = fake.run().report()["names"]["shop"]
    assert ca_server.orders == [["shop.test", "www.shop.test"], ["shop.test"]]
    assert (entry["temporary"], entry["domains"]) == (False, ["shop.test"])
    assert entry["error"].startswith("late.test: it has no address; www.shop.test: not by CAA (caa). ")


def test_a_second_run_changes_nothing_and_deploys_nothing(fake: FakeHost) -> None:
    fake.ask()
    first = fake.run()
    first.deploy()
    assert first.report()["changed"] == ["shop"]
    second = fake.run()
    second.deploy()
    assert second.report()["changed"] == []
    assert fake.deployed.read_text() == "x\n"


def test_a_deploy_command_that_failed_runs_again(fake: FakeHost) -> None:
    fake.ask()
    fake.options(deploy_command="sh -c 'echo it is broken; exit 1'")
    reconciler = fake.run()
    reconciler.deploy()
    assert "it is broken" in reconciler.report()["names"]["shop"]["error"]
    fake.options(deploy_command=f"touch {fake.deployed}")
    reconciler = fake.run()
    reconciler.deploy()
    assert fake.deployed.exists()
    assert reconciler.report()["names"]["shop"]["error"] == ""


def test_a_temporary_certificate_gives_way_to_the_real_one(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    reconciler = fake.run(reconcile.never)
    assert reconciler.report()["names"]["shop"]["temporary"]
    assert reconciler.report()["names"]["shop"]["issuer"] == "Self-signed (shop.test)"
    fake.lineage()
    reconciler = fake.run(reconcile.never)
    entry = reconciler.report()["names"]["shop"]
    assert (entry["temporary"], entry["issuer"], entry["error"]) == (False, "Test (Issuer 1)", "")
    assert not (fake.paths.state / "shop" / "self_signed").exists()


def test_until_the_ca_has_issued_one_a_name_serves_the_certificate_of_the_one_it_takes_over_from(
    fake: FakeHost,
) -> None:
    fake.ask("fact", "fact.test", "www.fact.test", provider="acme")
    fake.lineage("fact", "fact.test", "www.fact.test")
    fake.run(reconcile.never)
    fake.ask("fakt", "fact.test", "new.test", provider="acme")
    fake.ask("other", "other.test", provider="acme")
    fake.ask("inner", "fact.test")
    reconciler = fake.run(reconcile.never)
    served = reconciler.context.served
    assert served("fakt").fingerprint == served("fact").fingerprint
    assert [served(name).provider for name in ("fakt", "other", "inner")] == ["acme", "self_signed", "self_signed"]
    entry = reconciler.report()["names"]["fakt"]
    assert (entry["temporary"], entry["error"]) == (False, "The certificate is not valid for new.test.")
    assert fake.run(reconcile.never).changed == []
    fake.lineage("fakt", "fact.test", "new.test")
    reconciler = fake.run(reconcile.never)
    assert reconciler.context.served("fakt").fingerprint != served("fact").fingerprint
    assert reconciler.report()["names"]["fakt"]["error"] == ""


def test_an_expired_certificate_of_another_name_is_not_served(fake: FakeHost) -> None:
    fake.ask("fact", "fact.test", provider="acme")
    fake.lineage("fact", "fact.test")
    fake.run(reconcile.never)
    fake.now = NOW + 91 * DAY
    fake.ask("fakt", "fact.test", provider="acme")
    assert fake.run(reconcile.never).context.served("fakt").provider == "self_signed"


def test_what_certbot_renewed_is_served_without_its_deploy_hook(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    before = fake.run(reconcile.never).context.served("shop")
    fake.lineage()
    after = fake.run(IssueState.is_time).context.served("shop")
    assert before.fingerprint != after.fingerprint
    assert after.files.fullchain.read_bytes() == (fake.paths.letsencrypt / "live/shop/fullchain.pem").read_bytes()


def test_a_real_certificate_is_not_replaced_by_a_temporary_one(fake: FakeHost) -> None:
    """Another provider is chosen and its ca_server is down: what is there from before stays."""
    fake.ask(provider="files")
    files = fake.reconciler().context.providers["files"].files("shop")
    new = make_certificate(fake.paths.root / "own", "shop.test")
    new.fullchain.rename(files.fullchain)
    new.privkey.rename(files.privkey)
    before = fake.run().context.served("shop")
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask(provider="acme")
    reconciler = fake.run()
    assert reconciler.context.served("shop") == before
    assert "cannot be reached" in reconciler.report()["names"]["shop"]["error"]


def test_a_self_signed_one_is_renewed_before_its_end(fake: FakeHost) -> None:
    fake.ask()
    before = fake.run().context.served("shop")
    fake.now = NOW + 243 * DAY
    assert fake.run().context.served("shop") == before
    fake.now = NOW + 244 * DAY
    reconciler = fake.run()
    assert reconciler.context.served("shop") != before


def test_the_timer_waits_for_the_end_of_the_pause_and_a_person_does_not(fake: FakeHost) -> None:
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask(provider="acme")
    failures = []
    for now, may_order in (
        (NOW, IssueState.is_time),
        (NOW + MINUTE, IssueState.is_time),
        (NOW + 2 * MINUTE, reconcile.always),
        (NOW + 16 * MINUTE, IssueState.is_time),
        (NOW + 18 * MINUTE, IssueState.is_time),
    ):
        fake.now = now
        reconciler = fake.run(may_order)
        failures.append(reconciler.context.state("shop").failures)
    assert failures == [1, 1, 2, 2, 3]


def test_a_domain_that_was_left_out_is_ordered_once_the_challenge_is_dns_01(fake: FakeHost, ca_server: FakeCA) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    ca_server.unreached = {"www.shop.test": "it has no address"}
    fake.run()
    fake.options(webroot=str(fake.paths.root / "webroot"), dns_plugin="ovh")
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme", challenge="dns-01")
    fake.run()
    assert ca_server.orders == [["shop.test"], ["shop.test", "www.shop.test"]]
