"""The settings of sshd: what is read of a host, what is written for it, and who must not be shut out."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.sshd_plan import sshd_plan
from ansible_collections.groundwork.flask.plugins.module_utils import sshd_config, sshd_state
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.public_keys import read_all
from ansible_collections.groundwork.flask.tests.unit.ssh_keys import DSA, ED25519, RSA_1024, RSA_2048

OURS = on_host("sshd_settings")
ADA = read_all(ED25519)[0].fingerprint
# As OpenSSH 9.2 of Debian 12 prints it, without what the role leaves alone.
EFFECTIVE = (
    "permitrootlogin without-password\npasswordauthentication no\nkbdinteractiveauthentication no\n"
    "authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\nauthorizedkeyscommand none\n"
    "trustedusercakeys none\nhostkey /etc/ssh/ssh_host_rsa_key\nhostkey /etc/ssh/ssh_host_ed25519_key\n"
    "pubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512\nauthenticationmethods any\npubkeyauthentication yes\n"
)
JOURNAL = (
    "Connection closed by authenticating user root 192.0.2.9 port 40000 [preauth]\n"
    f"Accepted publickey for ada from 192.0.2.7 port 51234 ssh2: ED25519 {ADA}\n"
    "Accepted password for bob from 192.0.2.7 port 51235 ssh2\n"
)


def account(
    keys: Sequence[str] = (ADA,), password: bool = False, refused: dict[str, str] | None = None
) -> dict[str, Any]:
    """An account as the module returns it."""
    return {"keys": list(keys), "password": password, "refused": refused or {}, "unknown": False}


def found(**others: Any) -> dict[str, Any]:
    """A host as the module returns it: Debian 13, and ada has logged in by her key."""
    return {
        "user": "ada",
        "login": {"method": "publickey", "fingerprint": ADA},
        "version": [10, 0],
        "kex": [],
        "error": "",
        "effective": sshd_config.values(EFFECTIVE),
        "settings": [],
        "included": True,
        "ours": "",
        "host_keys": {"ed25519": 256, "rsa": 3072},
        "accounts": {"ada": account()},
        **others,
    }


def line(keyword: str, value: str, match: str = "", before: bool = True) -> dict[str, Any]:
    """A setting of another file."""
    return {"file": "/etc/x.conf", "line": 3, "keyword": keyword, "value": value, "match": match, "before": before}


# --- what is read -------------------------------------------------


def write(root: Path, **files: str) -> None:
    """Write files below /etc/ssh; a dash in a name is written as two underscores."""
    (root / "etc/ssh/sshd_config.d").mkdir(parents=True)
    for name, text in files.items():
        (root / "etc/ssh" / name.replace("__", "/")).write_text(text)


def test_settings_are_read_in_the_order_of_sshd(tmp_path: Path) -> None:
    write(
        tmp_path,
        sshd_config="Port 22\nInclude /etc/ssh/sshd_config.d/*.conf\nMatch User git\n  X11Forwarding yes\n",
    )
    (tmp_path / "etc/ssh/sshd_config.d/50-cloud-init.conf").write_text("PasswordAuthentication yes\n")
    (tmp_path / "etc/ssh/sshd_config.d/00-first.conf").write_text("# no\nMatch all\nPermitRootLogin=yes\n")
    reading = sshd_config.read(tmp_path)
    said = [(one["file"], one["line"], one["keyword"], one["match"], one["before"]) for one in reading.settings]
    assert said == [
        ("/etc/ssh/sshd_config", 1, "port", "", True),
        ("/etc/ssh/sshd_config.d/00-first.conf", 3, "permitrootlogin", "all", True),
        ("/etc/ssh/sshd_config.d/50-cloud-init.conf", 1, "passwordauthentication", "", False),
        ("/etc/ssh/sshd_config", 4, "x11forwarding", "User git", False),
    ]
    assert reading.included


@pytest.mark.parametrize(
    ("text", "included"),
    [
        ("Port 22\n", False),
        ("# Include /etc/ssh/sshd_config.d/*.conf\n", False),
        ("Match User git\nInclude /etc/ssh/sshd_config.d/*.conf\n", False),
        ('include "sshd_config.d/*.conf"\n', True),
        (f"Include {OURS}\n", True),
        ("Include /etc/ssh/sshd_config\nInclude /etc/ssh/sshd_config.d/*\n", True),
    ],
)
def test_whether_ours_is_read(tmp_path: Path, text: str, included: bool) -> None:
    write(tmp_path, sshd_config=text)
    assert sshd_config.read(tmp_path).included is included


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("VERBOSE", "verbose", True),
        ("without-password", "prohibit-password", True),
        ("5m", "300", True),
        ("1h30M", "5400", True),
        ("no", "yes", False),
        ("5m", "301", False),
        ("10:30:60", "10:30:100", False),
    ],
)
def test_values_are_compared_as_sshd_prints_them(one: str, other: str, same: bool) -> None:
    assert sshd_config.same(one, other) is same


class Programs:
    """What programs print, by the first two words of their calls."""

    def __init__(self, **printed: str) -> None:
        self.printed, self.calls = printed, 0

    def __call__(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        text = self.printed.get(Path(argv[0]).name + argv[1].replace("-", "_"), "")
        return subprocess.CompletedProcess(list(argv), 0, text, text)


def host(root: Path) -> Path:
    """A host with accounts of each kind."""
    write(root, sshd_config="Include /etc/ssh/sshd_config.d/*.conf\n")
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/sshd").touch()
    for name, (key, directory) in {
        "ada": (ED25519, "home/ada"),
        "old": (RSA_1024, "home/old"),
        "shop": ("", "srv"),
    }.items():
        (root / directory / ".ssh").mkdir(parents=True)
        (root / directory / ".ssh/authorized_keys").write_text(f"# of {name}\n{key} {name}@laptop\n")
    (root / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\nold:x:1001:1001::/home/old:/bin/sh\n"
        "shop:x:1002:1002::/srv:/usr/sbin/nologin\nsync:x:4:65534::/bin:/bin/sync\nnobody:x:65534:1::/:/bin/sh\n"
    )
    (root / "etc/group").write_text("ada:x:1000:\npeople:x:1005:old,ada\nothers:x:1006:adam\n")
    (root / "etc/shadow").write_text("root:!:1::::::\nada:*:1::::::\nold:$y$j9T$secret:1::::::\nshop:!:1::::::\n")
    return root


def test_a_host_is_read(tmp_path: Path) -> None:
    programs = Programs(sshd_T=EFFECTIVE, sshd_V="OpenSSH_9.2, OpenSSL 3.0.22", journalctl__quiet=JOURNAL)
    state = sshd_state.state("192.0.2.7 51234 203.0.113.5 22", "ada", host(tmp_path), programs)
    assert programs.calls == 4
    assert state["login"] == {"method": "publickey", "fingerprint": ADA}
    assert state["version"] == [9, 2]
    assert state["effective"]["hostkey"] == "/etc/ssh/ssh_host_rsa_key /etc/ssh/ssh_host_ed25519_key"
    assert sorted(state["accounts"]) == ["ada", "old", "root"]
    assert state["accounts"]["ada"] == {**account(), "groups": ["ada", "people"]}
    assert (state["accounts"]["old"]["password"], state["accounts"]["old"]["keys"]) == (True, [])
    assert list(state["accounts"]["old"]["refused"].values()) == ["RSA of 1024 bits; 2048 are the least"]
    assert "secret" not in str(state)


def test_without_sshd_there_is_nothing(tmp_path: Path) -> None:
    assert sshd_state.state("", "", tmp_path, Programs()) == {}
    assert sshd_state.state("", "", host(tmp_path), Programs(sshd_T="Missing privilege separation directory")) == {}


def test_a_login_by_password_is_known_and_one_of_another_port_is_not_ours() -> None:
    programs = Programs(journalctl__quiet=JOURNAL)
    assert sshd_state.login(["192.0.2.7", "51235"], programs) == {"method": "password", "fingerprint": ""}
    assert sshd_state.login(["192.0.2.7", "1"], programs) == {}
    assert sshd_state.login([], programs) == {}


def test_who_has_logged_in_is_known_under_sudo(tmp_path: Path) -> None:
    chain = {
        9: (8, 0, b""),
        8: (7, 0, b"SSH_CONNECTION=a 1 b 2"),
        7: (6, 33, b"A=b\0SSH_CONNECTION=a 1 b 2"),
        6: (1, 33, b""),
    }
    for process, (parent, uid, environment) in chain.items():
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "environ").write_bytes(environment)
        (tmp_path / str(process) / "status").write_text(f"Name:\tx\nPPid:\t{parent}\nUid:\t{uid}\t0\t0\t0\n")
    assert sshd_state.login_user(9, tmp_path) == "www-data"
    assert sshd_state.login_user(6, tmp_path) == ""


def test_key_files_are_those_that_sshd_reads() -> None:
    effective = {"authorizedkeysfile": "/etc/keys/%u .ssh/authorized_keys none %h/k%%"}
    assert sshd_state.key_files("ada", "/home/ada", effective) == [
        "/etc/keys/ada",
        "/home/ada/.ssh/authorized_keys",
        "/home/ada/k%",
    ]


def test_keys_are_read() -> None:
    keys = read_all(f'from="192.0.2.7" {ED25519} ada\n{RSA_2048}\n{RSA_1024}\n{DSA}\nssh-ed25519 AAAA\n-----BEGIN\n')
    assert [(one.kind, one.bits, bool(one.objection)) for one in keys] == [
        ("ssh-ed25519", 0, False),
        ("ssh-rsa", 2048, False),
        ("ssh-rsa", 1024, True),
        ("ssh-dss", 0, True),
    ]
    assert keys[0].options == 'from="192.0.2.7"'


# --- what is written ----------------------------------------------


def content(state: dict[str, Any], **wish: Any) -> dict[str, str]:
    """The drop-in, by keywords."""
    text = sshd_plan(state, wish)["content"]
    return sshd_config.values("".join(f"{line}\n" for line in text.splitlines() if not line.startswith("#")))


def test_algorithms_follow_the_version_and_what_it_knows() -> None:
    trixie, bookworm = content(found()), content(found(version=[9, 2], kex=["sntrup761x25519-sha512@openssh.com"]))
    assert trixie["KexAlgorithms"].split(",")[0] == "mlkem768x25519-sha256"
    assert "curve25519-sha256" not in trixie["KexAlgorithms"]
    assert "curve25519-sha256" in content(found(), algorithms="compatible")["KexAlgorithms"]
    assert bookworm["KexAlgorithms"] == "sntrup761x25519-sha512@openssh.com"
    assert "diffie-hellman-group-exchange-sha256" in content(found(version=[9, 2]))["KexAlgorithms"]
    assert "ModuliFile" in content(found(version=[9, 2]))
    assert not {"PerSourcePenalties", "ModuliFile"} & bookworm.keys()
    assert trixie["PerSourcePenalties"] == "yes"
    assert "RequiredRSASize" not in content(found(version=[8, 9]))


@pytest.mark.parametrize(
    ("state", "wish", "keyword", "value"),
    [
        ({}, {}, "PermitRootLogin", "prohibit-password"),
        ({"settings": [line("permitrootlogin", "no", before=False)]}, {}, "PermitRootLogin", "no"),
        ({"settings": [line("permitrootlogin", "yes", before=False)]}, {}, "PermitRootLogin", "prohibit-password"),
        ({"settings": [line("permitrootlogin", "no", "User x")]}, {}, "PermitRootLogin", "prohibit-password"),
        ({}, {"root": "no"}, "PermitRootLogin", "no"),
        ({"user": "root"}, {"root": "no", "admins": "ada"}, "PermitRootLogin", "prohibit-password"),
        ({}, {}, "AllowTcpForwarding", "local"),
        ({}, {"tcp_forwarding": "yes"}, "AllowTcpForwarding", "yes"),
        ({"settings": [line("allowtcpforwarding", "no")]}, {}, "AllowTcpForwarding", "no"),
        ({}, {}, "HostKey", "/etc/ssh/ssh_host_ed25519_key"),
        ({}, {"rsa_key": True}, "HostKey", "/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_4096_key"),
        ({"host_keys": {"rsa": 4096}}, {}, "HostKey", "/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key"),
        ({"settings": [line("hostkey", "/etc/ssh/mine")]}, {}, "HostKey", None),
        ({}, {"allow_users": ["ada", "git"]}, "AllowUsers", "ada git"),
        ({}, {}, "AllowUsers", None),
        ({}, {"settings": {"x11forwarding": True}}, "X11Forwarding", None),
        ({}, {"settings": {"x11forwarding": True}}, "x11forwarding", "yes"),
    ],
)
def test_settings(state: dict[str, Any], wish: dict[str, Any], keyword: str, value: str | None) -> None:
    if wish.get("admins"):
        wish = {**wish, "admins": [{"name": "ada", "keys": [ED25519]}]}
    assert content(found(**state), **wish).get(keyword) == value


def test_what_is_in_place_is_not_pending_and_a_part_left_out_is_removed() -> None:
    plan = sshd_plan(found(), {})
    assert plan["pending"]
    assert not sshd_plan(found(ours=plan["content"]), {})["pending"]
    assert sshd_plan(found(ours=plan["content"]), {"enabled": False}) == {
        "problems": [], "warnings": [], "differences": [], "content": "", "pending": True,
    }  # fmt: skip
    assert not sshd_plan(found(), {"enabled": False})["pending"]
    assert sshd_plan({}, {}) == {"problems": [], "warnings": [], "differences": [], "content": "", "pending": False}


# --- who must not be shut out -------------------------------------


@pytest.mark.parametrize(
    ("state", "wish", "text"),
    [
        ({}, {}, ""),
        ({"login": {"method": "password"}}, {}, "ada has logged in by password"),
        ({"login": {"method": "keyboard-interactive/pam"}}, {}, "host_skip_parts: [sshd]"),
        ({"login": {}}, {}, ""),
        ({"login": {}, "accounts": {"ada": account([])}}, {}, "ada has no key to log in by: put a key"),
        ({"login": {}, "accounts": {"ada": account([], refused={"x": "DSA"})}}, {}, "by that is taken (DSA)"),
        ({"login": {}, "accounts": {"ada": {**account([]), "unknown": True}}}, {}, ""),
        ({"accounts": {"ada": account(refused={ADA: "RSA of 1024 bits"})}}, {}, "about to refuse (RSA of 1024 bits)"),
        ({"user": "", "login": {}, "accounts": {"root": account([])}}, {}, "Nobody has a key"),
        ({"user": "", "login": {}}, {}, ""),
        ({"user": "root"}, {"root": "no"}, "host_sshd_root is no, and this play comes in as root: declare host_admins"),
        ({"included": False}, {}, f"does not read {OURS}: put `Include"),
        ({"error": "line 3: Bad configuration option: Prot"}, {}, "does not take its own settings"),
        ({"settings": [line("passwordauthentication", "yes")]}, {}, "/etc/x.conf line 3 says `passwordauthentication"),
        ({"settings": [line("passwordauthentication", "yes", before=False)]}, {}, ""),
        ({"settings": [line("passwordauthentication", "no")]}, {}, ""),
        ({"settings": [line("permitrootlogin", "without-password")]}, {}, ""),
        ({"settings": [line("passwordauthentication", "yes", "User git")]}, {}, ""),
        (
            {
                "settings": [line("authenticationmethods", "publickey,password", "User ada")],
                "effective": {"authenticationmethods": "publickey,password"},
            },
            {},
            "so ada could not log in by a key alone",
        ),
        ({}, {"allow_users": ["git"]}, "host_sshd_allow_users lacks ada, as whom this play"),
        ({}, {"allow_users": ["a*@192.0.2.*"]}, ""),
        (
            {},
            {"settings": {"PasswordAuthentication": True}},
            "host_sshd_settings: PasswordAuthentication is not set there",
        ),
        ({}, {"settings": {"Match": "all"}}, "host_sshd_settings: Match"),
        (
            {"settings": [line("allowgroups", "root people")]},
            {"admins": [{"name": "bob", "keys": [ED25519]}]},
            "/etc/x.conf line 3 says `AllowGroups root people`, so bob of host_admins cannot log in: put bob into one",
        ),
        (
            {"settings": [line("allowgroups", "people")], "accounts": {"ada": {**account(), "groups": ["people"]}}},
            {"admins": [{"name": "ada", "keys": [ED25519]}]},
            "",
        ),
        ({}, {"settings": {"Banner": "x\nPermitRootLogin yes"}}, "with its value on one line"),
        ({}, {"root": "yes"}, "host_sshd_root is 'yes'; one of prohibit-password, no is right"),
        ({}, {"tcp_forwarding": "no", "arguments": "-J ops@web1:22", "names": ["web1"]}, "through this one (web1)"),
        ({}, {"tcp_forwarding": "no", "arguments": "-o ProxyJump=web1", "names": ["web1"]}, "set it to local"),
        ({}, {"tcp_forwarding": "no", "arguments": "-o ProxyCommand='ssh -W %h web1'", "names": ["web1"]}, "web1"),
        ({}, {"tcp_forwarding": "no", "arguments": "-J web10", "names": ["web1"]}, ""),
    ],
)
def test_what_would_shut_the_play_out_is_refused(state: dict[str, Any], wish: dict[str, Any], text: str) -> None:
    problems = sshd_plan(found(**state), wish)["problems"]
    assert len(problems) == bool(text), problems
    assert text in "".join(problems)
    assert sshd_plan(found(**state), {**wish, "enabled": False})["problems"] == [] or "one of" in text


@pytest.mark.parametrize(
    ("state", "wish", "text"),
    [
        ({"accounts": {"ada": account(), "bob": account([], password=True)}}, {}, "cannot log in any more: bob."),
        ({"accounts": {"ada": account(), "bob": account(password=True)}}, {}, ""),
        (
            {
                "accounts": {"bob": account([], password=True)},
                "settings": [line("passwordauthentication", "yes", "User bob,git")],
            },
            {},
            "`Match User bob,git`",
        ),
        ({"accounts": {"ada": account(), "root": account([], password=True)}}, {}, ""),
        ({"settings": [line("passwordauthentication", "yes", "User git")]}, {}, "`Match User git`"),
        ({"settings": [line("x11forwarding", "yes", "User git")]}, {}, ""),
        ({"settings": [line("x11forwarding", "yes")]}, {}, "says `x11forwarding yes`, which goes before"),
        ({"effective": {"pubkeyacceptedalgorithms": "ssh-rsa,ssh-ed25519"}}, {}, "signatures by ssh-rsa"),
        ({"user": "root"}, {"root": "no", "admins": True}, "with ansible_user set to ada"),
    ],
)
def test_what_the_operator_should_know(state: dict[str, Any], wish: dict[str, Any], text: str) -> None:
    if wish.get("admins"):
        wish = {**wish, "admins": [{"name": "ada", "keys": [ED25519]}]}
    warnings = sshd_plan(found(**state), wish)["warnings"]
    assert len(warnings) == bool(text), warnings
    assert text in "".join(warnings)


def test_what_is_not_in_effect_is_named_with_its_place() -> None:
    ours = sshd_plan(found(), {})["content"]
    state = found(ours=ours, settings=[line("passwordauthentication", "yes", "User ada")])
    state["effective"]["passwordauthentication"] = "yes"
    (difference,) = sshd_plan(state, {})["differences"]
    assert "PasswordAuthentication is `yes` for ada, not `no`" in difference
    assert "/etc/x.conf line 3" in difference
    assert sshd_plan(found(ours=ours), {})["differences"] == []


def test_the_program_that_is_recorded_as_written_does_not_remove_itself() -> None:
    """Else ``verify`` would miss it on a host without the part for good."""
    program = (Path(__file__).parents[2] / "roles/host/templates/sshd.j2").read_text()
    assert '"$program"' not in "".join(row for row in program.splitlines() if "rm " in row)
