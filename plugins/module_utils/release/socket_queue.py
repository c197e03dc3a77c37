# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many visitors are in the queue of a unix socket: connected, and not yet accepted by its server.

The kernel tells it by netlink alone (linux/sock_diag.h, linux/unix_diag.h), as ``ss -xl`` shows it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
LISTEN = 1 << 10
UDIAG_SHOW_NAME_AND_QUEUE = 0x1 | 0x10
UNIX_DIAG_NAME, UNIX_DIAG_RQLEN = 0, 4
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
REQUEST = struct.Struct("=BBHIIIII")  # family, protocol, padding, states, inode, what to show, cookie
ANSWER_BYTES = 16  # before its attributes
ATTRIBUTE = struct.Struct("=HH")  # length, type
SECONDS = 5.0


def length(sock: Path) -> int:
    """How many connections wait in the queue of the socket that listens at a path; 0 where the kernel does not tell."""
    name = str(sock).encode()
    with contextlib.suppress(OSError, struct.error):
        return max((waiting for found, waiting in listening() if found == name), default=0)
    return 0


def listening() -> Iterator[tuple[bytes, int]]:
    """The name of each unix socket that listens, and how many connections wait in its queue."""
    request = REQUEST.pack(socket.AF_UNIX, 0, 0, LISTEN, 0, UDIAG_SHOW_NAME_AND_QUEUE, 0, 0)
    head = HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(SECONDS)
        kernel.sendto(head + request, (0, 0))
        while True:
            block = kernel.recv(2**16)
            for kind, message in messages(block):
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    return
                found = dict(attributes(message[ANSWER_BYTES:]))
                if UNIX_DIAG_NAME in found and UNIX_DIAG_RQLEN in found:
                    waiting, _limit = struct.unpack("=II", found[UNIX_DIAG_RQLEN])
                    yield found[UNIX_DIAG_NAME].rstrip(b"\0"), waiting


def messages(block: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and the content of each message."""
    while block:
        size, kind, *_rest = HEADER.unpack_from(block)
        yield kind, block[HEADER.size : size]
        block = block[aligned(size) :]


def attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and the content of each attribute."""
    while message:
        size, kind = ATTRIBUTE.unpack_from(message)
        yield kind, message[ATTRIBUTE.size : size]
        message = message[aligned(size) :]


def aligned(size: int) -> int:
    """Where what comes next begins; at least a header on, so that nothing is read for ever."""
    return max((size + 3) & ~3, ATTRIBUTE.size)
