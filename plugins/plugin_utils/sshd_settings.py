# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drop-in of the role host for sshd says, for the version of OpenSSH and the keys of a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

# The lists that ssh-audit 3.9.0 calls "Hardened Debian 12 (version 3)" and "Hardened Debian 13 (version 1)".
CIPHERS = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-gcm@openssh.com,aes128-ctr"
SHA256, SHA512, UMAC = (f"{mac}-etm@openssh.com" for mac in ("hmac-sha2-256", "hmac-sha2-512", "umac-128"))
QUANTUM_SAFE = ("mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com")
CURVES = ("curve25519-sha256", "curve25519-sha256@libssh.org")
GROUPS = ("diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512", "diffie-hellman-group-exchange-sha256")
# Certificates of a host, where a certificate authority has signed any, come before the bare keys.
HOST_KEY_ALGORITHMS = ",".join(
    (
        "ssh-ed25519-cert-v01@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
        "ssh-ed25519",
        "rsa-sha2-512",
        "rsa-sha2-256",
    )
)
QUANTUM_SAFE_BY_DEFAULT = [10, 0]  # the version whose own default is a key exchange of QUANTUM_SAFE
LEAST_HOST_RSA_BITS = 4096  # of both policies
MODULI = (
    f"{on_host('configuration')}/ssh_moduli"  # Debian's without the groups below 3071 bits, which the program makes
)
HEADER = "# Written by the role groundwork.flask.host, which replaces it. sshd takes the first value that it reads.\n"
KEPT_STRICTER = {"permitrootlogin": ("no", "forced-commands-only"), "allowtcpforwarding": ("no", "local")}


@dataclass(frozen=True)
class Wish:
    """What the role's variables ask for.

    :param enabled: whether the part ``sshd`` is kept.
    :param root: PermitRootLogin; empty for the host's own where that is stricter, else ``prohibit-password``.
    :param tcp_forwarding: AllowTcpForwarding; empty for the host's own where that is stricter, else ``local``.
    :param algorithms: ``hardened``, or ``compatible`` with clients that know no quantum-safe key exchange.
    :param rsa_key: whether to make an RSA host key of 4096 bits.
    :param allow_users: AllowUsers; empty for everybody.
    :param settings: further settings, which go before those of the role.
    :param admins: names of ``host_admins``.
    """

    enabled: bool = True
    root: str = ""
    tcp_forwarding: str = ""
    algorithms: str = "hardened"
    rsa_key: bool = False
    allow_users: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    admins: list[str] = field(default_factory=list)


def settings(found: Mapping[str, Any], wish: Wish) -> list[tuple[str, str]]:
    """The settings in the order of the file, each keyword with its value."""
    forwarding = wish.tcp_forwarding or stricter(found, "allowtcpforwarding") or "local"
    version = list(found["version"])
    chosen = {
        **algorithms(found, wish),
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitEmptyPasswords": "no",
        "PubkeyAuthentication": "yes",
        "PermitRootLogin": root_login(found, wish),
        "LoginGraceTime": "30",
        "MaxStartups": "10:30:60",
        "PerSourceMaxStartups": "10",
        **({"PerSourcePenalties": "yes"} if version >= [9, 8] else {}),
        "X11Forwarding": "no",
        "AllowAgentForwarding": "no",
        "AllowTcpForwarding": forwarding,
        "AllowStreamLocalForwarding": forwarding,
        "GatewayPorts": "no",
        "PermitTunnel": "no",
        "PermitUserEnvironment": "no",
        "LogLevel": "VERBOSE",
        "ClientAliveInterval": "300",
        "ClientAliveCountMax": "2",
        "TCPKeepAlive": "no",
        "Compression": "no",
    }
    own = {keyword.lower() for keyword in wish.settings}
    chosen = {keyword: value for keyword, value in chosen.items() if keyword.lower() not in own}
    chosen.update({keyword: text(value) for keyword, value in wish.settings.items()})
    users = [("AllowUsers", " ".join(wish.allow_users))] if wish.allow_users else []
    return [*(("HostKey", path) for path in host_keys(found, wish)), *chosen.items(), *users]


def algorithms(found: Mapping[str, Any], wish: Wish) -> dict[str, str]:
    """The settings that choose algorithms, for the version of the host and what it knows."""
    version, known = list(found["version"]), found["kex"]
    quantum = version >= QUANTUM_SAFE_BY_DEFAULT
    exchanges: Sequence[str] = (*QUANTUM_SAFE, *(CURVES if wish.algorithms == "compatible" else ()))
    if not quantum:
        exchanges = (*QUANTUM_SAFE[1:], *CURVES, *GROUPS)
    exchanges = [name for name in exchanges if not known or name in known]
    return {
        "KexAlgorithms": ",".join(exchanges),
        "Ciphers": CIPHERS,
        "MACs": ",".join((SHA512, SHA256, UMAC) if quantum else (SHA256, SHA512, UMAC)),
        "HostKeyAlgorithms": HOST_KEY_ALGORITHMS,
        **({"RequiredRSASize": "2048"} if version >= [9, 1] else {}),
        **({"ModuliFile": MODULI} if GROUPS[-1] in exchanges else {}),
    }


def host_keys(found: Mapping[str, Any], wish: Wish) -> list[str]:
    """The host keys to offer; none where the host's own files say which. No key that is there is replaced."""
    if any(one["keyword"] == "hostkey" for one in found["settings"]):
        return []
    have, names = found["host_keys"], ["ed25519"]
    if have.get("rsa", 0) >= LEAST_HOST_RSA_BITS:
        names.append("rsa")
    elif wish.rsa_key or "rsa_4096" in have:
        names.append("rsa_4096")
    return [f"/etc/ssh/ssh_host_{name}_key" for name in names]


def root_login(found: Mapping[str, Any], wish: Wish) -> str:
    """PermitRootLogin of this run. One that has come in as root does not shut out root; the next, as an admin, does."""
    wanted = wish.root or stricter(found, "permitrootlogin") or "prohibit-password"
    return "prohibit-password" if wanted == "no" and found["user"] == "root" and wish.admins else wanted


def stricter(found: Mapping[str, Any], keyword: str) -> str:
    """What the host's own files say, where that is stricter than the role's default; else empty."""
    said = [one["value"] for one in found["settings"] if one["keyword"] == keyword and not one["match"]]
    return str(said[0]) if said and said[0] in KEPT_STRICTER[keyword] else ""


def text(value: Any) -> str:
    """A value as sshd takes it."""
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def file(found: Mapping[str, Any], wish: Wish) -> str:
    """The whole drop-in; empty where there is to be none."""
    if not found or not wish.enabled:
        return ""
    return HEADER + "".join(f"{keyword} {value}\n" for keyword, value in settings(found, wish))
