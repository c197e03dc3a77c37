"""From what is asked for to what is served, over many runs."""

from __future__ import annotations

from ansible_collections.groundwork.flask.plugins.module_utils.certificate import reconcile
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.state import State
from ansible_collections.groundwork.flask.tests.unit.certificate_host import (
    DAY,
    MINUTE,
    NOW,
    Authority,
    FakeHost,
    make_pair,
)


def test_names_that_lead_here_are_certified_without_the_others_and_no_order_is_repeated(
    fake: FakeHost, authority: Authority
) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    authority.unreached = {"www.shop.test": "it has no address"}
    for _turn in range(3):
        keeper = fake.run()
    entry = keeper.report()["names"]["shop"]
    assert authority.orders == [["shop.test"]]
    assert not entry["temporary"]
    assert entry["error"].startswith("www.shop.test: it has no address. Next attempt at ")
    authority.unreached = {}
    assert fake.run().report()["names"]["shop"]["error"] == ""
    assert authority.orders == [["shop.test"], ["shop.test", "www.shop.test"]]


def test_pauses_go_on_growing_while_a_name_is_left_out(fake: FakeHost, authority: Authority) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    authority.unreached = {"www.shop.test": "it has no address"}
    for failures in range(1, 6):
        keeper = fake.run()
        assert keeper.context.state("shop").failures == failures


def test_a_certified_name_is_given_up_only_when_its_certificate_ends(fake: FakeHost, authority: Authority) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", provider="acme")
    fake.run()
    fake.ask("shop", "shop.test", "www.shop.test", "new.test", provider="acme")
    authority.unreached = {"www.shop.test": "gone", "new.test": "gone"}
    fake.run()
    assert authority.orders == [["shop.test", "www.shop.test"]]
    authority.unreached = {"www.shop.test": "gone"}
    fake.run()
    assert authority.orders[1:] == [["shop.test", "www.shop.test", "new.test"]]
    fake.now = NOW + 70 * DAY
    fake.run()
    assert authority.orders[2:] == [["shop.test", "new.test"]]


def test_the_controller_s_word_counts_where_a_host_cannot_reach_itself(fake: FakeHost, authority: Authority) -> None:
    fake.ask(provider="acme")
    authority.unreached = {"shop.test": "port 80 does not answer"}
    fake.run()
    assert authority.orders == []
    keeper = fake.keeper()
    keeper.seen = {"shop.test": ""}
    authority.refused = "shop.test"
    keeper.bring(keeper.context.requests["shop"], reconcile.always)
    authority.refused = ""
    fake.run()  # the timer, which has no controller
    assert authority.orders == [["shop.test"], ["shop.test"]]


def test_after_a_day_the_authority_is_asked_whatever_the_host_sees(fake: FakeHost, authority: Authority) -> None:
    fake.ask(provider="acme")
    authority.unreached = {"shop.test": "port 80 does not answer"}
    for _turn in range(reconcile.DAY_OF_FAILURES):
        fake.run()
    assert authority.orders == []
    fake.run()
    assert authority.orders == [["shop.test"]]


def test_what_the_authority_refuses_does_not_keep_the_others_from_their_first(
    fake: FakeHost, authority: Authority
) -> None:
    fake.ask("shop", "shop.test", "www.shop.test", "late.test", provider="acme")
    authority.refused = "www.shop.test"
    authority.unreached = {"late.test": "it has no address"}
    entry = fake.run().report()["names"]["shop"]
    assert authority.orders == [["shop.test", "www.shop.test"], ["shop.test"]]
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
    keeper = fake.run()
    keeper.deploy()
    assert "it is broken" in keeper.report()["names"]["shop"]["error"]
    fake.options(deploy_command=f"touch {fake.deployed}")
    keeper = fake.run()
    keeper.deploy()
    assert fake.deployed.exists()
    assert keeper.report()["names"]["shop"]["error"] == ""


def test_a_temporary_pair_gives_way_to_the_real_one(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    keeper = fake.run(reconcile.never)
    assert keeper.report()["names"]["shop"]["temporary"]
    assert keeper.report()["names"]["shop"]["issuer"] == "Self-signed (shop.test)"
    fake.lineage()
    keeper = fake.run(reconcile.never)
    entry = keeper.report()["names"]["shop"]
    assert (entry["temporary"], entry["issuer"], entry["error"]) == (False, "Test (Issuer 1)", "")
    assert not (fake.host.state / "shop" / "self_signed").exists()


def test_what_certbot_renewed_is_served_though_nobody_said_so(fake: FakeHost) -> None:
    fake.ask(provider="acme")
    fake.lineage()
    before = fake.run(reconcile.never).context.served("shop")
    fake.lineage()
    after = fake.run(State.is_time).context.served("shop")
    assert before.fingerprint != after.fingerprint
    assert after.pair.fullchain.read_bytes() == (fake.host.letsencrypt / "live/shop/fullchain.pem").read_bytes()


def test_a_real_certificate_is_not_replaced_by_a_temporary_one(fake: FakeHost) -> None:
    """Another provider is chosen and its authority is down: what is there from before stays."""
    fake.ask(provider="files")
    pair = fake.keeper().context.providers["files"].pair("shop")
    new = make_pair(fake.host.root / "own", "shop.test")
    new.fullchain.rename(pair.fullchain)
    new.privkey.rename(pair.privkey)
    before = fake.run().context.served("shop")
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask(provider="acme")
    keeper = fake.run()
    assert keeper.context.served("shop") == before
    assert "cannot be reached" in keeper.report()["names"]["shop"]["error"]


def test_a_self_signed_one_is_renewed_before_its_end(fake: FakeHost) -> None:
    fake.ask()
    before = fake.run().context.served("shop")
    fake.now = NOW + 243 * DAY
    assert fake.run().context.served("shop") == before
    fake.now = NOW + 244 * DAY
    keeper = fake.run()
    assert keeper.context.served("shop") != before


def test_the_timer_waits_for_the_end_of_the_pause_and_a_person_does_not(fake: FakeHost) -> None:
    fake.options(directory="https://127.0.0.1:1/directory")
    fake.ask(provider="acme")
    failures = []
    for now, may_ask in (
        (NOW, State.is_time),
        (NOW + MINUTE, State.is_time),
        (NOW + 2 * MINUTE, reconcile.always),
        (NOW + 16 * MINUTE, State.is_time),
        (NOW + 18 * MINUTE, State.is_time),
    ):
        fake.now = now
        keeper = fake.run(may_ask)
        failures.append(keeper.context.state("shop").failures)
    assert failures == [1, 1, 2, 2, 3]
