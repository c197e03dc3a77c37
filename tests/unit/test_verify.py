"""The frame of `verify`: how checks are run, what is expected, and what leaves the host."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.verify import checks
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, Port
from ansible_collections.groundwork.flask.plugins.module_utils.verify.facts import facts
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import Look, UncheckedError
from ansible_collections.groundwork.flask.plugins.module_utils.verify.sshd import CANDIDATE, DROP_IN, sshd
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

CONFIGURATION = on_host("configuration")
MAIN = "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\n"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


class TestChecks:
    def test_a_broken_check_is_a_finding_and_hides_no_other(self, host: FakeHost) -> None:
        def broken(_expected: Expected, _look: Look) -> Iterator[Finding]:
            yield Finding("broken", "host", "problem", "before.")
            raise ZeroDivisionError("by nothing")

        def blind(_expected: Expected, _look: Look) -> list[Finding]:
            raise UncheckedError("it is dark")

        def good(_expected: Expected, _look: Look) -> list[Finding]:
            return [Finding("good", "host", "ok", "fine.")]

        found = checks.look_at(Expected(), host.look, {"broken": broken, "blind": blind, "good": good})
        assert [(one.check, one.state) for one in found] == [
            ("broken", "problem"),
            ("broken", "warning"),
            ("blind", "unchecked"),
            ("good", "ok"),
        ]
        assert "ZeroDivisionError: by nothing" in found[1].message
        assert "it is dark" in found[2].message

    def test_one_that_hangs_ends_when_its_time_is_up(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "SECONDS", 0.2)

        def hanging(_expected: Expected, _look: Look) -> list[Finding]:
            reading, _writing = os.pipe()
            os.read(reading, 1)
            return []

        (found,) = checks.look_at(Expected(), host.look, {"hanging": hanging})
        assert (found.state, found.check) == ("warning", "hanging")

    def test_one_that_passes_over_what_it_cannot_read_ends_then_too(
        self, host: FakeHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checks, "SECONDS", 0.2)

        def busy(_expected: Expected, _look: Look) -> list[Finding]:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                with contextlib.suppress(OSError):
                    time.sleep(0.01)
            return []

        (found,) = checks.look_at(Expected(), host.look, {"busy": busy})
        assert "had not come to its end" in found.message

    def test_no_finding_is_forged(self, host: FakeHost) -> None:
        def hostile(_expected: Expected, _look: Look) -> list[Finding]:
            return [Finding("x", "shop\x1b[2J", "problem", "one\nok sshd host fine\u202e" + "x" * 9999, "a\rb")]

        (found,) = checks.look_at(Expected(), host.look, {"hostile": hostile})
        assert found.message.isprintable()
        assert len(found.message) <= checks.TEXT_LIMIT
        assert found.subject == "shop\\x1b[2J"
        assert found.remedy == "a\\rb"

    def test_thousands_of_findings_are_counted(self, host: FakeHost) -> None:
        def many(_expected: Expected, _look: Look) -> list[Finding]:
            return [
                *(Finding("x", "shop", "problem", str(one)) for one in range(1000)),
                Finding("x", "blog", "ok", "y"),
            ]

        found = checks.look_at(Expected(), host.look, {"many": many})
        assert len(found) == checks.MOST + 2
        assert found[-2].subject == "blog", "one app with many hides no other's"
        assert (found[-1].subject, found[-1].message[:8]) == ("shop", "980 more")


class TestLook:
    def test_a_fifo_does_not_block(self, host: FakeHost) -> None:
        os.mkfifo(host.root / "fifo")
        assert host.look.read("/fifo") == ""
        assert host.look.json("/fifo") == {}

    def test_units_are_asked_for_once(self, host: FakeHost) -> None:
        host.units = {"a.service": {"ActiveState": "active"}, "b.service": {"ActiveState": "failed"}}
        assert host.look.units(["a.service", "b.service"])["b.service"]["ActiveState"] == "failed"
        assert host.look.units(["b.service"])["b.service"]["ActiveState"] == "failed"
        assert len(host.calls) == 1


class TestExpected:
    def test_what_is_declared(self, host: FakeHost) -> None:
        raw = {
            "apps": {"shop": {"domains": ["shop.test"], "processes": {"worker": 2}, "workers": 5, "backup": True}},
            "proxy": "apache",
            "firewall": {"enabled": True, "ports": [{"port": "8000-8010", "protocol": "udp", "from": ["10.0.0.0/8"]}]},
            "host_parts": ["sshd"],
            "backup": {"hours": 12, "drill_days": 3},
        }
        expected = Expected.of(raw, host.look)
        assert expected.apps["shop"].processes == {"worker": 2}
        assert expected.ports == (Port(8000, 8010, "udp", ("10.0.0.0/8",)),)
        assert expected.ports[0].holds(8005, "udp")
        assert not expected.ports[0].holds(8005, "tcp")
        assert Port.declared({"port": "no-such-service"}) == Port(0, 0)
        assert (expected.proxy, expected.firewall, expected.backup_hours) == ("apache", True, 12)
        assert expected.host_parts == {"sshd"}

    def test_without_an_inventory_the_records_of_the_host_count(self, host: FakeHost) -> None:
        worker = {"name": "shop.worker@0123456789ab.service", "kind": "process", "process": "worker"}
        host.release("shop", units=[worker, worker], jobs={"nightly": {}})
        host.write(f"{CONFIGURATION}/certificates/shop.json", '{"domains": ["shop.test"], "provider": "acme"}')
        host.write(f"{CONFIGURATION}/backup.d/shop.json", "{}")
        host.write(f"{CONFIGURATION}/backup.json", '{"max_age_hours": 20}')
        host.write(f"{CONFIGURATION}/firewall.nft", 'tcp dport 22 accept comment "SSH"\ntcp dport { 80, 443 } accept\n')
        host.file_set("proxy_nginx", parts={"": ["/etc/nginx/nginx.conf"]})
        host.file_set("host", parts={"core_dumps": ["/etc/x"]})
        host.file_set("host_sshd", parts={"sshd": ["/etc/ssh/sshd_config.d/00-groundwork.conf"]})
        expected = Expected.of({}, host.look)
        shop = expected.apps["shop"]
        assert (shop.domains, shop.processes, shop.jobs) == (("shop.test",), {"worker": 2}, ("nightly",))
        assert (shop.certificate, shop.backup) == ("acme", True)
        assert [port.first for port in expected.ports] == [22, 80, 443]
        assert (expected.proxy, expected.firewall, expected.backup_hours) == ("nginx", False, 20)
        assert expected.host_parts == {"core_dumps", "sshd"}
        assert not expected.is_declared

    def test_facts_have_each_app(self, host: FakeHost) -> None:
        host.release("shop")
        host.write("/proc/meminfo", "MemTotal:  1024 kB\nMemAvailable: 512 kB\n")
        found = facts(Expected.of({}, host.look), host.look)
        assert found["apps"]["shop"]["release"] == "0123456789ab"
        assert found["host"]["memory"]["available"] == 512 * 1024


class TestSshd:
    EXPECTED = Expected(host_parts=frozenset({"sshd"}))
    OURS = "PasswordAuthentication no\nX11Forwarding no\nPermitRootLogin prohibit-password\n"

    @pytest.fixture(autouse=True)
    def files(self, host: FakeHost) -> None:
        host.write("/etc/ssh/sshd_config", MAIN)
        for name in (DROP_IN, CANDIDATE):
            host.write(name, self.OURS)
        self.says(host)

    def says(self, host: FakeHost, **changed: str) -> None:
        effective = {"passwordauthentication": "no", "permitrootlogin": "without-password", "x11forwarding": "no"}
        rows = "".join(f"{name} {value}\n" for name, value in {**effective, **changed}.items())
        host.programs["/usr/sbin/sshd -T"] = rows

    def test_keys_only(self, host: FakeHost) -> None:
        (found,) = host.found(sshd, self.EXPECTED)
        assert (found.state, found.message) == ("ok", "sshd takes keys only, and root logs in by key only.")

    def test_the_file_that_lets_passwords_in_is_named(self, host: FakeHost) -> None:
        host.write("/etc/ssh/sshd_config.d/00-cloud-init.conf", "# x\nPasswordAuthentication yes\n")
        self.says(host, passwordauthentication="yes")
        (text,) = bad(host.found(sshd, self.EXPECTED))
        assert text.startswith("problem: sshd has passwordauthentication yes, from")
        assert "/etc/ssh/sshd_config.d/00-cloud-init.conf line 2" in text

    def test_a_match_block_that_lets_some_in(self, host: FakeHost) -> None:
        host.write("/etc/ssh/sshd_config.d/50-x.conf", "Match User ann\nChallengeResponseAuthentication yes\n")
        (text,) = bad(host.found(sshd, self.EXPECTED))
        assert (
            "kbdinteractiveauthentication yes for Match User ann, from /etc/ssh/sshd_config.d/50-x.conf line 2" in text
        )

    def test_a_setting_of_the_play_that_another_file_decides(self, host: FakeHost) -> None:
        host.write("/etc/ssh/sshd_config.d/00-a.conf", "X11Forwarding yes\nPermitRootLogin yes\n")
        self.says(host, x11forwarding="yes", permitrootlogin="yes")
        texts = bad(host.found(sshd, self.EXPECTED))
        assert texts[0].startswith(
            "warning: sshd has x11forwarding yes, and the play has written no: /etc/ssh/sshd_config.d/"
        )
        assert texts[1].startswith("problem: sshd has permitrootlogin yes")

    def test_the_drop_in_was_changed_or_removed(self, host: FakeHost) -> None:
        host.write(DROP_IN, self.OURS + "MaxAuthTries 9\n")
        assert bad(host.found(sshd, self.EXPECTED)) == [
            f"problem: {DROP_IN} is not what the last play has written: somebody has changed it, or the play's change "
            "was taken back."
        ]
        (host.root / DROP_IN.lstrip("/")).unlink()
        (text,) = bad(host.found(sshd, self.EXPECTED))
        assert text.startswith(f"problem: {DROP_IN} is not there: ")

    def test_a_change_that_is_being_tried(self, host: FakeHost) -> None:
        host.write(f"{on_host('state')}/sshd/settings", "")
        assert bad(host.found(sshd, self.EXPECTED))[0].startswith("warning: A change of sshd's settings is being tried")

    def test_it_is_left_alone_where_the_part_is_left_out(self, host: FakeHost) -> None:
        assert host.found(sshd, Expected()) == []

    def test_a_configuration_that_sshd_refuses_is_unchecked(self, host: FakeHost) -> None:
        host.programs["/usr/sbin/sshd -T"] = "255\tBad configuration option: Foo"
        (text,) = bad(host.found(sshd, self.EXPECTED))
        assert text == "unchecked: Not looked at: sshd -T says: Bad configuration option: Foo."
