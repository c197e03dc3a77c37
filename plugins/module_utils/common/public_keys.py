# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH public keys as they stand in a line of ``authorized_keys`` or in a file ``.pub``."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
    "ssh-dss",
)
LEAST_RSA_BITS = 2048  # NIST SP 800-131A: shorter keys are disallowed; key pairs of clouds have just these
LINES = 1000  # of one authorized_keys that are read


@dataclass(frozen=True)
class PublicKey:
    """One key.

    :ivar kind: its type, as the line names it.
    :ivar blob: its bytes, which identify it.
    :ivar options: what stands before it in the line, such as ``from="192.0.2.7"``.
    """

    kind: str
    blob: bytes
    options: str = ""

    @property
    def fingerprint(self) -> str:
        """As sshd logs it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def bits(self) -> int:
        """The length of an RSA modulus; 0 for another type."""
        if self.kind != "ssh-rsa":
            return 0
        fields = list(_fields(self.blob))
        return int.from_bytes(fields[2], "big").bit_length() if len(fields) > 2 else 0

    @property
    def objection(self) -> str:
        """Why sshd would refuse it with the settings of the role host; empty where it would not."""
        if self.kind == "ssh-dss":
            return "DSA, which OpenSSH has given up"
        if self.kind == "ssh-rsa" and self.bits < LEAST_RSA_BITS:
            return f"RSA of {self.bits} bits; {LEAST_RSA_BITS} are the least"
        return ""


def read_line(line: str) -> PublicKey | None:
    """The key in a line; None for a comment, or for anything that is no public key."""
    words = line.strip().split()
    if not words or words[0].startswith("#"):
        return None
    for place, word in enumerate(words[:-1]):
        if word in KINDS:
            try:
                blob = base64.b64decode(words[place + 1], validate=True)
            except (binascii.Error, ValueError):
                return None
            kind = next(_fields(blob), b"")
            return PublicKey(word, blob, " ".join(words[:place])) if kind == word.encode() else None
    return None


def read_all(text: str) -> list[PublicKey]:
    """The keys of an ``authorized_keys``."""
    return [key for line in text.splitlines()[:LINES] if (key := read_line(line))]


def _fields(blob: bytes) -> Iterator[bytes]:
    """The fields of a key, each behind its length; as many as are whole."""
    while len(blob) >= 4:
        length = int.from_bytes(blob[:4], "big")
        if length > len(blob) - 4:
            return
        yield blob[4 : 4 + length]
        blob = blob[4 + length :]
