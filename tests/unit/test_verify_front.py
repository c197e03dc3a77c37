"""What stands in front of the apps: the packet filter, the web server, the certificates; and the host's own state."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.verify import certificates, kernel, proxy, resources
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, ExpectedApp
from ansible_collections.groundwork.flask.plugins.module_utils.verify.firewall import (
    NFT,
    OUTGOING,
    PROGRAM,
    firewall,
    outgoing,
)
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import UncheckedError
from ansible_collections.groundwork.flask.plugins.module_utils.verify.updates import updates
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

NGINX = "/etc/nginx/nginx.conf"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def said(state: str, differs: str) -> str:
    """What the program `firewall` says when it compares."""
    return json.dumps({"changed": False, "state": state, "differs": differs})


class TestFirewall:
    @pytest.fixture(autouse=True)
    def nft(self, host: FakeHost) -> None:
        host.write(NFT, "", 0o755)
        host.programs |= {f"{NFT} list tables": "table ip nat\ntable inet groundwork\n", PROGRAM: said("in_force", "")}

    def test_in_effect(self, host: FakeHost) -> None:
        assert [one.state for one in host.found(firewall, Expected(firewall=True))] == ["ok"]

    def test_other_rules_in_the_kernel(self, host: FakeHost) -> None:
        host.programs[f"{PROGRAM} compare"] = said("changed", "The kernel's rules differ from the file.")
        (found,) = host.found(firewall, Expected(firewall=True))
        assert (found.state, found.message) == ("problem", "The kernel's rules differ from the file.")
        assert "`systemctl reload groundwork-firewall.service` loads again" in found.remedy

    def test_a_change_that_was_taken_back_is_not_mended_by_a_reload(self, host: FakeHost) -> None:
        host.programs[f"{PROGRAM} compare"] = said("kept", "The rules in the file are not in force.")
        (found,) = host.found(firewall, Expected(firewall=True))
        assert found.state == "problem"
        assert "firewall_ssh_ports" in found.remedy
        assert "reload" not in found.remedy

    def test_a_program_of_an_earlier_version_is_unchecked(self, host: FakeHost) -> None:
        host.programs[f"{PROGRAM} compare"] = f"2\tusage: {PROGRAM} hold|clear [--dry-run]"
        (text,) = bad(host.found(firewall, Expected(firewall=True)))
        assert text.startswith(f"unchecked: Not looked at: {PROGRAM} cannot compare the rules (usage: ")

    def test_flushed(self, host: FakeHost) -> None:
        host.programs[f"{NFT} list tables"] = "table inet groundwork_apps\n"
        assert (
            "the kernel has no table inet groundwork, so every port"
            in bad(host.found(firewall, Expected(firewall=True)))[0]
        )

    def test_nft_is_gone(self, host: FakeHost) -> None:
        (host.root / NFT.lstrip("/")).unlink()
        assert "is not installed" in bad(host.found(firewall, Expected(firewall=True)))[0]
        assert host.found(firewall, Expected()) == []

    def test_on_where_it_is_declared_as_off(self, host: FakeHost) -> None:
        (text,) = bad(host.found(firewall, Expected(is_declared=True)))
        assert text.startswith("warning: The firewall is declared as off")
        assert host.found(firewall, Expected()) == []

    def test_a_program_that_hangs_is_unchecked(self, host: FakeHost) -> None:
        host.programs[f"{NFT} list tables"] = subprocess.TimeoutExpired("nft", 10)
        (text,) = bad(host.found(firewall, Expected(firewall=True)))
        assert text.startswith("unchecked: Not looked at: `/usr/sbin/nft list tables` took more than 10 s")


class TestOutgoing:
    def test_a_host_without_policies(self, host: FakeHost) -> None:
        assert host.found(outgoing) == []

    @pytest.mark.parametrize(
        ("says", "found"),
        [
            ("", "ok: The kernel holds each app"),
            ("The rules of the table are not those that the policies ask for.", "problem: The rules of the table"),
            ("1\tnft is missing, and no app is held to its outgoing policy.", "problem: nft is missing"),
        ],
    )
    def test_policies(self, host: FakeHost, says: str, found: str) -> None:
        host.write(OUTGOING, "", 0o755)
        host.programs[f"{OUTGOING} hold --dry-run"] = says
        (one,) = host.found(outgoing)
        assert f"{one.state}: {one.message}".startswith(found)


class TestProxy:
    EXPECTED = Expected(proxy="nginx")

    @pytest.fixture(autouse=True)
    def nginx(self, host: FakeHost) -> None:
        ours = "server { listen 80 default_server; listen [::]:80 default_server; }"
        host.write(NGINX, f"http {{ {ours}\n include conf.d/*.conf; }}")
        host.file_set("proxy_nginx", parts={"": [NGINX]})
        host.programs["/etc/nginx/groundwork/test-configuration"] = ""
        host.units = {"nginx.service": {"MainPID": "40"}}
        self.started(host, time.time() + 60)

    def started(self, host: FakeHost, at: float) -> None:
        """Have nginx read its configuration at a time; one older worker finishes its last requests."""
        host.write("/proc/stat", "cpu 1\nbtime 1000\n")
        host.write("/proc/40/task/40/children", "41 42")
        host.write("/proc/41/cmdline", "nginx: worker process is shutting down")
        host.write("/proc/42/cmdline", "nginx: worker process")
        for pid, ticks in ((41, 1), (42, int((at - 1000) * os.sysconf("SC_CLK_TCK")))):
            host.write(f"/proc/{pid}/stat", f"{pid} (a) b) S {' '.join(['0'] * 18)} {ticks} 0 0")

    def test_as_it_should_be(self, host: FakeHost) -> None:
        assert [one.state for one in host.found(proxy.proxy, self.EXPECTED)] == ["ok"]

    def test_a_second_default_server(self, host: FakeHost) -> None:
        host.write(
            "/etc/nginx/conf.d/other.conf", "# default_server\nserver { listen 192.0.2.7:443 ssl default_server; }"
        )
        (text,) = bad(host.found(proxy.proxy, self.EXPECTED))
        where = "/etc/nginx/conf.d/other.conf has a second default server (192.0.2.7:443 ssl default_server)"
        assert text == f"problem: {where}, which answers unknown names."

    @pytest.mark.parametrize(
        ("listen", "port"),
        [("80", 80), ("192.0.2.7:8080 ssl", 8080), ("[::]:443 ssl", 443), ("[::1]", 80), ("*:443", 443), ("a.test", 80),
         ("unix:/run/x", 0)],
    )  # fmt: skip
    def test_the_port_of_an_address(self, listen: str, port: int) -> None:
        assert proxy.port_of(listen) == port

    def test_a_default_server_at_another_port_is_nobody_s_rival(self, host: FakeHost) -> None:
        host.write("/etc/nginx/conf.d/other.conf", "server { listen 8080 default_server; }")
        assert bad(host.found(proxy.proxy, self.EXPECTED)) == []

    def test_a_configuration_that_it_would_refuse(self, host: FakeHost) -> None:
        host.programs["/etc/nginx/groundwork/test-configuration"] = "1\tnginx: [emerg] unknown directive"
        (text,) = bad(host.found(proxy.proxy, self.EXPECTED))
        assert text == "problem: nginx would refuse its configuration: nginx: [emerg] unknown directive."

    def test_a_reload_is_due(self, host: FakeHost) -> None:
        self.started(host, time.time() - 600)
        (text,) = bad(host.found(proxy.proxy, self.EXPECTED))
        assert text.startswith(f"warning: {NGINX} was changed at ")

    def test_a_host_without_one(self, host: FakeHost) -> None:
        assert host.found(proxy.proxy, Expected()) == []

    def test_a_virtual_host_of_others_before_ours(self, host: FakeHost) -> None:
        own = "/etc/apache2/apache2.conf"
        block = "<VirtualHost *:443>\nServerName {name}\n</VirtualHost>\n"
        host.file_set("proxy_apache", parts={"": [own]})
        host.write(own, block.format(name="ours") + "IncludeOptional conf.d/*.conf\n")
        host.write("/etc/apache2/conf.d/other.conf", block.format(name="theirs"))
        host.programs["/usr/sbin/apachectl"] = ""
        host.units = {"apache2.service": {}}
        expected = Expected(proxy="apache")
        assert bad(host.found(proxy.proxy, expected)) == []
        host.write(own, "IncludeOptional conf.d/*.conf\n" + block.format(name="ours"))
        host.file_set("proxy_apache", parts={"": [own]})
        host.write("/etc/apache2/conf.d/other.conf", block.format(name="theirs").replace("*:443", "192.0.2.7:443"))
        assert "/etc/apache2/conf.d/other.conf has a second default server" in bad(host.found(proxy.proxy, expected))[0]


class TestCertificates:
    """With real certificates; what the web server serves is the test's to say."""

    EXPECTED = Expected(
        {"shop": ExpectedApp("shop", ("shop.test", "www.shop.test"), certificate="acme")}, proxy="nginx"
    )
    PLACE = on_host("certificate", "shop")

    @pytest.fixture(scope="class")
    @classmethod
    def pair(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        directory = tmp_path_factory.mktemp("pair")
        for name in ("one", "two"):
            cls.make(directory / f"{name}.key", directory / f"{name}.pem")
        return directory

    @staticmethod
    def make(key: Path, certificate: Path) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-keyout", str(key), "-out", str(certificate), "-days", "60", "-subj", "/CN=shop.test"),
                *("-addext", "subjectAltName=DNS:shop.test,DNS:*.shop.test"),
            ],
            check=True,
            capture_output=True,
        )

    @pytest.fixture(autouse=True)
    def installed(self, host: FakeHost, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        host.write(f"{self.PLACE}/fullchain.pem", (pair / "one.pem").read_text())
        host.write(f"{self.PLACE}/privkey.pem", (pair / "one.key").read_text(), 0o600)
        host.write(f"{on_host('configuration')}/certificates/shop.json", '{"provider": "acme"}')
        served = ssl.PEM_cert_to_DER_cert((pair / "one.pem").read_text())
        monkeypatch.setattr(certificates, "ask", lambda _domain: served)
        monkeypatch.setattr(host.look, "run", self.openssl)

    @staticmethod
    def openssl(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def found(self, host: FakeHost) -> list[str]:
        return bad(host.found(certificates.certificates, self.EXPECTED))

    def test_valid_and_served(self, host: FakeHost) -> None:
        (found,) = host.found(certificates.certificates, self.EXPECTED)
        assert found.state == "ok"
        assert "59 days from now, and is served." in found.message

    def test_expired_and_nearly(self, host: FakeHost) -> None:
        host.look.now += 50 * 86400
        assert "expires in 10 days" in self.found(host)[0]
        host.look.now += 20 * 86400
        assert "The certificate expired on " in self.found(host)[0]

    def test_one_that_is_as_it_was_installed_is_read_without_a_program(
        self, host: FakeHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = host.root / self.PLACE.lstrip("/")
        noted = {"not_before": "2020-01-01T00:00:00Z", "not_after": "2020-03-01T00:00:00Z", "domains": ["shop.test"]}
        (directory / "certificate.json").write_text(json.dumps(noted))
        digest = hashlib.sha256((directory / "fullchain.pem").read_bytes()).hexdigest()[:20]
        directory.rename(directory.with_name(digest))
        directory.symlink_to(digest)
        assert "The certificate expired on 2020-03-01." in self.found(host)[0]
        monkeypatch.undo()
        host.look = type(host.look)(host.root, host.run)
        assert certificates.read("shop", host.look).names == ("shop.test",)
        (directory / "fullchain.pem").write_text("another")
        with pytest.raises(UncheckedError):
            certificates.read("shop", host.look)

    def test_names_that_it_lacks(self, host: FakeHost) -> None:
        expected = Expected({"shop": ExpectedApp("shop", ("shop.test", "a.b.shop.test", "x.test"), certificate="acme")})
        (text,) = bad(host.found(certificates.certificates, expected))
        assert text == "problem: The certificate is not valid for a.b.shop.test, x.test."

    def test_the_key_of_another(self, host: FakeHost, pair: Path) -> None:
        host.write(f"{self.PLACE}/privkey.pem", (pair / "two.key").read_text())
        assert "the key does not belong to the certificate" in self.found(host)[0]

    def test_none_at_all(self, host: FakeHost) -> None:
        (host.root / self.PLACE.lstrip("/") / "fullchain.pem").unlink()
        assert self.found(host)[0].startswith("problem: There is no usable certificate")

    def test_another_one_is_served(self, host: FakeHost, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = ssl.PEM_cert_to_DER_cert((pair / "two.pem").read_text())
        monkeypatch.setattr(certificates, "ask", lambda _domain: other)
        assert "shop.test is served with another certificate" in self.found(host)[0]

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (ssl.SSLError(1, "unrecognized name"), "The web server refuses a connection for shop.test"),
            (ConnectionRefusedError(111, "Connection refused"), "Nothing answers for shop.test on 127.0.0.1 port 443"),
        ],
    )
    def test_nothing_is_served(
        self, host: FakeHost, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
    ) -> None:
        def ask(_domain: str) -> bytes:
            raise error

        monkeypatch.setattr(certificates, "ask", ask)
        assert words in self.found(host)[0]

    def test_what_the_program_has_noted(self, host: FakeHost) -> None:
        state = {"error": "DNS problem: NXDOMAIN", "deploy_error": ""}
        host.write(f"{on_host('state')}/certificates/shop/state.json", json.dumps(state))
        host.write(f"{self.PLACE}/certificate.json", '{"provider": "self_signed"}')
        found = [*host.found(certificates.certificates, self.EXPECTED)]
        assert [(one.state, one.message) for one in found] == [
            ("problem", "The certificate is a temporary one, which no browser trusts. DNS problem: NXDOMAIN.")
        ]
        assert "tries again" in found[0].remedy

    def test_an_order_that_failed_while_the_certificate_is_good(self, host: FakeHost) -> None:
        host.write(f"{on_host('state')}/certificates/shop/state.json", '{"error": "the CA is down"}')
        assert self.found(host) == ["warning: The CA is down."]

    def test_an_app_below_the_domain_of_another_has_its_certificate(self, host: FakeHost) -> None:
        blog = ExpectedApp("blog", ("shop.test",), certificate="acme")
        found = host.found(certificates.certificates, Expected({**self.EXPECTED.apps, "blog": blog}))
        assert [one.subject for one in found] == ["shop"]


class TestUpdates:
    PROGRAM = "/usr/bin/setpriv"

    def test_none(self, host: FakeHost) -> None:
        host.programs[self.PROGRAM] = "vim\nless\n"
        (found,) = host.found(updates, Expected())
        assert (found.state, found.message) == ("ok", "No security update waits; 2 other updates wait.")

    def test_security_updates_are_named(self, host: FakeHost) -> None:
        host.programs[self.PROGRAM] = "vim\n*openssl\n*libssl3\n"
        assert bad(host.found(updates, Expected())) == ["problem: 2 security updates wait: libssl3, openssl."]
        host.write("/var/lib/apt/periodic/upgrade-stamp", "")
        assert bad(host.found(updates, Expected())) == ["warning: 2 security updates wait: libssl3, openssl."]

    def test_old_lists(self, host: FakeHost) -> None:
        host.programs[self.PROGRAM] = "0\t"
        file = host.write("/var/lib/apt/lists/archive.example.org_x", "")
        os.utime(file, (1, host.look.now - 10 * 86400))
        assert bad(host.found(updates, Expected())) == []
        (text,) = bad(host.found(updates, Expected(host_parts=frozenset({"updates"}))))
        assert "are 10 days old" in text
        host.write("/var/lib/apt/periodic/update-stamp", "")
        assert bad(host.found(updates, Expected(host_parts=frozenset({"updates"})))) == [], "the server's are old"

    def test_apt_that_is_broken_is_unchecked(self, host: FakeHost) -> None:
        host.programs[self.PROGRAM] = "1\tE: The list of sources could not be read."
        assert bad(host.found(updates, Expected()))[0].startswith(
            "unchecked: Not looked at: apt's lists cannot be read"
        )


class TestHost:
    def test_memory(self, host: FakeHost) -> None:
        host.write("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 2 kB\nSwapTotal: 100 kB\nSwapFree: 10 kB\n")
        texts = bad(host.found(resources.memory, Expected()))
        assert texts[0].startswith("problem: 0 of 0 MB of memory are available.")
        assert texts[1].startswith("warning: 0 of 0 MB of swap are in use.")

    @pytest.mark.parametrize(
        ("free", "inodes", "words"),
        [
            (50, 50, []),
            (10, 50, ["warning: / has used 90% of its space"]),
            (2, 50, ["problem: / has used 98% of its space"]),
            (50, 1, ["problem: / has used 99% of its inodes"]),
        ],
    )
    def test_disk(
        self, host: FakeHost, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, words: list[str]
    ) -> None:
        one = {"total": 100, "free": free, "inodes": 100, "inodes_free": inodes}
        monkeypatch.setattr(resources, "file_systems", lambda _look: {"/": one})
        texts = bad(host.found(resources.disk, Expected()))
        assert len(texts) == len(words)
        assert all(word in text for word, text in zip(words, texts, strict=True))

    def test_each_file_system_is_looked_at_once(self, host: FakeHost) -> None:
        (host.root / "var").mkdir()
        assert list(resources.file_systems(host.look)) == ["/"]

    def test_memory_that_ran_out(self, host: FakeHost) -> None:
        host.write("/proc/vmstat", "oom_kill 0\n")
        assert bad(host.found(kernel.out_of_memory, Expected())) == []
        host.write("/proc/vmstat", "x 1\noom_kill 2\n")
        host.programs["/usr/bin/journalctl"] = "kernel: Out of memory: Killed process 7 (gunicorn) total-vm\n"
        assert bad(host.found(kernel.out_of_memory, Expected())) == [
            "warning: The kernel has ended 2 processes for want of memory since the boot: gunicorn."
        ]

    def test_the_clock(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernel, "is_synchronized", lambda: False)
        assert bad(host.found(kernel.clock, Expected()))[0].startswith("warning: Nothing keeps the clock right")
        host.write("/run/systemd/container", "podman")
        assert bad(host.found(kernel.clock, Expected())) == []
