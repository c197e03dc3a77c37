"""The command line: locks, removal, the report for a person."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import (
    certbot_program,
    cli,
    commands,
    processes,
)
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.certbot_program import CertbotProgram
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.common import locks
from ansible_collections.groundwork.flask.tests.unit.certificate_host import FakeHost


def test_a_removed_name_leaves_nothing(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def launch(_program: object, words: list[str]) -> tuple[str, bool]:
        calls.append(words)
        return "", True

    monkeypatch.setattr(CertbotProgram, "launch", launch)
    fake.ask(provider="acme")
    fake.lineage()
    fake.run()
    arguments = cli.parser().parse_args(["remove", "shop", "--json"])
    with pytest.raises(CertificateError, match="still configured"):
        commands.remove(fake.reconciler(), arguments)
    (fake.paths.requests / "shop.json").unlink()
    reconciler = fake.reconciler()
    assert commands.remove(reconciler, arguments) == 0
    assert reconciler.changed == ["shop"]
    assert calls == [["/usr/bin/certbot", "delete", "--non-interactive", "--cert-name", "shop"]]
    assert not (fake.paths.served / "shop").exists()
    assert not (fake.paths.state / "shop").exists()


def test_the_deploy_hook_of_a_run_s_own_certbot_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.WITHIN_A_RUN, "1")
    assert cli.main(["deploy", "shop"]) == 0


def test_certbot_s_hook_does_not_wait_for_a_run_that_waits_for_certbot(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a play that orders a certificate while certbot's timer renews another one fails."""
    hook = cli.COMMANDS["deploy"]
    assert hook.wait
    assert hook.wait < certbot_program.CERTBOT_WAIT
    monkeypatch.setattr(cli, "Paths", lambda: fake.paths)
    monkeypatch.setitem(cli.COMMANDS, "deploy", replace(hook, wait=0.1))
    with locks.locked(fake.paths.lock, 0):
        assert cli.main(["deploy", "shop"]) == 0
    assert "shop: another run is under way; the timer's next run deploys" in capsys.readouterr().err


def test_no_other_account_can_open_the_lock(fake: FakeHost) -> None:
    """Whoever can open a file can lock it, for ever."""
    with locks.locked(fake.paths.lock, 0):
        assert fake.paths.lock.stat().st_mode & 0o777 == 0o600
        assert fake.paths.lock.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_run_at_the_same_time_waits_and_gives_up(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Paths", lambda: fake.paths)
    monkeypatch.setitem(cli.COMMANDS, "issue", replace(cli.COMMANDS["issue"], wait=0.3))
    with locks.locked(fake.paths.lock, 0):
        assert cli.main(["issue", "--all"]) == 2
    assert "another run" in capsys.readouterr().err


def test_the_timer_that_meets_another_run_has_not_failed(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "Paths", lambda: fake.paths)
    with locks.locked(fake.paths.lock, 0):
        assert cli.main(["reconcile"]) == 0


def test_the_report_for_a_person(fake: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    fake.ask("shop", "shop.test", "www.shop.test")
    commands.show(fake.run().report(), as_json=False)
    assert capsys.readouterr().out.startswith("shop: Self-signed (shop.test), until 20")
