# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access control lists of files, as the kernel keeps them; not every host has the programs that set them."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

ATTRIBUTES = ("system.posix_acl_default", "system.posix_acl_access")  # a new file inherits the first: it goes first
GROUP = 0x08  # the tag of an entry for a named group, in linux/posix_acl.h
HEADER, ENTRY = struct.Struct("<I"), struct.Struct("<HHI")  # the version; tag, rights and number of an entry
NONE_THERE = (errno.ENODATA, errno.ENOTSUP, errno.ENOENT)


def without_group(attribute: bytes, number: int) -> bytes:
    """A list without the entries of a group."""
    entries = ENTRY.iter_unpack(attribute[HEADER.size :])
    kept = (entry for entry in entries if (entry[0], entry[2]) != (GROUP, number))
    return attribute[: HEADER.size] + b"".join(ENTRY.pack(*entry) for entry in kept)


def revoke(place: Path, number: int) -> bool:
    """Take a group's rights of a file or directory away; whether it had any. A link is not followed.

    :raises OSError: naming the path.
    """
    had = False
    for name in ATTRIBUTES:
        try:
            attribute = os.getxattr(place, name, follow_symlinks=False)
        except OSError as error:
            if error.errno in NONE_THERE:
                continue
            raise
        kept = without_group(attribute, number)
        if kept != attribute:
            os.setxattr(place, name, kept, follow_symlinks=False)
            had = True
    return had
